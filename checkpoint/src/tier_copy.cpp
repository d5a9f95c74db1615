// One hop's work: copying one checkpoint, verified on the way.
#include <ringkernel/checkpoint/tiers.hpp>

#include <algorithm>

namespace rk::checkpoint {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxChain = 1000;  // longer chains of parents are a loop

struct Source {
  Manifest manifest;
  std::vector<std::byte> text;
};

class Copier {
 public:
  Copier(Storage& from, Storage& to, const std::function<bool()>& is_cancelled, bool& source_is_bad)
      : from_(from), to_(to), is_cancelled_(is_cancelled), source_is_bad_(source_is_bad) {
    piece_.resize(kPieceBytes);
  }

  Result<std::uint64_t> copy_chain(const CheckpointName& name) {
    std::vector<std::pair<CheckpointName, Source>> chain;
    std::optional<CheckpointName> next = name;
    while (next) {
      RK_TRY_ASSIGN(const bool is_there, holds(*next));
      if (is_there) break;
      RK_TRY_ASSIGN(auto source, load(*next));
      const CheckpointName current = *next;
      next.reset();
      if (source.manifest.parent) next = {current.prefix, *source.manifest.parent, current.run_id};
      chain.emplace_back(current, std::move(source));
      if (chain.size() > kMaxChain) {
        source_is_bad_ = true;
        return fail(ErrorCode::corrupt, "its chain of parents does not end");
      }
    }
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
      auto copied = copy_one(format_checkpoint_name(at->first), at->second);
      // What is left of it has no MANIFEST; the next try removes it if this does not.
      if (!copied) (void)remove_checkpoint(to_, format_checkpoint_name(at->first));
      RK_TRY(copied);
    }
    return bytes_;
  }

 private:
  Result<bool> holds(const CheckpointName& name) {
    RK_TRY_ASSIGN(const auto entry, examine_checkpoint(to_, name, Depth::manifest));
    return entry.state == CheckpointState::valid;
  }

  Result<Source> load(const CheckpointName& name) {
    const std::string path = format_checkpoint_name(name) + "/" + std::string(kManifestName);
    Source source;
    auto text = read_all(from_, path, kMaxManifestBytes);
    if (!text) return blame_source(text.error());
    source.text = *std::move(text);
    auto manifest =
        parse_manifest({reinterpret_cast<const char*>(source.text.data()), source.text.size()});
    if (!manifest) return blame_source(manifest.error());
    source.manifest = *std::move(manifest);
    return source;
  }

  // Only damage and absence: a store that does not answer may answer later.
  unexpected blame_source(const Error& error) {
    source_is_bad_ = error.code == ErrorCode::corrupt || error.code == ErrorCode::not_found ||
                     error.code == ErrorCode::incompatible;
    return unexpected(error);
  }

  Result<void> clear_target(const std::string& directory) {
    RK_TRY_ASSIGN(const auto entries, to_.list(""));
    const bool is_there =
        std::any_of(entries.begin(), entries.end(),
                    [&](const StorageEntry& entry) { return entry.name == directory; });
    if (is_there) RK_TRY(remove_checkpoint(to_, directory));
    return {};
  }

  Result<void> copy_one(const std::string& directory, const Source& source) {
    RK_TRY(clear_target(directory));
    RK_TRY(to_.make_directory(directory));
    for (const ShardInfo& shard : source.manifest.shards) RK_TRY(copy_shard(directory, shard));
    RK_TRY(to_.sync_directory(directory));
    RK_TRY(to_.sync_directory(""));
    if (is_cancelled_()) return cancelled();
    return to_.publish(directory + "/" + std::string(kManifestName), source.text,
                       Overwrite::refuse);
  }

  Result<void> copy_shard(const std::string& directory, const ShardInfo& shard) {
    const std::string path = directory + "/" + shard.name;
    RK_TRY_ASSIGN(const auto file, to_.create(path));
    StreamHash hash;
    std::vector<std::byte> head;
    for (std::uint64_t at = 0; at < shard.bytes;) {
      if (is_cancelled_()) return cancelled();
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, shard.bytes - at));
      const std::span<std::byte> piece = std::span(piece_).first(count);
      if (auto got = from_.read(path, at, piece); !got) return blame_source(got.error());
      std::size_t hashed_from = 0;
      if (at == 0) {  // the hash takes the header last
        hashed_from = std::min<std::size_t>(count, kHeaderBytes);
        head.assign(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(hashed_from));
      }
      hash.update_strong(piece.subspan(hashed_from));
      RK_TRY(file->append(piece));
      at += count;
    }
    hash.update_strong(head);
    if (hash.strong() != shard.hash) {
      source_is_bad_ = true;
      return fail(ErrorCode::corrupt, from_.describe(path) + " does not match its hash");
    }
    RK_TRY(file->sync());
    bytes_ += shard.bytes;
    return {};
  }

  static unexpected cancelled() { return fail(ErrorCode::closed, "the copy was given up"); }

  Storage& from_;
  Storage& to_;
  const std::function<bool()>& is_cancelled_;
  bool& source_is_bad_;
  std::vector<std::byte> piece_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<std::uint64_t> copy_checkpoint(Storage& from, Storage& to, const CheckpointName& name,
                                      const std::function<bool()>& is_cancelled,
                                      bool& source_is_bad) {
  source_is_bad = false;
  return Copier(from, to, is_cancelled, source_is_bad).copy_chain(name);
}

}  // namespace rk::checkpoint
