// Actors whose whole state follows from how many messages they handled, so that a checkpoint of a
// running system can be checked slot by slot.
#pragma once

#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/runtime/actor.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace rk::painting {

RK_FN constexpr std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDull;  // MurmurHash3's finalizer (A. Appleby)
  x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53ull;
  return x ^ (x >> 33);
}
RK_FN constexpr std::uint64_t place_of(std::uint64_t seed, std::uint64_t paints,
                                       std::uint64_t words) {
  return scramble(seed ^ (2 * paints)) % words;
}
RK_FN constexpr std::uint64_t colour_of(std::uint64_t seed, std::uint64_t paints) {
  return scramble(seed ^ (2 * paints + 1));
}

/// Paints one word of the field, chosen by the painter, and `left` more.
struct Paint {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t left;
};

struct Painter {
  using messages = handles<Paint>;
  static constexpr const char* name = "painter";
  std::uint64_t seed;
  std::uint64_t paints;
  std::uint64_t words;  ///< of the field

  template <class Ctx>
  RK_FN void on(const Paint& paint, Ctx& ctx) {
    if (ctx.leader()) {
      if (words != 0) {
        const auto field = ctx.template field<std::uint64_t>();
        field[place_of(seed, paints, words)] = colour_of(seed, paints);
      }
      ++paints;
    }
    if (paint.left > 0) ctx.send(ref<Painter>{ctx.self()}, Paint{paint.left - 1});
  }
};

/// What is wrong with a restored painter; empty if it is what its number of paints makes it.
inline std::string check_painter(const checkpoint::LoadedSlot& slot) {
  const std::string who = "actor " + std::to_string(slot.id.index());
  Painter painter;
  if (slot.state.size() != sizeof(painter)) return who + ": wrong size of state";
  std::memcpy(&painter, slot.state.data(), sizeof(painter));
  if (painter.paints != slot.row.handled) return who + ": paints are not messages handled";
  if (slot.field.size() != painter.words * 8) return who + ": wrong size of field";
  std::vector<std::uint64_t> expected(painter.words);
  for (std::uint64_t n = 0; n < painter.paints && painter.words != 0; ++n) {
    expected[place_of(painter.seed, n, painter.words)] = colour_of(painter.seed, n);
  }
  if (slot.field.empty()) return {};
  const auto* found = slot.field.data();
  if (std::memcmp(found, expected.data(), slot.field.size()) == 0) return {};
  std::uint64_t at = 0;
  while (std::memcmp(found + at * 8, &expected[at], 8) == 0) ++at;
  return who + ": word " + std::to_string(at) + " of its field is not as " +
         std::to_string(painter.paints) + " paints leave it";
}

}  // namespace rk::painting
