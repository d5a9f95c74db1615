#include <ringkernel/runtime/pair_cell.hpp>
#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

namespace rk {
namespace {

constexpr std::uint32_t kSlotBytes = kSmallMessageBytes;

/// A cell and its two ends.
class Pair {
 public:
  Pair() {
    for (std::uint32_t w = 0; w < 2; ++w) ends_[w] = {line_.data(), boxes_[w].data(), 0, w};
  }
  PairCellEnd& end(std::uint32_t w) { return ends_[w]; }

 private:
  alignas(kCellStride) std::array<std::byte, kCellStride> line_{};
  alignas(kCellStride) std::array<std::array<std::byte, kSlotBytes>, 2> boxes_{};
  std::array<PairCellEnd, 2> ends_{};
};

void write(PairCellEnd& end, std::uint64_t number, std::uint64_t after = 0) {
  std::array<std::uint64_t, kSlotBytes / 8 - 1> words{};
  words.fill(number * 0x9E3779B97F4A7C15ull);
  words[0] = number;
  std::memcpy(end.line + 8, words.data(), sizeof(words));
  end.publish(after);
}
/// The number in the box, or nothing if the message is torn.
std::optional<std::uint64_t> number_in(const PairCellEnd& end) {
  std::array<std::uint64_t, kSlotBytes / 8 - 1> words{};
  std::memcpy(words.data(), end.box + 8, sizeof(words));
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] != words[0] * 0x9E3779B97F4A7C15ull) return std::nullopt;
  }
  return words[0];
}

TEST(PairCell, OnlyWhoseTurnItIsMayWrite) {
  Pair pair;
  EXPECT_TRUE(pair.end(0).may_write());
  EXPECT_FALSE(pair.end(1).may_write());
  EXPECT_FALSE(pair.end(1).has_message());
  write(pair.end(0), 1);
  EXPECT_FALSE(pair.end(0).may_write());
  EXPECT_FALSE(pair.end(0).has_message()) << "its own message";
  ASSERT_TRUE(pair.end(1).has_message());
  EXPECT_FALSE(pair.end(1).may_write()) << "not read yet";
  pair.end(1).read(kSlotBytes);
  EXPECT_EQ(number_in(pair.end(1)), 1u);
}

TEST(PairCell, WhatWaitsInTheBoxKeepsItsReaderFromWriting) {
  Pair pair;
  write(pair.end(0), 1);
  pair.end(1).read(kSlotBytes);
  EXPECT_FALSE(pair.end(1).may_write());
  pair.end(1).state = PairCellEnd::Box::in_hand;
  ASSERT_TRUE(pair.end(1).may_write()) << "its handler may answer";
  write(pair.end(1), 2);
  EXPECT_EQ(number_in(pair.end(1)), 1u) << "the answer overwrote the question in hand";
}

TEST(PairCell, AMessageIsDueWhenTheInboxIsEmptiedSoFar) {
  Pair pair;
  // positions are compared modulo 2^32
  write(pair.end(0), 1, (std::uint64_t{1} << 32) + 2);
  pair.end(1).read(kSlotBytes);
  EXPECT_FALSE(pair.end(1).is_due((std::uint64_t{1} << 32) - 1));
  EXPECT_FALSE(pair.end(1).is_due((std::uint64_t{1} << 32) + 1));
  EXPECT_TRUE(pair.end(1).is_due((std::uint64_t{1} << 32) + 2));
  EXPECT_TRUE(pair.end(1).is_due((std::uint64_t{1} << 32) + 900));
}

TEST(PairCell, NobodyHasACellWithHimself) {
  PairCellEnd oneself;
  EXPECT_FALSE(oneself.may_write());
  EXPECT_FALSE(oneself.awaits());
  EXPECT_FALSE(oneself.has_message());
}

TEST(PairCell, AConversationOfTwoThreadsIsWholeAndInOrder) {
  constexpr std::uint64_t kMessages = 100'000;
  Pair pair;
  std::array<std::optional<std::string>, 2> problems;
  const auto talk = [&](std::uint32_t w) {
    PairCellEnd& end = pair.end(w);
    for (std::uint64_t number = 1; number <= kMessages; ++number) {
      if (number % 2 == 1 - w) {
        if (!end.may_write()) problems[w] = "no turn for " + std::to_string(number);
        write(end, number, number);
        continue;
      }
      Backoff backoff;
      while (!end.has_message()) backoff.wait();
      end.read(kSlotBytes);
      if (number_in(end) != number || end.after != number)
        problems[w] = "torn or lost: " + std::to_string(number);
      end.state = PairCellEnd::Box::empty;
    }
  };
  std::thread other(talk, 1);
  talk(0);
  other.join();
  for (const auto& problem : problems) EXPECT_EQ(problem, std::nullopt);
}

TEST(MarkedSlot, IsPassedOverUntilItIsUnmarked) {
  alignas(64) std::array<std::byte, 4 * kSlotBytes> memory{};
  RingWords words;
  const StridedSlots slots{memory.data(), 3, 6};
  MpscProducer<StridedSlots, Scope::device> producer(slots, &words, Producers::one);
  SpscConsumer<StridedSlots, Scope::device> consumer(slots, &words);
  for (std::uint64_t n = 0; n < 9; ++n) {
    std::uint64_t position = 0;
    std::byte* slot = producer.try_claim(position, 4);
    ASSERT_NE(slot, nullptr);
    const bool is_marked = n % 3 == 1;
    EXPECT_EQ(producer.claimed(), position + 1);
    producer.publish(slot, is_marked ? position | kMarked : position);
    EXPECT_EQ(consumer.front(), is_marked ? nullptr : slot);
    EXPECT_EQ(consumer.marked_front(), is_marked ? slot : nullptr);
    EXPECT_EQ(consumer.peek(position), slot) << "the cut's sweep has to see it";
    if (is_marked) consumer.unmark_front();
    EXPECT_EQ(consumer.front(), slot);
    EXPECT_EQ(consumer.marked_front(), nullptr);
    consumer.pop();
  }
}

}  // namespace
}  // namespace rk
