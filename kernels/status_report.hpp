// What a worker tells the host about itself, and how often.
#pragma once

#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/kernels/timers.hpp>
#include <ringkernel/runtime/wait.hpp>

namespace rk {

/// Lane 0 only.
template <class Worker>
class StatusReport {
 public:
  /// While idle: something changed, or the heartbeat is due. Each store crosses the bus on a GPU.
  /// Not at once: what an answer is being waited for may come in the next turn.
  [[nodiscard]] RK_FN static bool is_due(Worker& w) {
    if (w.received_ == w.published_received_ && w.sent_ == w.published_sent_)
      return ticks() - w.published_at_ > kHeartbeatTicks;
    return ++w.idle_turns_ > kIdleTurns;
  }

  /// Writes what the host reads: WorkerStatus and, with one status in some, what waits.
  RK_FN RK_COLD static void publish(Worker& w) {
    if (w.telemetry_.publish_due() || w.run_state_ == RunState::stopping) {
      // not while an actor moves: what waits may name one whose entry changes
      if (w.telemetry_.on() && w.run_state_ != RunState::moving) publish_telemetry(w);
    }
    w.idle_turns_ = 0;
    w.published_received_ = w.received_;
    w.published_sent_ = w.sent_;
    w.published_at_ = ticks();
    WorkerStatus& status = *w.self_.status;
    store_relaxed<Scope::system>(status.epoch, w.epoch_);
    store_relaxed<Scope::system>(status.stashed, w.mailbox_.stash.size());
    store_relaxed<Scope::system>(status.outbox, static_cast<std::uint64_t>(w.outbox_.size()));
    store_relaxed<Scope::system>(status.stash_total, w.mailbox_.stash.total());
    store_relaxed<Scope::system>(status.full_inbox_total, w.outbox_.full_inbox_total());
    store_relaxed<Scope::system>(status.hlc, w.clock_.last.word);
    store_relaxed<Scope::system>(status.dead, w.dead_);
    store_relaxed<Scope::system>(status.live, w.live_);
    store_relaxed<Scope::system>(status.timers, static_cast<std::uint64_t>(w.timers_.size()));
    // set aside, handled, or moved out of the outbox or the timer store: a worker that can do any
    // of these is not stuck
    store_relaxed<Scope::system>(status.moved, w.mailbox_.stash.total() + w.received_ +
                                                   w.outbox_.left_total() + w.timers_.left_total());
    store_relaxed<Scope::system>(status.local, w.mailbox_.local_size());
    store_relaxed<Scope::system>(status.waits_for, w.outbox_.waits_for());
    // release: who acquires it sees a `moved` at least as new; pairs with describe_deadlock
    store_release<Scope::system>(status.shortage, static_cast<std::uint32_t>(told_shortage(w)));
    store_relaxed<Scope::system>(status.fault_code, w.fault_code_);
    store_relaxed<Scope::system>(status.fault_actor, w.fault_actor_);
    store_relaxed<Scope::system>(status.fault_tag, w.fault_tag_);
    // release, in this order: a reader that acquires `received` also sees the sends made before it
    store_release<Scope::system>(status.sent, w.sent_);
    store_release<Scope::system>(status.received, w.received_);
    store_release<Scope::system>(status.fault, static_cast<std::uint32_t>(w.fault_));
    if (w.steps_left_ == 0) store_release<Scope::system>(status.step_done, w.step_request_);
    if (w.system_.move != nullptr) Worker::Move::publish(w.move_, status);
    store_release<Scope::system>(status.state, static_cast<std::uint32_t>(w.run_state_));
    // release: every handler of an older control version has returned; pairs with Runtime::pause
    store_release<Scope::system>(status.control_version, w.control_version_);
    // release: publishes the counters of this turn; pairs with the acquire in Runtime::Impl::watch
    store_release<Scope::system>(status.heartbeat, w.turn_);
  }

 private:
  /// What waits, for the telemetry's reader.
  RK_FN static void publish_telemetry(Worker& w) {
    w.refresh_wall_clock();
    MessageView stashed{};
    for (std::uint64_t at = w.mailbox_.stash.head(); at != w.mailbox_.stash.tail(); ++at) {
      if (w.mailbox_.stash.is_gone(at)) continue;
      stashed = w.mailbox_.stash.at(at);
      break;
    }
    const MessageView arrived = w.mailbox_.waiting();
    w.telemetry_.waiting(stashed, stashed ? w.find_own(stashed.header().dst) : nullptr, true);
    w.telemetry_.waiting(arrived, arrived ? w.find_own(arrived.header().dst) : nullptr, false);
    w.telemetry_.publish(w.wall_.physical_us());
  }

  /// What the worker waits for. Timers that are late wait for room themselves.
  [[nodiscard]] RK_FN static Shortage told_shortage(Worker& w) {
    if (w.timers_.first_due() == Timers<Worker::kSlotBytes>::kNever) return w.shortage_;
    return w.shortage_ |
           (w.timer_waits_for_ == Shortage::none ? Shortage::until_due : w.timer_waits_for_);
  }

  static constexpr std::uint32_t kIdleTurns = 32;
  static constexpr std::uint64_t kHeartbeatTicks = 50'000;
};

}  // namespace rk
