// SpscRing<T>: a bounded queue of values between exactly two host threads. It owns the slots that
// ring.hpp's protocol runs on.
//
// Ownership: the ring owns memory and both ends. Values still inside when it is destroyed are
// dropped. Threads: one thread calls try_push, one thread calls try_pop. Moving or destroying the
// ring needs both to be quiet. Bounds: the capacity is fixed at creation; a full ring refuses, it
// never waits and never allocates.
#pragma once

#include <ringkernel/runtime/result.hpp>
#include <ringkernel/runtime/ring.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rk {

template <class T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>,
                "slots are reused by assignment and never destroyed");

 public:
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 40;

  /// Rounds `capacity_slots` (at least 1) up to a power of two. Errors: invalid_argument, no_space.
  static Result<SpscRing> create(std::uint64_t capacity_slots) {
    if (capacity_slots == 0 || capacity_slots > kMaxBytes / sizeof(TypedSlot<T>)) {
      return fail(ErrorCode::invalid_argument,
                  "a ring needs at least one slot and at most 1 TiB of them");
    }
    const std::uint64_t slots = std::bit_ceil(capacity_slots);
    // value-initialized, because a zeroed commit word is what makes a slot empty
    std::unique_ptr<TypedSlot<T>[], FreeSlots> memory(new (kAlignment, std::nothrow)
                                                          TypedSlot<T>[slots]());
    std::unique_ptr<Ends> ends(new (std::nothrow) Ends);
    if (!memory || !ends)
      return fail(ErrorCode::no_space, "no memory for a ring; ask for fewer slots");
    const TypedSlots<T> view{memory.get(), slots - 1};
    ends->producer = {view, &ends->words};
    ends->consumer = {view, &ends->words};
    return SpscRing(std::move(memory), std::move(ends), slots);
  }

  /// Producer thread only. False if the ring is full.
  [[nodiscard]] bool try_push(const T& value) {
    auto& producer = ends_->producer;
    if (!producer.has_room()) return false;
    producer.claim()->value = value;
    producer.publish();
    return true;
  }

  /// Consumer thread only. False if the ring is empty; `value` is then left alone.
  [[nodiscard]] bool try_pop(T& value) {
    auto& consumer = ends_->consumer;
    const auto* slot = consumer.front();
    if (slot == nullptr) return false;
    value = slot->value;
    consumer.pop();
    return true;
  }

  [[nodiscard]] std::uint64_t capacity_slots() const { return capacity_slots_; }

 private:
  static constexpr std::align_val_t kAlignment{alignof(TypedSlot<T>) > 128 ? alignof(TypedSlot<T>)
                                                                           : 128};

  struct FreeSlots {
    void operator()(TypedSlot<T>* slots) const { ::operator delete[](slots, kAlignment); }
  };
  // 128: the two ends' private words share no cache line, and no pair of lines that is fetched
  // together
  struct Ends {
    RingWords words;
    alignas(128) SpscProducer<TypedSlots<T>, Scope::device> producer;
    alignas(128) SpscConsumer<TypedSlots<T>, Scope::device> consumer;
  };

  SpscRing(std::unique_ptr<TypedSlot<T>[], FreeSlots> memory, std::unique_ptr<Ends> ends,
           std::uint64_t capacity)
      : memory_(std::move(memory)), ends_(std::move(ends)), capacity_slots_(capacity) {}

  std::unique_ptr<TypedSlot<T>[], FreeSlots> memory_;
  std::unique_ptr<Ends> ends_;
  std::uint64_t capacity_slots_ = 0;
};

}  // namespace rk
