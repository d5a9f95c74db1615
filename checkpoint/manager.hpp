// Snapshots of single actors: which are due, which are asked for, which came back, which are kept.
//
// The manager touches no device. Its user takes requests (SnapshotActor) from `poll_due` or
// `request_snapshot`, lets the device serialize the slot, and hands the reply (SnapshotComplete)
// to `complete`, which saves it as `<prefix>_<slot>_step_<step>.rkcp`. runtime/actor_snapshots.hpp
// does so for a Runtime.
//
// Invariants:
//  1. An actor has at most one request under way. A reply that never comes ends its request after
//     `reply_timeout`; it counts as failed, and the actor is due again an interval after it was
//     asked.
//  2. Only the reply to a request that is under way, from the actor that was asked, with data, is
//     saved. Anything else is refused and changes no file.
//  3. Retention looks at the store, not at what this object remembers, so it holds across restarts;
//     it never removes the snapshot that was just saved.
//
// Time is passed in: `now` counts from any fixed instant, `created_at_us` is wall clock time.
// Thread-safety: one thread at a time; the caller locks. `complete` waits for storage.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <ringkernel/checkpoint/checkpoint_store.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint {

struct ManagerOptions {
  std::chrono::nanoseconds interval = std::chrono::seconds(30);  ///< of actors without their own
  std::uint32_t keep = 5;  ///< newest snapshots per actor; 0: all
  std::string prefix = "checkpoint";
  bool is_enabled = true;  ///< false: nothing is ever due; requests on demand work
  std::chrono::nanoseconds reply_timeout = std::chrono::seconds(60);
};

/// "SnapshotActor": serialize one slot at its next handler boundary.
struct SnapshotRequest {
  std::uint64_t request_id = 0;  ///< from 1, never repeated by one manager
  std::uint32_t actor_slot = 0;
  std::chrono::nanoseconds issued_at{0};
};

/// "SnapshotComplete".
struct SnapshotResponse {
  std::uint64_t request_id = 0;
  std::uint32_t actor_slot = 0;
  bool success = true;
  std::vector<std::byte> data{};   ///< region "actor_state"; must not be empty
  std::vector<std::byte> field{};  ///< region "actor_field"; left out if empty
  std::uint64_t step = 0;
  WideStamp hlc{};
  std::map<std::string, std::string> custom{};  ///< more metadata
  std::string message{};                        ///< of a failure
};

struct SavedSnapshot {
  std::string name;
  std::vector<std::string> removed{};  ///< by retention
  std::vector<SkippedFile>
      not_removed{};  ///< what retention could not remove; tried again next time
};

class CheckpointManager {
 public:
  inline static const std::string kStateRegion = "actor_state";
  inline static const std::string kFieldRegion = "actor_field";

  /// An interval: never due.
  static constexpr std::chrono::nanoseconds kOnDemand = std::chrono::nanoseconds::max();

  /// `invalid_argument`: the prefix is no valid name, or a time is negative.
  [[nodiscard]] static Result<CheckpointManager> create(CheckpointStore store,
                                                        ManagerOptions options);

  /// An actor is due at once when it is new. Registering it again changes its names and interval.
  void register_actor(std::uint32_t slot, std::string kernel_id, std::string kernel_type,
                      std::optional<std::chrono::nanoseconds> interval = std::nullopt);
  /// Cancels its request, too. False: there was no such actor.
  bool unregister_actor(std::uint32_t slot);

  /// Ends requests whose reply is overdue, then asks every actor that is due, by slot.
  [[nodiscard]] std::vector<SnapshotRequest> poll_due(std::chrono::nanoseconds now);
  /// When `poll_due` has something to do next, as things stand.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> next_due() const;
  /// On demand. `not_found`: not registered; `would_block`: one is under way.
  [[nodiscard]] Result<SnapshotRequest> request_snapshot(std::uint32_t slot,
                                                         std::chrono::nanoseconds now);

  /// Saves a reply. `not_found`: no such request is under way (it was cancelled, is overdue, or
  /// never existed); `invalid_argument`: of another actor than was asked, whose request stays;
  /// `corrupt`: the reply holds no data; `handler_failed`: the reply says it failed; and the
  /// store's errors. All but the first two count as failed.
  [[nodiscard]] Result<SavedSnapshot> complete(SnapshotResponse response,
                                               std::chrono::nanoseconds now,
                                               std::uint64_t created_at_us);

  /// The actor is due as if it had not been asked. False: no such request.
  bool cancel(std::uint64_t request_id);
  std::size_t cancel_all();

  [[nodiscard]] std::size_t pending_count() const { return pending_.size(); }
  [[nodiscard]] std::uint64_t completed_count() const { return completed_; }
  [[nodiscard]] std::uint64_t failed_count() const { return failed_; }
  [[nodiscard]] const std::string& last_failure() const { return last_failure_; }

  /// Of any process that saved here under this prefix.
  [[nodiscard]] Result<LatestCheckpoint> load_latest(std::uint32_t slot) const;
  /// Names of an actor's snapshots, oldest step first.
  [[nodiscard]] Result<std::vector<std::string>> list(std::uint32_t slot) const;

  [[nodiscard]] const ManagerOptions& options() const { return options_; }
  [[nodiscard]] CheckpointStore& store() { return store_; }

 private:
  CheckpointManager(CheckpointStore store, ManagerOptions options)
      : store_(std::move(store)), options_(std::move(options)) {}

  struct Actor {
    std::string kernel_id;
    std::string kernel_type;
    std::chrono::nanoseconds interval{0};
    std::optional<std::chrono::nanoseconds> asked_at{};  ///< of the newest request that counts
    std::optional<std::uint64_t> request{};              ///< under way
  };
  SnapshotRequest ask(std::uint32_t slot, Actor& actor, std::chrono::nanoseconds now);
  void end_overdue(std::chrono::nanoseconds now);
  unexpected count_failure(Error error);
  void retain(std::uint32_t slot, SavedSnapshot& saved);

  CheckpointStore store_;
  ManagerOptions options_;
  std::map<std::uint32_t, Actor> actors_;
  std::map<std::uint64_t, SnapshotRequest> pending_;
  std::map<std::uint64_t, std::optional<std::chrono::nanoseconds>> asked_before_;
  std::uint64_t next_request_id_ = 1;
  std::uint64_t completed_ = 0;
  std::uint64_t failed_ = 0;
  std::string last_failure_;
};

}  // namespace rk::checkpoint
