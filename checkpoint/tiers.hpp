// Tiers: a checkpoint is written to the first store and copied on to the next ones while the run
// goes on, for example shm -> local directory -> object store.
//
//   cut --> tier 0 --hop 1--> tier 1 --hop 2--> tier 2 ...      each hop is one thread
//
// Invariants:
//  1. A hop copies in commit order: every shard, each checked against the MANIFEST's size and hash
//     while it is copied; directories synced; the very same MANIFEST published last. So a tier
//     holds a checkpoint whole or not at all, as if it had been written there.
//  2. At most one checkpoint is in flight per hop. A hop that falls behind goes on with the newest;
//     what an increment builds on (Manifest::parent) is copied before it if the tier lacks it.
//  3. A checkpoint in flight is not removed from where it is read. Each tier keeps its own number.
//  4. A failed copy is counted, kept as the tier's `last_failure` and tried again after a back-off
//     that doubles up to a limit; nothing of it counts on the tier. A source that is damaged or
//     gone is not tried again: the hop waits for the next checkpoint.
//  5. `acknowledged` names what the tier chosen by the user holds, never less.
//
// Threads: everything may be called from any thread. The first tier's writer is the caller, who
// holds that tier's lock; the locks of the others are held here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ringkernel/checkpoint/directory.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint {

struct Tier {
  std::string name;  ///< as the user wrote it
  std::shared_ptr<Storage> storage;
  std::uint32_t keep = 3;  ///< newest checkpoints to keep there, at least 1
};

struct TierOptions {
  std::size_t ack = 0;  ///< index of the tier that acknowledges
  std::chrono::milliseconds first_backoff{500};
  std::chrono::milliseconds max_backoff{60'000};
};

struct TierState {
  std::string name;
  std::optional<CheckpointName> newest;  ///< newest one that the tier holds
  std::uint64_t promoted = 0;            ///< copied here since the start
  std::uint64_t promoted_bytes = 0;
  std::uint64_t passed_over = 0;  ///< never asked for here, because a newer one came first
  std::uint64_t failures = 0;
  std::string last_failure;  ///< empty if there was none
};

struct TierFound {
  Found found;
  std::size_t tier = 0;  ///< where `found.entry` lies
};

/// Copies one checkpoint, and before it every parent that `to` lacks. One that `to` holds is left
/// as it is; an unfinished or damaged one there is removed first. Returns the bytes written.
/// `is_cancelled` is asked between pieces (`closed`). `source_is_bad` is set when the source, not
/// the target, is at fault.
[[nodiscard]] Result<std::uint64_t> copy_checkpoint(Storage& from, Storage& to,
                                                    const CheckpointName& name,
                                                    const std::function<bool()>& is_cancelled,
                                                    bool& source_is_bad);

class Tiers {
 public:
  /// `on_change` is called on a hop's thread after each copy or failure. Takes the writer's lock of
  /// every tier but the first. invalid_argument: fewer than one tier, or `ack` is none of them.
  [[nodiscard]] static Result<std::unique_ptr<Tiers>> open(const std::string& prefix,
                                                           std::vector<Tier> tiers,
                                                           TierOptions options,
                                                           std::function<void()> on_change = {});
  virtual ~Tiers() = default;  ///< stops

  /// 1 + the greatest epoch in any tier.
  [[nodiscard]] virtual Result<std::uint64_t> next_epoch() = 0;
  /// The newest checkpoint that verifies in any tier; of equals the first tier's. A tier that
  /// cannot be read is an error: it might hold the newest.
  [[nodiscard]] virtual Result<TierFound> newest_valid() = 0;
  [[nodiscard]] virtual CheckpointDirectory& directory(std::size_t tier) = 0;

  /// Starts the hops, with what each tier holds already: a copy that a death interrupted is made up
  /// for.
  [[nodiscard]] virtual Result<void> start(const std::string& run_id) = 0;
  /// The first tier holds `name` durably.
  virtual void committed(const CheckpointName& name) = 0;
  /// Removes old checkpoints of this run from the first tier.
  [[nodiscard]] virtual Result<Retained> retain(std::uint64_t trusted_epoch) = 0;

  /// Newest checkpoint at the acknowledging tier.
  [[nodiscard]] virtual std::optional<CheckpointName> acknowledged() const = 0;
  [[nodiscard]] virtual std::vector<TierState> states() const = 0;
  /// Waits until every hop has nothing to do; false if it takes longer, or a copy fails meanwhile.
  [[nodiscard]] virtual bool settle(std::chrono::nanoseconds timeout) = 0;
  /// Ends the hops; a copy in flight is given up.
  virtual void stop() = 0;
};

}  // namespace rk::checkpoint
