// Slot-sequence rings: nothing lost, doubled, reordered or overwritten, at every capacity and under
// contention.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/spsc_ring.hpp>
#include <ringkernel/runtime/wait.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rk {
namespace {

using Value = std::array<std::uint64_t, 4>;

Value make_value(std::uint64_t number) { return {number, ~number, number * 3, number ^ 0x5555}; }

/// Wire-message slots with their words, all zero.
class Inbox {
 public:
  using Producer = MpscProducer<StridedSlots, Scope::device>;
  using Consumer = SpscConsumer<StridedSlots, Scope::device>;

  explicit Inbox(std::uint64_t capacity)
      : memory_(new (std::align_val_t{64}) std::byte[capacity * kSmallMessageBytes]()) {
    slots_ = {memory_.get(), capacity - 1, 6};
  }
  Producer producer(Producers producers = Producers::many) { return {slots_, &words_, producers}; }
  Consumer consumer() { return {slots_, &words_}; }
  const RingWords& words() const { return words_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte[], Free> memory_;
  StridedSlots slots_;
  RingWords words_;
};

bool try_send(Inbox::Producer& producer, std::uint32_t source, std::uint32_t sequence,
              std::uint64_t limit) {
  std::uint64_t position = 0;
  auto* slot = producer.try_claim(position, limit);
  if (slot == nullptr) return false;
  auto* header = reinterpret_cast<MessageHeader*>(slot);
  header->src = ActorId{source};
  header->source_sequence = sequence;
  header->hlc = (std::uint64_t{source} << 32) + sequence;
  std::memset(slot + sizeof(MessageHeader), static_cast<int>(sequence & 0xFF), 32);
  producer.publish(slot, position);
  return true;
}

TEST(SpscRing, RefusesACapacityItCannotServe) {
  EXPECT_EQ(SpscRing<Value>::create(0).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(SpscRing<Value>::create(~std::uint64_t{0}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(SpscRing<Value>::create(5).value().capacity_slots(), 8u);
  EXPECT_EQ(SpscRing<Value>::create(1).value().capacity_slots(), 1u);
}

TEST(SpscRing, ANewRingIsEmptyAndAFailedPopLeavesTheValueAlone) {
  auto ring = std::move(SpscRing<Value>::create(4)).value();
  Value value = make_value(99);
  EXPECT_FALSE(ring.try_pop(value));
  EXPECT_EQ(value, make_value(99));
}

TEST(SpscRing, KeepsItsValuesWhenMoved) {
  auto first = std::move(SpscRing<Value>::create(4)).value();
  ASSERT_TRUE(first.try_push(make_value(1)));
  SpscRing<Value> second = std::move(first);
  ASSERT_TRUE(second.try_push(make_value(2)));
  Value value{};
  for (std::uint64_t i = 1; i <= 2; ++i) {
    ASSERT_TRUE(second.try_pop(value));
    EXPECT_EQ(value, make_value(i));
  }
}

/// Values of part of a line, of a whole one or several, of odd sizes.
template <std::size_t Words>
struct Sized {
  static constexpr std::size_t kWords = Words;
  std::array<std::uint64_t, Words> words;
};
template <class T>
T make_sized(std::uint64_t number) {
  T value{};
  for (std::size_t i = 0; i < T::kWords; ++i) value.words[i] = number * 31 + i;
  return value;
}
template <class T>
class SpscRingOf : public testing::Test {};
using Sizes = testing::Types<Sized<1>, Sized<2>, Sized<7>, Sized<8>, Sized<9>, Sized<32>>;
TYPED_TEST_SUITE(SpscRingOf, Sizes);

TYPED_TEST(SpscRingOf, EveryPopGivesItsPlaceBackAtOnceEvenIfTheConsumerThenStops) {
  for (const std::uint64_t capacity : {1u, 2u, 8u}) {
    auto ring = std::move(SpscRing<TypeParam>::create(capacity)).value();
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
    for (std::uint64_t pops = 0; pops <= capacity; ++pops) {
      while (ring.try_push(make_sized<TypeParam>(pushed))) ++pushed;
      ASSERT_EQ(pushed - popped, capacity) << "credits were withheld, capacity " << capacity;
      for (std::uint64_t i = 0; i < pops; ++i) {
        TypeParam value{};
        ASSERT_TRUE(ring.try_pop(value));
        ASSERT_EQ(value.words, make_sized<TypeParam>(popped++).words);
      }
    }
  }
}

TYPED_TEST(SpscRingOf, ValuesWrittenAndReadInPlaceComeOutOnceWholeAndInOrder) {
  constexpr std::uint64_t kCount = 20000;
  for (const std::uint64_t capacity : {1u, 2u, 256u}) {
    auto ring = std::move(SpscRing<TypeParam>::create(capacity)).value();
    std::thread producer([&] {
      for (std::uint64_t i = 0; i < kCount; ++i) {
        Backoff backoff;
        while (!ring.try_push_with([i](TypeParam& slot) { slot = make_sized<TypeParam>(i); }))
          backoff.wait();
      }
    });
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < kCount; ++i) {
      Backoff backoff;
      while (!ring.try_pop_with(
          [&](const TypeParam& slot) { wrong += slot.words != make_sized<TypeParam>(i).words; }))
        backoff.wait();
    }
    producer.join();
    EXPECT_EQ(wrong, 0u) << "capacity " << capacity;
    EXPECT_FALSE(ring.try_pop_with([](const TypeParam&) {}));
  }
}

TEST(SpscRing, AConsumerThatWaitsForItsProducerAfterOnePopDoesNotBlockIt) {
  // The consumer takes one value and looks no more until the producer, which waits for room, has
  // pushed: with credits saved up, both would wait for ever.
  for (const std::uint64_t capacity : {1u, 2u, 64u}) {
    auto ring = std::move(SpscRing<Value>::create(capacity)).value();
    std::uint64_t pushed = 0;
    while (ring.try_push(make_value(pushed))) ++pushed;
    std::promise<void> told;
    std::thread producer([&] {
      Backoff backoff;
      while (!ring.try_push(make_value(pushed))) backoff.wait();
      told.set_value();
    });
    Value value{};
    ASSERT_TRUE(ring.try_pop(value));
    told.get_future().wait();
    producer.join();
    for (std::uint64_t i = 1; i <= capacity; ++i) {
      ASSERT_TRUE(ring.try_pop(value));
      EXPECT_EQ(value, make_value(i));
    }
    EXPECT_FALSE(ring.try_pop(value));
  }
}

TEST(SpscRing, NoSmallSlotStraddlesACacheLine) {
  EXPECT_EQ(sizeof(TypedSlot<Sized<1>>), 16u);
  EXPECT_EQ(sizeof(TypedSlot<Sized<2>>), 32u);
  EXPECT_EQ(sizeof(TypedSlot<Sized<3>>), 32u);
  EXPECT_EQ(sizeof(TypedSlot<Sized<7>>), 64u);
  EXPECT_EQ(alignof(TypedSlot<Sized<7>>), 64u);
  EXPECT_EQ(sizeof(TypedSlot<std::uint8_t>), 16u);
}

TEST(SpscRingProperty, AnyMixOfPushesAndPopsBehavesLikeABoundedDeque) {
  EXPECT_TRUE(rc::check([](const std::vector<bool>& pushes) {
    const auto capacity = *rc::gen::element<std::uint64_t>(1, 2, 8);
    auto ring = std::move(SpscRing<Value>::create(capacity)).value();
    std::deque<Value> model;
    std::uint64_t number = 0;
    for (const bool push : pushes) {
      if (push) {
        const bool pushed = ring.try_push(make_value(number));
        RC_ASSERT(pushed == (model.size() < capacity));
        if (pushed) model.push_back(make_value(number));
        ++number;
      } else {
        Value value{};
        const bool popped = ring.try_pop(value);
        RC_ASSERT(popped == !model.empty());
        if (!popped) continue;
        RC_ASSERT(value == model.front());
        model.pop_front();
      }
    }
  }));
}

TEST(SpscRing, TwoThreadsLoseDoubleAndReorderNothing) {
  constexpr std::uint64_t kCount = 50000;
  for (const std::uint64_t capacity : {1u, 2u, 64u, 4096u}) {
    auto ring = std::move(SpscRing<Value>::create(capacity)).value();
    std::thread producer([&] {
      for (std::uint64_t i = 0; i < kCount; ++i) {
        Backoff backoff;
        while (!ring.try_push(make_value(i))) backoff.wait();
      }
    });
    std::uint64_t wrong = 0;
    Value value{};
    for (std::uint64_t i = 0; i < kCount; ++i) {
      Backoff backoff;
      while (!ring.try_pop(value)) backoff.wait();
      wrong += value != make_value(i);
    }
    producer.join();
    EXPECT_EQ(wrong, 0u) << "capacity " << capacity;
    EXPECT_FALSE(ring.try_pop(value));
  }
}

// --- the check can fail: one ring, judged with the right slots and with planted bugs ---

/// Claims room for one more slot than there is.
struct OneTooMany : TypedSlots<std::uint64_t> {
  std::uint64_t capacity() const { return mask + 2; }
};
/// Two positions share one slot.
struct WrongMask : TypedSlots<std::uint64_t> {
  TypedSlot<std::uint64_t>* slot(std::uint64_t position) const {
    return base + (position & (mask >> 1));
  }
};

/// Fills a ring of 8 until it refuses, then drains it; true if every accepted value came out once
/// and in order.
template <class Slots>
bool survives_being_full() {
  std::array<TypedSlot<std::uint64_t>, 16> memory{};
  RingWords words;
  Slots slots;
  slots.base = memory.data();
  slots.mask = 7;
  SpscProducer<Slots, Scope::device> producer(slots, &words);
  SpscConsumer<Slots, Scope::device> consumer(slots, &words);
  std::uint64_t pushed = 0;
  std::uint64_t popped = 0;
  for (int lap = 0; lap < 5; ++lap) {
    for (int i = 0; i < 20 && producer.has_room(); ++i) {
      producer.claim()->value = pushed++;
      producer.publish();
    }
    for (int i = 0; i < 20; ++i) {
      const auto* slot = consumer.front();
      if (slot == nullptr) break;
      if (slot->value != popped++) return false;
      consumer.pop();
    }
  }
  return pushed == popped && pushed == 5 * 8;
}

TEST(SpscProtocol, AFullRingNeverOverwritesWhatNobodyReadAndThisCheckCanFail) {
  EXPECT_TRUE(survives_being_full<TypedSlots<std::uint64_t>>());
  EXPECT_FALSE(survives_being_full<OneTooMany>());
  EXPECT_FALSE(survives_being_full<WrongMask>());
}

TEST(SpscProtocol, RoomForSeveralIsRefusedUntilAllOfItIsThere) {
  std::array<TypedSlot<std::uint64_t>, 8> memory{};
  RingWords words;
  const TypedSlots<std::uint64_t> slots{memory.data(), 7};
  SpscProducer<TypedSlots<std::uint64_t>, Scope::device> producer(slots, &words);
  SpscConsumer<TypedSlots<std::uint64_t>, Scope::device> consumer(slots, &words);
  EXPECT_TRUE(producer.has_room(8));
  EXPECT_FALSE(producer.has_room(9));
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(producer.has_room());
    producer.publish();
  }
  EXPECT_TRUE(producer.has_room(2));
  EXPECT_FALSE(producer.has_room(3));
  ASSERT_NE(consumer.front(), nullptr);
  consumer.pop();
  EXPECT_TRUE(producer.has_room(3));
  EXPECT_EQ(producer.position(), 6u);
  EXPECT_EQ(consumer.position(), 1u);
}

TEST(Inbox, ZeroedMemoryIsAnEmptyRing) {
  Inbox inbox(8);
  const auto consumer = inbox.consumer();
  for (std::uint64_t i = 0; i < 16; ++i) EXPECT_EQ(consumer.peek(i), nullptr);
}

TEST(Inbox, PeekSeesBeyondTheFrontButNeverALapAheadOrBehind) {
  Inbox inbox(4);
  auto producer = inbox.producer();
  auto consumer = inbox.consumer();
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(try_send(producer, 1, i, 4));
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_NE(consumer.peek(i), nullptr);
    EXPECT_EQ(reinterpret_cast<MessageHeader*>(consumer.peek(i))->source_sequence, i);
  }
  EXPECT_EQ(consumer.peek(3), nullptr);
  EXPECT_EQ(consumer.peek(4), nullptr);
  consumer.pop();
  EXPECT_EQ(consumer.peek(0), nullptr) << "a popped position must not be readable";
  ASSERT_NE(consumer.front(), nullptr);
  EXPECT_EQ(consumer.front(), consumer.peek(1));
}

TEST(Inbox, ATicketNotYetPublishedHidesLaterMessagesFromFrontButNotFromPeek) {
  Inbox inbox(4);
  auto slow = inbox.producer();
  auto fast = inbox.producer();
  auto consumer = inbox.consumer();
  std::uint64_t position = 0;
  auto* slot = slow.try_claim(position, 4);
  ASSERT_NE(slot, nullptr);
  ASSERT_TRUE(try_send(fast, 2, 0, 4));
  EXPECT_EQ(consumer.front(), nullptr);
  EXPECT_NE(consumer.peek(1), nullptr);
  slow.publish(slot, position);
  EXPECT_NE(consumer.front(), nullptr);
}

TEST(Inbox, AProducerLimitedToHalfLeavesTheOtherHalfToItsPeers) {
  Inbox inbox(8);
  auto host = inbox.producer();
  auto worker = inbox.producer();
  auto consumer = inbox.consumer();
  std::uint32_t sent = 0;
  while (try_send(host, 1, sent, host.capacity() / 2)) ++sent;
  EXPECT_EQ(sent, 4u);
  while (try_send(worker, 2, sent, worker.capacity())) ++sent;
  EXPECT_EQ(sent, 8u);
  for (int i = 0; i < 4; ++i) {
    ASSERT_NE(consumer.front(), nullptr);
    consumer.pop();
    EXPECT_FALSE(try_send(host, 1, 0, 4)) << "still half full or more";
  }
  ASSERT_NE(consumer.front(), nullptr);
  consumer.pop();
  EXPECT_TRUE(try_send(host, 1, 0, 4));
}

TEST(Inbox, PlacesTakenAreFreeOnceTheirCreditsAreReturned) {
  Inbox inbox(4);
  auto producer = inbox.producer();
  auto consumer = inbox.consumer();
  for (std::uint32_t lap = 0; lap < 3; ++lap) {
    for (std::uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(try_send(producer, 1, 4 * lap + i, 4));
    for (std::uint32_t i = 0; i < 4; ++i) {
      auto* slot = consumer.front();
      ASSERT_NE(slot, nullptr);
      EXPECT_EQ(reinterpret_cast<MessageHeader*>(slot)->source_sequence, 4 * lap + i);
      consumer.take();
      EXPECT_FALSE(try_send(producer, 1, 0, 4)) << "its place is still owed";
    }
    EXPECT_EQ(consumer.front(), nullptr);
    consumer.return_credits();
  }
  EXPECT_TRUE(try_send(producer, 1, 12, 4));
}

TEST(InboxProperty, AnyMixOfClaimsPublishesAndPopsBehavesLikeABoundedDeque) {
  EXPECT_TRUE(rc::check([](const std::vector<std::uint8_t>& steps) {
    Inbox inbox(4);
    std::array<Inbox::Producer, 2> producers = {inbox.producer(), inbox.producer()};
    auto consumer = inbox.consumer();
    std::deque<std::uint64_t> model;
    std::array<std::uint32_t, 2> next{};
    for (const std::uint8_t step : steps) {
      const std::uint32_t who = step & 1;
      const std::uint64_t limit = (step & 2) != 0 ? 2 : 4;
      if ((step & 4) != 0) {
        const bool sent = try_send(producers[who], who, next[who], limit);
        RC_ASSERT(sent == (model.size() < limit));
        if (sent) model.push_back((std::uint64_t{who} << 32) + next[who]++);
      } else if (auto* slot = consumer.front()) {
        RC_ASSERT(!model.empty());
        RC_ASSERT(reinterpret_cast<MessageHeader*>(slot)->hlc == model.front());
        model.pop_front();
        if ((step & 8) != 0) {
          consumer.take();
          consumer.return_credits();
        } else {
          consumer.pop();
        }
      } else {
        RC_ASSERT(model.empty());
      }
    }
  }));
}

/// Runs `producers` threads into one inbox; returns what went wrong, if anything.
std::optional<std::string> run_inbox(std::uint32_t producers, std::uint64_t capacity,
                                     std::uint32_t count) {
  Inbox inbox(capacity);
  std::vector<std::thread> threads;
  for (std::uint32_t p = 0; p < producers; ++p) {
    threads.emplace_back([&inbox, p, producers, capacity, count] {
      auto producer = inbox.producer(producers == 1 ? Producers::one : Producers::many);
      const std::uint64_t limit = p == 0 && capacity > 1 ? capacity / 2 : capacity;
      for (std::uint32_t i = 0; i < count; ++i) {
        Backoff backoff;
        while (!try_send(producer, p, i, limit)) backoff.wait();
      }
    });
  }
  std::optional<std::string> problem;
  std::vector<std::uint32_t> next(producers, 0);
  auto consumer = inbox.consumer();
  for (std::uint64_t i = 0; i < std::uint64_t{producers} * count; ++i) {
    Backoff backoff;
    while (consumer.front() == nullptr) backoff.wait();
    std::byte* slot = consumer.front();
    const MessageHeader header = *reinterpret_cast<MessageHeader*>(slot);
    const std::uint32_t source = header.src.word;
    if (source >= producers || header.source_sequence != next[source]++ ||
        header.hlc != (std::uint64_t{source} << 32) + header.source_sequence) {
      problem = "message " + std::to_string(i) + " lost, doubled, reordered or torn";
    }
    for (int b = 0; b < 32; ++b) {
      if (slot[32 + b] != static_cast<std::byte>(header.source_sequence & 0xFF)) problem = "torn";
    }
    consumer.pop();
  }
  for (auto& thread : threads) thread.join();
  if (consumer.front() != nullptr) problem = "a message too many";
  return problem;
}

TEST(Inbox, OneProducerNeedsNoClaimToLoseDoubleAndReorderNothing) {
  for (const std::uint64_t capacity : {1u, 4u, 256u}) {
    EXPECT_EQ(run_inbox(1, capacity, 40000), std::nullopt) << "capacity " << capacity;
  }
}

TEST(Inbox, TwoProducersLoseDoubleAndReorderNothing) {
  for (const std::uint64_t capacity : {1u, 4u, 256u}) {
    EXPECT_EQ(run_inbox(2, capacity, 20000), std::nullopt) << "capacity " << capacity;
  }
}

TEST(Inbox, FourProducersLoseDoubleAndReorderNothing) {
  for (const std::uint64_t capacity : {2u, 16u, 1024u}) {
    EXPECT_EQ(run_inbox(4, capacity, 10000), std::nullopt) << "capacity " << capacity;
  }
}

TEST(RingWords, TheTwoEndsNeverShareACacheLine) {
  const RingWords words;
  const auto tail = reinterpret_cast<std::uintptr_t>(&words.tail);
  const auto consumed = reinterpret_cast<std::uintptr_t>(&words.consumed);
  EXPECT_NE(tail / 64, consumed / 64);
}

}  // namespace
}  // namespace rk
