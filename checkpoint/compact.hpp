// Folds an increment and its chain into one full checkpoint.
#pragma once

#include <ringkernel/checkpoint/codec.hpp>
#include <ringkernel/checkpoint/directory.hpp>

namespace rk::checkpoint {

struct CompactOptions {
  Compression compression{};
  std::uint64_t shard_bytes = kShardLimitBytes;
};

struct Compacted {
  std::string directory;     ///< of the full checkpoint
  std::uint64_t epoch = 0;   ///< its number: the next free one
  std::uint64_t bytes = 0;   ///< of its shards
  std::uint64_t folded = 0;  ///< checkpoints that the chain has
};

/// Writes what `entry` restores to as a full checkpoint with the next epoch and the same run id,
/// stamps and creation time, durably; the chain stays until retention removes it. The caller holds
/// the writer's lock. invalid_argument: it is a full one already. Memory: the whole state.
[[nodiscard]] Result<Compacted> compact(CheckpointDirectory& directory, const Entry& entry,
                                        const CompactOptions& options = {});

}  // namespace rk::checkpoint
