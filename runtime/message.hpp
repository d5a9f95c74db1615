// Wire layout of a message and of the ids in it.
//
//   0        8        16       20       24       28   30  31  32
//   | seq    | hlc    | dst    | src    | src_seq | ep | t | f | inline payload (32 or 96 bytes)
//   ... |
//
// Invariants:
//  1. `seq` is the commit word of the queue slot that holds the message; it is not part of the
//  message's value.
//  2. `epoch` is the colour: the sender's epoch when the message was stamped, or the epoch that
//  recorded it.
//  3. With kFlagBlock the last 16 bytes of the inline payload are a BlockRef: the block belongs to
//  the message.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rk {

/// Actor id: 20-bit index, 12-bit generation. Ids go into checkpoints, so they never hold an
/// address.
struct ActorId {
  static constexpr std::uint32_t kIndexBits = 20;
  static constexpr std::uint32_t kIndexMask = (1u << kIndexBits) - 1;
  std::uint32_t word = 0;

  RK_FN constexpr std::uint32_t index() const { return word & kIndexMask; }
  RK_FN constexpr std::uint32_t generation() const { return word >> kIndexBits; }
  RK_FN static constexpr ActorId make(std::uint32_t index, std::uint32_t generation) {
    return ActorId{(generation << kIndexBits) | (index & kIndexMask)};
  }
  RK_FN friend constexpr bool operator==(ActorId a, ActorId b) { return a.word == b.word; }
};

/// The host application as a sender or receiver. Its index is never given to an actor.
inline constexpr ActorId kHostId{0xFFFFFFFFu};
inline constexpr std::uint32_t kMaxActors = ActorId::kIndexMask;

/// A typed reference to an actor: an id, valid across checkpoints, workers and executors.
template <class Actor>
struct ref {
  ActorId id{};
  RK_FN friend constexpr bool operator==(ref a, ref b) { return a.id == b.id; }
};

inline constexpr std::uint8_t kFlagBlock = 1;  ///< a slab block is attached
inline constexpr std::uint8_t kFlagReplayed =
    2;  ///< came out of a checkpoint; counts on the host channel
inline constexpr std::uint8_t kFlagDelivered =
    4;  ///< an outbox entry that already left (the outbox is not a FIFO)

struct MessageHeader {
  std::uint64_t seq;
  std::uint64_t hlc;
  ActorId dst;
  ActorId src;
  std::uint32_t source_sequence;  ///< counts per source actor; a receiver sees it increase per pair
  std::uint16_t epoch;
  std::uint8_t tag;
  std::uint8_t flags;
};
static_assert(sizeof(MessageHeader) == 32 && std::is_trivially_copyable_v<MessageHeader>);
static_assert(offsetof(MessageHeader, hlc) == 8 && offsetof(MessageHeader, dst) == 16);
static_assert(offsetof(MessageHeader, src) == 20 && offsetof(MessageHeader, source_sequence) == 24);
static_assert(offsetof(MessageHeader, epoch) == 28 && offsetof(MessageHeader, tag) == 30);

/// A slab block: `pool` is the worker that owns it.
struct BlockRef {
  std::uint32_t pool;
  std::uint32_t block;
  std::uint32_t bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(BlockRef) == 16);

inline constexpr std::uint32_t kSmallMessageBytes = 64;
inline constexpr std::uint32_t kLargeMessageBytes = 128;

/// A message as it lies in a slot of `slot_bytes`.
struct MessageView {
  std::byte* slot = nullptr;
  std::uint32_t slot_bytes = 0;

  RK_FN MessageHeader& header() const { return *reinterpret_cast<MessageHeader*>(slot); }
  RK_FN std::byte* payload() const { return slot + sizeof(MessageHeader); }
  RK_FN BlockRef& block() const {
    return *reinterpret_cast<BlockRef*>(slot + slot_bytes - sizeof(BlockRef));
  }
  RK_FN bool has_block() const { return (header().flags & kFlagBlock) != 0; }
  RK_FN explicit operator bool() const { return slot != nullptr; }
};

/// Colours are compared modulo their width: `a` is newer than `b` when less than half the circle
/// ahead.
RK_FN constexpr bool epoch_newer(std::uint16_t a, std::uint16_t b) {
  return static_cast<std::int16_t>(static_cast<std::uint16_t>(a - b)) > 0;
}

/// The 32-bit epoch nearest to `reference` whose low bits are `colour`.
RK_FN constexpr std::uint32_t widen_epoch(std::uint16_t colour, std::uint32_t reference) {
  return reference + static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<std::int16_t>(
                         colour - static_cast<std::uint16_t>(reference))));
}

/// A word of memory that holds objects of other types. Without may_alias the compiler may move a
/// user's typed stores across a copy made through plain words. A struct, because `auto` drops the
/// attribute from an alias of a scalar.
struct __attribute__((may_alias)) RawWord {
  std::uint64_t value;
};
static_assert(sizeof(RawWord) == 8);

/// Copies a message's value into another slot; the commit word of the destination is left alone.
RK_FN inline void copy_message(std::byte* to, const std::byte* from, std::uint32_t slot_bytes) {
  auto* out = reinterpret_cast<RawWord*>(to);
  auto* in = reinterpret_cast<const RawWord*>(from);
  for (std::uint32_t i = 1; i < slot_bytes / 8; ++i) out[i] = in[i];
}

}  // namespace rk
