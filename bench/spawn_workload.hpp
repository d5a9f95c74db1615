// Our side of `caf_spawn`: actors spawned from within a handler, on its worker. They stay alive;
// the peer's do not, because nobody holds them.
#pragma once

#include <ringkernel/bench/actor_workload.hpp>

namespace rk::bench {

/// `left` more actors are to be spawned.
struct Brood {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t kChildren = 32;
  static constexpr std::uint32_t max_spawns = kChildren;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t left;
};
struct Parent {
  using messages = handles<Brood>;
  static constexpr const char* name = "bench.parent";
  std::uint64_t refused;

  template <class Ctx>
  RK_FN void on(const Brood& brood, Ctx& ctx) {
    std::uint64_t left = brood.left;
    for (std::uint32_t i = 0; i < Brood::kChildren && left > 0; ++i, --left) {
      if (!ctx.spawn(Relay{})) ++refused;
    }
    if (left > 0) ctx.send(ref<Parent>{ctx.self()}, Brood{left});
  }
};

/// One actor spawns `count` others, in broods.
inline Result<double> spawn_seconds(std::uint32_t count) {
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Parent, Relay>(), {.workers = 2}));
  RK_TRY_ASSIGN(const auto parents, runtime->spawn<Parent>(1, [](std::uint32_t, Parent& parent) {
    parent.refused = 0;
  }));
  // a handler spawns on its own worker, which has half of them
  RK_TRY(runtime->reserve<Relay>(2 * count));
  RK_TRY(runtime->start());
  const std::uint64_t broods = (count + Brood::kChildren - 1) / Brood::kChildren;
  const ActorClock clock;
  RK_TRY(send_all(*runtime, parents[0], Brood{count}));
  RK_TRY_ASSIGN(const double seconds, finish_timed(*runtime, clock, broods));
  RK_TRY_ASSIGN(const Parent parent, runtime->read(parents[0]));
  if (parent.refused != 0) return fail(ErrorCode::no_space, "spawns were refused");
  return seconds;
}

}  // namespace rk::bench
