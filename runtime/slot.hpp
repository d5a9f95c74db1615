// Actor slots and save units, as they lie in a worker's memory.
//
//   worker's slot memory:  [ unit 0                     ][ unit 1 ][ unit 2 ...
//   a unit:                [header|state|field][header|state|field]...      each slot starts on 16
//   bytes
//
// A save unit is what copy-before-write copies at once: one slot, or about kUnitBytes of
// neighbouring small slots of one type. Its bytes are contiguous, headers included, so saving it is
// one copy.
#pragma once

#include <ringkernel/runtime/message.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rk {

inline constexpr std::uint32_t kUnitBytes = 4096;
inline constexpr std::uint32_t kSlotAlignment = 16;

RK_FN constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

struct SlotHeader {
  ActorId id;
  std::uint32_t type;  ///< index into the program's actor types
  std::uint32_t unit;  ///< the worker's save unit that holds this slot
  std::uint32_t state_bytes;
  std::uint32_t field_bytes;      ///< trailing field, starts at align_up(state_bytes, 16)
  std::uint32_t source_sequence;  ///< number of the newest message sent by this actor
  std::uint32_t stashed;          ///< messages set aside; transient, counted anew from the stash
  std::uint32_t touched_epoch;  ///< colour of its worker at the newest handler; 0: none in this run
  std::uint64_t handled;        ///< messages handled by this actor since it was spawned
  std::uint64_t hlc;            ///< stamp of the newest handled message
};
static_assert(sizeof(SlotHeader) == 48 && std::is_trivially_copyable_v<SlotHeader>);
static_assert(offsetof(SlotHeader, handled) == 32);

/// Bytes of a slot with its header, from the start of this slot to the start of the next.
RK_FN constexpr std::uint64_t slot_stride(std::uint64_t state_bytes, std::uint64_t field_bytes) {
  return sizeof(SlotHeader) + align_up(state_bytes, kSlotAlignment) +
         align_up(field_bytes, kSlotAlignment);
}
RK_FN inline std::byte* slot_state(SlotHeader* slot) {
  return reinterpret_cast<std::byte*>(slot) + sizeof(SlotHeader);
}
RK_FN inline std::byte* slot_field(SlotHeader* slot) {
  return slot_state(slot) + align_up(slot->state_bytes, kSlotAlignment);
}

struct PageHashes;

struct SaveUnit {
  std::byte* base;
  std::uint64_t bytes;
  std::uint32_t slots;
  std::uint32_t saved_epoch;  ///< epoch of the newest cut that holds a copy of it
  PageHashes* hashes;         ///< of the one slot in it; null: saved whole or slot by slot
};
static_assert(sizeof(SaveUnit) == 32);

/// Visits the slots of a unit in order: visit(slot, stride).
template <class Visit>
RK_FN void for_each_slot(const SaveUnit& unit, Visit visit) {
  std::byte* at = unit.base;
  for (std::uint32_t i = 0; i < unit.slots; ++i) {
    auto& slot = *reinterpret_cast<SlotHeader*>(at);
    const std::uint64_t stride = slot_stride(slot.state_bytes, slot.field_bytes);
    visit(slot, stride);
    at += stride;
  }
}

/// Where an actor lives. One entry per index, read by every worker, written only while nothing
/// runs.
struct ActorEntry {
  SlotHeader* slot;  ///< null: never spawned
  std::uint32_t worker;
  std::uint32_t generation;
};
static_assert(sizeof(ActorEntry) == 16);

}  // namespace rk
