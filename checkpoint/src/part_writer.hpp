// One writer's share of a checkpoint: verifies records, takes them apart and puts them into its
// shards.
//
// Rows carry what outlives a run (see restore.hpp): commit words, slab handles, flags of queues and
// the peers of routes are zero in them, so that equal content gives equal rows. A unit holds
// places: those where nobody lives or lies get no row.
//
// Thread-safety: one thread. Memory: a batch per kind of row, and per stream one unit whose parts
// are arriving.
#pragma once

#include <ringkernel/checkpoint/src/record_walk.hpp>
#include <ringkernel/checkpoint/src/row_writer.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <map>
#include <vector>

namespace rk::checkpoint {

class PartWriter {
 public:
  /// `program` outlives the writer.
  PartWriter(const ProgramInfo& program, ShardSet shards);

  /// A slots record, whole or a part; parts of a unit come in order.
  [[nodiscard]] Result<void> add_slots(const RecordHeader& header, Bytes payload);
  /// Changed pages of one slot.
  [[nodiscard]] Result<void> add_pages(const RecordHeader& header, Bytes payload);
  [[nodiscard]] Result<void> add_message(const RecordHeader& header, Bytes payload);
  /// `slot` as it lies in a queue; `block` may be longer than its message says by the padding to 8
  /// bytes.
  [[nodiscard]] Result<void> add_message(Bytes slot, Bytes block);
  /// For what needs no taking apart: clocks, host state, and the end.
  [[nodiscard]] RowWriter& rows() { return rows_; }
  /// Rows of whole actors that it wrote.
  [[nodiscard]] std::uint64_t live_rows() const { return live_rows_; }

 private:
  [[nodiscard]] Result<void> add_unit(const RecordHeader& header, Bytes unit);
  [[nodiscard]] Result<void> add_slot(const SlotHeader& header, Bytes slot);
  /// A place where nobody lives.
  [[nodiscard]] Result<void> add_free_place(const SlotHeader& header);
  /// corrupt: the slot is not of a layout the program has.
  [[nodiscard]] Result<SlotIdentity> identify(const SlotHeader& header) const;

  const ProgramInfo& program_;
  std::vector<std::uint64_t> regions_;  // of the program's types
  RowWriter rows_;
  std::uint64_t live_rows_ = 0;
  std::map<std::uint32_t, std::vector<std::byte>> units_;  // by stream; while parts arrive
};

}  // namespace rk::checkpoint
