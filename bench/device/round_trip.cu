#include <ringkernel/kernels/cuda_executor.cuh>

#include "measure.hpp"

namespace device_bench {

using namespace std::chrono_literals;

struct Ball {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t left;
};
struct Player {
  using messages = rk::handles<Ball>;
  rk::ref<Player> peer;
  template <class Ctx>
  RK_FN void on(const Ball& ball, Ctx& ctx) {
    if (ball.left > 0) ctx.send(peer, Ball{ball.left - 1});
  }
};

std::unique_ptr<rk::Executor> round_trip_executor() {
  return need(rk::make_cuda_executor<Player>());
}

nlohmann::json round_trip_us() {
  const auto play = [](std::uint32_t rounds) {
    auto runtime = need(rk::Runtime::create(round_trip_executor(),
                                            {.workers = 2, .placement = rk::Placement::spread}));
    const auto players = need(runtime->spawn<Player>(
        2, [](std::uint32_t i, Player& player) { player.peer = {rk::ActorId::make(1 - i, 0)}; }));
    need(runtime->start());
    const auto start = Clock::now();
    need(runtime->send(players[0], Ball{2 * rounds}));
    (void)need(runtime->run({.max_walltime = 60s}));
    const double elapsed = microseconds(Clock::now() - start);
    need(runtime->stop());
    return elapsed;
  };
  // the difference of two lengths leaves out the way in and the noticing of the end
  constexpr std::uint32_t kShort = 10'000;
  constexpr std::uint32_t kLong = 110'000;
  std::vector<double> samples;
  for (int i = 0; i < 5; ++i) samples.push_back((play(kLong) - play(kShort)) / (kLong - kShort));
  return quantiles(std::move(samples));
}

}  // namespace device_bench
