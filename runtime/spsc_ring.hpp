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

#include <algorithm>
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
    if (capacity_slots == 0 || capacity_slots > kMaxBytes / sizeof(Slot)) {
      return fail(ErrorCode::invalid_argument,
                  "a ring needs at least one slot and at most 1 TiB of them");
    }
    const std::uint64_t slots = std::bit_ceil(capacity_slots);
    // value-initialized, because a zeroed commit word is what makes a slot empty
    Array memory(new (kAlignment, std::nothrow) Slot[slots]());
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
    return try_push_with([&value](T& slot) { slot = value; });
  }
  /// Producer thread only. False if the ring is full; else `fill(T&)` writes the value in its slot,
  /// all of it: the slot holds an older one. `fill` must not use the ring.
  template <class Fill>
  [[nodiscard]] bool try_push_with(Fill fill) {
    auto& producer = ends_->producer;
    if (!producer.has_room()) return false;
    fill(producer.claim()->value);
    producer.publish();
    return true;
  }

  /// Consumer thread only. False if the ring is empty; `value` is then left alone. After a look
  /// that found fewer than 32 values the next one rests some 0.3 us first.
  [[nodiscard]] bool try_pop(T& value) {
    return try_pop_with([&value](const T& slot) { value = slot; });
  }
  /// Consumer thread only. False if the ring is empty; else `use(const T&)` reads the value in its
  /// slot, which goes back to the producer when it returns. `use` must not use the ring.
  template <class Use>
  [[nodiscard]] bool try_pop_with(Use use) {
    Ends& ends = *ends_;
    if (ends.consumer.position() == ends.known && !look(ends)) return false;
    use(std::as_const(ends.consumer.slot()->value));
    own(ends.consumer);
    ends.consumer.pop();
    return true;
  }

  [[nodiscard]] std::uint64_t capacity_slots() const { return capacity_slots_; }

 private:
  using Slot = TypedSlot<T>;
  static constexpr std::align_val_t kAlignment{alignof(Slot) > 128 ? alignof(Slot) : 128};

  struct Free {
    void operator()(Slot* memory) const { ::operator delete[](memory, kAlignment); }
  };
  using Array = std::unique_ptr<Slot[], Free>;
  using Consumer = SpscConsumer<TypedSlots<T>, Scope::device>;
  // 128: the two ends' private words share no cache line, and no pair of lines that is fetched
  // together
  struct Ends {
    RingWords words;
    alignas(128) SpscProducer<TypedSlots<T>, Scope::device> producer;
    alignas(128) Consumer consumer;
    std::uint64_t known = 0;  ///< the consumer's: values before this position are there
    bool was_short = false;   ///< the consumer's: its last look found fewer than kBatch
  };
  static constexpr std::uint64_t kBatch = 32;
  static constexpr std::uint64_t kLineBytes = 64;

  /// False if nothing is there. One look finds a batch, from the far end on, and one that found
  /// less is followed by a rest: a consumer at the heels of its producer takes away the line that
  /// is being written, for each value anew, and both go at the pace of these transfers. Sources:
  /// Giacomoni, Moseley, Vachharajani, "FastForward for efficient pipeline parallelism" (PPoPP
  /// 2008), temporal slipping; Wang, Zhang, Tang, Hua, "B-Queue: efficient and practical queuing
  /// for fast core-to-core communication" (2013), backtracking.
  static bool look(Ends& ends) {
    if (ends.was_short) keep_away();
    ends.was_short = true;
    for (std::uint64_t values = kBatch; values != 0; values /= 2) {
      if (ends.consumer.peek(ends.known + values - 1) == nullptr) continue;
      ends.known += values;
      ends.was_short = values != kBatch;
      return true;
    }
    return false;
  }

  /// Writes what is there already into each line that was read to its end. The line then is the
  /// consumer's alone, and the producer's next store fetches it like any other; a line that both
  /// share it has to claim first, which takes several times as long.
  static void own(const Consumer& consumer) {
    constexpr std::uint64_t kSlots = std::max<std::uint64_t>(kLineBytes / sizeof(Slot), 1);
    if ((consumer.position() + 1) % kSlots == 0) consumer.rewrite_commit();
  }

  /// Some 0.3 us.
  static void keep_away() {
#if defined(__x86_64__)
    constexpr std::uint32_t kPauses = 32;
    for (std::uint32_t i = 0; i < kPauses; ++i) __builtin_ia32_pause();
#endif
  }

  SpscRing(Array memory, std::unique_ptr<Ends> ends, std::uint64_t capacity)
      : memory_(std::move(memory)), ends_(std::move(ends)), capacity_slots_(capacity) {}

  Array memory_;
  std::unique_ptr<Ends> ends_;
  std::uint64_t capacity_slots_ = 0;
};

}  // namespace rk
