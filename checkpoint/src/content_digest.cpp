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
  std::uint32_t flags = 0;
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
  std::uint32_t traits = 0;
  Hash128 payload;
  Hash128 block;
};
static_assert(std::has_unique_object_representations_v<MessageItem>);

struct GraveItem {
  std::uint64_t kind = 3;
  std::uint64_t id = 0;
  Hash128 type_name;
};
static_assert(std::has_unique_object_representations_v<GraveItem>);

/// Flags that tell what a message is, not which queue it was in. A block is told apart elsewhere.
constexpr std::uint8_t kContentFlags = kFlagTrailer | kFlagControl | kFlagSystem | kFlagDead;

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
  item.flags = slot.flags;
  item.handled = slot.handled;
  item.type_name = xxh3_128(as_bytes(slot.type_name));
  item.state = xxh3_128(slot.state);
  item.field = xxh3_128(slot.field);
  add(hash_of(item));
}

void ContentDigest::add_grave(ActorId id, std::string_view type_name) {
  GraveItem item;
  item.id = id.word;
  item.type_name = xxh3_128(as_bytes(type_name));
  add(hash_of(item));
}

MessageContent::MessageContent(Bytes slot) {
  RK_ASSERT(slot.size() >= sizeof(MessageHeader) + sizeof(Envelope) &&
            slot.size() - sizeof(MessageHeader) <= bytes_.size());
  MessageHeader header;
  std::memcpy(&header, slot.data(), sizeof(header));
  traits_ = header.flags & kContentFlags;
  size_ = slot.size() - sizeof(header);
  std::memcpy(bytes_.data(), slot.data() + sizeof(header), size_);
  if (!has_trailer(header)) return;
  std::byte* at = bytes_.data() + size_ - sizeof(Envelope);
  Envelope trailer;
  std::memcpy(&trailer, at, sizeof(trailer));
  if ((header.flags & kFlagBlock) != 0) {
    size_ -= sizeof(BlockRef);
    traits_ |= std::uint32_t{trailer.route.kind} << 8 | std::uint32_t{trailer.route.tries} << 16;
    return;
  }
  trailer.route.from = trailer.route.to = 0;
  const MessageKind kind = trailer.route.message_kind();
  const bool is_timed = kind == MessageKind::timer_us || kind == MessageKind::ask_deadline;
  if (is_timed && (header.flags & kFlagDead) == 0) trailer.due = 0;
  std::memcpy(at, &trailer, sizeof(trailer));
}

void ContentDigest::add_message(Bytes slot, Bytes block) {
  MessageHeader header;
  const MessageContent content(slot);
  std::memcpy(&header, slot.data(), sizeof(header));
  MessageItem item;
  item.tag = header.tag;
  item.has_block = (header.flags & kFlagBlock) != 0 ? 1 : 0;
  item.dst = header.dst.word;
  item.src = header.src.word;
  item.source_sequence = header.source_sequence;
  item.traits = content.traits();
  item.payload = xxh3_128(content.payload());
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
