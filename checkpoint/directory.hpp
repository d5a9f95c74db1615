// A directory of checkpoints: naming, commit, listing, verification, fallback and retention.
//
//   <root>/.lock                          one writer at a time (flock)
//   <root>/<prefix>-<epoch>-<run id>/     one checkpoint; run ids have no '-', epochs no padding
//            shard-00-0000.rkcp ...       durable before the MANIFEST exists
//            MANIFEST                     its presence makes the checkpoint valid
//
// Invariants:
//  1. Commit order: shards written and synced, their directory and its parent synced, MANIFEST
//     published (for files: written under a temporary name, synced, renamed, directory synced).
//     Only then does `commit` return success, and only then may older checkpoints be pruned.
//  2. Epoch numbers are compared as numbers and never repeat: the next one is 1 + the greatest in
//     any checkpoint's name, whatever its prefix or state; retention keeps the greatest name.
//  3. Retention removes nothing of another prefix or (when one is given) of another run, nothing
//     newer than the newest valid checkpoint, no parent of a kept increment, and never the last
//     checkpoint that verifies.
//  4. Reading needs no lock and changes nothing.
//
// Ownership: shares the Storage. Thread-safety: one thread; parallel shard writers use the Storage,
// not this object.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <ringkernel/checkpoint/manifest.hpp>
#include <ringkernel/checkpoint/shard_set.hpp>
#include <ringkernel/checkpoint/storage.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::string_view kManifestName = "MANIFEST";

struct CheckpointName {
  std::string prefix;
  std::uint64_t epoch = 0;
  std::string run_id;
};

/// `<prefix>-<epoch>-<run id>`, or nothing when `name` is not exactly such a name.
[[nodiscard]] std::optional<CheckpointName> parse_checkpoint_name(std::string_view name);
[[nodiscard]] std::string format_checkpoint_name(const CheckpointName& name);
/// `[A-Za-z0-9_.]{1,32}`, no leading dot: a run id never contains the separator.
[[nodiscard]] bool is_valid_run_id(std::string_view run_id);
/// 16 hexadecimal digits made from the given entropy (time, process id: the caller's choice).
[[nodiscard]] std::string make_run_id(std::uint64_t created_at_us, std::uint64_t entropy);

enum class CheckpointState : std::uint8_t { valid, incomplete, corrupt, incompatible };
[[nodiscard]] std::string_view to_string(CheckpointState state);

enum class Depth : std::uint8_t {
  manifest,  ///< MANIFEST verifies; every shard exists with its size
  shards,    ///< also every shard's hash, and every shard decodes
};

struct Entry {
  CheckpointName name;
  std::string directory;  ///< name of its directory
  CheckpointState state = CheckpointState::incomplete;
  std::string reason;  ///< why it is not valid; empty if it is
  std::uint64_t bytes = 0;
  std::optional<Manifest> manifest;  ///< present when it verified
};

struct Skipped {
  std::string directory;
  CheckpointState state = CheckpointState::corrupt;
  std::string reason;
};

struct Found {
  std::optional<Entry> entry;    ///< none: there is no valid checkpoint
  std::vector<Skipped> skipped;  ///< newer ones passed over, newest first
};

struct RetainOptions {
  std::uint32_t keep = 1;               ///< at least 1
  std::optional<std::string> run_id{};  ///< only this run's checkpoints; none: every run's
  /// Just committed by this process, hence known to be good. Otherwise a kept one is verified in
  /// depth.
  std::optional<std::uint64_t> trusted_epoch{};
  /// Nothing made at or after this time (us since 1970) is removed. One without a MANIFEST is as
  /// old as the next newer one with a MANIFEST shows it to be at least; without such, it stays.
  std::optional<std::uint64_t> only_before_us{};
  bool dry_run = false;
  /// Stays whatever its age: it is being read.
  std::optional<std::uint64_t> pinned_epoch{};
};

struct Retained {
  std::vector<std::string> removed;  ///< directories (that would be) removed
  std::vector<Error> failures;       ///< what could not be removed; tried again next time
};

class CheckpointDirectory;

/// One checkpoint being written. Destroying it without `commit` leaves an incomplete directory,
/// which readers ignore and retention removes.
class CheckpointWriter {
 public:
  [[nodiscard]] const CheckpointName& name() const { return name_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] Storage& storage() const { return *storage_; }

  /// A set of shards in this checkpoint; `options.writer` must be distinct per set.
  [[nodiscard]] ShardSet make_shard_set(Metadata metadata, ShardSetOptions options) const;
  /// `manifest.prefix`, `run_id` and `epoch` are set here; `manifest.shards` must name every shard
  /// that was finished. Success means durable.
  [[nodiscard]] Result<Manifest> commit(Manifest manifest);
  /// Removes what was written, best effort. For a checkpoint that missed its deadline.
  void abandon();

 private:
  friend class CheckpointDirectory;
  std::shared_ptr<Storage> storage_;
  CheckpointName name_;
  std::string directory_;
};

/// Reads the shards of one checkpoint, not those of its parents (load_checkpoint merges a chain);
/// holds one shard in memory at a time.
class CheckpointReader {
 public:
  using Visit = std::function<Result<void>(const ChunkView&)>;

  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  /// Every chunk of every shard, in manifest order. A shard's chunks are shown only after its hash
  /// was verified; the views are valid during the call. An error of `visit` ends the walk.
  [[nodiscard]] Result<void> for_each_chunk(const Visit& visit) const;
  /// Every row of every chunk of `type`; `id` is the chunk's.
  [[nodiscard]] Result<void> for_each_row(
      ChunkType type,
      const std::function<Result<void>(std::uint64_t id, const RowView&)>& visit) const;

 private:
  friend class CheckpointDirectory;
  std::shared_ptr<Storage> storage_;
  std::string directory_;
  Manifest manifest_;
};

class CheckpointDirectory {
 public:
  /// `prefix` names the application's checkpoints in the directory. Touches nothing.
  [[nodiscard]] static Result<CheckpointDirectory> open(std::shared_ptr<Storage> storage,
                                                        std::string prefix);

  /// Creates the root if need be and takes the writer's lock for the lifetime of the result.
  [[nodiscard]] Result<std::unique_ptr<StorageLock>> lock_writer();
  [[nodiscard]] Result<std::uint64_t> next_epoch();

  /// Starts a checkpoint in a directory that must not exist. The caller holds the writer's lock.
  [[nodiscard]] Result<CheckpointWriter> begin(std::uint64_t epoch, const std::string& run_id);

  /// This prefix's checkpoints, oldest first (by epoch number, then run id).
  [[nodiscard]] Result<std::vector<Entry>> list(Depth depth = Depth::manifest);
  /// `entry` with state and reason as found now.
  [[nodiscard]] Result<Entry> verify(const Entry& entry, Depth depth);
  /// Walks back from the newest. A newer checkpoint of another format version is an error
  /// (`incompatible`), not skipped: going back silently would lose its work.
  [[nodiscard]] Result<Found> newest_valid(Depth depth = Depth::shards);
  [[nodiscard]] Result<CheckpointReader> open_checkpoint(const Entry& entry) const;
  [[nodiscard]] Result<Retained> retain(const RetainOptions& options);

  [[nodiscard]] const std::string& prefix() const { return prefix_; }
  [[nodiscard]] Storage& storage() const { return *storage_; }

 private:
  std::shared_ptr<Storage> storage_;
  std::string prefix_;
};

/// The checkpoint that `entry` is an increment of; nothing for a full one.
[[nodiscard]] std::optional<CheckpointName> parent_of(const Entry& entry);
/// Every checkpoint of a store, of any prefix, as CheckpointDirectory::list.
[[nodiscard]] Result<std::vector<Entry>> list_checkpoints(Storage& storage, Depth depth);
/// The state of one checkpoint. An increment is valid only with all of its chain.
[[nodiscard]] Result<Entry> examine_checkpoint(Storage& storage, const CheckpointName& name,
                                               Depth depth);
/// Removes one checkpoint's directory: MANIFEST first, so that a kill half-way leaves an incomplete
/// one.
[[nodiscard]] Result<void> remove_checkpoint(Storage& storage, const std::string& directory);

}  // namespace rk::checkpoint
