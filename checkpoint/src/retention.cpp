#include <algorithm>
#include <ringkernel/checkpoint/directory.hpp>
#include <set>

namespace rk::checkpoint {
namespace {

// Indexes of what stays, from oldest-first `entries`. Judged by the MANIFESTs alone.
std::set<std::size_t> newest_valid_indexes(const std::vector<Entry>& entries, std::uint32_t keep) {
  std::set<std::size_t> kept;
  for (std::size_t i = entries.size(); i-- > 0 && kept.size() < keep;) {
    if (entries[i].state == CheckpointState::valid) kept.insert(i);
  }
  return kept;
}

// A kept increment keeps its whole chain.
void add_parents(const std::vector<Entry>& entries, std::set<std::size_t>& kept) {
  std::vector<std::size_t> pending(kept.begin(), kept.end());
  while (!pending.empty()) {
    const Entry& child = entries[pending.back()];
    pending.pop_back();
    if (!child.manifest || !child.manifest->parent) continue;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const bool is_parent = entries[i].name.epoch == *child.manifest->parent &&
                             entries[i].name.run_id == child.name.run_id;
      if (is_parent && kept.insert(i).second) pending.push_back(i);
    }
  }
}

/// Keeps what is not known to have been made before `time_us`, from oldest-first `entries`.
void add_younger(const std::vector<Entry>& entries, std::uint64_t time_us,
                 std::set<std::size_t>& kept) {
  std::uint64_t made_before_us = ~std::uint64_t{0};
  for (std::size_t i = entries.size(); i-- > 0;) {
    if (entries[i].manifest) made_before_us = entries[i].manifest->created_at_us;
    if (made_before_us >= time_us) kept.insert(i);
  }
}

}  // namespace

Result<void> remove_checkpoint(Storage& storage, const std::string& directory) {
  RK_TRY_ASSIGN(const auto items, storage.list(directory));
  const bool has_manifest = std::any_of(
      items.begin(), items.end(), [](const auto& item) { return item.name == kManifestName; });
  if (has_manifest) {
    RK_TRY(storage.remove(directory + "/" + std::string(kManifestName)));
    // Else a power cut could bring the MANIFEST back without its shards.
    RK_TRY(storage.sync_directory(directory));
  }
  for (const auto& item : items) {
    if (item.name == kManifestName) continue;
    if (item.kind == StorageEntry::Kind::directory) {
      return fail(ErrorCode::io, storage.describe(directory + "/" + item.name) +
                                     " is not ours: remove it by hand to let " + directory + " go");
    }
    RK_TRY(storage.remove(directory + "/" + item.name));
  }
  return storage.remove_directory(directory);
}

Result<Retained> CheckpointDirectory::retain(const RetainOptions& options) {
  if (options.keep == 0) {
    return fail(ErrorCode::invalid_argument,
                "keep must be at least 1: the last valid checkpoint is never deleted");
  }
  RK_TRY_ASSIGN(auto entries, list(Depth::manifest));
  if (options.run_id) {
    std::erase_if(entries,
                  [&](const Entry& entry) { return entry.name.run_id != *options.run_id; });
  }

  // Go on keeping older ones until at least one kept is known to restore.
  std::set<std::size_t> kept;
  for (bool is_proven = false; !is_proven;) {
    kept = newest_valid_indexes(entries, options.keep);
    if (kept.empty()) return Retained{};
    for (auto i = kept.rbegin(); i != kept.rend() && !is_proven; ++i) {
      Entry& entry = entries[*i];
      is_proven = options.trusted_epoch == entry.name.epoch;
      if (is_proven) break;
      RK_TRY_ASSIGN(auto now, verify(entry, Depth::shards));
      is_proven = now.state == CheckpointState::valid;
      entry = std::move(now);
    }
  }
  const std::size_t newest = *kept.rbegin();
  if (options.only_before_us) add_younger(entries, *options.only_before_us, kept);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (options.pinned_epoch == entries[i].name.epoch) kept.insert(i);
  }
  add_parents(entries, kept);

  Retained result;
  for (std::size_t i = 0; i < newest; ++i) {
    if (kept.contains(i)) continue;
    if (!options.dry_run) {
      if (auto removed = remove_checkpoint(*storage_, entries[i].directory); !removed) {
        result.failures.push_back(removed.error());
        continue;
      }
    }
    result.removed.push_back(entries[i].directory);
  }
  return result;
}

}  // namespace rk::checkpoint
