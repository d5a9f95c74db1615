// The receiving half of a worker: replay list, inbox and stash, and which message may be handled
// next.
//
// Invariants:
//  1. Per actor, messages are handled in arrival order: one whose handler lacks room goes to the
//  stash, and later ones to
//     that actor follow it there.
//  2. The replay list (messages restored from a checkpoint) is drained before the inbox.
//  3. A message stays where it lies until its handler has returned; finish() then frees its place.
#pragma once

#include <ringkernel/runtime/system.hpp>

namespace rk {

enum class Source : std::uint32_t { none, stash, replay, inbox };

/// Lane 0 only.
class Mailbox {
 public:
  Mailbox() = default;
  RK_FN Mailbox(const SystemView& system, std::uint32_t worker)
      : system_(&system),
        self_(&system.workers[worker]),
        inbox_(self_->inbox, self_->inbox_words) {}

  /// The next message, without taking it: stash first, then what arrived.
  RK_FN MessageView stash_front() const {
    return stash_head_ == stash_tail_ ? MessageView{} : view(stash_entry(stash_head_));
  }
  RK_FN MessageView arrival(Source& source) const {
    if (replayed_ < self_->replay_count) {
      source = Source::replay;
      return view(self_->replay + replayed_ * system_->message_slot_bytes);
    }
    source = Source::inbox;
    std::byte* slot = inbox_.front();
    return slot == nullptr ? MessageView{} : view(slot);
  }

  [[nodiscard]] RK_FN bool stash_full() const {
    return stash_tail_ - stash_head_ >= system_->capacity.stash_slots;
  }
  [[nodiscard]] RK_FN std::uint64_t stash_size() const { return stash_tail_ - stash_head_; }
  [[nodiscard]] RK_FN std::uint64_t stash_total() const { return stash_tail_; }

  /// Moves an arrival to the stash. Precondition: !stash_full().
  RK_FN void set_aside(Source source, const MessageView& message, SlotHeader& slot) {
    copy_message(stash_entry(stash_tail_++), message.slot, message.slot_bytes);
    ++slot.stashed;
    finish(source);
  }
  /// Frees the place of the message that was handled.
  RK_FN void finish(Source source) {
    if (source == Source::stash) ++stash_head_;
    if (source == Source::replay) ++replayed_;
    if (source == Source::inbox) inbox_.pop();
  }

  // --- the cut's sweep
  // -------------------------------------------------------------------------------------------

  RK_FN void begin_sweep() {
    inbox_cursor_ = inbox_.position();
    replay_cursor_ = replayed_;
    stash_cursor_ = stash_head_;
  }
  /// A waiting message of an older colour, or none among the next `kSweepSteps`. Once recorded and
  /// recoloured the same call passes over it. Messages that arrive later are found when they do.
  RK_FN MessageView next_old(std::uint16_t colour) {
    std::uint32_t steps = 0;
    for (raise(replay_cursor_, replayed_); replay_cursor_ < self_->replay_count; ++replay_cursor_) {
      const MessageView message =
          view(self_->replay + replay_cursor_ * system_->message_slot_bytes);
      if (epoch_newer(colour, message.header().epoch)) return message;
      if (++steps == kSweepSteps) return {};
    }
    for (raise(stash_cursor_, stash_head_); stash_cursor_ < stash_tail_; ++stash_cursor_) {
      const MessageView message = view(stash_entry(stash_cursor_));
      if (epoch_newer(colour, message.header().epoch)) return message;
      if (++steps == kSweepSteps) return {};
    }
    for (raise(inbox_cursor_, inbox_.position());; ++inbox_cursor_) {
      std::byte* slot = inbox_.peek(inbox_cursor_);
      if (slot == nullptr) return {};
      if (epoch_newer(colour, view(slot).header().epoch)) return view(slot);
      if (++steps == kSweepSteps) return {};
    }
  }

 private:
  static constexpr std::uint32_t kSweepSteps = 64;

  RK_FN static void raise(std::uint64_t& cursor, std::uint64_t floor) {
    if (cursor < floor) cursor = floor;
  }
  RK_FN MessageView view(std::byte* slot) const { return {slot, system_->message_slot_bytes}; }
  RK_FN std::byte* stash_entry(std::uint64_t position) const {
    return self_->stash + (position & (system_->capacity.stash_slots - 1)) *
                              static_cast<std::uint64_t>(system_->message_slot_bytes);
  }

  const SystemView* system_ = nullptr;
  const WorkerView* self_ = nullptr;
  SpscConsumer<StridedSlots, Scope::device> inbox_;
  std::uint64_t stash_head_ = 0;
  std::uint64_t stash_tail_ = 0;
  std::uint64_t replayed_ = 0;
  std::uint64_t inbox_cursor_ = 0;
  std::uint64_t replay_cursor_ = 0;
  std::uint64_t stash_cursor_ = 0;
};

}  // namespace rk
