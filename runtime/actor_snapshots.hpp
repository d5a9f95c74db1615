// Snapshots of single actors of a running Runtime, beside its checkpoints of everything.
//
//   auto snapshots = rk::ActorSnapshots::start(*runtime, {.dir = "snapshots", .every = 10s});
//   (*snapshots)->watch(cells[7].id);                   // every 10 s from now on
//   auto name = (*snapshots)->snapshot(cells[7].id);    // and one right now
//
// The device serializes one slot into its worker's ring at a handler boundary, stamped with the
// clock of the newest message it handled; nothing stops, and a checkpoint may be open meanwhile.
// The reply becomes `<prefix>_<index>_step_<handled>.rkcp` in a directory of its own: metadata says
// which actor, type and version, region "actor_state" holds the state, "actor_field" the field.
// One actor's past is no consistent cut: snapshots are for looking at it and for starting it anew,
// not for resuming a run.
//
// Ownership: the Runtime must outlive this object. Threads: all functions may be called from any
// thread but the Runtime's callbacks. A thread of its own takes what is due; it waits for storage,
// and so do the other functions while it does.
//
// Errors: those of Runtime::read_slot and of storage. What the thread could not save is counted,
// reported on stderr once in a row of failures, and tried again after the interval.
#pragma once

#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/result.hpp>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rk {

class Runtime;
namespace checkpoint {
class Storage;
}

struct ActorSnapshotOptions {
  std::string dir{};                                          ///< or store; not the Runtime's own
  std::string prefix = "snapshot";                            ///< [A-Za-z0-9._-]
  std::chrono::nanoseconds every = std::chrono::seconds(30);  ///< of actors without their own
  std::uint32_t keep = 5;  ///< newest snapshots per actor; 0: all
  /// Instead of what `dir` names.
  std::shared_ptr<checkpoint::Storage> storage{};
};

struct ActorSnapshotStats {
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t pending = 0;  ///< asked for, not answered
  std::string last_name;
  std::string last_failure;
};

/// A snapshot read back.
struct ActorSnapshot {
  std::string name;
  std::string type;
  std::uint32_t version = 0;
  std::uint64_t handled = 0;  ///< messages since the actor was spawned
  std::vector<std::byte> state;
  std::vector<std::byte> field;
  std::vector<std::string> skipped;  ///< newer ones that are damaged: "name: why"
};

/// The state as the program's type. `incompatible`: it is of another type, version or size.
template <Actor A>
Result<A> state_of(const ActorSnapshot& snapshot) {
  if (snapshot.type != detail::actor_name<A>() || snapshot.version != detail::actor_version<A>() ||
      snapshot.state.size() != sizeof(A)) {
    return fail(ErrorCode::incompatible, snapshot.name + " holds '" + snapshot.type + "' version " +
                                             std::to_string(snapshot.version) + ", not '" +
                                             std::string(detail::actor_name<A>()) + "' version " +
                                             std::to_string(detail::actor_version<A>()));
  }
  A state;
  std::memcpy(&state, snapshot.state.data(), sizeof(A));
  return state;
}

class ActorSnapshots {
 public:
  /// Before or after Runtime::start(); nothing can be read before. `locked`: another process
  /// saves there.
  static Result<std::unique_ptr<ActorSnapshots>> start(Runtime& runtime,
                                                       ActorSnapshotOptions options);
  /// Waits for a snapshot that is under way.
  ~ActorSnapshots();
  ActorSnapshots(const ActorSnapshots&) = delete;
  ActorSnapshots& operator=(const ActorSnapshots&) = delete;

  /// Takes one now and then one every `every`; 0: only when snapshot() asks.
  Result<void> watch(ActorId actor, std::optional<std::chrono::nanoseconds> every = std::nullopt);
  /// False: it was not watched.
  bool unwatch(ActorId actor);
  /// Takes one of an actor that is watched and returns its name when it is durable.
  Result<std::string> snapshot(ActorId actor);
  /// The newest that can be read. `not_found`: there is none.
  Result<ActorSnapshot> load_latest(ActorId actor);
  [[nodiscard]] ActorSnapshotStats stats() const;

 private:
  struct Impl;
  explicit ActorSnapshots(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rk
