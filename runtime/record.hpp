// The snapshot stream: what device code serializes while it runs, and what the drain reads.
//
//   ring of a stream:  [hdr|payload][hdr|payload]....[pad hdr ~~~~~][hdr|payload]
//                       ^ credits                                   ^ wraps to 0        ^ published
//
// Invariants:
//  1. The commit word is the ring's published head, out of band: bytes at or above it are not data
//  yet.
//  2. Records start on 64 bytes and never wrap; a pad record fills the end of the ring.
//  3. A cut record precedes every other record of its epoch and stream. Parts of one unit follow
//  each other.
//  4. The checksum does not depend on how many lanes computed it.
#pragma once

#include <ringkernel/runtime/atomic.hpp>
#include <ringkernel/runtime/message.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rk {

inline constexpr std::uint32_t kRecordMagic = 0x31524B52;  // "RKR1"
inline constexpr std::uint32_t kRecordAlignment = 64;
inline constexpr std::uint64_t kMaxRecordPayload = 256 * 1024;  ///< a larger unit is sent in parts
inline constexpr std::uint64_t kMinSnapshotRingBytes = 4 * kMaxRecordPayload;

enum class RecordKind : std::uint32_t {
  pad = 0,      ///< skip `length` bytes
  cut = 1,      ///< CutPayload, then CutChannel[channels]
  slots = 2,    ///< a save unit or a part of one: [SlotHeader|state|field]*
  message = 3,  ///< message slot, then the bytes of its block if it has one
  end = 4,      ///< every save unit of this worker was dealt with; `count` places were unchanged
  read = 5,     ///< reply to a host read: one slot or a part of it; `epoch` is the request's number
  pages = 6,    ///< changed pages of a slot: SlotHeader, PagesPayload, the pages; see below
};

struct RecordHeader {
  std::uint32_t magic;
  RecordKind kind;
  std::uint32_t epoch;
  std::uint32_t stream;  ///< worker index; the H2K dispatcher's stream comes after the last worker
  std::uint32_t unit;    ///< save unit (slots), actor id (message: destination; read: the actor)
  std::uint32_t
      count;  ///< places in the record; channels in a cut; pages: 1 in a slot's last record
  std::uint64_t hlc;
  std::uint64_t part_offset;  ///< of this payload within the unit
  std::uint64_t unit_bytes;   ///< of the whole unit; equals `length` when sent in one part
  std::uint64_t length;       ///< payload bytes, without header and padding
  std::uint64_t checksum;     ///< record_checksum of the payload
};
static_assert(sizeof(RecordHeader) == 64 && std::is_trivially_copyable_v<RecordHeader>);
static_assert(offsetof(RecordHeader, hlc) == 24 && offsetof(RecordHeader, checksum) == 56);

/// Counters of one worker at its cut. The cut holds `slots` places of it, an actor lives in `live`
/// of them, and over all workers it holds sum(sent) - sum(received) messages in flight.
struct CutPayload {
  std::uint64_t live;
  std::uint64_t slots;
  std::uint64_t slot_bytes;
  std::uint64_t handled;
};
static_assert(sizeof(CutPayload) == 32);

/// One entry per peer: workers 0..n-1, then the host.
struct CutChannel {
  std::uint64_t sent;      ///< messages stamped by this worker for the peer before the cut
  std::uint64_t received;  ///< messages from the peer handled before the cut
};
static_assert(sizeof(CutChannel) == 16);

inline constexpr std::uint32_t kPagesPerRecord = 32;

/// In a `pages` record, after the SlotHeader: which pages of the slot's body (what follows its
/// header, see page_hash.hpp) follow, in order. A slot with many changed pages takes several
/// records, all but the last with `count` 0; `part_offset` is that of first_page in the body and
/// grows.
struct PagesPayload {
  std::uint32_t first_page;
  std::uint32_t mask;        ///< bit i: page first_page + i
  std::uint64_t body_bytes;  ///< of the whole slot: tells how long its last page is
};
static_assert(sizeof(PagesPayload) == 16);

/// Words of a stream that the host and the device share (in memory the host can reach).
struct StreamWords {
  alignas(
      64) std::uint64_t published;    ///< written by the worker: bytes of records that are complete
  alignas(64) std::uint64_t credits;  ///< written by the drain: bytes below it were copied out
  alignas(64) std::uint64_t stalls;   ///< times the worker had to wait for room
  std::uint64_t stalled_ticks;        ///< sum of these waits, in worker ticks
  std::uint64_t reserved[6];
};
static_assert(sizeof(StreamWords) == 192);

RK_FN constexpr std::uint64_t record_bytes(std::uint64_t payload_bytes) {
  return (sizeof(RecordHeader) + payload_bytes + kRecordAlignment - 1) / kRecordAlignment *
         kRecordAlignment;
}

/// Contribution of the 64-bit word at `position` (in words) to a record's checksum: the sum of
/// these modulo 2^64. The 32x32-bit product of the keyed halves is XXH3's accumulation step (Y.
/// Collet); a sum makes the order of lanes free.
RK_FN constexpr std::uint64_t checksum_mix(std::uint64_t word, std::uint64_t position) {
  const std::uint64_t keyed = word ^ ((position + 1) * 0x9E3779B97F4A7C15ull);
  return (keyed & 0xFFFFFFFFull) * (keyed >> 32) + word;
}

/// Copies `bytes` (a multiple of 8; both ends aligned to 8) and returns the lane's share of the
/// checksum. Lane `rank` of `size` takes the words rank, rank + size, ... `first_word` is the
/// position of the first word in the payload.
RK_FN inline std::uint64_t copy_with_checksum(std::byte* to, const std::byte* from,
                                              std::uint64_t bytes, std::uint32_t rank,
                                              std::uint32_t size, std::uint64_t first_word = 0) {
  auto* out = reinterpret_cast<RawWord*>(to);
  auto* in = reinterpret_cast<const RawWord*>(from);
  const std::uint64_t words = bytes / 8;
  std::uint64_t sum = 0;
  if (size == 1) {
    for (std::uint64_t i = 0; i < words; ++i) {
      const std::uint64_t word = in[i].value;
      out[i].value = word;
      sum += checksum_mix(word, first_word + i);
    }
    return sum;
  }
  // pairs of words: 16-byte accesses on the device
  struct __attribute__((may_alias, aligned(16))) Pair {
    std::uint64_t a, b;
  };
  const std::uint64_t pairs =
      (reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % 16 == 0
          ? words / 2
          : 0;
  for (std::uint64_t i = rank; i < pairs; i += size) {
    const Pair pair = reinterpret_cast<const Pair*>(in)[i];
    reinterpret_cast<Pair*>(out)[i] = pair;
    sum += checksum_mix(pair.a, first_word + 2 * i) + checksum_mix(pair.b, first_word + 2 * i + 1);
  }
  for (std::uint64_t i = 2 * pairs + rank; i < words; i += size) {
    out[i] = in[i];
    sum += checksum_mix(in[i].value, first_word + i);
  }
  return sum;
}

/// Checksum of a payload whose length is a multiple of 8; what the drain's writers compare with the
/// header.
inline std::uint64_t record_checksum(const std::byte* payload, std::uint64_t bytes) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < bytes / 8; ++i) {
    sum += checksum_mix(reinterpret_cast<const RawWord*>(payload)[i].value, i);
  }
  return sum;
}

/// Writing end of a stream's byte ring. One lane owns it; other lanes only fill the span it hands
/// out.
class SnapshotRing {
 public:
  SnapshotRing() = default;
  RK_FN SnapshotRing(std::byte* base, std::uint64_t capacity_bytes, StreamWords* words)
      : base_(base), capacity_(capacity_bytes), words_(words) {}

  /// Bytes in use, seen with fresh credits.
  RK_FN std::uint64_t used() {
    // acquire: the drain's reads below are over; pairs with its release of the credits
    credits_ = load_acquire<Scope::system>(words_->credits);
    return head_ - credits_;
  }
  RK_FN std::uint64_t capacity() const { return capacity_; }

  /// Bytes a record of this payload takes now, a pad record at the end of the ring included.
  RK_FN std::uint64_t need(std::uint64_t payload_bytes) const {
    const std::uint64_t bytes = record_bytes(payload_bytes);
    const std::uint64_t to_end = capacity_ - head_ % capacity_;
    return to_end < bytes ? to_end + bytes : bytes;
  }
  RK_FN bool has_room(std::uint64_t payload_bytes) {
    const std::uint64_t bytes = need(payload_bytes);
    return head_ + bytes - credits_ <= capacity_ || used() + bytes <= capacity_;
  }
  /// Place of the next record. Precondition: has_room(payload_bytes).
  RK_FN std::byte* reserve(std::uint64_t payload_bytes) {
    const std::uint64_t to_end = capacity_ - head_ % capacity_;
    if (to_end < record_bytes(payload_bytes)) {
      auto* pad = reinterpret_cast<RecordHeader*>(base_ + head_ % capacity_);
      *pad = RecordHeader{
          kRecordMagic, RecordKind::pad, 0, 0, 0, 0, 0, 0, 0, to_end - sizeof(RecordHeader), 0};
      head_ += to_end;
    }
    return base_ + head_ % capacity_;
  }
  /// Makes the reserved record visible. Precondition: every lane's writes happened before
  /// (group.sync()).
  RK_FN void publish(std::uint64_t payload_bytes) {
    head_ += record_bytes(payload_bytes);
    // release: publishes the record's bytes; pairs with the drain's acquire of `published`
    store_release<Scope::system>(words_->published, head_);
  }
  RK_FN StreamWords& words() const { return *words_; }

 private:
  std::byte* base_ = nullptr;
  std::uint64_t capacity_ = 0;
  StreamWords* words_ = nullptr;
  std::uint64_t head_ = 0;
  std::uint64_t credits_ = 0;
};

}  // namespace rk
