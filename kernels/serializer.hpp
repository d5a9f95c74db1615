// The snapshot serializer of one stream: writes cut, slot, message and read records into the
// stream's ring.
//
// Invariants:
//  1. While a cut is open, a save unit is written before its next handler runs, or by the
//  background share; once per cut.
//  2. A full ring makes the worker wait (counted) until the drain frees room or the host closes the
//  cut.
//  3. What is published was written by all lanes before: copy, group.sum() (a barrier), then one
//  lane's release.
#pragma once

#include <ringkernel/runtime/page_hash.hpp>
#include <ringkernel/runtime/system.hpp>
#include <ringkernel/runtime/wait.hpp>

namespace rk {

class Serializer {
 public:
  Serializer() = default;
  RK_FN Serializer(const SystemView& system, std::uint32_t stream, std::byte* ring,
                   StreamWords* words)
      : ring_(ring, system.capacity.snapshot_ring_bytes, words),
        control_(system.host_control),
        stream_(stream) {}

  [[nodiscard]] RK_FN std::uint32_t epoch() const { return epoch_; }
  RK_FN SnapshotRing& ring() { return ring_; }

  /// Room that the background share may use: half of the ring stays for copy-before-write.
  RK_FN bool has_background_room(std::uint64_t payload_bytes) {
    const std::uint64_t bytes = ring_.need(payload_bytes);
    return ring_.used() + bytes <= ring_.capacity() / 2 + kMaxRecordPayload &&
           ring_.has_room(payload_bytes);
  }

  /// Lane 0: starts the records of a new epoch.
  RK_FN void begin(std::uint32_t epoch) { epoch_ = epoch; }

  /// Lane 0: a record whose payload is written by one lane (cut, end).
  template <class Fill>
  RK_FN void write_small(RecordKind kind, std::uint32_t count, std::uint64_t hlc,
                         std::uint64_t payload_bytes, Fill fill) {
    std::byte* place = wait_for_room(payload_bytes, epoch_);
    if (place == nullptr) return;
    std::byte* payload = place + sizeof(RecordHeader);
    fill(payload);
    const std::uint64_t sum = copy_with_checksum(payload, payload, payload_bytes, 0, 1);
    header(place) = RecordHeader{kRecordMagic, kind, epoch_,        stream_,       0,  count,
                                 hlc,          0,    payload_bytes, payload_bytes, sum};
    ring_.publish(payload_bytes);
  }

  /// Collective: copies `bytes` from `from` as records of `kind`, in parts if it is large. False if
  /// the cut was closed meanwhile. `number` is the epoch, or the number of the read request.
  template <class Group>
  RK_FN bool write_bytes(Group& group, RecordKind kind, std::uint32_t number, std::uint32_t unit,
                         std::uint32_t count, const std::byte* from, std::uint64_t bytes) {
    for (std::uint64_t offset = 0; offset < bytes; offset += kMaxRecordPayload) {
      const std::uint64_t left = bytes - offset;
      const std::uint64_t length = left < kMaxRecordPayload ? left : kMaxRecordPayload;
      std::byte* place = nullptr;
      if (group.rank() == 0) place = wait_for_room(length, kind == RecordKind::read ? 0 : number);
      place = group.broadcast(place);
      if (place == nullptr) return false;
      const std::uint64_t sum = group.sum(copy_with_checksum(
          place + sizeof(RecordHeader), from + offset, length, group.rank(), group.size()));
      if (group.rank() == 0) {
        header(place) = RecordHeader{kRecordMagic, kind,  number, stream_, unit, count, 0,
                                     offset,       bytes, length, sum};
        ring_.publish(length);
      }
    }
    return true;
  }

  /// Collective: the slots of `unit` that were touched since the cut `parent`, in one record.
  /// Precondition: there is one, and the unit is small. False if the cut was closed meanwhile.
  template <class Group>
  RK_FN bool write_touched(Group& group, const SaveUnit& unit, std::uint32_t index,
                           std::uint32_t parent, std::uint32_t count, std::uint64_t bytes) {
    std::byte* place = nullptr;
    if (group.rank() == 0) place = wait_for_room(bytes, epoch_);
    place = group.broadcast(place);
    if (place == nullptr) return false;
    std::byte* payload = place + sizeof(RecordHeader);
    std::uint64_t sum = 0;
    std::uint64_t at = 0;
    for_each_slot(unit, [&](const SlotHeader& slot, std::uint64_t stride) {
      if (slot.touched_epoch < parent) return;
      sum += copy_with_checksum(payload + at, reinterpret_cast<const std::byte*>(&slot), stride,
                                group.rank(), group.size(), at / 8);
      at += stride;
    });
    publish_collective(group, place, RecordKind::slots, index, count, 0, bytes, bytes, sum);
    return true;
  }

  /// Collective: the slot's header and those pages of its body that `pages` names. False if the cut
  /// was closed meanwhile.
  template <class Group>
  RK_FN bool write_pages(Group& group, const SaveUnit& unit, std::uint32_t index,
                         const PagesPayload& pages, bool is_last) {
    constexpr std::uint64_t kHead = sizeof(SlotHeader) + sizeof(PagesPayload);
    const std::byte* body = unit.base + sizeof(SlotHeader);
    std::uint64_t bytes = kHead;
    for_each_page(pages, [&](std::uint64_t, std::uint64_t length) { bytes += length; });
    std::byte* place = nullptr;
    if (group.rank() == 0) place = wait_for_room(bytes, epoch_);
    place = group.broadcast(place);
    if (place == nullptr) return false;
    std::byte* payload = place + sizeof(RecordHeader);
    std::uint64_t sum =
        copy_with_checksum(payload, unit.base, sizeof(SlotHeader), group.rank(), group.size());
    if (group.rank() == 0) {
      sum += copy_with_checksum(payload + sizeof(SlotHeader),
                                reinterpret_cast<const std::byte*>(&pages), sizeof(pages), 0, 1,
                                sizeof(SlotHeader) / 8);
    }
    std::uint64_t at = kHead;
    for_each_page(pages, [&](std::uint64_t offset, std::uint64_t length) {
      sum += copy_with_checksum(payload + at, body + offset, length, group.rank(), group.size(),
                                at / 8);
      at += length;
    });
    publish_collective(group, place, RecordKind::pages, index, is_last ? 1 : 0,
                       std::uint64_t{pages.first_page} * kPageBytes, pages.body_bytes, bytes, sum);
    return true;
  }

  /// Collective: records a message that crosses the cut, with the block that belongs to it.
  template <class Group>
  RK_FN bool write_message(Group& group, const SystemView& system, const MessageView& message,
                           const std::byte* block) {
    const std::uint64_t inline_bytes = system.message_slot_bytes;
    const std::uint64_t block_bytes = block != nullptr ? align_up(message.block().bytes, 8) : 0;
    const std::uint64_t bytes = inline_bytes + block_bytes;
    std::byte* place = nullptr;
    if (group.rank() == 0) place = wait_for_room(bytes, epoch_);
    place = group.broadcast(place);
    if (place == nullptr) return false;
    std::byte* payload = place + sizeof(RecordHeader);
    std::uint64_t sum =
        copy_with_checksum(payload, message.slot, inline_bytes, group.rank(), group.size());
    if (block_bytes != 0) {
      sum += copy_with_checksum(payload + inline_bytes, block, block_bytes, group.rank(),
                                group.size(), inline_bytes / 8);
    }
    sum = group.sum(sum);
    if (group.rank() == 0) {
      header(place) = RecordHeader{kRecordMagic,
                                   RecordKind::message,
                                   epoch_,
                                   stream_,
                                   message.header().dst.word,
                                   1,
                                   message.header().hlc,
                                   0,
                                   bytes,
                                   bytes,
                                   sum};
      ring_.publish(bytes);
    }
    return true;
  }

 private:
  template <class Visit>
  RK_FN static void for_each_page(const PagesPayload& pages, Visit visit) {
    for (std::uint32_t i = 0; i < kPagesPerRecord; ++i) {
      if ((pages.mask >> i & 1u) == 0) continue;
      const std::uint64_t offset = std::uint64_t{pages.first_page + i} * kPageBytes;
      visit(offset, page_bytes(pages.body_bytes, offset));
    }
  }

  /// Collective: `sum` is the lane's share of the payload's checksum.
  template <class Group>
  RK_FN void publish_collective(Group& group, std::byte* place, RecordKind kind, std::uint32_t unit,
                                std::uint32_t count, std::uint64_t part_offset,
                                std::uint64_t unit_bytes, std::uint64_t length, std::uint64_t sum) {
    sum = group.sum(sum);
    if (group.rank() != 0) return;
    header(place) = RecordHeader{kRecordMagic, kind,       epoch_, stream_, unit, count, 0,
                                 part_offset,  unit_bytes, length, sum};
    ring_.publish(length);
  }

  RK_FN static RecordHeader& header(std::byte* place) {
    return *reinterpret_cast<RecordHeader*>(place);
  }

  /// Lane 0: the place of the next record; null once `epoch` is closed (0: never) or the run stops.
  RK_FN std::byte* wait_for_room(std::uint64_t payload_bytes, std::uint32_t epoch) {
    if (!ring_.has_room(payload_bytes)) {
      const std::uint64_t start = ticks();
      StreamWords& words = ring_.words();
      store_relaxed<Scope::system>(words.stalls,
                                   load_relaxed<Scope::system>(words.stalls) + 1);  // a counter
      Backoff backoff;
      while (!ring_.has_room(payload_bytes)) {
        if (gone(epoch)) return nullptr;
        backoff.wait();
      }
      store_relaxed<Scope::system>(
          words.stalled_ticks, load_relaxed<Scope::system>(words.stalled_ticks) + ticks() - start);
    }
    return ring_.reserve(payload_bytes);
  }
  /// Asks the host itself: the dispatcher may be waiting behind this very stall.
  RK_FN bool gone(std::uint32_t epoch) const {
    // acquire: pairs with the host's release of the version
    load_acquire<Scope::system>(control_->version);
    if (load_relaxed<Scope::system>(control_->run_state) ==
        static_cast<std::uint32_t>(RunState::stopping))
      return true;
    return epoch != 0 && load_relaxed<Scope::system>(control_->closed_epoch) >= epoch;
  }

  SnapshotRing ring_;
  HostControl* control_ = nullptr;
  std::uint32_t stream_ = 0;
  std::uint32_t epoch_ = 0;
};

}  // namespace rk
