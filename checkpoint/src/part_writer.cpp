#include <array>
#include <cstring>
#include <ringkernel/checkpoint/src/part_writer.hpp>

namespace rk::checkpoint {
namespace {

unexpected broken_record(const RecordHeader& header, const char* what) {
  return fail(ErrorCode::corrupt, "snapshot stream " + std::to_string(header.stream) + ", unit " +
                                      std::to_string(header.unit) + ": " + what);
}

SlotRow row_of(const SlotHeader& header) {
  return {.state_bytes = header.state_bytes,
          .field_bytes = header.field_bytes,
          .source_sequence = header.source_sequence,
          .flags = static_cast<std::uint32_t>(header.flags & kKeptSlotFlags),
          .handled = header.handled,
          .hlc = header.hlc};
}

}  // namespace

PartWriter::PartWriter(const ProgramInfo& program, ShardSet shards)
    : program_(program), rows_(std::move(shards)) {
  for (const auto& type : program.types) regions_.push_back(region_id(type.name));
}

Result<void> PartWriter::add_slots(const RecordHeader& header, Bytes payload) {
  if (!verifies(header, payload)) return broken_record(header, "the checksum does not match");
  if (header.length == header.unit_bytes) return add_unit(header, payload);
  auto& unit = units_[header.stream];
  if (header.part_offset == 0) {
    if (header.unit_bytes > kMaxFileBytes) {
      return fail(
          ErrorCode::invalid_argument,
          "one actor's state is larger than the 1 GiB of a shard: split it over several actors");
    }
    unit.clear();
    unit.reserve(header.unit_bytes);
  }
  if (unit.size() != header.part_offset) return broken_record(header, "a part is missing");
  unit.insert(unit.end(), payload.begin(), payload.end());
  if (unit.size() < header.unit_bytes) return {};
  auto result = add_unit(header, unit);
  units_.erase(header.stream);
  return result;
}

Result<void> PartWriter::add_unit(const RecordHeader& header, Bytes unit) {
  std::uint32_t slots = 0;
  while (!unit.empty()) {
    SlotHeader slot;
    if (unit.size() < sizeof(slot)) return broken_record(header, "it ends inside a slot");
    std::memcpy(&slot, unit.data(), sizeof(slot));
    const std::uint64_t stride = slot_stride(slot.state_bytes, slot.field_bytes);
    if (stride > unit.size()) return broken_record(header, "a slot is longer than its unit");
    RK_TRY(add_slot(slot, unit.first(stride)));
    unit = unit.subspan(stride);
    ++slots;
  }
  if (slots != header.count) return broken_record(header, "it does not hold the slots it says");
  return {};
}

Result<SlotIdentity> PartWriter::identify(const SlotHeader& header) const {
  if (header.type >= program_.types.size() ||
      header.state_bytes != program_.types[header.type].state_bytes) {
    return fail(ErrorCode::corrupt, "a slot of actor " + std::to_string(header.id.index()) +
                                        " does not fit its type's layout");
  }
  const auto& type = program_.types[header.type];
  return SlotIdentity{header.id, type.name, regions_[header.type], type.version};
}

Result<void> PartWriter::add_free_place(const SlotHeader& header) {
  if ((header.flags & kSlotGrave) == 0) return {};
  RK_TRY_ASSIGN(const SlotIdentity who, identify(header));
  SlotRow row = row_of(header);
  row.flags = 0;  // they were the dead one's
  return rows_.add_grave(who, row);
}

Result<void> PartWriter::add_slot(const SlotHeader& header, Bytes slot) {
  if ((header.flags & kSlotFree) != 0) return add_free_place(header);
  if ((header.flags & kSlotGrave) != 0) {
    return fail(ErrorCode::corrupt,
                "actor " + std::to_string(header.id.index()) + " is dead and lives");
  }
  ++live_rows_;
  RK_TRY_ASSIGN(const SlotIdentity who, identify(header));
  const Bytes state = slot.subspan(sizeof(SlotHeader), header.state_bytes);
  const Bytes field = slot.subspan(
      sizeof(SlotHeader) + align_up(header.state_bytes, kSlotAlignment), header.field_bytes);
  return rows_.add_slot(who, row_of(header), state, field);
}

Result<void> PartWriter::add_pages(const RecordHeader& header, Bytes payload) {
  if (!verifies(header, payload)) return broken_record(header, "the checksum does not match");
  SlotHeader slot;
  if (payload.size() < sizeof(slot) + sizeof(PagesPayload))
    return broken_record(header, "it ends inside its header");
  std::memcpy(&slot, payload.data(), sizeof(slot));
  // Of an empty place no page is worth keeping; its last record says who lies there.
  if ((slot.flags & kSlotFree) != 0) {
    return header.count == 1 ? add_free_place(slot) : Result<void>{};
  }
  RK_TRY_ASSIGN(const SlotIdentity who, identify(slot));
  return rows_.add_pages(who, row_of(slot), payload.subspan(sizeof(slot)));
}

Result<void> PartWriter::add_message(const RecordHeader& header, Bytes payload) {
  if (!verifies(header, payload)) return broken_record(header, "the checksum does not match");
  const std::uint32_t slot_bytes = program_.message_slot_bytes;
  if (payload.size() < slot_bytes) return broken_record(header, "it is shorter than a message");
  return add_message(payload.first(slot_bytes), payload.subspan(slot_bytes));
}

Result<void> PartWriter::add_message(Bytes slot, Bytes block) {
  const auto slot_bytes = static_cast<std::uint32_t>(slot.size());
  RK_ASSERT(is_message_slot_bytes(slot_bytes));
  alignas(8) std::array<std::byte, kLargeMessageBytes> copy;
  std::memcpy(copy.data(), slot.data(), slot_bytes);
  MessageHeader header;
  std::memcpy(&header, copy.data(), sizeof(header));
  header.seq = 0;
  header.flags &= kKeptMessageFlags;
  std::memcpy(copy.data(), &header, sizeof(header));
  if (has_trailer(header)) {
    std::byte* at = copy.data() + slot_bytes - sizeof(Route);
    Route route;
    std::memcpy(&route, at, sizeof(route));
    route.from = route.to = 0;
    std::memcpy(at, &route, sizeof(route));
  }
  if ((header.flags & kFlagBlock) != 0) {
    std::byte* at = copy.data() + slot_bytes - sizeof(BlockRef);
    BlockRef ref;
    std::memcpy(&ref, at, sizeof(ref));
    if (align_up(ref.bytes, 8) != block.size()) {
      return fail(ErrorCode::corrupt, "a recorded message does not carry the block it names");
    }
    block = block.first(ref.bytes);
    ref.pool = ref.block = 0;
    std::memcpy(at, &ref, sizeof(ref));
  } else if (!block.empty()) {
    return fail(ErrorCode::corrupt, "a recorded message carries a block it does not name");
  }
  return rows_.add_message(Bytes(copy).first(slot_bytes), block);
}

}  // namespace rk::checkpoint
