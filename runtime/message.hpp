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
//  3. The last 16 bytes of a message between actors are its trailer: a BlockRef with kFlagBlock
//  (the block belongs to the message), else an Envelope. Both end in a Route. An output to the host
//  has a trailer only with kFlagTrailer: its payload may reach to the end of the slot.
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
/// No actor: what a spawn that found no place returns. Messages to it are dead letters.
inline constexpr ActorId kNoActor{0xFFFFFFFEu};

/// Address of a worker itself, for commands that concern no actor of it.
RK_FN constexpr ActorId worker_address(std::uint32_t worker) {
  return ActorId::make(ActorId::kIndexMask, worker);
}
RK_FN constexpr bool is_worker_address(ActorId id) {
  return id.index() == ActorId::kIndexMask && id.generation() < 255;
}

/// A typed reference to an actor: an id, valid across checkpoints, workers and executors.
template <class Actor>
struct ref {
  ActorId id{};
  RK_FN friend constexpr bool operator==(ref a, ref b) { return a.id == b.id; }
  /// False for what a spawn without a free place returned.
  RK_FN constexpr explicit operator bool() const { return !(id == kNoActor); }
};

inline constexpr std::uint8_t kFlagBlock = 1;  ///< a slab block is attached
inline constexpr std::uint8_t kFlagReplayed =
    2;  ///< came out of a checkpoint; counts on the host channel
inline constexpr std::uint8_t kFlagDelivered =
    4;  ///< an outbox or stash entry that already left (neither is a FIFO)
inline constexpr std::uint8_t kFlagTrailer = 8;   ///< an output to the host with an Envelope
inline constexpr std::uint8_t kFlagControl = 16;  ///< travels on the control lane
inline constexpr std::uint8_t kFlagSystem = 32;   ///< `tag` is a Command to the receiving worker
inline constexpr std::uint8_t kFlagDead = 64;     ///< a dead letter on its way to the host

/// Tags from here on belong to the library's own messages.
inline constexpr std::uint32_t kFirstLibraryTag = 224;

struct MessageHeader {
  std::uint64_t seq;
  std::uint64_t hlc;
  ActorId dst;
  ActorId src;
  std::uint32_t source_sequence;  ///< counts per source actor; a receiver sees it increase per pair
  std::uint16_t epoch;
  std::uint8_t tag;
  std::uint8_t flags;

  /// Epoch, tag and flags as one word, as mark() makes it.
  [[nodiscard]] RK_FN std::uint32_t marks() const {
    std::uint32_t word = 0;
    __builtin_memcpy(&word, reinterpret_cast<const std::byte*>(this) + kMarksOffset, sizeof(word));
    return word;
  }
  /// In one store, so that a load of all three that follows soon need not wait for three.
  RK_FN void set_marks(std::uint32_t marks) {
    __builtin_memcpy(reinterpret_cast<std::byte*>(this) + kMarksOffset, &marks, sizeof(marks));
  }
  RK_FN static constexpr std::uint32_t make_marks(std::uint32_t epoch, std::uint8_t tag,
                                                  std::uint8_t flags) {
    return (epoch & 0xFFFFu) | std::uint32_t{tag} << 16 | std::uint32_t{flags} << 24;
  }

 private:
  static constexpr std::size_t kMarksOffset = 28;
};
static_assert(sizeof(MessageHeader) == 32 && std::is_trivially_copyable_v<MessageHeader>);
static_assert(offsetof(MessageHeader, hlc) == 8 && offsetof(MessageHeader, dst) == 16);
static_assert(offsetof(MessageHeader, src) == 20 && offsetof(MessageHeader, source_sequence) == 24);
static_assert(offsetof(MessageHeader, epoch) == 28 && offsetof(MessageHeader, tag) == 30);

/// What a message is besides its payload.
enum class MessageKind : std::uint8_t {
  plain = 0,
  ask = 1,           ///< wants a reply under its correlation
  reply = 2,         ///< answers the ask with this correlation
  timer_us = 3,      ///< not before physical time `due`, in microseconds since 1970
  timer_steps = 4,   ///< not before its sender has handled `due` messages
  ask_deadline = 5,  ///< ends the ask with this correlation at physical time `due`
};

/// Why a message was not handled.
enum class DeadReason : std::uint8_t {
  none = 0,
  unknown = 1,   ///< no actor ever had this id
  dead = 2,      ///< its receiver is gone
  expired = 3,   ///< a reply to an ask that is over
  refused = 4,   ///< its receiver does not handle it
  poisoned = 5,  ///< its handler failed too often
};

/// Channel number of the host in a Route; workers have theirs.
inline constexpr std::uint8_t kHostChannel = 255;

/// Between which peers a message counts, and what became of it.
struct Route {
  std::uint8_t kind;   ///< MessageKind, DeadReason in the upper half
  std::uint8_t tries;  ///< handlers that failed on it
  std::uint8_t from;   ///< worker that counted it as sent, or kHostChannel
  std::uint8_t to;     ///< worker that counts it as received, or kHostChannel

  RK_FN constexpr MessageKind message_kind() const { return static_cast<MessageKind>(kind & 15u); }
  RK_FN constexpr DeadReason reason() const { return static_cast<DeadReason>(kind >> 4); }
  RK_FN constexpr void set_reason(DeadReason reason) {
    kind = static_cast<std::uint8_t>((kind & 15u) | static_cast<unsigned>(reason) << 4);
  }
};
static_assert(sizeof(Route) == 4);

/// Trailer of a message without a block.
struct Envelope {
  std::uint64_t due;  ///< of timers; a dead letter: where it was going (ActorId::word)
  std::uint32_t correlation;
  Route route;
};
static_assert(sizeof(Envelope) == 16 && offsetof(Envelope, route) == 12);

/// A slab block: `pool` is the worker that owns it.
struct BlockRef {
  std::uint32_t pool;
  std::uint32_t block;
  std::uint32_t bytes;
  Route route;
};
static_assert(sizeof(BlockRef) == 16 && offsetof(BlockRef, route) == 12);

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
  RK_FN Envelope& envelope() const {
    return *reinterpret_cast<Envelope*>(slot + slot_bytes - sizeof(Envelope));
  }
  RK_FN Route& route() const {
    return *reinterpret_cast<Route*>(slot + slot_bytes - sizeof(Route));
  }
  RK_FN bool has_block() const { return (header().flags & kFlagBlock) != 0; }
  RK_FN explicit operator bool() const { return slot != nullptr; }
};

/// Whether a message is the host's to consume: an output, a reply to it, or a dead letter.
RK_FN constexpr bool is_to_host(const MessageHeader& header) {
  return header.dst == kHostId || (header.flags & kFlagDead) != 0;
}

/// Whether the last 16 bytes of a message's slot are its trailer. A plain output's payload may
/// reach into them.
RK_FN constexpr bool has_trailer(const MessageHeader& header) {
  return !(header.dst == kHostId) || (header.flags & (kFlagTrailer | kFlagDead)) != 0;
}

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
