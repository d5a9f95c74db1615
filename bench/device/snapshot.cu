#include <ringkernel/kernels/cuda_executor.cuh>

#include <filesystem>
#include <string>

#include "measure.hpp"

namespace device_bench {

struct Never {
  static constexpr std::uint8_t tag = 4;
};
struct Ballast {
  using messages = rk::handles<Never>;
  std::uint64_t number;
  template <class Ctx>
  RK_FN void on(const Never&, Ctx&) {}
};

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

}  // namespace device_bench
