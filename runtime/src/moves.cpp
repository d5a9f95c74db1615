// Runtime: actors that change their worker. The service thread leads each move from one step to the
// next; kernels/moves.hpp says what they are and why order and counts stay. rebalance.cpp decides
// which actors move by load.
#include <ringkernel/runtime/wait.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include "move_leader.hpp"
#include "runtime_impl.hpp"

namespace rk {
namespace {

constexpr std::uint32_t kOutputsPerLook = 256;
constexpr auto kStepTimeout = std::chrono::seconds(30);
constexpr auto kRetry = std::chrono::milliseconds(1);

/// Waits for what comes soon.
template <class Is>
bool await(Is is, std::chrono::steady_clock::time_point deadline) {
  constexpr std::uint32_t kYields = 256;
  for (std::uint32_t n = 0; !is(); ++n) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (n < kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  return true;
}

Result<void> refuse(MoveOutcome outcome, ActorId actor, std::uint32_t to) {
  const std::string who = "actor " + std::to_string(actor.index());
  const std::string where = "worker " + std::to_string(to);
  switch (outcome) {
    case MoveOutcome::done:
    case MoveOutcome::has_mail: return {};
    case MoveOutcome::not_found:
      return fail(ErrorCode::not_found, "no living actor has the id " + std::to_string(actor.word));
    case MoveOutcome::no_place:
      return fail(ErrorCode::no_space, "no place of its type and field is free on " + where +
                                           " for " + who + "; reserve more before start()");
    case MoveOutcome::waits:
      return fail(ErrorCode::would_block, "what " + who +
                                              " sent still waits for a full inbox; raise "
                                              "Capacities::inbox_slots, or try again");
    case MoveOutcome::no_stash:
      return fail(ErrorCode::would_block,
                  "the stash of " + where + " has no room for what is set aside for " + who);
    case MoveOutcome::no_control:
      return fail(ErrorCode::would_block,
                  "the control lane of " + where + " has no room for the commands to " + who);
    case MoveOutcome::no_timers:
      return fail(ErrorCode::would_block,
                  "the timer store of " + where + " has no room for the asks and timers of " + who);
    case MoveOutcome::no_room: break;
  }
  return fail(ErrorCode::would_block,
              "more messages wait for " + who + " than " + where + " has room for");
}

}  // namespace

Result<void> Runtime::move_actor(ActorId actor, std::uint32_t worker,
                                 std::chrono::nanoseconds deadline) {
  Impl& impl = *impl_;
  if (!impl.options.rebalance.enabled)
    return fail(ErrorCode::invalid_argument,
                "actors do not move in this runtime: set RuntimeOptions::rebalance.enabled");
  if (impl.phase != Impl::Phase::running)
    return fail(ErrorCode::closed, "move_actor() needs running workers: start() or run() first");
  if (worker >= impl.workers)
    return fail(ErrorCode::invalid_argument,
                "there are only " + std::to_string(impl.workers) + " workers");
  const auto now = Impl::Clock::now();
  auto order = std::make_unique<Impl::Move>();
  order->actor = actor;
  order->to = worker;
  order->deadline = now + deadline;
  order->next_try = now;
  auto outcome = order->outcome.get_future();
  {
    const std::lock_guard lock(impl.mutex);
    if (impl.moves_closed) return fail(ErrorCode::closed, "the runtime is stopping");
    impl.moves.push_back(std::move(order));
  }
  impl.idle.ring();
  return outcome.get();
}

Result<std::uint32_t> Runtime::worker_of(ActorId actor) const {
  if (!impl_->lane) return fail(ErrorCode::closed, "worker_of() comes after start()");
  const std::lock_guard lock(impl_->lane->mutex);
  const auto worker = impl_->lane->worker_of(actor);
  if (!worker)
    return fail(ErrorCode::not_found, "no actor has the id " + std::to_string(actor.word));
  return *worker;
}

void Runtime::Impl::Move::settle(Result<void> how) {
  if (!std::exchange(is_settled, true)) outcome.set_value(std::move(how));
}

void Runtime::Impl::close_moves() {
  std::deque<std::unique_ptr<Move>> left;
  const std::lock_guard lock(mutex);
  moves_closed = true;
  left.swap(moves);
  reads_held = false;
  changed.notify_all();
}

bool Runtime::Impl::has_moves() const {
  const std::lock_guard lock(mutex);
  return !moves.empty() || rebalancing != Rebalancing::resting;
}

/// The oldest order that has waited long enough or, if none can be tried now, too long.
std::unique_ptr<Runtime::Impl::Move> Runtime::Impl::next_move(bool none_can_go) {
  const std::lock_guard lock(mutex);
  const auto now = Clock::now();
  const auto next = std::find_if(moves.begin(), moves.end(), [&](const auto& order) {
    return (none_can_go ? order->deadline : order->next_try) <= now;
  });
  if (next == moves.end()) return nullptr;
  auto order = std::move(*next);
  moves.erase(next);
  return order;
}

void Runtime::Impl::move_turn() {
  const bool is_asking =
      rebalancing != Rebalancing::resting && !MoveLeader(*lane, system).all_did(policy_step);
  const bool none_can_go = cut_open || is_asking;
  // before any order: its steps would overwrite what the workers answered
  if (!none_can_go && rebalancing != Rebalancing::resting) return rebalance();
  auto order = next_move(none_can_go);
  if (none_can_go) {
    hold_reads(false);
    if (order)
      order->settle(
          fail(ErrorCode::would_block, cut_open ? "a checkpoint was being taken until the deadline"
                                                : "a handler did not return until the deadline"));
    return;
  }
  if (!order) return rebalance();
  auto outcome = move(order->actor, order->to, order->deadline);
  const auto again = Clock::now() + kRetry;
  if (!outcome && outcome.error().code == ErrorCode::would_block) {
    if (again < order->deadline) {
      order->next_try = again;
      order->refusal = std::move(outcome).error();
      const std::lock_guard lock(mutex);
      moves.push_back(std::move(order));
      return;
    }
    // the last try may have had no time to find out what is missing
    if (order->refusal) outcome = unexpected(std::move(*order->refusal));
  }
  hold_reads(false);
  order->settle(std::move(outcome));
}

void Runtime::Impl::hold_reads(bool hold) {
  const std::lock_guard lock(mutex);
  reads_held = hold;
  if (!hold) changed.notify_all();
}

Result<void> Runtime::Impl::move(ActorId actor, std::uint32_t to, Clock::time_point deadline) {
  // a read is answered by the worker that has the actor when it hears of it
  hold_reads(true);
  const std::unique_lock no_reads(read_mutex, std::try_to_lock);
  if (!no_reads) return fail(ErrorCode::would_block, "an actor is being read; try again");
  std::optional<std::uint32_t> from;
  {
    const std::lock_guard lane_lock(lane->mutex);
    if (!is_worker_address(actor)) from = lane->worker_of(actor);
  }
  if (!from) return refuse(MoveOutcome::not_found, actor, to);
  if (*from == to) return {};
  const auto began = Clock::now();
  Result<void> outcome;
  {
    struct GoingOn {
      Impl& impl;
      ~GoingOn() { impl.go_on(); }
    } const going_on{*this};
    outcome = stand_still(*from, deadline);  // callbacks, which may throw
    if (outcome) outcome = move_standing(actor, *from, to);
  }
  const auto stood = Clock::now() - began;
  const std::lock_guard lock(mutex);
  reads_held = false;
  changed.notify_all();
  totals.moving += stood;
  totals.longest_move = std::max<std::chrono::nanoseconds>(totals.longest_move, stood);
  ++(outcome ? totals.moves : totals.moves_refused);
  return outcome;
}

/// All handlers have returned, and the host has what `from` sent to it.
Result<void> Runtime::Impl::stand_still(std::uint32_t from, Clock::time_point deadline) {
  const MoveLeader leader(*lane, system);
  std::uint32_t version = 0;
  {
    const std::lock_guard lane_lock(lane->mutex);
    is_still = true;
    version = leader.ask_to_stand();
  }
  for (std::uint32_t w = 0; w < workers; ++w) {
    if (!await([&] { return leader.stands(w, version); }, deadline))
      return fail(ErrorCode::would_block, "a handler of worker " + std::to_string(w) +
                                              " did not return in time for the move");
  }
  const std::lock_guard lane_lock(lane->mutex);
  while (lane->has_output(from)) {
    const std::uint64_t taken = lane->drain_outputs(
        kOutputsPerLook, [](std::uint32_t, std::span<const std::byte>) {},
        [this](const MessageView& message) { deliver(message); },
        [this](const MessageView& message) { return can_deliver(message); });
    if (taken == 0)
      return fail(ErrorCode::would_block, "outputs of worker " + std::to_string(from) +
                                              " wait for a subscriber whose queue is full");
  }
  return {};
}

void Runtime::Impl::go_on() {
  const std::lock_guard lane_lock(lane->mutex);
  const std::lock_guard lock(mutex);
  is_still = false;
  lane->set_run_state(wanted_state);
  // nobody looked at its queues: that they stood still says nothing
  marks.clear();
  settled = false;
}

/// An error that is no refusal: the run is lost.
Result<void> Runtime::Impl::move_standing(ActorId actor, std::uint32_t from, std::uint32_t to) {
  auto outcome = MoveLeader(*lane, system).move(actor, from, to, [](const auto& is_done) {
    return await(is_done, Clock::now() + kStepTimeout);
  });
  if (outcome) return refuse(*outcome, actor, to);
  report_failure(outcome.error());
  return unexpected(std::move(outcome).error());
}

}  // namespace rk
