// Slots, messages, clocks and host state as rows of a checkpoint's shards: the one place that knows
// which chunk each of them belongs to (restore.hpp has the table).
//
// Thread-safety: one thread. Memory: a batch per kind of row.
#pragma once

#include <ringkernel/checkpoint/content_digest.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/checkpoint/shard_set.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::string_view kHostStateRegion = "ringkernel.host_state";

/// What every row of a message says in RowHeader::flags: the bytes of its slot.
[[nodiscard]] constexpr bool is_message_slot_bytes(std::uint32_t bytes) {
  return bytes == kSmallMessageBytes || bytes == kLargeMessageBytes;
}

/// Whose slot a row is.
struct SlotIdentity {
  ActorId id;
  std::string_view type_name;
  std::uint64_t type_region = 0;  ///< region_id(type_name)
  std::uint32_t version = 0;
};

/// What the metadata of every shard says about its checkpoint.
[[nodiscard]] Metadata shard_metadata(std::string run_id, std::string executor, std::uint64_t epoch,
                                      std::uint64_t hlc);

class RowWriter {
 public:
  explicit RowWriter(ShardSet shards) : shards_(std::move(shards)) {}

  [[nodiscard]] Result<void> add_slot(const SlotIdentity& who, const SlotRow& row, Bytes state,
                                      Bytes field);
  [[nodiscard]] Result<void> add_grave(const SlotIdentity& who, const SlotRow& row);
  /// `pages`: PagesPayload, then the pages that it names.
  [[nodiscard]] Result<void> add_pages(const SlotIdentity& who, const SlotRow& row, Bytes pages);
  /// `slot` as LoadedMessage has it: commit word, flags of queues, slab handle and peers zero.
  [[nodiscard]] Result<void> add_message(Bytes slot, Bytes block);
  [[nodiscard]] Result<void> add_clock(std::uint32_t worker, std::uint64_t hlc);
  [[nodiscard]] Result<void> add_host_state(Bytes state);
  [[nodiscard]] Result<std::vector<ShardInfo>> finish() { return shards_.finish(); }

  [[nodiscard]] const ContentDigest& digest() const { return digest_; }

 private:
  ShardSet shards_;
  ContentDigest digest_;
};

}  // namespace rk::checkpoint
