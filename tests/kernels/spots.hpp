// Actors that tell where they are: for the tests of moves.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "fabric_programs.hpp"

namespace rk::test {

struct Add {
  static constexpr std::uint8_t tag = 40;
  static constexpr std::uint32_t max_host_sends = 1;
  std::uint32_t number;
};
struct Where {
  static constexpr std::uint8_t tag = 41;
  std::uint32_t number;
  std::uint32_t worker;
};
/// `steps` more messages later, itself an Add.
struct Later {
  static constexpr std::uint8_t tag = 42;
  static constexpr std::uint32_t max_timers = 1;
  std::uint32_t steps;
  std::uint32_t delay_us;
  std::uint32_t number;
};
struct Spot {
  using messages = handles<Add, Later>;
  static constexpr const char* name = "test.spot";
  std::uint64_t sum = 0;
  std::uint32_t order = 1;  ///< of what was handled, a digit each

  template <class Ctx>
  RK_FN void on(const Add& add, Ctx& ctx) {
    if (ctx.leader()) {
      sum += add.number;
      order = order * 10 + add.number;
      ctx.template field<std::uint64_t>()[2] += add.number;
    }
    ctx.send_to_host(Where{add.number, ctx.worker()});
  }
  template <class Ctx>
  RK_FN void on(const Later& later, Ctx& ctx) {
    const ref<Spot> self{ctx.self()};
    if (later.delay_us != 0) return ctx.send_after(later.delay_us, self, Add{later.number});
    ctx.send_after_steps(later.steps, self, Add{later.number});
  }
};

inline RuntimeOptions movable(RuntimeOptions options = {}) {
  options.rebalance.enabled = true;
  return options;
}

struct Spots {
  std::unique_ptr<Runtime> runtime;
  ActorRange<Spot> spots;
  std::vector<Where> seen;
};
/// Four per worker, the first ones on worker 0, with a spare place each.
inline std::unique_ptr<Spots> make_spots(const Shape& shape, RuntimeOptions options = movable(),
                                         std::uint32_t spare = 1, std::uint32_t field_bytes = 64) {
  auto it = std::make_unique<Spots>();
  it->runtime = make_runtime<Spot>(shape, std::move(options));
  it->runtime->on_output<Where>(
      [it = it.get()](const Where& where, const OutputInfo&) { it->seen.push_back(where); });
  auto spots = it->runtime->spawn<Spot>(4 * shape.workers, [](std::uint32_t, Spot&) {},
                                        {.field_bytes = field_bytes});
  EXPECT_TRUE(spots);
  it->spots = *spots;
  expect_ok(it->runtime->reserve<Spot>((4 + spare) * shape.workers, 64));
  return it;
}

}  // namespace rk::test
