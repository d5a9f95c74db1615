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

/// What trails the states that a checkpoint holds of a type.
TrailLayout trail_of(const checkpoint::ActorTypeInfo& type) {
  return {type.supervised, type.max_links, static_cast<std::uint32_t>(type.state_bytes)};
}

bool same_trail(const TrailLayout& a, const TrailLayout& b) {
  return a.supervised == b.supervised && a.max_links == b.max_links;
}

Result<void> check_layout(const ActorTypeInfo& type, const TrailLayout& old,
                          const checkpoint::LoadedSlot& slot) {
  if (slot.version == type.version) {
    if (slot.state.size() == type.state_bytes && same_trail(old, type.trail)) return {};
    if (slot.state.size() == type.state_bytes) {
      return refused(type, slot,
                     ", but another `supervised` or `max_links`: that changes the layout, too, and "
                     "needs a greater `version` and a `migrate` function (runtime/migrate.hpp)");
    }
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

/// Bytes of the actor's own field, in front of what the runtime keeps behind it.
Result<std::uint32_t> own_field_bytes(const TrailLayout& layout, ActorId actor,
                                      std::uint32_t trail_bytes) {
  if (trail_bytes >= layout.trail_bytes(0)) {
    const std::uint32_t bytes = layout.field_bytes(trail_bytes);
    if (layout.trail_bytes(bytes) == trail_bytes) return bytes;
  }
  return fail(ErrorCode::corrupt, "actor " + std::to_string(actor.index()) + ": " +
                                      std::to_string(trail_bytes) +
                                      " bytes cannot be its field and what belongs behind it");
}

/// Puts what `from` holds of links into `to`, which has room for `max_links`.
Result<void> keep_links(std::span<const std::byte> from, std::uint32_t old_links,
                        std::span<std::byte> to, std::uint32_t max_links) {
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < old_links; ++i) {
    Link link;
    std::memcpy(&link, from.data() + i * sizeof(link), sizeof(link));
    if (link.kind == LinkKind::none) continue;
    if (kept == max_links) {
      return fail(ErrorCode::incompatible,
                  "it has more links than `max_links` = " + std::to_string(max_links) + " allows");
    }
    std::memcpy(to.data() + kept++ * sizeof(link), &link, sizeof(link));
  }
  return {};
}

/// What trails the migrated `state`: its field, the old Lifeline and links, and itself as the copy
/// to restart from.
Result<Storage> new_trail(const ActorTypeInfo& type, const TrailLayout& old,
                          std::span<const std::byte> old_trail, std::span<const std::byte> state,
                          std::span<const std::byte> field) {
  Storage trail(type.trail.trail_bytes(static_cast<std::uint32_t>(field.size())));
  std::memcpy(trail.data(), field.data(), field.size());
  if (!type.trail.has_lifeline()) return trail;
  const std::span<std::byte> behind =
      std::span(trail).subspan(align_up(field.size(), kSlotAlignment));
  Lifeline lifeline{};
  lifeline.supervisor = kNoActor;
  if (old.has_lifeline()) {
    const auto from =
        old_trail.subspan(old.field_bytes(static_cast<std::uint32_t>(old_trail.size())));
    std::memcpy(&lifeline, from.data(), sizeof(lifeline));
    RK_TRY(keep_links(from.subspan(sizeof(lifeline)), old.max_links,
                      behind.subspan(sizeof(lifeline)), type.trail.max_links));
  }
  std::memcpy(behind.data(), &lifeline, sizeof(lifeline));
  if (!type.trail.supervised) return trail;
  const std::span<std::byte> copy = behind.subspan(type.trail.lifeline_bytes());
  std::memcpy(copy.data(), state.data(), state.size());
  std::memcpy(copy.data() + align_up(state.size(), kSlotAlignment), field.data(), field.size());
  return trail;
}

/// The migrated states of one type, one after the other.
struct Target {
  const ActorTypeInfo* type = nullptr;
  TrailLayout old{};                              ///< of the checkpoint's actors of the type
  std::map<std::uint32_t, std::uint64_t> actors;  ///< by version
  std::shared_ptr<Storage> states{};
  std::uint64_t used_bytes = 0;
};

Result<void> migrate_slot(Target& target, checkpoint::LoadedSlot& slot,
                          checkpoint::LoadedCheckpoint& checkpoint) {
  const ActorTypeInfo& type = *target.type;
  const auto state =
      std::span<std::byte>(*target.states).subspan(target.used_bytes, type.state_bytes);
  const auto told = [&](const Error& error) {
    return fail(error.code, "actor " + std::to_string(slot.id.index()) + ": '" + type.name + "' " +
                                layout(slot.version, slot.state.size()) +
                                " was not taken over into " +
                                layout(type.version, type.state_bytes) + ": " + error.message);
  };
  RK_TRY_ASSIGN(const std::uint32_t old_field_bytes,
                own_field_bytes(target.old, slot.id, slot.row.field_bytes));
  const auto old_field = slot.field.first(old_field_bytes);
  // The field of a type without a Lifeline is left where it is unless the function may change it.
  const bool moves = type.migrates_field || target.old.has_lifeline() || type.trail.has_lifeline();
  Storage field;
  if (moves) field.assign(old_field.begin(), old_field.end());
  if (auto done = type.migrate(slot.version, slot.state, state, field); !done) {
    return told({ErrorCode::incompatible, 0, "its migrate function: " + done.error().message});
  }
  if (moves) {
    if (field.size() > kMaxSlotBytes ||
        slot_stride(type.state_bytes, type.trail.trail_bytes(static_cast<std::uint32_t>(
                                          field.size()))) > kMaxSlotBytes) {
      return told({ErrorCode::incompatible, 0, "it would be larger than the 512 MiB of an actor"});
    }
    auto trail = new_trail(type, target.old, slot.field, state, field);
    if (!trail) return told(trail.error());
    const auto kept = std::make_shared<const Storage>(*std::move(trail));
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
  for (const checkpoint::ActorTypeInfo& type : checkpoint.manifest.types) {
    const auto target = targets.find(checkpoint::region_id(type.name));
    if (target != targets.end()) target->second.old = trail_of(type);
  }
  for (const checkpoint::LoadedSlot& slot : checkpoint.slots) {
    const auto target = targets.find(slot.type_region);
    if (target == targets.end()) continue;
    RK_TRY(check_layout(*target->second.type, target->second.old, slot));
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
  for (checkpoint::Grave& grave : checkpoint.graves) {
    const auto target = targets.find(grave.type_region);
    if (target == targets.end()) continue;
    const ActorTypeInfo& type = *target->second.type;
    RK_TRY_ASSIGN(const std::uint32_t field_bytes,
                  own_field_bytes(target->second.old, grave.id, grave.row.field_bytes));
    grave.row.field_bytes = type.trail.trail_bytes(field_bytes);
    grave.row.state_bytes = type.state_bytes;
    grave.version = type.version;
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
