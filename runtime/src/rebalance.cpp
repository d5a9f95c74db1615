// Runtime: which actor moves by load. Workers tell what their actors handled, and the one with too
// much names an actor. The service thread asks and looks again later, since a handler may run long.
#include <algorithm>
#include <utility>
#include <vector>

#include "runtime_impl.hpp"

namespace rk {
namespace {

constexpr auto kMoveDeadline = std::chrono::milliseconds(100);
/// Fewer messages in an interval say nothing about who is loaded.
constexpr std::uint64_t kLeastGap = 64;

}  // namespace

/// The next stage, the workers having done what the last one asked for. No cut is open.
void Runtime::Impl::rebalance() {
  switch (rebalancing) {
    case Rebalancing::resting: return begin_survey();
    case Rebalancing::surveying: return judge_survey();
    case Rebalancing::nominating: return move_nominee();
  }
}

void Runtime::Impl::begin_survey() {
  const auto now = Clock::now();
  if (options.rebalance.every.count() == 0 || now < next_rebalance) return;
  next_rebalance = now + options.rebalance.every;
  {
    const std::lock_guard lock(mutex);
    if (failure || wanted_state != RunState::running) return;
  }
  ask_workers({.step = MoveStep::survey}, Rebalancing::surveying);
}

void Runtime::Impl::judge_survey() {
  rebalancing = Rebalancing::resting;
  // the first one tells what restored actors handled in other runs
  if (!std::exchange(is_surveyed, true)) return;
  std::vector<std::uint64_t> load(workers);
  for (std::uint32_t w = 0; w < workers; ++w)
    load[w] = load_relaxed<Scope::system>(system.workers[w].status->move_load);
  const auto most = std::max_element(load.begin(), load.end());
  const auto least = std::min_element(load.begin(), load.end());
  const std::uint64_t gap = *most - *least;
  if (gap < kLeastGap ||
      static_cast<double>(*most) <= options.rebalance.threshold * static_cast<double>(*least))
    return;
  loaded_worker = static_cast<std::uint32_t>(most - load.begin());
  idle_worker = static_cast<std::uint32_t>(least - load.begin());
  ask_workers({.step = MoveStep::nominate, .to = loaded_worker, .gap = gap},
              Rebalancing::nominating);
}

void Runtime::Impl::move_nominee() {
  rebalancing = Rebalancing::resting;
  const ActorId actor{
      load_relaxed<Scope::system>(system.workers[loaded_worker].status->move_place)};
  if (actor == kNoActor) return;
  // refused: the next time somebody else may be the one
  (void)move(actor, idle_worker, Clock::now() + kMoveDeadline);
  hold_reads(false);
}

void Runtime::Impl::ask_workers(const MoveRequest& request, Rebalancing stage) {
  const std::lock_guard lane_lock(lane->mutex);
  policy_step = lane->request_move(request);
  rebalancing = stage;
}

}  // namespace rk
