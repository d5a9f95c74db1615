// What trails the field of a supervised or linked actor: its Lifeline, its links and the copy it
// restarts from. One set of functions for the device, which keeps them up to date, and for the
// host, which writes the first ones.
//
//   slot: header | state | field | Lifeline | Link[max_links] | copy of state | copy of field
#pragma once

#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <cstddef>
#include <cstdint>

namespace rk {

/// View of one slot's trail. `layout` is its type's and has a Lifeline.
class Trail {
 public:
  RK_FN Trail(SlotHeader& slot, const TrailLayout& layout)
      : slot_(slot), layout_(layout), field_bytes_(layout.field_bytes(slot.field_bytes)) {}

  RK_FN Lifeline& lifeline() const { return *reinterpret_cast<Lifeline*>(base()); }
  RK_FN Link* links() const { return reinterpret_cast<Link*>(base() + sizeof(Lifeline)); }
  [[nodiscard]] RK_FN std::uint32_t max_links() const { return layout_.max_links; }
  [[nodiscard]] RK_FN bool is_supervised() const {
    return layout_.supervised && !(lifeline().supervisor == kNoActor);
  }

  /// At the spawn, when state and field are there.
  RK_FN void begin(const SpawnPolicy& policy) const {
    lifeline() = Lifeline{policy.supervisor, policy.restart, policy.max_tries, 0, 0, 0};
    for (std::uint32_t i = 0; i < layout_.max_links; ++i)
      links()[i] = Link{kNoActor, LinkKind::none};
    keep_copy();
  }
  /// State and field as they are become what the actor restarts from.
  RK_FN void keep_copy() const { copy(true); }
  /// State and field become what they were.
  RK_FN void restore_copy() const { copy(false); }

  /// False if all places are taken. A link that is there already is not added twice.
  RK_FN bool add(const Link& link) const {
    Link* free = nullptr;
    for (std::uint32_t i = 0; i < layout_.max_links; ++i) {
      Link& at = links()[i];
      if (at.peer == link.peer && at.kind == link.kind) return true;
      if (at.kind == LinkKind::none && free == nullptr) free = &at;
    }
    if (free == nullptr) return false;
    *free = link;
    return true;
  }
  RK_FN void remove(const Link& link) const {
    for (std::uint32_t i = 0; i < layout_.max_links; ++i) {
      Link& at = links()[i];
      if (at.peer == link.peer && at.kind == link.kind) at = Link{kNoActor, LinkKind::none};
    }
  }

 private:
  RK_FN std::byte* base() const { return slot_field(&slot_) + field_bytes_; }
  RK_FN void copy(bool keep) const {
    if (!layout_.supervised) return;
    std::byte* live = slot_state(&slot_);
    std::byte* kept = base() + layout_.lifeline_bytes();
    const std::uint64_t bytes = align_up(slot_.state_bytes, kSlotAlignment) + field_bytes_;
    auto* to = reinterpret_cast<RawWord*>(keep ? kept : live);
    auto* from = reinterpret_cast<const RawWord*>(keep ? live : kept);
    for (std::uint64_t i = 0; i < bytes / 8; ++i) to[i] = from[i];
  }

  SlotHeader& slot_;
  const TrailLayout layout_;
  std::uint32_t field_bytes_;
};

}  // namespace rk
