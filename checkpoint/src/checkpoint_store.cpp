#include <ringkernel/checkpoint/checkpoint_store.hpp>

#include <algorithm>
#include <charconv>
#include <tuple>

namespace rk::checkpoint {
namespace {

constexpr std::string_view kSuffix = ".rkcp";
constexpr std::string_view kStep = "_step_";

/// The file of a checkpoint. The name itself must be valid too: ".rkcp" alone names nothing.
Result<std::string> file_of(std::string_view name) {
  std::string file = std::string(name) + std::string(kSuffix);
  if (!is_valid_name(name) || file.size() > kMaxPublishedNameBytes) {
    return fail(ErrorCode::invalid_argument,
                "'" + std::string(name) + "' is no name for a checkpoint: use up to " +
                    std::to_string(kMaxPublishedNameBytes - kSuffix.size()) +
                    " of A-Z a-z 0-9 . _ - without a leading dot");
  }
  return file;
}

/// A decimal number exactly as std::to_string writes it.
template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || std::to_string(value) != text) return std::nullopt;
  return value;
}

}  // namespace

std::string format_snapshot_name(const SnapshotName& name) {
  return name.prefix + "_" + std::to_string(name.slot) + std::string(kStep) +
         std::to_string(name.step);
}

std::optional<SnapshotName> parse_snapshot_name(std::string_view name) {
  // From the right: the prefix may hold anything, "_step_" included.
  const std::size_t step_at = name.rfind(kStep);
  if (step_at == std::string_view::npos) return std::nullopt;
  const auto step = number_in<std::uint64_t>(name.substr(step_at + kStep.size()));
  const std::string_view actor = name.substr(0, step_at);
  const std::size_t slot_at = actor.rfind('_');
  if (!step || slot_at == std::string_view::npos || slot_at == 0) return std::nullopt;
  const auto slot = number_in<std::uint32_t>(actor.substr(slot_at + 1));
  if (!slot || !is_valid_name(actor.substr(0, slot_at))) return std::nullopt;
  return SnapshotName{
      .prefix = std::string(actor.substr(0, slot_at)), .slot = *slot, .step = *step};
}

CheckpointStore::CheckpointStore(std::shared_ptr<Storage> storage, std::uint64_t max_bytes)
    : storage_(std::move(storage)), max_bytes_(std::min(max_bytes, kMaxFileBytes)) {}

Result<void> CheckpointStore::save(const Checkpoint& checkpoint, std::string_view name,
                                   const EncodeOptions& options) {
  RK_TRY_ASSIGN(const std::string file, file_of(name));
  RK_TRY_ASSIGN(const auto bytes, checkpoint.encode(options));
  if (bytes.size() > max_bytes_) {
    return fail(ErrorCode::invalid_argument,
                "checkpoint '" + std::string(name) + "' takes " + std::to_string(bytes.size()) +
                    " bytes; this store takes at most " + std::to_string(max_bytes_) + " a file");
  }
  RK_TRY(storage_->create_root());
  return storage_->publish(file, bytes, Overwrite::replace);
}

Result<Checkpoint> CheckpointStore::load(std::string_view name) const {
  RK_TRY_ASSIGN(const std::string file, file_of(name));
  RK_TRY_ASSIGN(const auto bytes, read_all(*storage_, file, max_bytes_));
  auto checkpoint = Checkpoint::decode(bytes);
  if (!checkpoint) {
    return fail(checkpoint.error().code,
                storage_->describe(file) + ": " + checkpoint.error().message,
                checkpoint.error().native);
  }
  return checkpoint;
}

Result<bool> CheckpointStore::exists(std::string_view name) const {
  RK_TRY_ASSIGN(const std::string file, file_of(name));
  const auto bytes = storage_->file_bytes(file);
  if (bytes) return true;
  if (bytes.error().code == ErrorCode::not_found) return false;
  return unexpected(bytes.error());
}

Result<void> CheckpointStore::remove(std::string_view name) {
  RK_TRY_ASSIGN(const std::string file, file_of(name));
  RK_TRY(storage_->remove(file));
  return storage_->sync_directory("");
}

Result<std::vector<std::string>> CheckpointStore::list() const {
  RK_TRY_ASSIGN(const auto entries, storage_->list(""));
  std::vector<std::pair<SnapshotName, std::string>> names;
  for (const StorageEntry& entry : entries) {
    if (entry.kind != StorageEntry::Kind::file || !entry.name.ends_with(kSuffix)) continue;
    std::string name = entry.name.substr(0, entry.name.size() - kSuffix.size());
    if (!is_valid_name(name)) continue;
    const auto parsed = parse_snapshot_name(name);
    names.emplace_back(parsed ? *parsed : SnapshotName{.prefix = name}, std::move(name));
  }
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.prefix, a.first.slot, a.first.step, a.second) <
           std::tie(b.first.prefix, b.first.slot, b.first.step, b.second);
  });
  std::vector<std::string> sorted;
  for (auto& [key, name] : names) sorted.push_back(std::move(name));
  return sorted;
}

Result<std::vector<SnapshotName>> CheckpointStore::list(std::string_view prefix,
                                                        std::uint32_t slot) const {
  RK_TRY_ASSIGN(const auto names, list());
  std::vector<SnapshotName> found;
  for (const std::string& name : names) {
    auto parsed = parse_snapshot_name(name);
    if (parsed && parsed->prefix == prefix && parsed->slot == slot)
      found.push_back(std::move(*parsed));
  }
  return found;
}

Result<LatestCheckpoint> CheckpointStore::load_latest(std::string_view prefix,
                                                      std::uint32_t slot) const {
  RK_TRY_ASSIGN(auto names, list(prefix, slot));
  LatestCheckpoint latest;
  for (auto at = names.rbegin(); at != names.rend(); ++at) {
    std::string name = format_snapshot_name(*at);
    auto checkpoint = load(name);
    if (checkpoint) {
      latest.name = std::move(name);
      latest.checkpoint = *std::move(checkpoint);
      return latest;
    }
    const Error& error = checkpoint.error();
    // not found: somebody removed it while we looked
    if (error.code != ErrorCode::corrupt && error.code != ErrorCode::not_found)
      return unexpected(error);
    latest.skipped.push_back({.name = std::move(name), .error = error});
  }
  return latest;
}

}  // namespace rk::checkpoint
