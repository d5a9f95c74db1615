// One writer's share of a checkpoint: verifies records, takes them apart and puts them into its
// shards.
//
// Rows carry what outlives a run (see restore.hpp): commit words, slab handles and flags of queues
// are zero in them, so that equal content gives equal rows.
//
// Thread-safety: one thread. Memory: a batch per kind of row, and per stream one unit whose parts
// are arriving.
#pragma once

#include <ringkernel/checkpoint/content_digest.hpp>
#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/checkpoint/src/record_walk.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <map>
#include <span>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::string_view kHostStateRegion = "ringkernel.host_state";

/// What every row of a message says in RowHeader::flags: the bytes of its slot.
[[nodiscard]] constexpr bool is_message_slot_bytes(std::uint32_t bytes) {
  return bytes == kSmallMessageBytes || bytes == kLargeMessageBytes;
}

class PartWriter {
 public:
  /// `program` outlives the writer.
  PartWriter(const ProgramInfo& program, ShardSet shards);

  /// A slots record, whole or a part; parts of a unit come in order.
  [[nodiscard]] Result<void> add_slots(const RecordHeader& header, Bytes payload);
  [[nodiscard]] Result<void> add_message(const RecordHeader& header, Bytes payload);
  /// `slot` as it lies in a queue; `block` may be longer than its message says by the padding to 8
  /// bytes.
  [[nodiscard]] Result<void> add_message(Bytes slot, Bytes block);
  [[nodiscard]] Result<void> add_clock(std::uint32_t worker, std::uint64_t hlc);
  [[nodiscard]] Result<void> add_host_state(Bytes state);
  [[nodiscard]] Result<std::vector<ShardInfo>> finish() { return shards_.finish(); }

  [[nodiscard]] const ContentDigest& digest() const { return digest_; }

 private:
  [[nodiscard]] Result<void> add_unit(const RecordHeader& header, Bytes unit);
  [[nodiscard]] Result<void> add_slot(const SlotHeader& header, Bytes slot);

  const ProgramInfo& program_;
  std::vector<std::uint64_t> regions_;  // of the program's types
  ShardSet shards_;
  ContentDigest digest_;
  std::map<std::uint32_t, std::vector<std::byte>> units_;  // by stream; while parts arrive
};

}  // namespace rk::checkpoint
