#include <ringkernel/kernels/cuda_executor.cuh>

#include "measure.hpp"

namespace device_bench {

using namespace std::chrono_literals;

struct Ask {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 0;
  std::uint64_t number;
};
struct Answer {
  static constexpr std::uint8_t tag = 2;
  std::uint64_t number;
};
struct Echo {
  using messages = rk::handles<Ask>;
  std::uint64_t answered;
  template <class Ctx>
  RK_FN void on(const Ask& ask, Ctx& ctx) {
    ctx.send_to_host(Answer{ask.number});
  }
};

nlohmann::json echo_us() {
  auto runtime = need(rk::Runtime::create(need(rk::make_cuda_executor<Echo>()), {.workers = 1}));
  const auto echo = need(runtime->spawn<Echo>(1, [](std::uint32_t, Echo& actor) { actor = {}; }));
  constexpr std::uint64_t kRounds = 5000;
  std::vector<double> samples;
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  auto start = Clock::now();
  // both callbacks run on the runtime's service thread
  runtime->on_output<Answer>([&](const Answer&, const rk::OutputInfo&) {
    samples.push_back(microseconds(Clock::now() - start));
    ++answered;
  });
  runtime->on_feed([&](rk::Feed& feed) {
    if (sent == kRounds) return rk::FeedState::ended;
    if (sent == answered) {
      start = Clock::now();
      if (feed.send(echo[0], Ask{sent})) ++sent;
    }
    return rk::FeedState::more;
  });
  (void)need(runtime->run({.max_walltime = 60s}));
  need(runtime->stop());
  if (samples.size() != kRounds) give_up({rk::ErrorCode::internal, 0, "echo: answers are missing"});
  return quantiles(std::move(samples));
}

}  // namespace device_bench
