// The actors of the swarm: a million small ones, among which tokens wander at random.
//
// Invariants:
//  1. Where a token goes depends on the token alone (its own random numbers), and what it leaves
//  behind are sums, so the final state of the swarm does not depend on order, workers or restarts.
//  2. As many messages are in flight as there are tokens, at most.
#pragma once

#include <ringkernel/runtime/actor.hpp>

#include <cstdint>

namespace rk::swarm {

struct Token {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t random;  ///< its generator's state
  std::uint32_t id;
  std::uint32_t hops;  ///< left
};

/// One member: 64 bytes of state.
struct Member {
  using messages = handles<Token>;
  static constexpr const char* name = "swarm.member";
  static constexpr Grain grain = Grain::thread;
  std::uint32_t population;
  std::uint32_t reserved;
  std::uint64_t visits;
  std::uint64_t sum_of_tokens;
  std::uint64_t sum_of_random;
  std::uint64_t ended;
  std::uint64_t unused[3];

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    ++visits;
    sum_of_tokens += token.id;
    sum_of_random += token.random;
    if (token.hops == 0) {
      ++ended;
      return;
    }
    // splitmix64, G. Steele et al. 2014
    const std::uint64_t next = token.random + 0x9E3779B97F4A7C15ull;
    std::uint64_t mixed = (next ^ (next >> 30)) * 0xBF58476D1CE4E5B9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
    mixed ^= mixed >> 31;
    const auto target = static_cast<std::uint32_t>(((mixed >> 32) * population) >> 32);
    ctx.send(ref<Member>{ActorId::make(target, 0)}, Token{next, token.id, token.hops - 1});
  }
};
static_assert(sizeof(Member) == 64);

}  // namespace rk::swarm
