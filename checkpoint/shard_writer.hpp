// Streams one shard, a valid `.rkcp` file, into a Storage: chunks are hashed and written as they
// come and the header is patched at the end, so memory stays at one buffer whatever the shard's
// size. With compression, memory also holds the chunk being compressed, before and after.
//
// The shard's hash, which the MANIFEST records, is XXH3-128 over bytes [64, end) followed by bytes
// [0, 64): the header is known last.
//
// Ownership: the Storage must outlive the writer. Thread-safety: one thread; several writers may
// work on one Storage at once. After an error the writer is unusable and `finish` repeats the
// error.
#pragma once

#include <cstdint>
#include <memory>
#include <ringkernel/checkpoint/format.hpp>
#include <ringkernel/checkpoint/storage.hpp>
#include <span>
#include <string>
#include <vector>

namespace rk::checkpoint {

class PackedChunk;

struct ShardInfo {
  std::string name;  ///< file name inside the checkpoint's directory
  std::uint64_t bytes = 0;
  Hash128 hash;
  friend bool operator==(const ShardInfo&, const ShardInfo&) = default;
};

/// The hash of a whole shard in memory, as the MANIFEST records it. Shorter than a header: of all
/// bytes.
[[nodiscard]] Hash128 shard_hash(Bytes file);

class ShardWriter {
 public:
  /// Creates `<directory>/<name>`; it must not exist.
  [[nodiscard]] static Result<ShardWriter> create(Storage& storage, const std::string& directory,
                                                  const std::string& name, const Metadata& metadata,
                                                  std::uint64_t created_at_us,
                                                  Compression compression = {});
  ShardWriter(ShardWriter&&) noexcept;
  ShardWriter& operator=(ShardWriter&&) noexcept;
  ~ShardWriter();

  [[nodiscard]] Result<void> append_chunk(ChunkType type, std::uint64_t id, Bytes data);
  /// The chunk's data is the concatenation of `pieces`.
  [[nodiscard]] Result<void> append_chunk(ChunkType type, std::uint64_t id,
                                          std::span<const Bytes> pieces);

  /// What the file would measure if it were finished now.
  [[nodiscard]] std::uint64_t bytes() const { return position_ + kFooterBytes; }
  /// Of the data of all chunks, before compression. A file holds at most 1 GiB of it.
  [[nodiscard]] std::uint64_t uncompressed_bytes() const { return uncompressed_bytes_; }
  [[nodiscard]] std::uint32_t chunk_count() const { return header_.chunk_count; }

  /// Writes footer and header and makes the file durable (its name needs sync_directory).
  [[nodiscard]] Result<ShardInfo> finish();

 private:
  ShardWriter();
  Result<void> put(Bytes bytes);
  Result<void> flush();
  Result<void> put_packed(ChunkType type, std::uint64_t id, std::span<const Bytes> pieces);

  std::string name_;
  std::unique_ptr<WritableFile> file_;
  FileHeader header_;
  StreamHash hash_;
  std::vector<std::byte> buffer_;  // bytes not yet hashed and written; allocated once
  std::uint64_t position_ = 0;
  std::uint64_t uncompressed_bytes_ = 0;
  std::unique_ptr<PackedChunk> packed_;  // null without compression
  std::vector<std::byte> joined_;        // the pieces of the chunk being compressed
};

}  // namespace rk::checkpoint
