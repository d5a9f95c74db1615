// SpscRing<T>: a bounded queue of values between exactly two host threads. It owns the slots that
// ring.hpp's protocol runs on.
//
// Ownership: the ring owns memory and both ends. Values still inside when it is destroyed are
// dropped. Threads: one thread pushes, one thread pops. Moving or destroying the ring needs both to
// be quiet. Bounds: the capacity is fixed at creation; a full ring refuses, it never waits and
// never allocates.
//
// The `_with` forms write and read a value where it lies. Prefer them for values of a cache line or
// more: a copy by way of the stack fills the store buffer twice, and the store buffer is what a
// producer whose lines the consumer holds is short of.
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
    if (capacity_slots == 0 || capacity_slots > kMaxBytes / kSlotBytes) {
      return fail(ErrorCode::invalid_argument,
                  "a ring needs at least one slot and at most 1 TiB of them");
    }
    const std::uint64_t slots = std::bit_ceil(capacity_slots);
    // value-initialized, because a zeroed commit word is what makes a slot empty
    Array<Stored> values(new (kAlignment, std::nothrow) Stored[slots]());
    Array<std::uint64_t> commits;
    if constexpr (kApart) commits.reset(new (kAlignment, std::nothrow) std::uint64_t[slots]());
    std::unique_ptr<Ends> ends(new (std::nothrow) Ends);
    if (!values || !ends || (kApart && !commits))
      return fail(ErrorCode::no_space, "no memory for a ring; ask for fewer slots");
    Slots view;
    view.base = values.get();
    view.mask = slots - 1;
    if constexpr (kApart) view.commits = commits.get();
    ends->producer = {view, &ends->words};
    ends->consumer = {view, &ends->words};
    return SpscRing(std::move(values), std::move(commits), std::move(ends), slots);
  }

  /// Producer thread only. False if the ring is full.
  [[nodiscard]] bool try_push(const T& value) {
    return try_push_with([&value](T& slot) { slot = value; });
  }
  /// Producer thread only. False if the ring is full; else `fill(T&)` writes the value in its slot,
  /// all of it: the slot holds an older one. `fill` must not use the ring.
  template <class Fill>
  [[nodiscard]] bool try_push_with(Fill fill) {
    auto& producer = ends_->producer;
    if (!producer.has_room()) return false;
    fill(value_of(*producer.claim()));
    producer.publish();
    return true;
  }

  /// Consumer thread only. False if the ring is empty, after some 0.3 us; `value` is then left
  /// alone.
  [[nodiscard]] bool try_pop(T& value) {
    return try_pop_with([&value](const T& slot) { value = slot; });
  }
  /// Consumer thread only. False if the ring is empty; else `use(const T&)` reads the value in its
  /// slot, which goes back to the producer when it returns. `use` must not use the ring.
  template <class Use>
  [[nodiscard]] bool try_pop_with(Use use) {
    auto& consumer = ends_->consumer;
    auto* slot = consumer.front();
    if (slot == nullptr) {
      keep_away();
      return false;
    }
    use(std::as_const(value_of(*slot)));
    consumer.pop();
    return true;
  }

  [[nodiscard]] std::uint64_t capacity_slots() const { return capacity_slots_; }

 private:
  static constexpr bool kApart = sizeof(TypedSlot<T>) > 64;
  using Slots = std::conditional_t<kApart, ApartSlots<T>, TypedSlots<T>>;
  using Stored = std::conditional_t<kApart, T, TypedSlot<T>>;
  static constexpr std::uint64_t kSlotBytes = sizeof(Stored) + (kApart ? sizeof(std::uint64_t) : 0);
  static constexpr std::align_val_t kAlignment{alignof(Stored) > 128 ? alignof(Stored) : 128};

  struct Free {
    void operator()(void* memory) const { ::operator delete[](memory, kAlignment); }
  };
  template <class U>
  using Array = std::unique_ptr<U[], Free>;
  // 128: the two ends' private words share no cache line, and no pair of lines that is fetched
  // together
  struct Ends {
    RingWords words;
    alignas(128) SpscProducer<Slots, Scope::device> producer;
    alignas(128) SpscConsumer<Slots, Scope::device> consumer;
  };

  /// A consumer that looks again at once takes the line away from the producer that writes it, for
  /// each value anew. Some 0.3 us later several lie there. Source: Giacomoni, Moseley,
  /// Vachharajani, "FastForward for efficient pipeline parallelism" (PPoPP 2008), temporal
  /// slipping.
  static void keep_away() {
#if defined(__x86_64__)
    constexpr std::uint32_t kPauses = 32;
    for (std::uint32_t i = 0; i < kPauses; ++i) __builtin_ia32_pause();
#endif
  }

  static T& value_of(Stored& slot) {
    if constexpr (kApart)
      return slot;
    else
      return slot.value;
  }

  SpscRing(Array<Stored> values, Array<std::uint64_t> commits, std::unique_ptr<Ends> ends,
           std::uint64_t capacity)
      : values_(std::move(values)),
        commits_(std::move(commits)),
        ends_(std::move(ends)),
        capacity_slots_(capacity) {}

  Array<Stored> values_;
  Array<std::uint64_t> commits_;  ///< null: they lie beside the values
  std::unique_ptr<Ends> ends_;
  std::uint64_t capacity_slots_ = 0;
};

}  // namespace rk
