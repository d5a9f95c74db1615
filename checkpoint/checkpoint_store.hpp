// Single checkpoints under names: `<name>.rkcp` files at the root of any Storage.
//
//   <root>/<name>.rkcp                            whatever name the caller gives
//   <root>/<prefix>_<slot>_step_<step>.rkcp       snapshots of single actors (SnapshotName)
//
// Invariants:
//  1. A file appears under its name whole, atomically and durably, or not at all; saving a name
//     again replaces it the same way.
//  2. Snapshot names are taken apart, not compared as text: step 10000 is newer than step 900, and
//     those of prefix "sim", slot 0 are not those of prefix "sim_0", slot 7.
//  3. Names are checked: nothing outside the root can be written, read or removed.
//
// A store has one writer at a time; readers need no lock. Thread-safety: as its Storage, as long as
// two threads do not write one name.
//
// Errors: `invalid_argument` for a name or a size that is not allowed; `not_found`; those of the
// Storage and of `decode`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <ringkernel/checkpoint/checkpoint.hpp>
#include <ringkernel/checkpoint/storage.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

/// Of the snapshot of one actor: `<prefix>_<slot>_step_<step>`, numbers without leading zeros.
struct SnapshotName {
  std::string prefix;
  std::uint32_t slot = 0;
  std::uint64_t step = 0;
  friend bool operator==(const SnapshotName&, const SnapshotName&) = default;
};

[[nodiscard]] std::string format_snapshot_name(const SnapshotName& name);
/// Nothing when `name` is not exactly what format_snapshot_name gives.
[[nodiscard]] std::optional<SnapshotName> parse_snapshot_name(std::string_view name);

struct SkippedFile {
  std::string name;
  Error error;
};

struct LatestCheckpoint {
  std::string name;  ///< empty: there is none that can be read
  std::optional<Checkpoint> checkpoint{};
  std::vector<SkippedFile> skipped{};  ///< newer ones that are damaged, newest first
};

class CheckpointStore {
 public:
  /// `max_bytes` of one file, at most kMaxFileBytes; holds for saving and for loading.
  explicit CheckpointStore(std::shared_ptr<Storage> storage,
                           std::uint64_t max_bytes = kMaxFileBytes);

  /// Durable when it returns. Makes the root if need be; replaces a checkpoint of that name.
  [[nodiscard]] Result<void> save(const Checkpoint& checkpoint, std::string_view name,
                                  const EncodeOptions& options = {});
  [[nodiscard]] Result<Checkpoint> load(std::string_view name) const;
  [[nodiscard]] Result<bool> exists(std::string_view name) const;
  [[nodiscard]] Result<void> remove(std::string_view name);

  /// Names of all checkpoints: by prefix, slot and step where they are snapshots, by text
  /// otherwise. An absent root is empty.
  [[nodiscard]] Result<std::vector<std::string>> list() const;
  /// The snapshots of one actor, oldest step first.
  [[nodiscard]] Result<std::vector<SnapshotName>> list(std::string_view prefix,
                                                       std::uint32_t slot) const;
  /// The snapshot of the greatest step that can be read. Damaged ones are passed over and named. A
  /// newer one of another format version is an error (`incompatible`): going back silently would
  /// lose its work.
  [[nodiscard]] Result<LatestCheckpoint> load_latest(std::string_view prefix,
                                                     std::uint32_t slot) const;

  [[nodiscard]] Storage& storage() const { return *storage_; }

 private:
  std::shared_ptr<Storage> storage_;
  std::uint64_t max_bytes_;
};

}  // namespace rk::checkpoint
