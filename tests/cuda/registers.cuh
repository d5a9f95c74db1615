// Programs of 1, 4 and 16 actor types, for scripts/check_registers: what a type costs the worker
// loop in registers.
#pragma once

#include <cstdint>
#include <ringkernel/kernels/cuda_executor.cuh>

namespace registers {

template <int N>
struct Token {
  static constexpr std::uint8_t tag = 1;
  std::uint32_t hops;
};
template <int N>
struct Halo {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_blocks = 1;
  std::uint32_t step;
};

/// Sends, replies, asks for blocks and draws random numbers: everything a handler may do.
template <int N>
struct Node {
  using messages = rk::handles<Token<N>, Halo<N>>;
  rk::ref<Node> next;
  std::uint32_t seen;
  float sum;

  template <class Ctx>
  RK_FN void on(const Token<N>& token, Ctx& ctx) {
    if (ctx.leader()) seen += N + ctx.rng().next() % 7;
    ctx.sync();
    if (token.hops > 0) ctx.send(next, Token<N>{token.hops - 1});
    if (token.hops == 0) ctx.send_to_host(Token<N>{seen});
  }
  template <class Ctx>
  RK_FN void on(const Halo<N>& halo, Ctx& ctx) {
    auto in = ctx.template payload<float>();
    auto field = ctx.template field<float>();
    const std::uint32_t n = in.count < field.count ? in.count : field.count;
    ctx.parallel_for(n, [&](std::uint32_t i) { field[i] += in[i] * static_cast<float>(N + 1); });
    auto out = ctx.template block<float>(n);
    if (!out) return;
    ctx.parallel_for(n, [&](std::uint32_t i) { out[i] = field[i]; });
    ctx.send(next, Halo<N>{halo.step + 1}, out);
  }
};

}  // namespace registers
