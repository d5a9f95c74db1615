// Actor types of the device tests, for both executors.
#pragma once

#include <cstdint>
#include <ringkernel/runtime/actor.hpp>

namespace device_tests {

/// Passes from node to node. Which nodes it visits depends on nothing else, so the final state is
/// known in advance.
struct Token {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t hops;
};

struct Node {
  using messages = rk::handles<Token>;
  rk::ref<Node> next;
  std::uint64_t seen;
  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    if (ctx.leader()) ++seen;
    if (token.hops > 1) ctx.send(next, Token{token.hops - 1});
  }
};

struct Ask {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
};
struct Answer {
  static constexpr std::uint8_t tag = 3;
  std::uint32_t number;
};

struct Echo {
  using messages = rk::handles<Ask>;
  std::uint64_t answered;
  template <class Ctx>
  RK_FN void on(const Ask& ask, Ctx& ctx) {
    if (ctx.leader()) ++answered;
    ctx.send_to_host(Answer{ask.number});
  }
};

/// Every lane of the block writes into the field: shows a barrier that is missing around a
/// block-wide handler.
struct Fill {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_blocks = 1;
  std::uint32_t rounds;
};

struct Wide {
  using messages = rk::handles<Fill>;
  rk::ref<Wide> peer;
  std::uint64_t wrong;
  template <class Ctx>
  RK_FN void on(const Fill& fill, Ctx& ctx) {
    constexpr std::uint32_t kCount = 200;
    const auto in = ctx.template payload<std::uint32_t>();
    const auto field = ctx.template field<std::uint32_t>();
    ctx.parallel_for(in.count, [&](std::uint32_t i) { field[i] = in[i] - i; });
    if (ctx.leader()) {
      for (std::uint32_t i = 0; i < in.count; ++i) wrong += field[i] != fill.rounds ? 1 : 0;
    }
    if (fill.rounds == 0) return;
    const auto out = ctx.template block<std::uint32_t>(kCount);
    if (!out) return;
    ctx.parallel_for(kCount, [&](std::uint32_t i) { out[i] = fill.rounds - 1 + i; });
    ctx.send(peer, Fill{fill.rounds - 1}, out);
  }
};

}  // namespace device_tests
