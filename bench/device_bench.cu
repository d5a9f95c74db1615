// What the resident kernel costs, measured on a GPU; one JSON object on stdout, progress on stderr.
//
//   echo_us            host to actor and back to the host, one message at a time
//   round_trip_us      two actors on two workers, there and back, inside the kernel
//   snapshot           state of some sizes: time until the stream was out of the rings, and until
//   it was durable
//
// Peer: a launch of an empty kernel and its synchronization, what a program without a resident
// kernel pays per exchange.
#include <ringkernel/kernels/cuda_executor.cuh>
#include <ringkernel/runtime/runtime.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace device_bench {

using Clock = std::chrono::steady_clock;
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

struct Never {
  static constexpr std::uint8_t tag = 4;
};
struct Ballast {
  using messages = rk::handles<Never>;
  std::uint64_t number;
  template <class Ctx>
  RK_FN void on(const Never&, Ctx&) {}
};

__global__ void empty_kernel() {}

[[noreturn]] void give_up(const rk::Error& error) {
  std::fprintf(stderr, "device_bench: %s\n", error.message.c_str());
  std::exit(rk::exit_code(error.code));
}
void need(const rk::Result<void>& result) {
  if (!result) give_up(result.error());
}
template <class T>
T need(rk::Result<T> result) {
  if (!result) give_up(result.error());
  return std::move(result).value();
}

double microseconds(Clock::duration elapsed) {
  return std::chrono::duration<double, std::micro>(elapsed).count();
}

nlohmann::json quantiles(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double q) {
    return samples[static_cast<std::size_t>(q * (samples.size() - 1))];
  };
  return {
      {"samples", samples.size()}, {"p50", at(0.5)}, {"p99", at(0.99)}, {"max", samples.back()}};
}

nlohmann::json launch_us() {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  std::vector<double> samples;
  for (int i = 0; i < 2000; ++i) {
    const auto start = Clock::now();
    empty_kernel<<<1, 1, 0, stream>>>();
    cudaStreamSynchronize(stream);
    samples.push_back(microseconds(Clock::now() - start));
  }
  cudaStreamDestroy(stream);
  return quantiles(std::move(samples));
}

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

nlohmann::json round_trip_us() {
  const auto play = [](std::uint32_t rounds) {
    auto runtime = need(rk::Runtime::create(need(rk::make_cuda_executor<Player>()),
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

nlohmann::json snapshot(std::uint64_t state_mib) {
  const std::string dir = (std::filesystem::temp_directory_path() / "rk_device_bench").string();
  std::filesystem::remove_all(dir);
  rk::RuntimeOptions options;
  options.checkpoint.dir = dir;
  options.checkpoint.keep = 1;
  auto runtime = need(rk::Runtime::create(need(rk::make_cuda_executor<Ballast>()), options));
  constexpr std::uint32_t kFieldBytes = 64 * 1024 - 64;
  (void)need(runtime->spawn<Ballast>(static_cast<std::uint32_t>(state_mib * 16),
                                     [](std::uint32_t i, Ballast& ballast) { ballast.number = i; },
                                     {.field_bytes = kFieldBytes}));
  need(runtime->start());
  std::vector<double> stream_us;
  std::vector<double> durable_us;
  std::uint64_t bytes = 0;
  for (int i = 0; i < 5; ++i) {
    const rk::CheckpointCost cost = need(runtime->checkpoint_now());
    stream_us.push_back(
        microseconds(std::chrono::duration_cast<Clock::duration>(cost.stream_time)));
    durable_us.push_back(
        microseconds(std::chrono::duration_cast<Clock::duration>(cost.durable_time)));
    bytes = cost.drained_bytes;
  }
  need(runtime->stop());
  std::filesystem::remove_all(dir);
  nlohmann::json result{{"state_mib", state_mib},
                        {"drained_bytes", bytes},
                        {"stream_us", quantiles(stream_us)},
                        {"durable_us", quantiles(durable_us)}};
  result["stream_gib_per_s"] =
      static_cast<double>(bytes) / (1 << 30) / (result["stream_us"]["p50"].get<double>() / 1e6);
  return result;
}

int run() {
  nlohmann::json report;
  {
    // the executor must be the first to use CUDA
    auto executor = need(rk::make_cuda_executor<Player>());
    report["max_workers"] = executor->max_workers();
    report["default_workers"] = executor->default_workers();
    report["empty_launch_us"] = launch_us();
  }
  std::fprintf(stderr, "device_bench: echo\n");
  report["echo_us"] = echo_us();
  std::fprintf(stderr, "device_bench: round trip\n");
  report["round_trip_us"] = round_trip_us();
  for (const std::uint64_t mib : {16, 256, 1024}) {
    std::fprintf(stderr, "device_bench: snapshot of %llu MiB\n",
                 static_cast<unsigned long long>(mib));
    report["snapshot"].push_back(snapshot(mib));
  }
  std::printf("%s\n", report.dump(1).c_str());
  return 0;
}

}  // namespace device_bench

int main() { return device_bench::run(); }
