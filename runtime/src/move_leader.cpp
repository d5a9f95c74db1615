#include "move_leader.hpp"

#include <mutex>

namespace rk {

std::uint32_t MoveLeader::ask_to_stand() const {
  lane_.set_run_state(RunState::moving);
  return lane_.control_version();
}

bool MoveLeader::stands(std::uint32_t worker, std::uint32_t version) const {
  // acquire: pairs with the worker's release of the version
  const std::uint32_t seen =
      load_acquire<Scope::system>(system_.workers[worker].status->control_version);
  return static_cast<std::int32_t>(seen - version) >= 0;
}

bool MoveLeader::all_did(std::uint32_t step) const {
  for (std::uint32_t w = 0; w < system_.worker_count; ++w) {
    // acquire: what the step wrote; pairs with the worker's release
    if (load_acquire<Scope::system>(system_.workers[w].status->move_done) != step) return false;
  }
  return true;
}

Result<MoveOutcome> MoveLeader::move(ActorId actor, std::uint32_t from, std::uint32_t to,
                                     const Await& await) const {
  RK_TRY(step({.step = MoveStep::offer, .actor = actor, .to = to}, await));
  const std::uint32_t place = load_relaxed<Scope::system>(system_.workers[to].status->move_place);
  RK_TRY(step({.step = MoveStep::hand_over, .actor = actor, .to = to}, await));
  if (const MoveOutcome outcome = outcome_of(from); outcome != MoveOutcome::done) return outcome;
  RK_TRY(step({.step = MoveStep::adopt, .actor = actor, .to = to}, await));
  if (outcome_of(to) == MoveOutcome::has_mail) {
    RK_TRY(step({.step = MoveStep::give_up, .actor = actor, .to = to}, await));
    RK_TRY(step({.step = MoveStep::settle, .actor = actor, .to = to}, await));
  }
  std::int64_t host_messages = 0;
  for (std::uint32_t w = 0; w < system_.worker_count; ++w)
    host_messages += load_relaxed<Scope::system>(system_.workers[w].status->move_host_messages);
  const std::lock_guard lane_lock(lane_.mutex);
  lane_.finish_move(actor, place, to, host_messages);
  return MoveOutcome::done;
}

/// Asks all workers for a step and waits until they did it.
Result<void> MoveLeader::step(const MoveRequest& request, const Await& await) const {
  std::uint32_t number = 0;
  {
    const std::lock_guard lane_lock(lane_.mutex);
    number = lane_.request_move(request);
  }
  if (!await([&] { return all_did(number); }))
    return fail(ErrorCode::deadline_exceeded, "a worker does not answer: an actor is half moved");
  return {};
}

MoveOutcome MoveLeader::outcome_of(std::uint32_t worker) const {
  return static_cast<MoveOutcome>(
      load_relaxed<Scope::system>(system_.workers[worker].status->move_outcome));
}

}  // namespace rk
