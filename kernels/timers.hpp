// A worker's timer store: messages that wait for their time, as a binary heap by due time.
//
// A timer is a message in flight: counted as sent when it was set, recorded by a cut, replayed into
// the store of whatever worker restores it. A pending ask is its deadline, which waits here.
// Timers in steps wait here too, below every timer in time; their actor's slot says that there are
// some (kSlotStepTimers).
#pragma once

#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only.
template <std::uint32_t SlotBytes>
class Timers {
 public:
  Timers() = default;
  RK_FN Timers(const WorkerView& self, std::uint32_t slots)
      : heap_(self.timer_heap), base_(self.timers), slots_(slots) {
    for (std::uint32_t i = 0; i < slots_; ++i) heap_[i] = TimerEntry{kNever, i, 0};
  }

  [[nodiscard]] RK_FN bool empty() const { return count_ == 0; }
  [[nodiscard]] RK_FN std::uint32_t size() const { return count_; }
  [[nodiscard]] RK_FN bool has_room(std::uint32_t timers) const {
    return count_ + timers <= slots_;
  }
  /// When the first one is due, in microseconds; kNever if none is.
  [[nodiscard]] RK_FN std::uint64_t first_due() const {
    return count_ == 0 ? kNever : heap_[0].due;
  }
  [[nodiscard]] RK_FN MessageView first() const { return at(heap_[0].slot); }

  /// Slot of the next timer: an ask's correlation names it. Precondition: has_room(1).
  [[nodiscard]] RK_FN std::uint32_t next_slot() const { return heap_[count_].slot; }
  /// Place of the next timer's message, to be filled before add().
  [[nodiscard]] RK_FN std::byte* claim() const { return at(next_slot()).slot; }
  RK_FN void add() {
    const MessageView message = at(heap_[count_].slot);
    const Envelope& envelope = message.envelope();
    heap_[count_].due =
        envelope.route.message_kind() == MessageKind::timer_steps ? kNever : envelope.due;
    message.header().flags &= static_cast<std::uint8_t>(~kFlagDelivered);
    message.header().seq = count_;
    rise(count_++);
    is_dirty_ = true;
  }
  /// A timer in steps whose step came while there was no room for it: the next look at what is due
  /// tries.
  RK_FN void make_due(const MessageView& message, std::uint64_t now) {
    Envelope& envelope = message.envelope();
    envelope.route.kind = static_cast<std::uint8_t>(MessageKind::timer_us);
    envelope.due = now;
    const auto position = static_cast<std::uint32_t>(message.header().seq);
    heap_[position].due = now;
    rise(position);
  }
  RK_FN void remove(const MessageView& message) {
    const auto position = static_cast<std::uint32_t>(message.header().seq);
    ++left_total_;
    --count_;
    swap(position, count_);
    heap_[count_].due = kNever;
    if (position == count_) return;
    rise(position);
    sink(position);
  }

  /// The first that `is` is true for, in no order; none if there is none.
  template <class Is>
  RK_FN MessageView find_if(Is is) const {
    for (std::uint32_t i = 0; i < count_; ++i) {
      const MessageView message = at(heap_[i].slot);
      if (is(message)) return message;
    }
    return {};
  }

  /// Timers that fired or were dropped.
  [[nodiscard]] RK_FN std::uint64_t left_total() const { return left_total_; }

  /// The deadline of the ask that `asker` sent under `correlation`; none if that ask is over.
  RK_FN MessageView find_ask(ActorId asker, std::uint32_t correlation) const {
    const auto is_it = [&](const MessageView& message) {
      const Envelope& envelope = message.envelope();
      return envelope.route.message_kind() == MessageKind::ask_deadline &&
             envelope.correlation == correlation && message.header().dst == asker;
    };
    const std::uint32_t slot = correlation & 0xFFFFu;
    if (slot < slots_) {
      const MessageView message = at(slot);
      if (message.header().seq < count_ && heap_[message.header().seq].slot == slot &&
          is_it(message))
        return message;
    }
    // restored asks keep their correlation but not their slot
    return find_if(is_it);
  }
  /// A timer in steps of `actor` that is due after it handled `handled` messages, or none.
  /// `is_last` tells that it has no other.
  RK_FN MessageView due_in_steps(ActorId actor, std::uint64_t handled, bool& is_last) const {
    MessageView due{};
    std::uint32_t found = 0;
    (void)find_if([&](const MessageView& message) {
      const Envelope& envelope = message.envelope();
      if (envelope.route.message_kind() != MessageKind::timer_steps ||
          !(message.header().src == actor))
        return false;
      ++found;
      // the one set first, among those that are due
      if (envelope.due <= handled &&
          (!due || static_cast<std::int32_t>(message.header().source_sequence -
                                             due.header().source_sequence) < 0))
        due = message;
      return false;
    });
    is_last = found <= 1;
    return due;
  }

  RK_FN void begin_sweep() {
    cursor_ = 0;
    is_dirty_ = false;
  }
  /// See Mailbox::next_old. What is added behind the cursor is found in another round.
  RK_FN MessageView next_old(std::uint16_t colour) {
    for (std::uint32_t steps = 0; steps < kSweepSteps; ++steps, ++cursor_) {
      if (cursor_ >= count_) {
        cursor_ = 0;
        if (!is_dirty_) return {};
        is_dirty_ = false;
        if (count_ == 0) return {};
      }
      const MessageView message = at(heap_[cursor_].slot);
      if (epoch_newer(colour, message.header().epoch)) return message;
    }
    return {};
  }

  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

 private:
  static constexpr std::uint32_t kSweepSteps = 64;

  RK_FN MessageView at(std::uint32_t slot) const {
    return {base_ + std::uint64_t{slot} * SlotBytes, SlotBytes};
  }
  RK_FN void swap(std::uint32_t a, std::uint32_t b) {
    const TimerEntry entry = heap_[a];
    heap_[a] = heap_[b];
    heap_[b] = entry;
    at(heap_[a].slot).header().seq = a;
    at(heap_[b].slot).header().seq = b;
    // the sweep goes through the heap in order
    is_dirty_ = true;
  }
  RK_FN void rise(std::uint32_t position) {
    while (position > 0 && heap_[position].due < heap_[(position - 1) / 2].due) {
      swap(position, (position - 1) / 2);
      position = (position - 1) / 2;
    }
  }
  RK_FN void sink(std::uint32_t position) {
    for (;;) {
      std::uint32_t least = position;
      for (std::uint32_t child = 2 * position + 1; child <= 2 * position + 2; ++child) {
        if (child < count_ && heap_[child].due < heap_[least].due) least = child;
      }
      if (least == position) return;
      swap(position, least);
      position = least;
    }
  }

  TimerEntry* heap_ = nullptr;
  std::byte* base_ = nullptr;
  std::uint32_t slots_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t cursor_ = 0;
  bool is_dirty_ = false;
  std::uint64_t left_total_ = 0;
};

}  // namespace rk
