#include <array>
#include <cstring>
#include <ringkernel/checkpoint/src/row_writer.hpp>

namespace rk::checkpoint {
namespace {

template <class T>
Bytes bytes_of_value(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

SlotContent content_of(const SlotIdentity& who, const SlotRow& row, Bytes state, Bytes field) {
  return {.id = who.id,
          .type_name = who.type_name,
          .version = who.version,
          .source_sequence = row.source_sequence,
          .handled = row.handled,
          .flags = row.flags,
          .state = state,
          .field = field};
}

}  // namespace

Metadata shard_metadata(std::string run_id, std::string executor, std::uint64_t epoch,
                        std::uint64_t hlc) {
  Metadata metadata;
  metadata.kernel_id = std::move(run_id);
  metadata.kernel_type = std::move(executor);
  metadata.step = epoch;
  metadata.hlc = {.physical = hlc >> 12, .logical = hlc & 0xFFF};
  return metadata;
}

Result<void> RowWriter::add_slot(const SlotIdentity& who, const SlotRow& row, Bytes state,
                                 Bytes field) {
  digest_.add_slot(content_of(who, row, state, field));
  const std::array<Bytes, 3> pieces{bytes_of_value(row), state, field};
  return shards_.add_row(ChunkType::device_memory, who.type_region,
                         {.id = who.id.word, .version = who.version}, pieces);
}

Result<void> RowWriter::add_grave(const SlotIdentity& who, const SlotRow& row) {
  digest_.add_grave(who.id, who.type_name);
  const std::array<Bytes, 1> pieces{bytes_of_value(row)};
  return shards_.add_row(ChunkType::device_memory, who.type_region,
                         {.id = who.id.word, .version = who.version, .flags = kRowGrave}, pieces);
}

Result<void> RowWriter::add_pages(const SlotIdentity& who, const SlotRow& row, Bytes pages) {
  digest_.add_slot(content_of(who, row, pages, {}));
  const std::array<Bytes, 2> pieces{bytes_of_value(row), pages};
  return shards_.add_row(ChunkType::device_memory, who.type_region,
                         {.id = who.id.word, .version = who.version, .flags = kRowPages}, pieces);
}

Result<void> RowWriter::add_message(Bytes slot, Bytes block) {
  const auto slot_bytes = static_cast<std::uint32_t>(slot.size());
  RK_ASSERT(is_message_slot_bytes(slot_bytes));
  MessageHeader header;
  std::memcpy(&header, slot.data(), sizeof(header));
  digest_.add_message(slot, block);
  auto type = ChunkType::k2k_routing;
  if (is_to_host(header)) {
    type = ChunkType::k2h_queue;
  } else if (header.src == kHostId) {
    type = ChunkType::h2k_queue;
  }
  const std::array<Bytes, 2> pieces{slot, block};
  return shards_.add_row(type, 0, {.id = header.dst.word, .version = 1, .flags = slot_bytes},
                         pieces);
}

Result<void> RowWriter::add_clock(std::uint32_t worker, std::uint64_t hlc) {
  return shards_.add_row(ChunkType::hlc_state, 0, {.id = worker, .version = 1},
                         bytes_of_value(hlc));
}

Result<void> RowWriter::add_host_state(Bytes state) {
  return shards_.append_chunk(ChunkType::custom, region_id(kHostStateRegion), state);
}

}  // namespace rk::checkpoint
