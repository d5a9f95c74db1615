// A checkpoint in memory, ready to be laid out for any number of workers.
//
// Rows as the drain's writers put them into shards:
//   DeviceMemory chunk, id = region_id(actor type name), one row per actor:  SlotRow, then state,
//   then trailing field; with the flag kRowGrave a dead one's SlotRow alone; in an increment also
//   rows with the flag kRowPages: SlotRow, PagesPayload, then the pages it names
//   H2KQueue / K2HQueue / K2KRouting chunk, one row per message in flight: message slot, then the
//   block's bytes. What is_to_host() is in K2HQueue, of the others what the host sent in H2KQueue.
//   HlcState chunk: one row per worker clock.
//   Custom chunk, id = region_id("ringkernel.host_state"): the app's bytes
//
// Rows are merged by actor index: the newest one of an index says who lives there or whose grave it
// is. Along a chain the generation of an index never falls, its type never changes, and who is dead
// stays dead.
#pragma once

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rk::checkpoint {

/// Head of a slot's row payload: what of SlotHeader outlives a run. State and field follow without
/// padding.
struct SlotRow {
  std::uint32_t state_bytes;
  std::uint32_t field_bytes;
  std::uint32_t source_sequence;
  std::uint32_t flags;  ///< kSlot...; of them kKeptSlotFlags
  std::uint64_t handled;
  std::uint64_t hlc;
};
static_assert(sizeof(SlotRow) == 32);

/// RowHeader::flags of a slot's row: changed pages over what the parent checkpoint holds.
inline constexpr std::uint32_t kRowPages = 1;
/// The row's actor is dead and nobody has its place.
inline constexpr std::uint32_t kRowGrave = 2;

/// What of a slot's flags outlives a run.
inline constexpr std::uint16_t kKeptSlotFlags = kSlotSuspended | kSlotStepTimers;
/// What of a message's flags outlives a run. The others describe the queue it was in.
inline constexpr std::uint8_t kKeptMessageFlags =
    kFlagBlock | kFlagTrailer | kFlagControl | kFlagSystem | kFlagDead;

struct LoadedSlot {
  ActorId id;
  std::uint64_t type_region = 0;  ///< region_id of the type's name
  std::uint32_t version = 0;
  SlotRow row{};
  std::span<const std::byte> state;
  std::span<const std::byte> field;
};

/// Place of an actor that is dead. Its id must not come back.
struct Grave {
  ActorId id;
  std::uint64_t type_region = 0;
  std::uint32_t version = 0;
  SlotRow row{};  ///< of the place; `source_sequence` as the dead one left it
};

struct LoadedMessage {
  /// message_slot_bytes long, header first. `from` and `to` of its Route are 0.
  std::span<const std::byte> slot;
  std::span<const std::byte> block;  ///< empty if none is attached
};

/// Owns the bytes its spans point into.
struct LoadedCheckpoint {
  Manifest manifest;
  std::string directory;
  std::vector<LoadedSlot> slots;  ///< by id
  std::vector<Grave> graves;      ///< by id
  std::vector<LoadedMessage>
      messages;  ///< to actors, per (source, destination) in source-sequence order
  std::vector<LoadedMessage> outputs;  ///< to the host, dead letters among them, in the same order
  std::vector<std::byte> host_state;
  std::map<std::uint32_t, std::uint64_t> clocks;  ///< by worker, and the host's under its id
  std::uint64_t max_hlc = 0;                      ///< no stamp in the checkpoint exceeds it
  std::vector<std::shared_ptr<const std::vector<std::byte>>> storage;
};

/// Reads a checkpoint that `directory` lists as valid. Verifies shard hashes and that counts agree
/// with the manifest.
[[nodiscard]] Result<LoadedCheckpoint> load_checkpoint(const CheckpointDirectory& directory,
                                                       const Entry& entry);

}  // namespace rk::checkpoint
