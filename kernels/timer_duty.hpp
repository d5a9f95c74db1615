// What a worker does about time: timers that came due leave the store for their receivers.
#pragma once

#include <ringkernel/kernels/cut_share.hpp>
#include <ringkernel/kernels/timers.hpp>

namespace rk {

/// Lane 0 only.
template <class Worker>
class TimerDuty {
 public:
  static constexpr std::uint32_t kSlotBytes = Worker::kSlotBytes;

  /// Counts a timer that will never fire as received.
  RK_FN static void drop(Worker& w, const MessageView& timer) {
    Worker::Cut::record_if_crossed(w, timer);
    ++w.self_.channels[w.channel_of(timer)].received;
    ++w.received_;
    w.timers_.remove(timer);
  }

  /// Timers whose time has come leave the store for their receivers, as far as there is room.
  RK_FN static void fire_due(Worker& w) {
    const std::uint64_t now = w.now_us();
    w.timer_waits_for_ = Shortage::none;
    for (std::uint32_t n = 0; n < kTimersPerTurn && w.timers_.first_due() <= now; ++n) {
      if (!fire(w, w.timers_.first())) return;
    }
  }

  /// Those that wait for the actor's step, which it has just made.
  RK_FN RK_COLD static void fire_steps(Worker& w, SlotHeader& slot) {
    for (;;) {
      bool is_last = true;
      const MessageView timer = w.timers_.due_in_steps(slot.id, slot.handled, is_last);
      if (!timer) return;
      // the actor may handle nothing more: without room now, time brings it
      if (!fire(w, timer)) w.timers_.make_due(timer, w.now_us());
      if (is_last) slot.flags &= static_cast<std::uint16_t>(~kSlotStepTimers);
    }
  }

 private:
  /// Sends the timer's message on its way; false if there is no room for it.
  RK_FN RK_COLD static bool fire(Worker& w, const MessageView& timer) {
    std::uint32_t to = timer.route().to;
    if ((timer.header().flags & kFlagReplayed) != 0) to = w.worker_of(timer.header().dst);
    if (to == Worker::kNoWorker) to = w.index_;
    if (!(to == w.index_ ? w.mailbox_.local.has_room(1) : w.outbox_.has_room(1))) {
      w.timer_waits_for_ = to == w.index_ ? Shortage::local : Shortage::outbox;
      return false;
    }
    if (to != timer.route().to) hand_on(w, timer, to);
    timer.route().kind = static_cast<std::uint8_t>(MessageKind::plain);
    timer.envelope().due = 0;
    if (to == w.index_) {
      copy_message(w.mailbox_.local.claim(), timer.slot, kSlotBytes);
      w.mailbox_.append_local(timer.header().src.index());
    } else {
      const auto claim = w.outbox_.claim(to, false);
      copy_message(claim.slot, timer.slot, kSlotBytes);
      w.outbox_.publish(claim);
    }
    w.timers_.remove(timer);
    return true;
  }

  /// A restored timer in steps lies with its setter, but goes to another worker: it counts as
  /// received here and sent anew.
  RK_FN RK_COLD static void hand_on(Worker& w, const MessageView& timer, std::uint32_t to) {
    MessageHeader& header = timer.header();
    Worker::Cut::record_if_crossed(w, timer);
    ++w.self_.channels[w.channel_of(timer)].received;
    ++w.received_;
    header.flags &= static_cast<std::uint8_t>(~kFlagReplayed);
    header.epoch = static_cast<std::uint16_t>(w.epoch_);
    timer.route().from = static_cast<std::uint8_t>(w.index_);
    timer.route().to = static_cast<std::uint8_t>(to);
    w.count_sent(to);
  }

  static constexpr std::uint32_t kTimersPerTurn = 16;
};

}  // namespace rk
