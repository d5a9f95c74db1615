#include <ringkernel/checkpoint/delta.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace rk::checkpoint {
namespace {

constexpr std::array kKeys{kDeltaParentDigestKey, kDeltaBaseDigestKey, kDeltaResultDigestKey,
                           kDeltaDeletedKey, kDeltaOrderKey};

using Index = std::map<ChunkIdentity, const Chunk*>;

/// By identity; `code` is the error of a repeated one.
Result<Index> index_of(const Checkpoint& checkpoint, ErrorCode code, std::string_view what) {
  Index index;
  for (const Chunk& chunk : checkpoint.chunks()) {
    const ChunkIdentity identity = identity_of(chunk);
    if (!index.emplace(identity, &chunk).second) {
      return fail(code, "the " + std::string(what) + " holds chunk " + to_string(identity) +
                            " twice: which one a delta means cannot be told");
    }
  }
  return index;
}

Result<void> refuse_delta(const Checkpoint& checkpoint, std::string_view what) {
  if (!is_delta(checkpoint.metadata())) return {};
  return fail(ErrorCode::invalid_argument,
              "the " + std::string(what) + " is a delta itself; apply it to its own base first");
}

std::string join(const std::vector<ChunkIdentity>& identities) {
  std::string text;
  for (const ChunkIdentity& identity : identities)
    text += (text.empty() ? "" : " ") + to_string(identity);
  return text;
}

Result<std::vector<ChunkIdentity>> split(std::string_view text) {
  std::vector<ChunkIdentity> identities;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    const auto identity = chunk_identity_from(word);
    if (!identity) return fail(ErrorCode::corrupt, "the delta's list of chunks cannot be read");
    identities.push_back(*identity);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return identities;
}

/// The order that needs no words: what stays of the base where it was, then what was added.
std::vector<ChunkIdentity> natural_order(const Checkpoint& base, const Index& base_index,
                                         const std::set<ChunkIdentity>& deleted,
                                         const Checkpoint& delta) {
  std::vector<ChunkIdentity> order;
  for (const Chunk& chunk : base.chunks()) {
    if (!deleted.contains(identity_of(chunk))) order.push_back(identity_of(chunk));
  }
  for (const Chunk& chunk : delta.chunks()) {
    if (!base_index.contains(identity_of(chunk))) order.push_back(identity_of(chunk));
  }
  return order;
}

const std::string* find_key(const Metadata& metadata, std::string_view key) {
  const auto at = metadata.custom.find(std::string(key));
  return at == metadata.custom.end() ? nullptr : &at->second;
}

Result<void> check_base(const Checkpoint& base, const Checkpoint& delta) {
  const Metadata& metadata = delta.metadata();
  const std::string* weak = find_key(metadata, kDeltaParentDigestKey);
  if (weak == nullptr) {
    return fail(ErrorCode::invalid_argument, "this is not a delta: it does not name its base (" +
                                                 std::string(kDeltaParentDigestKey) +
                                                 " is missing)");
  }
  if (*weak != to_hex(base.content_digest())) {
    return fail(ErrorCode::incompatible, "the delta belongs to a base with digest " + *weak +
                                             "; this one has " + to_hex(base.content_digest()));
  }
  const std::string* strong = find_key(metadata, kDeltaBaseDigestKey);
  const bool is_ours = strong != nullptr || find_key(metadata, kDeltaResultDigestKey) != nullptr ||
                       find_key(metadata, kDeltaDeletedKey) != nullptr ||
                       find_key(metadata, kDeltaOrderKey) != nullptr;
  if (!is_ours) return {};
  if (strong == nullptr || find_key(metadata, kDeltaResultDigestKey) == nullptr) {
    return fail(ErrorCode::corrupt, "the delta has lost the strong digests of its base and result");
  }
  if (*strong != to_hex(base.strong_digest())) {
    return fail(ErrorCode::incompatible, "the delta belongs to a base with digest " + *strong +
                                             "; this one has " + to_hex(base.strong_digest()));
  }
  return {};
}

}  // namespace

bool is_delta(const Metadata& metadata) {
  return std::any_of(kKeys.begin(), kKeys.end(),
                     [&](std::string_view key) { return find_key(metadata, key) != nullptr; });
}

Metadata without_delta_keys(Metadata metadata) {
  for (const std::string_view key : kKeys) metadata.custom.erase(std::string(key));
  return metadata;
}

Result<Checkpoint> make_delta(const Checkpoint& base, const Checkpoint& next) {
  RK_TRY(refuse_delta(base, "base"));
  RK_TRY(refuse_delta(next, "next checkpoint"));
  RK_TRY_ASSIGN(const Index old_chunks, index_of(base, ErrorCode::invalid_argument, "base"));
  RK_TRY_ASSIGN(const Index new_chunks,
                index_of(next, ErrorCode::invalid_argument, "next checkpoint"));

  std::vector<Chunk> changed;
  std::vector<ChunkIdentity> order;
  for (const Chunk& chunk : next.chunks()) {
    order.push_back(identity_of(chunk));
    const auto old = old_chunks.find(identity_of(chunk));
    if (old == old_chunks.end() || old->second->id != chunk.id || old->second->data != chunk.data)
      changed.push_back(chunk);
  }
  std::set<ChunkIdentity> deleted;
  for (const auto& [identity, chunk] : old_chunks) {
    if (!new_chunks.contains(identity)) deleted.insert(identity);
  }

  Metadata metadata = next.metadata();
  metadata.custom.emplace(kDeltaParentDigestKey, to_hex(base.content_digest()));
  metadata.custom.emplace(kDeltaBaseDigestKey, to_hex(base.strong_digest()));
  metadata.custom.emplace(kDeltaResultDigestKey, to_hex(next.strong_digest()));
  if (!deleted.empty())
    metadata.custom.emplace(kDeltaDeletedKey, join({deleted.begin(), deleted.end()}));
  Checkpoint delta(metadata, std::move(changed), next.created_at_us());
  if (order == natural_order(base, old_chunks, deleted, delta)) return delta;
  metadata.custom.emplace(kDeltaOrderKey, join(order));
  return Checkpoint(std::move(metadata), delta.chunks(), next.created_at_us());
}

Result<Checkpoint> apply_delta(const Checkpoint& base, const Checkpoint& delta) {
  RK_TRY(refuse_delta(base, "base"));
  RK_TRY(check_base(base, delta));
  RK_TRY_ASSIGN(const Index old_chunks, index_of(base, ErrorCode::invalid_argument, "base"));
  RK_TRY_ASSIGN(const Index new_chunks, index_of(delta, ErrorCode::corrupt, "delta"));

  std::set<ChunkIdentity> deleted;
  if (const std::string* text = find_key(delta.metadata(), kDeltaDeletedKey)) {
    RK_TRY_ASSIGN(const auto listed, split(*text));
    deleted = {listed.begin(), listed.end()};
  }
  for (const ChunkIdentity& identity : deleted) {
    if (!old_chunks.contains(identity) || new_chunks.contains(identity)) {
      return fail(ErrorCode::corrupt, "the delta deletes chunk " + to_string(identity) +
                                          ", which its base does not have or it adds itself");
    }
  }
  std::vector<ChunkIdentity> order = natural_order(base, old_chunks, deleted, delta);
  if (const std::string* text = find_key(delta.metadata(), kDeltaOrderKey)) {
    RK_TRY_ASSIGN(auto listed, split(*text));
    auto sorted = listed;
    std::sort(sorted.begin(), sorted.end());
    std::sort(order.begin(), order.end());
    if (sorted != order)
      return fail(ErrorCode::corrupt, "the delta's order is not that of its chunks");
    order = std::move(listed);
  }

  std::vector<Chunk> chunks;
  chunks.reserve(order.size());
  for (const ChunkIdentity& identity : order) {
    const auto fresh = new_chunks.find(identity);
    chunks.push_back(*(fresh != new_chunks.end() ? fresh : old_chunks.find(identity))->second);
  }
  Checkpoint result(without_delta_keys(delta.metadata()), std::move(chunks), delta.created_at_us());
  const std::string* expected = find_key(delta.metadata(), kDeltaResultDigestKey);
  if (expected != nullptr && *expected != to_hex(result.strong_digest()))
    return fail(ErrorCode::corrupt, "the delta does not give the checkpoint it was made from");
  return result;
}

}  // namespace rk::checkpoint
