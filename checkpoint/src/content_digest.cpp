#include <ringkernel/checkpoint/content_digest.hpp>

#include <cstring>
#include <ringkernel/runtime/result.hpp>
#include <type_traits>

namespace rk::checkpoint {
namespace {

struct SlotItem {
  std::uint64_t kind = 1;
  std::uint64_t state_bytes = 0;
  std::uint64_t field_bytes = 0;
  std::uint32_t id = 0;
  std::uint32_t version = 0;
  std::uint32_t source_sequence = 0;
  std::uint32_t reserved = 0;
  std::uint64_t handled = 0;
  Hash128 type_name;
  Hash128 state;
  Hash128 field;
};
static_assert(std::has_unique_object_representations_v<SlotItem>);

struct MessageItem {
  std::uint64_t kind = 2;
  std::uint32_t tag = 0;
  std::uint32_t has_block = 0;
  std::uint32_t dst = 0;
  std::uint32_t src = 0;
  std::uint32_t source_sequence = 0;
  std::uint32_t reserved = 0;
  Hash128 payload;
  Hash128 block;
};
static_assert(std::has_unique_object_representations_v<MessageItem>);

template <class Item>
Hash128 hash_of(const Item& item) {
  return xxh3_128(std::as_bytes(std::span<const Item>(&item, 1)));
}

}  // namespace

void ContentDigest::add_slot(const SlotContent& slot) {
  SlotItem item;
  item.state_bytes = slot.state.size();
  item.field_bytes = slot.field.size();
  item.id = slot.id.word;
  item.version = slot.version;
  item.source_sequence = slot.source_sequence;
  item.handled = slot.handled;
  item.type_name = xxh3_128(as_bytes(slot.type_name));
  item.state = xxh3_128(slot.state);
  item.field = xxh3_128(slot.field);
  add(hash_of(item));
}

void ContentDigest::add_message(Bytes slot, Bytes block) {
  RK_ASSERT(slot.size() >= sizeof(MessageHeader) + sizeof(BlockRef));
  MessageHeader header;
  std::memcpy(&header, slot.data(), sizeof(header));
  const bool has_block = (header.flags & kFlagBlock) != 0;
  Bytes payload = slot.subspan(sizeof(header));
  if (has_block) payload = payload.first(payload.size() - sizeof(BlockRef));
  MessageItem item;
  item.tag = header.tag;
  item.has_block = has_block ? 1 : 0;
  item.dst = header.dst.word;
  item.src = header.src.word;
  item.source_sequence = header.source_sequence;
  item.payload = xxh3_128(payload);
  item.block = xxh3_128(block);
  add(hash_of(item));
}

void ContentDigest::merge(const ContentDigest& other) { add(other.sum_); }

void ContentDigest::add(const Hash128& item) {
  const std::uint64_t low = sum_.low + item.low;
  const std::uint64_t carry = low < item.low ? 1 : 0;
  sum_.high += item.high + carry;
  sum_.low = low;
}

}  // namespace rk::checkpoint
