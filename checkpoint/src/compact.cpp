#include <ringkernel/checkpoint/compact.hpp>
#include <ringkernel/checkpoint/src/row_writer.hpp>

#include <map>

namespace rk::checkpoint {
namespace {

Result<void> write_rows(RowWriter& rows, const LoadedCheckpoint& loaded) {
  std::map<std::uint64_t, std::string_view> names;
  for (const ActorTypeInfo& type : loaded.manifest.types) names[region_id(type.name)] = type.name;
  for (const LoadedSlot& slot : loaded.slots) {
    RK_TRY(rows.add_slot({slot.id, names[slot.type_region], slot.type_region, slot.version},
                         slot.row, slot.state, slot.field));
  }
  for (const Grave& grave : loaded.graves) {
    RK_TRY(rows.add_grave({grave.id, names[grave.type_region], grave.type_region, grave.version},
                          grave.row));
  }
  for (const LoadedMessage& message : loaded.messages) {
    RK_TRY(rows.add_message(message.slot, message.block));
  }
  for (const LoadedMessage& output : loaded.outputs) {
    RK_TRY(rows.add_message(output.slot, output.block));
  }
  for (const auto& [worker, hlc] : loaded.clocks) RK_TRY(rows.add_clock(worker, hlc));
  return rows.add_host_state(loaded.host_state);
}

std::uint64_t count_chain(CheckpointDirectory& directory, Entry entry) {
  std::uint64_t count = 1;
  while (const auto parent = parent_of(entry)) {
    auto found = directory.verify({.name = *parent}, Depth::manifest);
    if (!found) break;
    entry = *std::move(found);
    ++count;
  }
  return count;
}

}  // namespace

Result<Compacted> compact(CheckpointDirectory& directory, const Entry& entry,
                          const CompactOptions& options) {
  RK_TRY_ASSIGN(const LoadedCheckpoint loaded, load_checkpoint(directory, entry));
  if (!loaded.manifest.parent) {
    return fail(ErrorCode::invalid_argument,
                entry.directory + " is a full checkpoint already: there is nothing to fold");
  }
  Compacted out;
  out.folded = count_chain(directory, {.name = entry.name, .manifest = loaded.manifest});
  RK_TRY_ASSIGN(out.epoch, directory.next_epoch());
  RK_TRY_ASSIGN(CheckpointWriter writer, directory.begin(out.epoch, entry.name.run_id));
  out.directory = writer.directory();

  RowWriter rows(
      writer.make_shard_set(shard_metadata(loaded.manifest.run_id, loaded.manifest.executor,
                                           loaded.manifest.epoch, loaded.manifest.hlc),
                            {.shard_bytes = options.shard_bytes,
                             .created_at_us = loaded.manifest.created_at_us,
                             .compression = options.compression}));
  Manifest manifest = loaded.manifest;
  manifest.parent.reset();
  manifest.shards.clear();
  const auto write = [&]() -> Result<Manifest> {
    RK_TRY(write_rows(rows, loaded));
    RK_TRY_ASSIGN(manifest.shards, rows.finish());
    manifest.content_digest = rows.digest().value();
    return writer.commit(manifest);
  };
  auto committed = write();
  if (!committed) {
    writer.abandon();
    return unexpected(committed.error());
  }
  out.bytes = committed->shard_bytes();
  return out;
}

}  // namespace rk::checkpoint
