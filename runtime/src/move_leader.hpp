// The host's side of a move: leads all workers from one step to the next. kernels/moves.hpp says
// what the steps are, and why order and counts stay.
//
// Threads: the one that begins cuts and moves actors. Made anew for each use.
#pragma once

#include <functional>

#include "host_lane.hpp"

namespace rk {

class MoveLeader {
 public:
  /// Waits until `is_done()`. False: that took too long.
  using Await = std::function<bool(const std::function<bool()>& is_done)>;

  MoveLeader(HostLane& lane, const SystemView& system) : lane_(lane), system_(system) {}

  /// Under the lane's lock. Returns the control version that shows who stands still.
  [[nodiscard]] std::uint32_t ask_to_stand() const;
  [[nodiscard]] bool stands(std::uint32_t worker, std::uint32_t version) const;
  /// Whether all workers did the step with this number.
  [[nodiscard]] bool all_did(std::uint32_t step) const;

  /// The steps from the offer on, not under the lane's lock. Precondition: all workers stand still,
  /// `actor` belongs to `from`, whose outputs were all taken. An outcome other than `done` is a
  /// refusal that left no trace. deadline_exceeded: a worker does not answer, and the actor is half
  /// moved.
  [[nodiscard]] Result<MoveOutcome> move(ActorId actor, std::uint32_t from, std::uint32_t to,
                                         const Await& await) const;

 private:
  [[nodiscard]] Result<void> step(const MoveRequest& request, const Await& await) const;
  [[nodiscard]] MoveOutcome outcome_of(std::uint32_t worker) const;

  HostLane& lane_;
  const SystemView& system_;
};

}  // namespace rk
