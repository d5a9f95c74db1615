// What the files of device_bench share; each measurement has a file of its own with its actors.
#pragma once

#include <ringkernel/runtime/runtime.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace device_bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] nlohmann::json echo_us();
[[nodiscard]] std::unique_ptr<rk::Executor> round_trip_executor();
[[nodiscard]] nlohmann::json round_trip_us();
[[nodiscard]] nlohmann::json snapshot(std::uint64_t state_mib);

[[noreturn]] inline void give_up(const rk::Error& error) {
  std::fprintf(stderr, "device_bench: %s\n", error.message.c_str());
  std::exit(rk::exit_code(error.code));
}
inline void need(const rk::Result<void>& result) {
  if (!result) give_up(result.error());
}
template <class T>
T need(rk::Result<T> result) {
  if (!result) give_up(result.error());
  return std::move(result).value();
}

inline double microseconds(Clock::duration elapsed) {
  return std::chrono::duration<double, std::micro>(elapsed).count();
}

inline nlohmann::json quantiles(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double q) {
    return samples[static_cast<std::size_t>(q * (samples.size() - 1))];
  };
  return {
      {"samples", samples.size()}, {"p50", at(0.5)}, {"p99", at(0.99)}, {"max", samples.back()}};
}

}  // namespace device_bench
