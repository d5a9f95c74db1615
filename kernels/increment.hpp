// Increments: what of a save unit goes into a cut that is an increment of a durable one, its
// parent.
//
//   untouched since the parent's cut      -> nothing, exactly (SlotHeader::touched_epoch)
//   several small slots in the unit       -> the touched slots, whole
//   one slot, larger than a page          -> its header and the pages whose hash changed
//   no hashes of the parent's cut         -> all of it
//
// Invariants:
//  1. A slot is touched since the cut p if its newest handler ran in colour p or a later one:
//     the cut p holds what was before.
//  2. Lane 0 alone reads and writes hash tables; the other lanes learn masks by broadcast.
#pragma once

#include <ringkernel/kernels/serializer.hpp>
#include <ringkernel/runtime/page_hash.hpp>

namespace rk {

/// Slots of a unit that must go into an increment, and their bytes.
struct Touched {
  std::uint32_t slots = 0;
  std::uint64_t bytes = 0;
};

RK_FN inline Touched touched_since(const SaveUnit& unit, std::uint32_t parent) {
  Touched touched;
  const std::uint32_t from = planted(Mutant::touch_forgotten) ? parent + 1 : parent;
  for_each_slot(unit, [&](const SlotHeader& slot, std::uint64_t stride) {
    if (slot.touched_epoch < from) return;
    ++touched.slots;
    touched.bytes += stride;
  });
  return touched;
}

/// Saves units of one worker for the open cut.
class IncrementWriter {
 public:
  RK_FN explicit IncrementWriter(Serializer& serializer) : serializer_(serializer) {}

  /// Collective: writes the part of `unit` that the cut needs; `parent` is 0 for all of it. Lane 0
  /// learns how many slots of it were left out; every lane whether the cut is still open.
  template <class Group>
  RK_FN bool write(Group& group, SaveUnit& unit, std::uint32_t index, std::uint32_t parent,
                   std::uint32_t& unchanged) {
    unchanged = 0;
    if (unit.hashes != nullptr) return write_paged(group, unit, index, parent);
    if (parent == 0) return write_whole(group, unit, index);
    const Touched touched = touched_since(unit, parent);
    unchanged = unit.slots - touched.slots;
    if (unchanged == 0) return write_whole(group, unit, index);
    return serializer_.write_touched(group, unit, index, parent, touched.slots, touched.bytes);
  }

 private:
  template <class Group>
  RK_FN bool write_whole(Group& group, const SaveUnit& unit, std::uint32_t index) {
    return serializer_.write_bytes(group, RecordKind::slots, serializer_.epoch(), index, unit.slots,
                                   unit.base, unit.bytes);
  }

  template <class Group>
  RK_FN bool write_paged(Group& group, SaveUnit& unit, std::uint32_t index, std::uint32_t parent) {
    std::uint32_t base = 2;
    if (group.rank() == 0 && parent != 0) base = baseline_set(*unit.hashes, parent);
    base = group.broadcast(base);
    const std::uint32_t target = base == 0 ? 1 : 0;
    if (group.rank() == 0) unit.hashes->epoch[target] = 0;
    bool written = false;
    if (base == 2) {
      hash_all(group, unit, target);
      written = write_whole(group, unit, index);
    } else {
      written = write_changed(group, unit, index, base, target);
    }
    if (group.rank() == 0 && written) unit.hashes->epoch[target] = serializer_.epoch();
    return written;
  }

  /// Pages of one record's stretch that differ from the baseline; fills the target set.
  template <class Group>
  RK_FN std::uint32_t hash_stretch(Group& group, SaveUnit& unit, std::uint64_t body_bytes,
                                   std::uint32_t first_page, std::uint32_t base,
                                   std::uint32_t target) {
    const std::byte* body = unit.base + sizeof(SlotHeader);
    std::uint32_t mask = 0;
    for (std::uint32_t i = 0; i < kPagesPerRecord; ++i) {
      const std::uint64_t page = first_page + i;
      const std::uint64_t offset = page * kPageBytes;
      if (offset >= body_bytes) break;
      PageHash hash = page_hash_share(body + offset, page_bytes(body_bytes, offset), group.rank(),
                                      group.size());
      hash.low = group.sum(hash.low);
      hash.high = group.sum(hash.high);
      if (group.rank() != 0) continue;
      page_hash_set(unit.hashes, target)[page] = hash;
      if (base == 2) continue;
      const PageHash& old = page_hash_set(unit.hashes, base)[page];
      if (old.low != hash.low || old.high != hash.high) mask |= 1u << i;
    }
    return group.broadcast(mask);
  }

  template <class Group>
  RK_FN void hash_all(Group& group, SaveUnit& unit, std::uint32_t target) {
    const std::uint64_t body = unit.bytes - sizeof(SlotHeader);
    for (std::uint64_t page = 0; page * kPageBytes < body; page += kPagesPerRecord) {
      hash_stretch(group, unit, body, static_cast<std::uint32_t>(page), 2, target);
    }
  }

  /// A stretch is written when the next one with changes is known, because the last record of a
  /// slot says that it is the last.
  template <class Group>
  RK_FN bool write_changed(Group& group, SaveUnit& unit, std::uint32_t index, std::uint32_t base,
                           std::uint32_t target) {
    PagesPayload pending{0, 0, unit.bytes - sizeof(SlotHeader)};
    for (std::uint64_t page = 0; page * kPageBytes < pending.body_bytes; page += kPagesPerRecord) {
      const auto first = static_cast<std::uint32_t>(page);
      const std::uint32_t mask = hash_stretch(group, unit, pending.body_bytes, first, base, target);
      if (mask == 0) continue;
      if (pending.mask != 0 && !serializer_.write_pages(group, unit, index, pending, false))
        return false;
      pending.first_page = first;
      pending.mask = mask;
    }
    return serializer_.write_pages(group, unit, index, pending, true);
  }

  Serializer& serializer_;
};

}  // namespace rk
