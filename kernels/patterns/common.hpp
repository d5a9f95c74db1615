// What the patterns share: their tags, the codes they fail with, and how they answer.
//
// Patterns are ordinary actor types, listed in a program by those who use them and written against
// the public Context. Their whole state is in slot and field.
#pragma once

#include <ringkernel/runtime/actor.hpp>

#include <cstddef>
#include <cstdint>

namespace rk {

/// Tags of the patterns' messages. Those that applications' actors get or give to the host are
/// unlike each other, so that one actor may take part in all patterns.
enum class PatternTag : std::uint8_t {
  contribution = 232,
  outcome = 233,
  reduced = 234,
  subscribe = 236,
  unsubscribe = 237,
  publication = 238,
  next_chunk = 239,
  subscribe_refused = 240,
  register_name = 242,
  unregister_name = 243,
  look_up = 244,
  look_up_prefix = 245,
  next_matches = 246,
  name_answer = 247,
  found = 248,
  look_up_done = 249,
  add_child = 250,
  remove_child = 251,
  sweep = 252,
  child_refused = 253,
};

/// Codes of ctx.fail() in the patterns.
inline constexpr std::uint32_t kCodeWrongRound = 0xFFFFFE01u;  ///< contributed to no open round
inline constexpr std::uint32_t kCodeContributedTwice = 0xFFFFFE02u;  ///< to one round
inline constexpr std::uint32_t kCodeNotAChild = 0xFFFFFE03u;    ///< no such member of the group
inline constexpr std::uint32_t kCodeNotAMessage = 0xFFFFFE04u;  ///< a size or sender that is wrong

namespace detail {
RK_FN constexpr std::uint8_t pattern_tag(PatternTag tag) { return static_cast<std::uint8_t>(tag); }

/// Sends to whoever asked: an actor, or the host. Collective.
template <class Ctx, class M>
RK_FN void answer(Ctx& ctx, ActorId asker, const M& message) {
  if (asker == kHostId) {
    ctx.send_to_host(message);
  } else {
    ctx.post(asker, M::tag, &message, static_cast<std::uint32_t>(sizeof(M)));
  }
}

/// Byte by byte, because the objects' alignments differ.
RK_FN inline void copy_bytes(void* to, const void* from, std::uint32_t bytes) {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  for (std::uint32_t i = 0; i < bytes; ++i) out[i] = in[i];
}
}  // namespace detail

}  // namespace rk
