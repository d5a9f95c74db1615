// How two checkpoints differ, actor by actor, message by message.
//
// What is compared: each actor's type, version, state and trailing field, and whether it is
// suspended; each message in flight (tag, what it is, payload, block, by sender, receiver and
// number); the host's state. Actors are told apart by id: one that has another's place is another
// actor. What is not compared: hybrid logical clock stamps, the physical time of timers, who died
// before, and each slot's counters of messages sent and handled. They differ between runs that
// reach the same state by another way, so they are counted apart and never make two checkpoints
// unequal.
//
// Thread-safety: free functions.
#pragma once

#include <cstdint>
#include <map>
#include <ringkernel/checkpoint/restore.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint {

struct DiffOptions {
  /// Elements of floating-point regions that differ by at most this are equal, also in the region's
  /// ghost layers and other buffers. 0: bits must be equal.
  double tolerance = 0;
};

/// One declared region of one actor type, over all actors that both checkpoints hold.
struct RegionDiff {
  std::string type;
  std::string region;
  std::uint64_t actors = 0;            ///< in which it differs
  std::uint64_t elements = 0;          ///< that differ
  std::uint64_t bytes = 0;             ///< that differ
  std::uint64_t beyond_tolerance = 0;  ///< elements; those of integer regions all count
  bool is_float = false;
  double max_abs_difference = 0;  ///< of finite pairs; float regions only
  std::uint64_t other_shape = 0;  ///< actors whose box has another shape; not compared
};

/// Messages to actors and outputs to the host.
struct MessagesDiff {
  std::uint64_t only_a = 0;
  std::uint64_t only_b = 0;
  std::uint64_t changed = 0;  ///< same sender, receiver and number, other content
  std::uint64_t other_stamps = 0;
};

struct CheckpointDiff {
  std::vector<ActorId> only_a;
  std::vector<ActorId> only_b;
  std::vector<ActorId> changed;  ///< type, version, flags, state or field differ
  std::uint64_t same = 0;
  std::uint64_t other_layout = 0;  ///< of `changed`: type, version or sizes differ
  std::uint64_t state_bytes = 0;   ///< bytes that differ, in slots of the same layout
  std::uint64_t field_bytes = 0;
  std::uint64_t within_tolerance = 0;  ///< slots that differ by no more than the tolerance
  std::vector<RegionDiff> regions;     ///< that differ
  MessagesDiff messages;
  std::uint64_t host_bytes = 0;      ///< of the host's state that differ, a length included
  std::uint64_t other_stamps = 0;    ///< slots; not part of `equal`
  std::uint64_t other_counters = 0;  ///< slots; not part of `equal`
  std::uint64_t other_graves = 0;    ///< ids dead in only one of the two; not part of `equal`

  [[nodiscard]] bool equal() const {
    return only_a.empty() && only_b.empty() && changed.empty() && messages.only_a == 0 &&
           messages.only_b == 0 && messages.changed == 0 && host_bytes == 0;
  }
};

/// `corrupt` when a declared region does not fit into an actor that has it.
[[nodiscard]] Result<CheckpointDiff> diff_checkpoints(const LoadedCheckpoint& a,
                                                      const LoadedCheckpoint& b,
                                                      const DiffOptions& options = {});

}  // namespace rk::checkpoint
