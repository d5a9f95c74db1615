// A checkpoint in memory, ready to be laid out for any number of workers.
//
// Rows as the drain's writers put them into shards:
//   DeviceMemory chunk, id = region_id(actor type name), one row per slot:  SlotRow, then state,
//   then trailing field; in an increment also rows with the flag kRowPages: SlotRow, PagesPayload,
//   then the pages it names
//   H2KQueue / K2HQueue / K2KRouting chunk, one row per message in flight:
//   message slot, then the block's bytes HlcState chunk: one row per worker clock.   Custom chunk,
//   id = region_id("ringkernel.host_state"): the app's bytes
#pragma once

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/runtime/message.hpp>

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
  std::uint32_t reserved;
  std::uint64_t handled;
  std::uint64_t hlc;
};
static_assert(sizeof(SlotRow) == 32);

/// RowHeader::flags of a slot's row: changed pages over what the parent checkpoint holds.
inline constexpr std::uint32_t kRowPages = 1;

struct LoadedSlot {
  ActorId id;
  std::uint64_t type_region = 0;  ///< region_id of the type's name
  std::uint32_t version = 0;
  SlotRow row{};
  std::span<const std::byte> state;
  std::span<const std::byte> field;
};

struct LoadedMessage {
  std::span<const std::byte> slot;   ///< message_slot_bytes long, header first
  std::span<const std::byte> block;  ///< empty if none is attached
};

/// Owns the bytes its spans point into.
struct LoadedCheckpoint {
  Manifest manifest;
  std::string directory;
  std::vector<LoadedSlot> slots;  ///< by id
  std::vector<LoadedMessage>
      messages;  ///< to actors, per (source, destination) in source-sequence order
  std::vector<LoadedMessage> outputs;  ///< to the host, in the same order
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
