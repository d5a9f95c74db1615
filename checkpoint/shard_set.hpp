// All shards one writer thread makes for one checkpoint: starts the next shard when the current one
// is full, and packs rows into chunks, so that the caller hands over slots and messages as spans of
// a ring and nothing is allocated per row.
//
// File names are `shard-<writer>-<number>.rkcp`: writers with different indexes never collide, so
// each drain writer owns one ShardSet over the shared Storage.
//
// Ownership: the Storage must outlive the set. Thread-safety: one thread per set. Memory: at most
// `batch_bytes` per (chunk type, id) in use and, with compression, two chunks. Errors: after one,
// the set is unusable; the checkpoint is to be abandoned.
#pragma once

#include <map>
#include <optional>
#include <ringkernel/checkpoint/rows.hpp>
#include <ringkernel/checkpoint/shard_writer.hpp>

namespace rk::checkpoint {

inline constexpr std::uint64_t kShardLimitBytes = std::uint64_t{256} << 20;
inline constexpr std::uint64_t kMaxBatchBytes = std::uint64_t{4} << 20;

struct ShardSetOptions {
  std::uint32_t writer = 0;                            ///< distinct per set of one checkpoint
  std::uint64_t shard_bytes = kShardLimitBytes;        ///< exceeded only by a single larger chunk
  std::uint64_t batch_bytes = std::uint64_t{1} << 20;  ///< rows per chunk; at most kMaxBatchBytes
  std::uint64_t created_at_us = 0;
  Compression compression{};
};

class ShardSet {
 public:
  /// Writes nothing until the first chunk. `metadata` goes into every shard, with the keys
  /// `ringkernel.shard.writer` and `ringkernel.shard.number` added.
  ShardSet(Storage& storage, std::string directory, Metadata metadata, ShardSetOptions options);
  ShardSet(ShardSet&&) noexcept = default;

  /// Adds a row to the batch of (type, id); `header.length_bytes` is set from the pieces. Rows as
  /// large as a batch go straight to the shard, uncopied.
  [[nodiscard]] Result<void> add_row(ChunkType type, std::uint64_t id, RowHeader header,
                                     std::span<const Bytes> payload);
  [[nodiscard]] Result<void> add_row(ChunkType type, std::uint64_t id, RowHeader header,
                                     Bytes payload);
  /// A chunk of its own, in order with respect to other `append_chunk` calls only.
  [[nodiscard]] Result<void> append_chunk(ChunkType type, std::uint64_t id,
                                          std::span<const Bytes> pieces);
  [[nodiscard]] Result<void> append_chunk(ChunkType type, std::uint64_t id, Bytes data);

  /// Flushes every batch and finishes the last shard. A set without chunks has no shards.
  [[nodiscard]] Result<std::vector<ShardInfo>> finish();

  [[nodiscard]] std::uint64_t rows() const { return rows_; }
  [[nodiscard]] std::uint64_t payload_bytes() const { return payload_bytes_; }

 private:
  using BatchKey = std::pair<ChunkType, std::uint64_t>;
  Result<void> write_chunk(ChunkType type, std::uint64_t id, std::span<const Bytes> pieces);
  Result<void> flush(const BatchKey& key, std::vector<std::byte>& batch);

  Storage* storage_;
  std::string directory_;
  Metadata metadata_;
  ShardSetOptions options_;
  std::optional<ShardWriter> current_;
  std::optional<Error> failure_;
  std::vector<ShardInfo> finished_;
  std::map<BatchKey, std::vector<std::byte>> batches_;
  std::uint64_t rows_ = 0;
  std::uint64_t payload_bytes_ = 0;
};

}  // namespace rk::checkpoint
