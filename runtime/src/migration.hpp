// Bringing a loaded checkpoint to the layouts of the program that restores it.
#pragma once

#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <string>
#include <vector>

namespace rk {

/// What a slot may take: a checkpoint file holds 1 GiB.
inline constexpr std::uint64_t kMaxSlotBytes = 512ull << 20;

/// Replaces state and field of every slot that an older version of its type saved by what the
/// type's migration function makes of it, and brings the places of the dead to the same layout. A
/// Lifeline and its links are kept; the copy to restart from becomes the migrated state and field.
/// Slots of unknown types stay as they are. Returns one line per type and version that was
/// migrated. `incompatible`, with what to do, when a layout is not this program's and no function
/// takes it over, or the function refuses.
[[nodiscard]] Result<std::vector<std::string>> migrate_slots(
    checkpoint::LoadedCheckpoint& checkpoint, const ProgramInfo& program);

}  // namespace rk
