#include "migration.hpp"

#include <cstring>
#include <map>
#include <memory>

namespace rk {
namespace {

using Storage = std::vector<std::byte>;

std::string layout(std::uint32_t version, std::uint64_t bytes) {
  return "version " + std::to_string(version) + " (" + std::to_string(bytes) + " bytes)";
}

unexpected refused(const ActorTypeInfo& type, const checkpoint::LoadedSlot& slot,
                   const std::string& what_to_do) {
  return fail(ErrorCode::incompatible, "the checkpoint holds '" + type.name + "' " +
                                           layout(slot.version, slot.state.size()) +
                                           "; this program has " +
                                           layout(type.version, type.state_bytes) + what_to_do);
}

Result<void> check_layout(const ActorTypeInfo& type, const checkpoint::LoadedSlot& slot) {
  if (slot.version == type.version) {
    if (slot.state.size() == type.state_bytes) return {};
    return refused(type, slot,
                   ": a changed layout needs a greater `version` and a `migrate` function that "
                   "takes the older one over (runtime/migrate.hpp)");
  }
  if (slot.version > type.version) {
    return refused(type, slot, ": use the newer program that wrote it, or another directory");
  }
  if (type.migrate == nullptr) {
    return refused(type, slot,
                   ": write `static rk::Result<void> migrate(std::uint32_t from_version, "
                   "std::span<const std::byte> old_state, T& out)` in that actor type "
                   "(runtime/migrate.hpp), or use the program version that wrote it");
  }
  return {};
}

/// The migrated states of one type, one after the other.
struct Target {
  const ActorTypeInfo* type = nullptr;
  std::map<std::uint32_t, std::uint64_t> actors;  ///< by version
  std::shared_ptr<Storage> states{};
  std::uint64_t used_bytes = 0;
};

Result<void> migrate_slot(Target& target, checkpoint::LoadedSlot& slot,
                          checkpoint::LoadedCheckpoint& checkpoint) {
  const ActorTypeInfo& type = *target.type;
  const auto state =
      std::span<std::byte>(*target.states).subspan(target.used_bytes, type.state_bytes);
  Storage field;  // stays empty, and costs nothing, where the function leaves it alone
  if (type.migrates_field) field.assign(slot.field.begin(), slot.field.end());
  if (auto done = type.migrate(slot.version, slot.state, state, field); !done) {
    return fail(ErrorCode::incompatible,
                "actor " + std::to_string(slot.id.index()) + ": '" + type.name + "' " +
                    layout(slot.version, slot.state.size()) + " was not taken over into " +
                    layout(type.version, type.state_bytes) +
                    " by its migrate function: " + done.error().message);
  }
  if (type.migrates_field) {
    if (field.size() > kMaxSlotBytes ||
        slot_stride(type.state_bytes, field.size()) > kMaxSlotBytes) {
      return fail(ErrorCode::incompatible, "actor " + std::to_string(slot.id.index()) + ": '" +
                                               type.name +
                                               "' came out of its migrate function "
                                               "larger than the 512 MiB an actor may take");
    }
    const auto kept = std::make_shared<const Storage>(std::move(field));
    slot.field = *kept;
    slot.row.field_bytes = static_cast<std::uint32_t>(kept->size());
    checkpoint.storage.push_back(kept);
  }
  target.used_bytes += type.state_bytes;
  slot.state = state;
  slot.row.state_bytes = type.state_bytes;
  slot.version = type.version;
  return {};
}

}  // namespace

Result<std::vector<std::string>> migrate_slots(checkpoint::LoadedCheckpoint& checkpoint,
                                               const ProgramInfo& program) {
  std::map<std::uint64_t, Target> targets;
  for (const ActorTypeInfo& type : program.types) {
    targets[checkpoint::region_id(type.name)].type = &type;
  }
  for (const checkpoint::LoadedSlot& slot : checkpoint.slots) {
    const auto target = targets.find(slot.type_region);
    if (target == targets.end()) continue;
    RK_TRY(check_layout(*target->second.type, slot));
    if (slot.version != target->second.type->version) ++target->second.actors[slot.version];
  }
  std::vector<std::string> told;
  for (auto& [region, target] : targets) {
    if (target.actors.empty()) continue;
    std::uint64_t count = 0;
    for (const auto& [version, actors] : target.actors) {
      count += actors;
      told.push_back("'" + target.type->name + "': " + std::to_string(actors) +
                     (actors == 1 ? " actor" : " actors") + " from version " +
                     std::to_string(version) + " to " + std::to_string(target.type->version));
    }
    target.states = std::make_shared<Storage>(count * target.type->state_bytes);
    checkpoint.storage.push_back(target.states);
  }
  if (told.empty()) return told;
  for (checkpoint::LoadedSlot& slot : checkpoint.slots) {
    const auto target = targets.find(slot.type_region);
    if (target == targets.end() || slot.version == target->second.type->version) continue;
    RK_TRY(migrate_slot(target->second, slot, checkpoint));
  }
  return told;
}

}  // namespace rk
