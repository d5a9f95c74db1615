// One `.rkcp` file as a value: metadata and chunks that own their bytes. What a library user
// builds, saves, loads and looks into; shards of a running system's checkpoint are read with views
// instead (format.hpp).
//
//   auto checkpoint = CheckpointBuilder("sim_0", "wave")
//                         .step(1000)
//                         .region("pressure", bytes)
//                         .custom("input", "speech.wav")
//                         .build();
//
// Identity: what makes two chunks "the same chunk" of two checkpoints. Regions (device_memory),
// custom chunks and chunks of unknown types are told apart by their id; of every other type a
// checkpoint has one, whatever its id. The builder refuses a second chunk of one identity. A file
// that holds one is read as it is (the seed writes such files); deltas refuse it.
//
// Thread-safety: values.
//
// Errors: those of `encode` and `decode`; `invalid_argument` for a repeated identity.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <ringkernel/checkpoint/format.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

struct ChunkIdentity {
  ChunkType type = ChunkType::custom;
  std::uint64_t id = 0;
  friend auto operator<=>(const ChunkIdentity&, const ChunkIdentity&) = default;
};

[[nodiscard]] ChunkIdentity identity_of(ChunkType type, std::uint64_t id);
[[nodiscard]] inline ChunkIdentity identity_of(const Chunk& chunk) {
  return identity_of(chunk.type, chunk.id);
}
/// "type:id" with the id as 16 hexadecimal digits.
[[nodiscard]] std::string to_string(const ChunkIdentity& identity);
/// Only what `to_string` writes is accepted.
[[nodiscard]] std::optional<ChunkIdentity> chunk_identity_from(std::string_view text);

class Checkpoint {
 public:
  Checkpoint() = default;
  /// Takes what it is given, repeated identities included; `find_repeated` tells.
  Checkpoint(Metadata metadata, std::vector<Chunk> chunks, std::uint64_t created_at_us = 0)
      : metadata_(std::move(metadata)), chunks_(std::move(chunks)), created_at_us_(created_at_us) {}

  /// Verifies and copies a file's content.
  [[nodiscard]] static Result<Checkpoint> decode(Bytes file);
  /// Keeps `created_at_us()`, whatever the options say: a copy is as old as its original.
  [[nodiscard]] Result<std::vector<std::byte>> encode(EncodeOptions options = {}) const;

  [[nodiscard]] const Metadata& metadata() const { return metadata_; }
  [[nodiscard]] const std::vector<Chunk>& chunks() const { return chunks_; }
  [[nodiscard]] std::uint64_t created_at_us() const { return created_at_us_; }

  /// The first chunk of a type, or null. Valid as long as this object is.
  [[nodiscard]] const Chunk* find(ChunkType type) const;
  [[nodiscard]] const Chunk* find(const ChunkIdentity& identity) const;
  /// The memory region of that name.
  [[nodiscard]] const Chunk* find_region(std::string_view name) const;
  [[nodiscard]] std::vector<const Chunk*> find_all(ChunkType type) const;
  /// An identity that occurs more than once, if there is one.
  [[nodiscard]] std::optional<ChunkIdentity> find_repeated() const;

  /// Views for the functions of format.hpp.
  [[nodiscard]] std::vector<ChunkView> views() const;
  /// The seed's 32-bit digest: chunks of known types, in order, without metadata.
  [[nodiscard]] std::uint32_t content_digest() const;
  /// XXH3-128 of metadata and of every chunk with type, id and length, in order. `created_at_us`
  /// is left out. Catches accidents, not tampering.
  [[nodiscard]] Hash128 strong_digest() const;

  /// Metadata and chunks; two copies made at different times are equal.
  friend bool operator==(const Checkpoint& a, const Checkpoint& b);

 private:
  Metadata metadata_;
  std::vector<Chunk> chunks_;
  std::uint64_t created_at_us_ = 0;
};

class CheckpointBuilder {
 public:
  CheckpointBuilder(std::string kernel_id, std::string kernel_type);
  /// Goes on from given metadata.
  explicit CheckpointBuilder(Metadata metadata) : metadata_(std::move(metadata)) {}

  CheckpointBuilder& step(std::uint64_t step);
  CheckpointBuilder& grid(std::uint32_t x, std::uint32_t y, std::uint32_t z);
  CheckpointBuilder& tile(std::uint32_t x, std::uint32_t y, std::uint32_t z);
  CheckpointBuilder& hlc(const WideStamp& stamp);
  /// A key given twice keeps its last value.
  CheckpointBuilder& custom(std::string key, std::string value);
  /// Microseconds since 1970; 0 unless given.
  CheckpointBuilder& created_at_us(std::uint64_t us);

  /// A chunk of a type that a checkpoint has one of.
  CheckpointBuilder& chunk(ChunkType type, std::vector<std::byte> data);
  CheckpointBuilder& chunk(Chunk chunk);
  /// A named memory region; its id is `region_id(name)`.
  CheckpointBuilder& region(std::string_view name, std::vector<std::byte> data);
  CheckpointBuilder& region(std::uint64_t id, std::vector<std::byte> data);
  CheckpointBuilder& custom_chunk(std::uint64_t id, std::vector<std::byte> data);

  /// Moves what was added out. `invalid_argument`: an identity was given twice.
  [[nodiscard]] Result<Checkpoint> build();

 private:
  Metadata metadata_;
  std::vector<Chunk> chunks_;
  std::uint64_t created_at_us_ = 0;
};

}  // namespace rk::checkpoint
