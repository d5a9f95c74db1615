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

/// State of a slot. A slot is one actor index's place for good, unless the actor moves to another
/// worker.
inline constexpr std::uint16_t kSlotFree = 1;       ///< no actor lives here
inline constexpr std::uint16_t kSlotGrave = 2;      ///< with kSlotFree: `id` lived here and is dead
inline constexpr std::uint16_t kSlotSuspended = 4;  ///< failed: handles nothing until restarted
inline constexpr std::uint16_t kSlotStepTimers = 8;  ///< set timers that count its messages
inline constexpr std::uint16_t kSlotInBatch = 16;    ///< its handler runs or is about to

struct SlotHeader {
  ActorId id;           ///< free: the dead one's (kSlotGrave), else generation 0
  std::uint16_t type;   ///< index into the program's actor types
  std::uint16_t flags;  ///< kSlot...
  std::uint32_t unit;   ///< the worker's save unit that holds this slot
  std::uint32_t state_bytes;
  std::uint32_t field_bytes;      ///< all that trails the state, from align_up(state_bytes, 16) on:
                                  ///< the actor's field, then its type's extra_bytes
  std::uint32_t source_sequence;  ///< number of the newest message sent by this actor
  std::uint16_t stashed;          ///< messages set aside; transient, counted anew from the stash
  std::uint16_t stash_pass;       ///< newest look through the stash that passed one over; transient
  std::uint32_t touched_epoch;  ///< colour of its worker at the newest handler; 0: none in this run
  std::uint64_t handled;        ///< messages handled by this actor since it was spawned
  std::uint64_t hlc;            ///< stamp of the newest handled message
};
static_assert(sizeof(SlotHeader) == 48 && std::is_trivially_copyable_v<SlotHeader>);
static_assert(offsetof(SlotHeader, handled) == 32);

/// True for a grave whose generations are all given out: its place is never used again.
RK_FN constexpr bool is_used_up(ActorId id, std::uint16_t flags) {
  return (flags & kSlotGrave) != 0 && id.generation() >= 0xFFFu - 1;
}

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

/// `generation` of an entry without a slot or with a free one: no id has it.
inline constexpr std::uint32_t kNoGeneration = 0xFFFFFFFFu;

/// Where an actor lives on its worker, to whom the entry belongs while the program runs. One per
/// index. Which worker that is stands elsewhere (SystemView::owners).
struct ActorEntry {
  SlotHeader* slot;  ///< null: no place for this index
  std::uint32_t generation;
  std::uint32_t reserved;
};
static_assert(sizeof(ActorEntry) == 16);

}  // namespace rk
