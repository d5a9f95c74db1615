// Messages a worker set aside: their actors lack room for what the handler declares, or are
// suspended.
//
// Invariants:
//  1. Per actor, messages leave in the order in which they came. Those of other actors pass them.
//  2. While an actor has messages here (SlotHeader::stashed), later ones to it come here too.
//  3. A look starts at the oldest entry and passes over actors that could not go on in the same
//  look
//     (SlotHeader::stash_pass), so an entry never overtakes an older one of its actor.
#pragma once

#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only.
class Stash {
 public:
  Stash() = default;
  RK_FN Stash(std::byte* base, std::uint32_t slots, std::uint32_t slot_bytes)
      : base_(base), mask_(slots - 1), slot_bytes_(slot_bytes) {}

  [[nodiscard]] RK_FN bool empty() const { return count_ == 0; }
  /// Messages that could still be set aside.
  [[nodiscard]] RK_FN std::uint64_t room() const { return mask_ + 1 - count_; }
  [[nodiscard]] RK_FN std::uint64_t slots() const { return mask_ + 1; }
  /// Whether the next look starts at the oldest entry, or there is nothing to look at.
  [[nodiscard]] RK_FN bool is_at_start() const { return cursor_ <= head_ || count_ == 0; }
  [[nodiscard]] RK_FN std::uint64_t size() const { return count_; }
  /// Messages ever set aside.
  [[nodiscard]] RK_FN std::uint64_t total() const { return tail_; }
  [[nodiscard]] RK_FN std::uint64_t head() const { return head_; }
  [[nodiscard]] RK_FN std::uint64_t tail() const { return tail_; }
  [[nodiscard]] RK_FN MessageView at(std::uint64_t position) const {
    return {base_ + (position & mask_) * slot_bytes_, slot_bytes_};
  }
  /// Whether the entry already left.
  [[nodiscard]] RK_FN bool is_gone(std::uint64_t position) const {
    return (at(position).header().flags & kFlagDelivered) != 0;
  }

  /// Precondition: room() > 0. `slot` is the receiver's.
  RK_FN void push(const MessageView& message, SlotHeader& slot) {
    if (tail_ - head_ > mask_) close_gaps();
    const MessageView entry = at(tail_++);
    copy_message(entry.slot, message.slot, slot_bytes_);
    ++slot.stashed;
    ++count_;
  }
  RK_FN void remove(std::uint64_t position, SlotHeader* slot) {
    at(position).header().flags |= kFlagDelivered;
    if (slot != nullptr) --slot->stashed;
    --count_;
    while (head_ != tail_ && is_gone(head_)) ++head_;
  }

  /// The next entry to look at, from where the last call stopped; false at the end of this look:
  /// the next call starts another.
  RK_FN bool next(std::uint64_t& position) {
    if (cursor_ < head_) cursor_ = head_;
    for (; cursor_ != tail_; ++cursor_) {
      if (is_gone(cursor_)) continue;
      position = cursor_++;
      return true;
    }
    start_over();
    return false;
  }
  /// The next look starts at the oldest entry: one that was taken came back to its place.
  RK_FN void start_over() {
    cursor_ = head_;
    ++pass_;
  }
  /// In this look: whether an older entry of the actor was passed over; pass_over() says so.
  [[nodiscard]] RK_FN bool is_passed_over(const SlotHeader& slot) const {
    return slot.stash_pass == pass_;
  }
  RK_FN void pass_over(SlotHeader& slot) const { slot.stash_pass = pass_; }

 private:
  /// What is left moves up, in its order, so that one old message does not hold the places of all
  /// that left after it. Whoever goes through the entries may meet one again, and misses none.
  RK_FN RK_COLD void close_gaps() {
    std::uint64_t to = tail_;
    for (std::uint64_t from = tail_; from != head_; --from) {
      if (is_gone(from - 1)) continue;
      if (--to != from - 1) copy_message(at(to).slot, at(from - 1).slot, slot_bytes_);
    }
    head_ = to;
  }

  std::byte* base_ = nullptr;
  std::uint64_t mask_ = 0;
  std::uint32_t slot_bytes_ = 0;
  std::uint16_t pass_ = 1;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t cursor_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace rk
