// Handling: one message, and on a group of one thread those that can follow it at once.
//
// A burst is a message and the plain ones after it, which need nothing but their handlers. Control,
// timers and the dispatcher have their turn after it; what it counts is counted together. A burst
// that finds no more waits a moment for the next message: in a conversation across workers that is
// the answer, and a turn in between would cost as much as its way here.
#pragma once

#include <ringkernel/kernels/context.hpp>
#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/runtime/mutant.hpp>

namespace rk {

template <class Worker>
class Burst {
 public:
  using Group = typename Worker::Lanes;
  using Action = typename Worker::Action;
  using Program = typename Worker::Types;

  /// Messages.
  static constexpr std::uint32_t kMost = 64;

  /// Every lane. Runs the handler of the action's message and then, on a group of one, of those
  /// after it. Returns how many of the burst are handled then: one more than `n`, or more.
  RK_FN RK_HOT static std::uint32_t handle(Worker& w, Group& group, const Action& action,
                                           std::uint32_t n) {
    const bool is_leader = group.rank() == 0;
    if (action.crossed && !planted(Mutant::skip_message_record)) {
      Cut::record(w, group, action.message);
      // if the handler fails the message stays, and is not to be recorded twice
      if (is_leader) action.message.header().epoch = static_cast<std::uint16_t>(w.epoch_);
    }
    if (action.unit != nullptr && !planted(Mutant::handle_before_save))
      Cut::save(w, group, *action.unit);
    const std::uint64_t start = is_leader && w.open() ? ticks() : 0;
    if (is_leader) {
      Program::Probe::entered();
      w.telemetry_.begin(action.message.header(), action.slot, w.clock_.last);
      w.telemetry_.entered();
    }
    MessageView message{action.message.slot, Worker::kSlotBytes};
    SlotHeader* slot = action.slot;
    Source source = action.source;
    if (Group::kIsSingle && source == Source::cell) take_in_hand(w);
    bool is_roomy = false;
    std::uint32_t told = 0;    // how many of the burst are counted
    std::uint32_t waited = 0;  // of those that are not: found the worker idle
    std::uint32_t waits = 0;
    for (std::uint32_t end = 0;;) {  // of the plain ones; 0: the action's own
      Context<Worker, Group> context(w, group, *slot, message);
      const bool known = Program::dispatch(slot->type, message.header().tag, slot_state(slot),
                                           message.payload(), context);
      group.sync();
      ++n;
      if (end != 0) {
        if (context.outcome().fault != Fault::none || !known) {
          count_plain(w, n - 1 - told, waited);
          w.telemetry_.noted(1, 0);
          (void)finish(w, source, 0, message, *slot, context.outcome(), known);
          return n;
        }
        finish_plain(w, source, message, *slot, context.outcome().stops);
      } else {
        if (action.unit != nullptr && planted(Mutant::handle_before_save))
          Cut::save(w, group, *action.unit);
        if (!is_leader) return n;
        w.telemetry_.left();
        if (start != 0) Cut::earn(w, ticks() - start);
        const bool is_done =
            finish(w, source, action.stash_position, message, *slot, context.outcome(), known);
        if constexpr (!Group::kIsSingle) return n;
        if (!is_done || !Mail::may_go_on(w, source)) return n;
        is_roomy =
            Mail::has_room_for(w, kMost) && (!Program::kAnySupervised || w.mailbox_.stash.empty());
        end = n + w.telemetry_.left_before_due(kMost);
        if (end > kMost) end = kMost;
        told = n;
      }
      const std::uint32_t type = slot->type;
      std::byte* next = n < end ? Mail::next_plain(w, source, slot, is_roomy) : nullptr;
      const bool waits_for_it = next == nullptr;
      if (waits_for_it) {
        if (n >= kMost || waits++ == kWaits) break;
        next = Mail::await_plain(w, source, slot, is_roomy, n >= end);
        if (next == nullptr) break;
        ++end;
      }
      message.slot = next;
      if (slot->type != type) {
        count_plain(w, n - told, waited);
        told = n;
        waited = 0;
        w.telemetry_.turn_to(slot->type);
      }
      waited += waits_for_it;
      w.is_calm_ = waits_for_it;
      if (source == Source::cell) take_in_hand(w);
    }
    count_plain(w, n - told, waited);
    return n;
  }

  /// Lane 0, when a handler has returned. False if it failed.
  RK_FN static bool finish(Worker& w, Source source, std::uint64_t stash_position,
                           MessageView message, SlotHeader& slot, HandlerOutcome outcome,
                           bool known) {
    slot.touched_epoch = w.epoch_;
    w.telemetry_.handled(1, w.sent_ - w.sent_before_);
    if (outcome.fault != Fault::none) w.telemetry_.failed();
    w.sent_before_ = w.sent_;
    if (w.unsent_count_ > 0) w.give_back_unsent();
    if (outcome.fault != Fault::none || !known) {
      if (Life::conclude(w, source, stash_position, message, slot, outcome, known)) return false;
    }
    ++slot.handled;
    slot.hlc = w.clock_.last.word;
    if (source == Source::stash) w.mailbox_.stash.remove(stash_position, &slot);
    w.count_received(message);
    if (source != Source::stash) w.mailbox_.finish(source);
    end_handler(w, slot, outcome.stops);
    return outcome.fault == Fault::none;
  }

 private:
  using Life = typename Worker::Life;
  using Cut = typename Worker::Cut;
  using Duty = typename Worker::Duty;
  using Mail = typename Worker::Mail;

  /// Messages that a burst waits for.
  static constexpr std::uint32_t kWaits = 16;

  RK_FN RK_HOT static void take_in_hand(Worker& w) {
    w.mailbox_.take_in_hand();
    w.is_calm_ = true;
  }

  /// As finish(), for a plain message whose handler did not fail; it counts with count_plain().
  RK_FN RK_HOT static void finish_plain(Worker& w, Source source, MessageView message,
                                        SlotHeader& slot, bool stops) {
    ++slot.handled;
    slot.touched_epoch = w.epoch_;
    if (w.unsent_count_ > 0) w.give_back_unsent();
    w.take_out(message);
    slot.hlc = w.clock_.last.word;
    w.mailbox_.finish(source);
    end_handler(w, slot, stops);
  }
  /// The newest plain messages, all to actors of one type. `waited`: how many of them the burst
  /// waited for.
  RK_FN static void count_plain(Worker& w, std::uint32_t messages, std::uint32_t waited) {
    w.received_ += messages;
    w.telemetry_.noted(messages - waited, waited);
    w.telemetry_.handled(messages, w.sent_ - w.sent_before_);
    w.sent_before_ = w.sent_;
  }
  RK_FN static void end_handler(Worker& w, SlotHeader& slot, bool stops) {
    if ((slot.flags & kSlotStepTimers) != 0) Duty::fire_steps(w, slot);
    if (stops) Life::end(w, slot, kCodeStopped);
  }
};

}  // namespace rk
