// Every interleaving that a seed can reach of the rings' real ends, and planted mistakes of their
// users that must be found.
#include "expectations.hpp"

#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace rk::testing {
namespace {

constexpr std::uint64_t kRingSchedules = 25'000;
constexpr std::uint64_t kInboxSchedules = 25'000;
constexpr std::uint64_t kMessages = 6;
constexpr std::size_t kMaxSlots = 8;

/// A payload of two words, each of which a switch can separate from the other: the scheduler sees
/// accesses through the shim only.
struct Payload {
  std::uint64_t low;
  std::uint64_t high;
};
void write(Payload& payload, std::uint64_t value) {
  store_relaxed<Scope::device>(payload.low, value);
  store_relaxed<Scope::device>(payload.high, value);
}
std::uint64_t read(Payload& payload) {
  const std::uint64_t low = load_relaxed<Scope::device>(payload.low);
  const std::uint64_t high = load_relaxed<Scope::device>(payload.high);
  require(low == high, "a message is torn");
  return low;
}

enum class Planted { none, commit_before_payload, credit_before_read, ticket_without_claim, limit };

struct Ring {
  std::array<TypedSlot<Payload>, kMaxSlots> slots;
  RingWords words;

  TypedSlots<Payload> reset(std::uint64_t capacity) {
    slots = {};
    words = {};
    return {slots.data(), capacity - 1};
  }
};

template <class Consumer>
std::uint64_t take(Consumer& consumer, Planted planted) {
  Backoff backoff;
  auto* slot = consumer.front();
  for (; slot == nullptr; slot = consumer.front()) backoff.wait();
  if (planted == Planted::credit_before_read) consumer.pop();
  const std::uint64_t value = read(slot->value);
  if (planted != Planted::credit_before_read) consumer.pop();
  return value;
}

Subject spsc(std::uint64_t capacity, Planted planted = Planted::none) {
  auto ring = std::make_shared<Ring>();
  const auto prepare = [=]() -> std::vector<Body> {
    const TypedSlots<Payload> slots = ring->reset(capacity);
    return {[=] {
              SpscProducer<TypedSlots<Payload>, Scope::device> producer(slots, &ring->words);
              Backoff backoff;
              for (std::uint64_t n = 1; n <= kMessages; ++n) {
                while (!producer.has_room()) backoff.wait();
                Payload& payload = producer.claim()->value;
                if (planted == Planted::commit_before_payload) producer.publish();
                write(payload, n);
                if (planted != Planted::commit_before_payload) producer.publish();
              }
            },
            [=] {
              SpscConsumer<TypedSlots<Payload>, Scope::device> consumer(slots, &ring->words);
              for (std::uint64_t n = 1; n <= kMessages; ++n) {
                require(take(consumer, planted) == n, "a message is lost, early or repeated");
              }
            }};
  };
  return {"spsc_of_" + std::to_string(capacity), prepare, {.expected_steps = 80}};
}

/// Two producers; the first may use only half of the slots.
Subject mpsc(Planted planted = Planted::none) {
  constexpr std::uint64_t kCapacity = 4;
  constexpr std::uint64_t kEach = 4;
  auto ring = std::make_shared<Ring>();
  const auto prepare = [=]() -> std::vector<Body> {
    const TypedSlots<Payload> slots = ring->reset(kCapacity);
    const auto producer = [=](std::uint64_t who) {
      // each believes that it is alone: what the claim is there to prevent
      const bool is_alone = planted == Planted::ticket_without_claim;
      MpscProducer<TypedSlots<Payload>, Scope::device> end(
          slots, &ring->words, is_alone ? Producers::one : Producers::many);
      const bool limited = who == 0 && planted != Planted::ticket_without_claim;
      const std::uint64_t limit = limited && planted != Planted::limit ? kCapacity / 2 : kCapacity;
      Backoff backoff;
      for (std::uint64_t n = 0; n < kEach; ++n) {
        std::uint64_t at = 0;
        TypedSlot<Payload>* slot = nullptr;
        while ((slot = end.try_claim(at, limit)) == nullptr) backoff.wait();
        // straight from memory: no switch since the claim
        require(!limited || at + 1 - ring->words.consumed <= kCapacity / 2,
                "the limited producer took more than its share");
        if (planted == Planted::commit_before_payload) end.publish(slot, at);
        write(slot->value, who * 100 + n + 1);
        if (planted != Planted::commit_before_payload) end.publish(slot, at);
      }
    };
    return {[=] { producer(0); }, [=] { producer(1); },
            [=] {
              SpscConsumer<TypedSlots<Payload>, Scope::device> consumer(slots, &ring->words);
              std::uint64_t next[2] = {1, 1};
              for (std::uint64_t n = 0; n < 2 * kEach; ++n) {
                const std::uint64_t value = take(consumer, planted);
                require(value % 100 == next[value / 100]++, "a message is lost, early or repeated");
              }
            }};
  };
  return {"mpsc_inbox", prepare, {.expected_steps = 160}};
}

void expect_holds(const Subject& subject, std::uint64_t schedules) {
  const Exploration found = explore(subject, schedules);
  EXPECT_FALSE(found.failing_seed) << found.outcome.failure;
}

TEST(RingSchedules, OneSlotIsOverwrittenOnlyAfterItWasRead) {
  expect_holds(spsc(1), kRingSchedules);
}
TEST(RingSchedules, TwoSlotsKeepOrderAcrossLaps) { expect_holds(spsc(2), kRingSchedules); }
TEST(RingSchedules, FourSlotsKeepOrderAcrossLaps) { expect_holds(spsc(4), kRingSchedules); }
TEST(RingSchedules, TwoProducersShareAnInboxAndOneKeepsToItsLimit) {
  expect_holds(mpsc(), kInboxSchedules);
}

TEST(PlantedBugs, CommitBeforePayloadIsFound) {
  expect_caught(spsc(2, Planted::commit_before_payload), "commit_before_payload", kRingSchedules);
}
TEST(PlantedBugs, CreditBeforeReadIsFound) {
  expect_caught(spsc(2, Planted::credit_before_read), "credit_before_read", kRingSchedules);
}
TEST(PlantedBugs, CommitBeforePayloadInTheInboxIsFound) {
  expect_caught(mpsc(Planted::commit_before_payload), "inbox_commit_before_payload",
                kInboxSchedules);
}
TEST(PlantedBugs, TicketWithoutClaimIsFound) {
  expect_caught(mpsc(Planted::ticket_without_claim), "ticket_without_claim", kInboxSchedules);
}
TEST(PlantedBugs, LimitIgnoredIsFound) {
  expect_caught(mpsc(Planted::limit), "limit_ignored", kInboxSchedules);
}

}  // namespace
}  // namespace rk::testing
