// The host's side of the patterns (kernels/patterns/): makes their actors, and reads the registry.
// Of the facade's level: for users, no room includes it. docs/patterns.md has an example of each.
//
// The spawn_ functions are for the time before the start, like Runtime::spawn, and the program must
// list the actor type; not_found otherwise. They return ids, which hold after a restore, too.
#pragma once

#include <ringkernel/kernels/patterns/broadcast.hpp>
#include <ringkernel/kernels/patterns/reduce.hpp>
#include <ringkernel/kernels/patterns/registry.hpp>
#include <ringkernel/kernels/patterns/supervisor.hpp>
#include <ringkernel/kernels/patterns/topic.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rk {

namespace detail {
template <class A>
std::vector<ActorId> ids_of(const ActorRange<A>& range) {
  std::vector<ActorId> ids;
  for (std::uint32_t i = 0; i < range.count; ++i) ids.push_back(range[i].id);
  return ids;
}

/// A tree of `Node`s over `members`: the index of its first node.
template <class Node>
Result<std::uint32_t> spawn_tree(Runtime& runtime, std::vector<ActorId> members) {
  if (members.empty())
    return fail(ErrorCode::invalid_argument, "a group needs at least one member");
  const std::uint32_t nodes = tree_nodes(static_cast<std::uint32_t>(members.size()));
  const auto init = [members = std::move(members)](std::uint32_t i, Node& node) {
    const TreePlace place = tree_place(static_cast<std::uint32_t>(members.size()), i);
    node.links.node = i;
    node.links.parent = place.parent;
    node.links.child_index = place.child_index;
    node.links.first_child = place.first_child;
    node.links.children = place.children;
    node.links.leaf = place.leaf ? 1 : 0;
    for (std::uint32_t c = 0; place.leaf && c < place.children; ++c)
      node.links.member[c] = members[place.first_child + c];
  };
  RK_TRY_ASSIGN(const ActorRange<Node> range, runtime.spawn<Node>(nodes, init));
  return range.first;
}
}  // namespace detail

/// A reduce tree over actors that list Reduced in their `messages`. Member i contributes as
/// contribute(ctx, group, i, round, value).
template <class Op>
Result<ReduceGroup<Op>> spawn_reduce_group(Runtime& runtime, std::vector<ActorId> members) {
  const auto count = static_cast<std::uint32_t>(members.size());
  RK_TRY_ASSIGN(const std::uint32_t first,
                detail::spawn_tree<ReduceNode<Op>>(runtime, std::move(members)));
  return ReduceGroup<Op>{first, count};
}
template <class Op, class A>
Result<ReduceGroup<Op>> spawn_reduce_group(Runtime& runtime, const ActorRange<A>& members) {
  static_assert(handles_v<A, Reduced>, "members of a reduce group list rk::Reduced in `messages`");
  return spawn_reduce_group<Op>(runtime, detail::ids_of(members));
}

/// A broadcast tree for messages of types Ms, which the members handle.
template <class... Ms>
Result<BroadcastGroup<Ms...>> spawn_broadcast_group(Runtime& runtime,
                                                    std::vector<ActorId> members) {
  const auto count = static_cast<std::uint32_t>(members.size());
  RK_TRY_ASSIGN(const std::uint32_t first,
                detail::spawn_tree<BroadcastNode<Ms...>>(runtime, std::move(members)));
  return BroadcastGroup<Ms...>{first, count};
}
template <class... Ms, class A>
Result<BroadcastGroup<Ms...>> spawn_broadcast_group(Runtime& runtime,
                                                    const ActorRange<A>& members) {
  static_assert((handles_v<A, Ms> && ...), "members of a broadcast group handle its messages");
  return spawn_broadcast_group<Ms...>(runtime, detail::ids_of(members));
}

/// A topic without members, with room for so many.
inline Result<ref<Topic>> spawn_topic(Runtime& runtime, std::uint32_t max_members) {
  if (max_members == 0 || max_members > kMembersPerChunk * 65535u)
    return fail(ErrorCode::invalid_argument, "a topic has room for 1 to 983025 members");
  RK_TRY_ASSIGN(const ActorRange<Topic> range,
                runtime.spawn<Topic>(1, [](std::uint32_t, Topic&) {},
                                     {.field_bytes = topic_field_bytes(max_members)}));
  return range[0];
}

/// A registry without names, with room for so many.
inline Result<ref<Registry>> spawn_registry(Runtime& runtime, std::uint32_t max_names) {
  if (max_names == 0 || max_names > (1u << 24))
    return fail(ErrorCode::invalid_argument, "a registry has room for 1 to 16777216 names");
  RK_TRY_ASSIGN(const ActorRange<Registry> range,
                runtime.spawn<Registry>(1, [](std::uint32_t, Registry&) {},
                                        {.field_bytes = registry_field_bytes(max_names)}));
  return range[0];
}

struct SupervisorOptions {
  SupervisorStrategy strategy = SupervisorStrategy::one_for_one;
  std::uint32_t intensity = 3;  ///< restarts within the window, 0..16, or Supervisor::kNoLimit
  std::uint64_t window_us = 5'000'000;
  std::uint32_t max_children = 64;
  std::vector<Child> children{};  ///< from the start; AddChild adds others
  SpawnPolicy policy{};  ///< its own supervisor; one that is none: its failure ends the run
};

inline Result<ref<Supervisor>> spawn_supervisor(Runtime& runtime, SupervisorOptions options = {}) {
  if (options.intensity > Supervisor::kMaxIntensity && options.intensity != Supervisor::kNoLimit)
    return fail(ErrorCode::invalid_argument, "a supervisor's intensity is at most 16, or no limit");
  if (options.max_children == 0 || options.max_children > kMaxActors ||
      options.children.size() > options.max_children) {
    return fail(ErrorCode::invalid_argument,
                "a supervisor has room for at least one child and for those it starts with");
  }
  const std::uint32_t field_bytes = supervisor_field_bytes(options.max_children);
  const SpawnPolicy policy = options.policy;
  RK_TRY_ASSIGN(const ActorRange<Supervisor> range,
                runtime.spawn<Supervisor>(
                    1,
                    [options = std::move(options)](std::uint32_t, Supervisor& supervisor,
                                                   std::span<std::byte> field) {
                      supervisor.strategy = options.strategy;
                      supervisor.intensity = options.intensity;
                      supervisor.window_us = options.window_us;
                      supervisor.children = static_cast<std::uint32_t>(options.children.size());
                      if (!options.children.empty()) {
                        std::memcpy(field.data(), options.children.data(),
                                    options.children.size() * sizeof(Child));
                      }
                    },
                    {.field_bytes = field_bytes, .policy = policy}));
  return range[0];
}

struct NamedActor {
  std::string name;
  ActorId id{};
  friend bool operator==(const NamedActor&, const NamedActor&) = default;
};

namespace detail {
/// The names of a registry at a handler boundary, in order.
inline Result<std::vector<RegistryEntry>> registry_entries(Runtime& runtime,
                                                           ref<Registry> registry) {
  RK_TRY_ASSIGN(const Registry state, runtime.read(registry));
  RK_TRY_ASSIGN(const std::vector<std::byte> slot, runtime.read_slot(registry.id));
  // of the same copy as the names: the state above only proved the type
  Registry table = state;
  std::memcpy(&table, slot.data() + sizeof(SlotHeader), sizeof(table));
  std::vector<RegistryEntry> entries(table.count);
  if (!entries.empty()) {
    const std::size_t field = sizeof(SlotHeader) + align_up(sizeof(Registry), kSlotAlignment);
    std::memcpy(entries.data(), slot.data() + field, entries.size() * sizeof(RegistryEntry));
  }
  return entries;
}
}  // namespace detail

/// The actor with this name, in a copy of the table at a handler boundary; while running or after
/// stop(). not_found if there is none.
inline Result<ActorId> find_name(Runtime& runtime, ref<Registry> registry, std::string_view name) {
  RK_TRY_ASSIGN(const auto entries, detail::registry_entries(runtime, registry));
  const RegistryName wanted = registry_name(name);
  const auto count = static_cast<std::uint32_t>(entries.size());
  const std::uint32_t at = registry_lower_bound(entries.data(), count, wanted);
  if (at == count || entries[at].name.compare(wanted) != 0)
    return fail(ErrorCode::not_found, "no actor is registered as '" + std::string(name) + "'");
  return entries[at].id;
}

/// All names that start with `prefix`, in order, of one copy of the table.
inline Result<std::vector<NamedActor>> find_prefix(Runtime& runtime, ref<Registry> registry,
                                                   std::string_view prefix) {
  std::vector<NamedActor> matches;
  if (prefix.size() > kMaxNameBytes) return matches;
  RK_TRY_ASSIGN(const auto entries, detail::registry_entries(runtime, registry));
  const RegistryName wanted = registry_name(prefix);
  const auto count = static_cast<std::uint32_t>(entries.size());
  const auto bytes = static_cast<std::uint32_t>(prefix.size());
  for (std::uint32_t at = registry_lower_bound(entries.data(), count, wanted);
       at < count && entries[at].name.starts_with(wanted, bytes); ++at) {
    matches.push_back(
        {std::string(entries[at].name.bytes, entries[at].name.length()), entries[at].id});
  }
  return matches;
}

}  // namespace rk
