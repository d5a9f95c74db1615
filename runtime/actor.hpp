// What a user declares: message types, actor types and what a handler may do.
//
//   struct Ping { static constexpr std::uint8_t tag = 1; std::uint32_t n; };
//   struct Player {
//     using messages = rk::handles<Ping>;
//     static constexpr const char* name = "player";      // optional: identifies the type in
//     checkpoints static constexpr std::uint32_t version = 1;        // optional: of the state's
//     layout rk::ref<Player> peer; template <class Ctx> RK_FN void on(const Ping& ping, Ctx& ctx) {
//     ctx.send(peer, Ping{ping.n + 1}); }
//   };
//
// Optional and host only: `migrate` takes states of an older version over (migrate.hpp), `regions`
// names the numbers in the state for `rk diff` and `rk export` (region.hpp).
//
// A message may declare `max_sends` (default 4), `max_blocks` (default 0), `max_host_sends`
// (default 1), `max_timers` (default 0: asks and send_after) and `max_spawns` (default 0): a
// handler of it starts only when there is room for that many messages, slab blocks, outputs and
// timers, so that it never waits. Spawns are granted as far as places are free.
//
// An actor type may declare
//   static constexpr rk::Grain grain = rk::Grain::thread;   // lanes that run one handler
//   static constexpr bool supervised = true;                // may have a supervisor and be
//   restarted static constexpr std::uint32_t max_links = 4;           // links and monitors, its
//   own and others'
#pragma once

#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/migrate.hpp>
#include <ringkernel/runtime/region.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rk {

/// The messages an actor type handles.
template <class... Messages>
struct handles {
  static constexpr std::uint32_t count = sizeof...(Messages);
};

/// What a handler may use up, at most.
struct Budget {
  std::uint32_t sends = 0;
  std::uint32_t blocks = 0;
  std::uint32_t host_sends = 0;
  std::uint32_t timers = 0;
  std::uint32_t spawns = 0;

  RK_FN friend constexpr bool operator==(const Budget&, const Budget&) = default;
};

/// Lanes that run one handler: the worker's whole group, 32 of them, or one.
enum class Grain : std::uint8_t { block, warp, thread };

/// What a supervised actor restarts from.
enum class Restart : std::uint8_t {
  fresh,  ///< its state and field as they were at the spawn
  saved,  ///< as the newest cut holds them; as at the spawn before the first
};

/// Of an actor at its spawn; needs a type with `supervised = true` to mean anything.
struct SpawnPolicy {
  ActorId supervisor = kNoActor;
  Restart restart = Restart::fresh;
  std::uint8_t max_tries = 3;
};

enum class LinkKind : std::uint32_t {
  none = 0,
  link = 1,        ///< the failure or death of one fails the other
  watches = 2,     ///< this actor gets a Down when the peer dies or fails for good
  watched_by = 3,  ///< the peer gets one
};
struct Link {
  ActorId peer;
  LinkKind kind;
};

/// What the runtime keeps of a supervised or linked actor, behind its field: see TrailLayout.
///   field | Lifeline | Link[max_links] | copy of state and field to restart from (supervised)
struct Lifeline {
  ActorId supervisor;  ///< kNoActor: none
  Restart restart;
  std::uint8_t max_tries;  ///< a message whose handler failed so often is dead-lettered; 0: never
  std::uint16_t reserved;
  std::uint32_t restarts;
  std::uint32_t code;  ///< of the newest failure
};
static_assert(sizeof(Lifeline) == 16);

namespace detail {
template <class M>
constexpr std::uint32_t max_sends() {
  if constexpr (requires { M::max_sends; }) return M::max_sends;
  return 4;
}
template <class M>
constexpr std::uint32_t max_blocks() {
  if constexpr (requires { M::max_blocks; }) return M::max_blocks;
  return 0;
}
template <class M>
constexpr std::uint32_t max_host_sends() {
  if constexpr (requires { M::max_host_sends; }) return M::max_host_sends;
  return 1;
}
template <class M>
constexpr std::uint32_t max_timers() {
  if constexpr (requires { M::max_timers; }) return M::max_timers;
  return 0;
}
template <class M>
constexpr std::uint32_t max_spawns() {
  if constexpr (requires { M::max_spawns; }) return M::max_spawns;
  return 0;
}
template <class A>
constexpr Grain actor_grain() {
  if constexpr (requires { A::grain; }) return A::grain;
  return Grain::block;
}
template <class A>
constexpr bool is_supervised() {
  if constexpr (requires { A::supervised; }) return A::supervised;
  return false;
}
template <class A>
constexpr std::uint32_t max_links() {
  if constexpr (requires { A::max_links; }) return A::max_links;
  return 0;
}
template <class A>
constexpr std::uint32_t actor_version() {
  if constexpr (requires { A::version; }) return A::version;
  return 1;
}
/// Name of the type as the compiler prints it, without the function around it.
template <class A>
constexpr std::string_view pretty_name() {
#if defined(__GNUC__)
  constexpr std::string_view text = __PRETTY_FUNCTION__;
  constexpr std::string_view key = "A = ";
  constexpr auto begin = text.find(key) + key.size();
  constexpr auto end = text.find_first_of(";]", begin);
  return text.substr(begin, end - begin);
#else
  return "actor";
#endif
}
template <class A>
constexpr std::string_view actor_name() {
  if constexpr (requires { std::string_view(A::name); }) return A::name;
  return pretty_name<A>();
}
/// FNV-1a, 64 bit.
constexpr std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}
template <class M, class... Ms>
constexpr bool contains(handles<Ms...>) {
  return (std::is_same_v<M, Ms> || ...);
}
template <class... Ms>
constexpr std::uint32_t largest_message(handles<Ms...>) {
  std::uint32_t largest = 0;
  ((largest = sizeof(Ms) > largest ? static_cast<std::uint32_t>(sizeof(Ms)) : largest), ...);
  return largest;
}
}  // namespace detail

template <class M>
concept Message = std::is_trivially_copyable_v<M> && requires {
  { M::tag } -> std::convertible_to<std::uint32_t>;
} &&(M::tag >= 0) && (M::tag <= 255) && (alignof(M) <= 8) &&
    (sizeof(M) <= kLargeMessageBytes - sizeof(MessageHeader) - sizeof(BlockRef));

template <class A>
concept Actor = std::is_trivially_copyable_v<A> && alignof(A) <= 16 && requires {
  typename A::messages;
};

namespace detail {
/// What handlers of M may use up.
template <class M>
RK_FN constexpr Budget budget() {
  return {max_sends<M>(), max_blocks<M>(), max_host_sends<M>(), max_timers<M>(), max_spawns<M>()};
}
/// Whether handlers of M may run side by side: what they take is staged, and that is messages only.
template <class M>
RK_FN constexpr bool may_be_batched() {
  return max_blocks<M>() + max_timers<M>() + max_spawns<M>() == 0;
}
}  // namespace detail

namespace detail {
constexpr void widen(Budget& most, const Budget& by) {
  most.sends = by.sends > most.sends ? by.sends : most.sends;
  most.blocks = by.blocks > most.blocks ? by.blocks : most.blocks;
  most.host_sends = by.host_sends > most.host_sends ? by.host_sends : most.host_sends;
  most.timers = by.timers > most.timers ? by.timers : most.timers;
  most.spawns = by.spawns > most.spawns ? by.spawns : most.spawns;
}
/// Raises `most` to what any of the messages declares.
template <class... Ms>
constexpr void widen(Budget& most, handles<Ms...>) {
  (widen(most, budget<Ms>()), ...);
}
template <class... Ms>
constexpr Budget most_of(handles<Ms...> messages) {
  Budget most{};
  widen(most, messages);
  return most;
}
}  // namespace detail

/// What trails the state of one actor type, in bytes. The actor's own field comes first; for types
/// with a Lifeline it is rounded up to 16.
struct TrailLayout {
  bool supervised = false;
  std::uint32_t max_links = 0;
  std::uint32_t state_bytes = 0;

  [[nodiscard]] RK_FN constexpr bool has_lifeline() const { return supervised || max_links != 0; }
  /// SlotHeader::field_bytes of an actor that asked for `field_bytes`.
  [[nodiscard]] RK_FN constexpr std::uint32_t trail_bytes(std::uint32_t field_bytes) const {
    if (!has_lifeline()) return field_bytes;
    const std::uint32_t field = round(field_bytes);
    return field + lifeline_bytes() + (supervised ? round(state_bytes) + field : 0);
  }
  /// The actor's own field, from SlotHeader::field_bytes.
  [[nodiscard]] RK_FN constexpr std::uint32_t field_bytes(std::uint32_t trail_bytes) const {
    if (!has_lifeline()) return trail_bytes;
    const std::uint32_t rest = trail_bytes - lifeline_bytes();
    return supervised ? (rest - round(state_bytes)) / 2 : rest;
  }
  /// Offset of the copy to restart from, from the Lifeline.
  [[nodiscard]] RK_FN constexpr std::uint32_t lifeline_bytes() const {
    return static_cast<std::uint32_t>(sizeof(Lifeline)) +
           round(max_links * static_cast<std::uint32_t>(sizeof(Link)));
  }

 private:
  [[nodiscard]] RK_FN static constexpr std::uint32_t round(std::uint32_t bytes) {
    return (bytes + 15) / 16 * 16;
  }
};

namespace detail {
template <class A>
constexpr TrailLayout trail_layout() {
  return {is_supervised<A>(), max_links<A>(), static_cast<std::uint32_t>(sizeof(A))};
}
}  // namespace detail

/// Tells whether actors of type A handle messages of type M.
template <class A, class M>
constexpr bool handles_v = detail::contains<M>(typename A::messages{});

struct MessageTypeInfo {
  std::uint8_t tag;
  std::uint32_t bytes;
  Budget budget{};
};

/// One actor type of a program, as the host and the manifest see it.
struct ActorTypeInfo {
  std::string name;
  std::uint64_t type_hash = 0;  ///< FNV-1a of the name; identifies the type in checkpoints
  std::uint32_t version = 1;
  std::uint32_t state_bytes = 0;
  Grain grain = Grain::block;
  TrailLayout trail{};
  std::vector<MessageTypeInfo> messages;
  MigrateFunction migrate = nullptr;  ///< null: only states of this version can be restored
  bool migrates_field = false;        ///< `migrate` changes the trailing field, too
  std::vector<Region> regions;
};

/// The actor types of a program, in the order of its template arguments.
struct ProgramInfo {
  std::vector<ActorTypeInfo> types;
  std::uint32_t message_slot_bytes = kSmallMessageBytes;
  std::uint32_t lane_sends = 0;  ///< most messages one handler of thread grain sends
};

template <Actor A>
ActorTypeInfo describe_actor() {
  ActorTypeInfo info;
  info.name = std::string(detail::actor_name<A>());
  info.type_hash = detail::name_hash(info.name);
  info.version = detail::actor_version<A>();
  info.state_bytes = static_cast<std::uint32_t>(sizeof(A));
  info.grain = detail::actor_grain<A>();
  info.trail = detail::trail_layout<A>();
  info.migrate = detail::migrate_function<A>();
  info.migrates_field = detail::MigratesField<A>;
  info.regions = detail::actor_regions<A>();
  [&]<class... Ms>(handles<Ms...>) {
    static_assert((Message<Ms> && ...),
                  "a message is trivially copyable, has a tag up to 255 and at most 80 bytes; send "
                  "more as a block (Ctx::block)");
    (info.messages.push_back({static_cast<std::uint8_t>(Ms::tag),
                              static_cast<std::uint32_t>(sizeof(Ms)), detail::budget<Ms>()}),
     ...);
  }(typename A::messages{});
  return info;
}

/// 64-byte slots if every message fits beside a block reference, else 128.
template <Actor... As>
constexpr std::uint32_t message_slot_bytes() {
  std::uint32_t largest = 0;
  const auto widen = [&](std::uint32_t bytes) { largest = bytes > largest ? bytes : largest; };
  (widen(detail::largest_message(typename As::messages{})), ...);
  return largest + sizeof(BlockRef) + sizeof(MessageHeader) <= kSmallMessageBytes
             ? kSmallMessageBytes
             : kLargeMessageBytes;
}

}  // namespace rk
