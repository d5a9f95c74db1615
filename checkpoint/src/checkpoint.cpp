#include <ringkernel/checkpoint/checkpoint.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace rk::checkpoint {
namespace {

template <class T>
Bytes object_bytes(const T& object) {
  static_assert(std::has_unique_object_representations_v<T>);
  return std::as_bytes(std::span<const T, 1>(&object, 1));
}

bool is_told_apart_by_id(ChunkType type) {
  return type == ChunkType::device_memory || type == ChunkType::custom || !is_known(type);
}

bool equal(const Chunk& a, const Chunk& b) {
  return a.type == b.type && a.id == b.id && a.data == b.data;
}

}  // namespace

ChunkIdentity identity_of(ChunkType type, std::uint64_t id) {
  return {.type = type, .id = is_told_apart_by_id(type) ? id : 0};
}

std::string to_string(const ChunkIdentity& identity) {
  return std::to_string(static_cast<std::uint32_t>(identity.type)) + ":" + to_hex(identity.id);
}

std::optional<ChunkIdentity> chunk_identity_from(std::string_view text) {
  std::uint32_t type = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), type);
  const auto length = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || length >= text.size() || text[length] != ':') return std::nullopt;
  const auto id = u64_from_hex(text.substr(length + 1));
  if (!id) return std::nullopt;
  const ChunkIdentity identity = identity_of(static_cast<ChunkType>(type), *id);
  if (to_string(identity) != text) return std::nullopt;  // a leading zero, an id that has no place
  return identity;
}

Result<Checkpoint> Checkpoint::decode(Bytes file) {
  RK_TRY_ASSIGN(DecodedFile decoded, checkpoint::decode(file));
  std::vector<Chunk> chunks;
  chunks.reserve(decoded.chunks.size());
  for (const ChunkView& view : decoded.chunks) {
    chunks.push_back(
        {.type = view.type, .id = view.id, .data = {view.data.begin(), view.data.end()}});
  }
  return Checkpoint(std::move(decoded.metadata), std::move(chunks), decoded.header.created_at_us);
}

Result<std::vector<std::byte>> Checkpoint::encode(EncodeOptions options) const {
  options.created_at_us = created_at_us_;
  return checkpoint::encode(metadata_, views(), options);
}

const Chunk* Checkpoint::find(ChunkType type) const {
  const auto at = std::find_if(chunks_.begin(), chunks_.end(),
                               [&](const Chunk& chunk) { return chunk.type == type; });
  return at == chunks_.end() ? nullptr : &*at;
}

const Chunk* Checkpoint::find(const ChunkIdentity& identity) const {
  const auto at = std::find_if(chunks_.begin(), chunks_.end(),
                               [&](const Chunk& chunk) { return identity_of(chunk) == identity; });
  return at == chunks_.end() ? nullptr : &*at;
}

const Chunk* Checkpoint::find_region(std::string_view name) const {
  return find(ChunkIdentity{.type = ChunkType::device_memory, .id = region_id(name)});
}

std::vector<const Chunk*> Checkpoint::find_all(ChunkType type) const {
  std::vector<const Chunk*> found;
  for (const Chunk& chunk : chunks_) {
    if (chunk.type == type) found.push_back(&chunk);
  }
  return found;
}

std::optional<ChunkIdentity> Checkpoint::find_repeated() const {
  std::set<ChunkIdentity> seen;
  for (const Chunk& chunk : chunks_) {
    if (!seen.insert(identity_of(chunk)).second) return identity_of(chunk);
  }
  return std::nullopt;
}

std::vector<ChunkView> Checkpoint::views() const {
  std::vector<ChunkView> views;
  views.reserve(chunks_.size());
  for (const Chunk& chunk : chunks_) views.push_back(chunk.view());
  return views;
}

std::uint32_t Checkpoint::content_digest() const { return checkpoint::content_digest(views()); }

Hash128 Checkpoint::strong_digest() const {
  StreamHash hash;
  // Every string and list is preceded by its length, so that no two contents give one stream.
  const auto number = [&](std::uint64_t value) { hash.update_strong(object_bytes(value)); };
  const auto text = [&](std::string_view value) {
    number(value.size());
    hash.update_strong(as_bytes(value));
  };
  text(metadata_.kernel_id);
  text(metadata_.kernel_type);
  number(metadata_.step);
  for (const std::uint32_t side : metadata_.grid) number(side);
  for (const std::uint32_t side : metadata_.tile) number(side);
  number(metadata_.hlc.physical);
  number(metadata_.hlc.logical);
  number(metadata_.hlc.node);
  number(metadata_.custom.size());
  for (const auto& [key, value] : metadata_.custom) {
    text(key);
    text(value);
  }
  for (const Chunk& chunk : chunks_) {
    number(static_cast<std::uint32_t>(chunk.type));
    number(chunk.id);
    number(chunk.data.size());
    hash.update_strong(chunk.data);
  }
  return hash.strong();
}

bool operator==(const Checkpoint& a, const Checkpoint& b) {
  return a.metadata_ == b.metadata_ &&
         std::equal(a.chunks_.begin(), a.chunks_.end(), b.chunks_.begin(), b.chunks_.end(), equal);
}

CheckpointBuilder::CheckpointBuilder(std::string kernel_id, std::string kernel_type) {
  metadata_.kernel_id = std::move(kernel_id);
  metadata_.kernel_type = std::move(kernel_type);
}

CheckpointBuilder& CheckpointBuilder::step(std::uint64_t step) {
  metadata_.step = step;
  return *this;
}
CheckpointBuilder& CheckpointBuilder::grid(std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  metadata_.grid = {x, y, z};
  return *this;
}
CheckpointBuilder& CheckpointBuilder::tile(std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  metadata_.tile = {x, y, z};
  return *this;
}
CheckpointBuilder& CheckpointBuilder::hlc(const WideStamp& stamp) {
  metadata_.hlc = stamp;
  return *this;
}
CheckpointBuilder& CheckpointBuilder::custom(std::string key, std::string value) {
  metadata_.custom.insert_or_assign(std::move(key), std::move(value));
  return *this;
}
CheckpointBuilder& CheckpointBuilder::created_at_us(std::uint64_t us) {
  created_at_us_ = us;
  return *this;
}
CheckpointBuilder& CheckpointBuilder::chunk(ChunkType type, std::vector<std::byte> data) {
  return chunk(Chunk{.type = type, .id = 0, .data = std::move(data)});
}
CheckpointBuilder& CheckpointBuilder::chunk(Chunk chunk) {
  chunks_.push_back(std::move(chunk));
  return *this;
}
CheckpointBuilder& CheckpointBuilder::region(std::string_view name, std::vector<std::byte> data) {
  return region(region_id(name), std::move(data));
}
CheckpointBuilder& CheckpointBuilder::region(std::uint64_t id, std::vector<std::byte> data) {
  return chunk(Chunk{.type = ChunkType::device_memory, .id = id, .data = std::move(data)});
}
CheckpointBuilder& CheckpointBuilder::custom_chunk(std::uint64_t id, std::vector<std::byte> data) {
  return chunk(Chunk{.type = ChunkType::custom, .id = id, .data = std::move(data)});
}

Result<Checkpoint> CheckpointBuilder::build() {
  Checkpoint built(std::move(metadata_), std::move(chunks_), created_at_us_);
  if (const auto repeated = built.find_repeated()) {
    return fail(ErrorCode::invalid_argument,
                "chunk " + to_string(*repeated) + " was added twice; one of them would be lost");
  }
  return built;
}

}  // namespace rk::checkpoint
