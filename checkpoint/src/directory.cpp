#include <ringkernel/checkpoint/directory.hpp>

#include <algorithm>
#include <charconv>
#include <map>

namespace rk::checkpoint {
namespace {

constexpr std::size_t kMaxRunIdBytes = 32;

std::string in(const std::string& directory, std::string_view file) {
  return directory + "/" + std::string(file);
}

Result<void> verify_shard(Storage& storage, const std::string& directory, const ShardInfo& shard,
                          std::vector<std::byte>& bytes, StoredFile& decoded) {
  const std::string path = in(directory, shard.name);
  RK_TRY_ASSIGN(const auto size, storage.file_bytes(path));
  if (size != shard.bytes) {
    return fail(ErrorCode::corrupt, "the shard " + shard.name + " has " + std::to_string(size) +
                                        " bytes instead of " + std::to_string(shard.bytes));
  }
  bytes.resize(size);
  RK_TRY(storage.read(path, 0, bytes));
  if (shard_hash(bytes) != shard.hash) {
    return fail(ErrorCode::corrupt, "the shard " + shard.name + " does not match its hash");
  }
  auto result = decode_stored(bytes, {.integrity = Integrity::assumed});
  if (!result) {
    return fail(result.error().code, "the shard " + shard.name + ": " + result.error().message);
  }
  decoded = *std::move(result);
  return {};
}

Result<ChunkView> read_chunk(ChunkReader& reader, const ShardInfo& shard,
                             const StoredChunk& chunk) {
  auto view = reader.read(chunk);
  if (view) return view;
  return fail(view.error().code, "the shard " + shard.name + ": " + view.error().message);
}

// Damage is a finding about the checkpoint; anything else (no permission, an I/O error) is a
// failure to look, which must not make a good checkpoint appear as bad.
bool is_finding(const Error& error) {
  return error.code == ErrorCode::corrupt || error.code == ErrorCode::not_found ||
         error.code == ErrorCode::incompatible;
}

Result<void> examine_manifest(Storage& storage, Entry& entry) {
  RK_TRY_ASSIGN(const auto content,
                read_all(storage, in(entry.directory, kManifestName), kMaxManifestBytes));
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  RK_TRY_ASSIGN(auto manifest, parse_manifest(text));
  if (manifest.prefix != entry.name.prefix || manifest.epoch != entry.name.epoch ||
      manifest.run_id != entry.name.run_id) {
    return fail(ErrorCode::corrupt, "its MANIFEST belongs to another checkpoint");
  }
  entry.manifest = std::move(manifest);
  return {};
}

Result<void> examine_shards(Storage& storage, const Entry& entry, Depth depth) {
  std::vector<std::byte> bytes;
  StoredFile decoded;
  ChunkReader reader;
  for (const auto& shard : entry.manifest->shards) {
    if (depth == Depth::shards) {
      RK_TRY(verify_shard(storage, entry.directory, shard, bytes, decoded));
      for (const auto& chunk : decoded.chunks) RK_TRY(read_chunk(reader, shard, chunk));
      continue;
    }
    RK_TRY_ASSIGN(const auto size, storage.file_bytes(in(entry.directory, shard.name)));
    if (size != shard.bytes) {
      return fail(ErrorCode::corrupt, "the shard " + shard.name + " has the wrong size");
    }
  }
  return {};
}

std::string joined(const CheckpointName& name) {
  return name.prefix + "-" + std::to_string(name.epoch) + "-" + name.run_id;
}

}  // namespace

std::string_view to_string(CheckpointState state) {
  switch (state) {
    case CheckpointState::valid: return "valid";
    case CheckpointState::incomplete: return "incomplete";
    case CheckpointState::corrupt: return "corrupt";
    case CheckpointState::incompatible: return "incompatible";
  }
  return "unknown";
}

bool is_valid_run_id(std::string_view run_id) {
  return run_id.size() <= kMaxRunIdBytes && is_valid_name(run_id) &&
         run_id.find('-') == std::string_view::npos;
}

std::string make_run_id(std::uint64_t created_at_us, std::uint64_t entropy) {
  const std::uint64_t words[2] = {created_at_us, entropy};
  return to_hex(xxh3_128(std::as_bytes(std::span(words))).low);
}

std::string format_checkpoint_name(const CheckpointName& name) { return joined(name); }

std::optional<CheckpointName> parse_checkpoint_name(std::string_view name) {
  if (!is_valid_name(name)) return std::nullopt;
  const auto last = name.rfind('-');
  if (last == std::string_view::npos || last == 0) return std::nullopt;
  const auto middle = name.rfind('-', last - 1);
  if (middle == std::string_view::npos) return std::nullopt;
  const std::string_view digits = name.substr(middle + 1, last - middle - 1);
  CheckpointName out{.prefix = std::string(name.substr(0, middle)),
                     .run_id = std::string(name.substr(last + 1))};
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out.epoch);
  const bool is_ok = parsed.ec == std::errc{} && out.epoch >= 1 && out.epoch <= kMaxEpoch &&
                     is_valid_name(out.prefix) && is_valid_run_id(out.run_id);
  // Rejects padding and signs: two names must not mean the same epoch.
  if (!is_ok || joined(out) != name) return std::nullopt;
  return out;
}

ShardSet CheckpointWriter::make_shard_set(Metadata metadata, ShardSetOptions options) const {
  return ShardSet(*storage_, directory_, std::move(metadata), options);
}

Result<Manifest> CheckpointWriter::commit(Manifest manifest) {
  manifest.prefix = name_.prefix;
  manifest.run_id = name_.run_id;
  manifest.epoch = name_.epoch;
  // Equal content gives an equal MANIFEST, whichever writer finished first.
  std::sort(manifest.shards.begin(), manifest.shards.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  RK_TRY_ASSIGN(const auto text, format_manifest(manifest));
  RK_TRY(storage_->sync_directory(directory_));
  RK_TRY(storage_->sync_directory(""));
  RK_TRY(storage_->publish(in(directory_, kManifestName), as_bytes(text), Overwrite::refuse));
  return manifest;
}

void CheckpointWriter::abandon() { (void)remove_checkpoint(*storage_, directory_); }

Result<void> CheckpointReader::for_each_chunk(const Visit& visit) const {
  std::vector<std::byte> bytes;
  StoredFile decoded;
  ChunkReader reader;
  for (const auto& shard : manifest_.shards) {
    RK_TRY(verify_shard(*storage_, directory_, shard, bytes, decoded));
    for (const auto& chunk : decoded.chunks) {
      RK_TRY_ASSIGN(const auto view, read_chunk(reader, shard, chunk));
      RK_TRY(visit(view));
    }
  }
  return {};
}

Result<void> CheckpointReader::for_each_row(
    ChunkType type, const std::function<Result<void>(std::uint64_t, const RowView&)>& visit) const {
  return for_each_chunk([&](const ChunkView& chunk) -> Result<void> {
    if (chunk.type != type) return {};
    RowCursor cursor(chunk.data);
    RowView row;
    while (true) {
      RK_TRY_ASSIGN(const bool more, cursor.next(row));
      if (!more) return {};
      RK_TRY(visit(chunk.id, row));
    }
  });
}

Result<CheckpointDirectory> CheckpointDirectory::open(std::shared_ptr<Storage> storage,
                                                      std::string prefix) {
  // The longest name must fit: '-', ten digits, '-' and a run id.
  constexpr std::size_t kMaxPrefixBytes = kMaxNameBytes - 12 - kMaxRunIdBytes;
  if (!is_valid_name(prefix) || prefix.size() > kMaxPrefixBytes) {
    return fail(ErrorCode::invalid_argument,
                "'" + prefix +
                    "' cannot name checkpoints: use letters, digits, '.', '_' and '-', at most 84, "
                    "no leading dot");
  }
  CheckpointDirectory directory;
  directory.storage_ = std::move(storage);
  directory.prefix_ = std::move(prefix);
  return directory;
}

Result<std::unique_ptr<StorageLock>> CheckpointDirectory::lock_writer() {
  RK_TRY(storage_->create_root());
  return storage_->lock();
}

Result<std::uint64_t> CheckpointDirectory::next_epoch() {
  RK_TRY_ASSIGN(const auto items, storage_->list(""));
  std::uint64_t greatest = 0;
  for (const auto& item : items) {
    if (const auto name = parse_checkpoint_name(item.name)) {
      greatest = std::max(greatest, name->epoch);
    }
  }
  if (greatest >= kMaxEpoch) {
    return fail(ErrorCode::invalid_argument,
                "epoch numbers in " + storage_->describe("") +
                    " are used up: choose another checkpoint directory");
  }
  return greatest + 1;
}

Result<CheckpointWriter> CheckpointDirectory::begin(std::uint64_t epoch,
                                                    const std::string& run_id) {
  if (epoch == 0 || epoch > kMaxEpoch || !is_valid_run_id(run_id)) {
    return fail(ErrorCode::invalid_argument,
                "a checkpoint needs an epoch from 1 and a run id of at most 32 letters or digits");
  }
  CheckpointWriter writer;
  writer.storage_ = storage_;
  writer.name_ = {.prefix = prefix_, .epoch = epoch, .run_id = run_id};
  writer.directory_ = joined(writer.name_);
  RK_TRY(storage_->create_root());
  RK_TRY(storage_->make_directory(writer.directory_));
  return writer;
}

namespace {

/// The checkpoint without its parents.
Result<Entry> examine_alone(Storage& storage, const CheckpointName& name, Depth depth) {
  Entry entry;
  entry.name = name;
  entry.directory = joined(name);
  auto items = storage.list(entry.directory);
  if (!items) {
    if (!is_finding(items.error())) return unexpected(items.error());
    entry.reason = items.error().message;
    return entry;
  }
  bool has_manifest = false;
  for (const auto& item : *items) {
    entry.bytes += item.bytes;
    has_manifest = has_manifest || item.name == kManifestName;
  }
  if (!has_manifest) {
    entry.reason = "it has no MANIFEST: its commit did not end";
    return entry;
  }
  auto result = examine_manifest(storage, entry);
  if (result) result = examine_shards(storage, entry, depth);
  if (!result && !is_finding(result.error())) return unexpected(result.error());
  entry.state = CheckpointState::valid;
  if (!result) {
    entry.state = result.error().code == ErrorCode::incompatible ? CheckpointState::incompatible
                                                                 : CheckpointState::corrupt;
    entry.reason = result.error().message;
  }
  return entry;
}

/// An increment is worth what its parent is worth.
void judge_by_parent(Entry& entry, const Entry& parent) {
  if (parent.state == CheckpointState::valid) return;
  entry.state = parent.state == CheckpointState::incompatible ? CheckpointState::incompatible
                                                              : CheckpointState::corrupt;
  entry.reason = "it is an increment of " + parent.directory + ", which is " +
                 std::string(to_string(parent.state)) +
                 (parent.reason.empty() ? "" : ": " + parent.reason);
}

}  // namespace

std::optional<CheckpointName> parent_of(const Entry& entry) {
  if (!entry.manifest || !entry.manifest->parent) return std::nullopt;
  return CheckpointName{entry.name.prefix, *entry.manifest->parent, entry.name.run_id};
}

Result<Entry> examine_checkpoint(Storage& storage, const CheckpointName& name, Depth depth) {
  RK_TRY_ASSIGN(auto entry, examine_alone(storage, name, depth));
  auto next = parent_of(entry);
  // a parent's epoch is smaller (parse_manifest sees to it), so this ends
  while (next && entry.state == CheckpointState::valid) {
    RK_TRY_ASSIGN(const auto parent, examine_alone(storage, *next, depth));
    judge_by_parent(entry, parent);
    next = parent_of(parent);
  }
  return entry;
}

Result<std::vector<Entry>> list_checkpoints(Storage& storage, Depth depth) {
  RK_TRY_ASSIGN(const auto items, storage.list(""));
  std::vector<Entry> entries;
  for (const auto& item : items) {
    if (item.kind != StorageEntry::Kind::directory) continue;
    const auto name = parse_checkpoint_name(item.name);
    if (!name) continue;
    RK_TRY_ASSIGN(auto entry, examine_alone(storage, *name, depth));
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    if (a.name.epoch != b.name.epoch) return a.name.epoch < b.name.epoch;
    return a.directory < b.directory;
  });
  std::map<std::string, const Entry*> by_directory;  // parents come before their increments
  for (Entry& entry : entries) {
    by_directory[entry.directory] = &entry;
    const auto name = parent_of(entry);
    if (!name || entry.state != CheckpointState::valid) continue;
    const Entry absent{.name = *name, .directory = joined(*name), .reason = "it is not there"};
    const auto parent = by_directory.find(absent.directory);
    judge_by_parent(entry, parent == by_directory.end() ? absent : *parent->second);
  }
  return entries;
}

Result<std::vector<Entry>> CheckpointDirectory::list(Depth depth) {
  RK_TRY_ASSIGN(auto entries, list_checkpoints(*storage_, depth));
  std::erase_if(entries, [this](const Entry& entry) { return entry.name.prefix != prefix_; });
  return entries;
}

Result<Entry> CheckpointDirectory::verify(const Entry& entry, Depth depth) {
  return examine_checkpoint(*storage_, entry.name, depth);
}

Result<Found> CheckpointDirectory::newest_valid(Depth depth) {
  RK_TRY_ASSIGN(auto entries, list(Depth::manifest));
  Found found;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->state == CheckpointState::valid && depth != Depth::manifest) {
      RK_TRY_ASSIGN(*entry, verify(*entry, depth));
    }
    if (entry->state == CheckpointState::valid) {
      found.entry = std::move(*entry);
      return found;
    }
    if (entry->state == CheckpointState::incompatible) {
      return fail(
          ErrorCode::incompatible,
          storage_->describe(entry->directory) + ": " + entry->reason +
              ". Use the version that wrote it, or move it away to go on from an older one");
    }
    found.skipped.push_back(
        {.directory = entry->directory, .state = entry->state, .reason = entry->reason});
  }
  return found;
}

Result<CheckpointReader> CheckpointDirectory::open_checkpoint(const Entry& entry) const {
  RK_TRY_ASSIGN(auto now, examine_alone(*storage_, entry.name, Depth::manifest));
  if (now.state != CheckpointState::valid) {
    const auto code =
        now.state == CheckpointState::incompatible ? ErrorCode::incompatible : ErrorCode::corrupt;
    return fail(code, storage_->describe(now.directory) + " cannot be opened: " + now.reason);
  }
  CheckpointReader reader;
  reader.storage_ = storage_;
  reader.directory_ = now.directory;
  reader.manifest_ = *std::move(now.manifest);
  return reader;
}

}  // namespace rk::checkpoint
