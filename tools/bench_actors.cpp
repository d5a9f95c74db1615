// `rk bench actors`: the host executor beside CAF in one process; million messages per second,
// bytes per actor. Only one of the two has threads alive at a time.
#include <malloc.h>
#include <unistd.h>
#include <ringkernel/bench/actor_workload.hpp>
#include <ringkernel/bench/caf_workload.hpp>
#include <ringkernel/bench/spawn_workload.hpp>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench_kinds.hpp"

namespace rk::tools {
namespace {

namespace caf = bench::caf_peer;

constexpr std::uint32_t kWorkers = 2;
constexpr std::uint32_t kRingActors = 1000;
constexpr std::uint32_t kRingTokens = 100;
constexpr std::uint32_t kFeeders = 1000;
constexpr std::uint32_t kWanderers = 100'000;
constexpr std::uint32_t kWandererTokens = 10'000;
constexpr double kLimitBytes = 210;

/// Resident bytes of the process, without what the allocator merely keeps.
double resident_bytes() {
  (void)malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0;
  file >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

using Seconds = std::function<Result<double>()>;

Pair speed(const char* key, std::optional<double> bound, std::uint64_t messages, Seconds ours,
           Seconds peer) {
  const auto rate = [messages](Seconds seconds) {
    return [messages, seconds = std::move(seconds)]() -> Result<double> {
      RK_TRY_ASSIGN(const double took, seconds());
      return static_cast<double>(messages) / took / 1e6;
    };
  };
  return {key, Pair::Better::higher, bound, rate(std::move(ours)), rate(std::move(peer))};
}

Pair ring(const char* key, std::optional<double> bound, std::uint64_t messages,
          const bench::RingShape& shape) {
  return speed(
      key, bound, messages, [=] { return bench::ring_seconds(shape, messages); },
      [=]() -> Result<double> {
        return caf::ring_seconds(shape.actors, shape.tokens, messages, shape.workers);
      });
}

/// `wanted` or the user's choice, as a multiple of `of`.
std::uint64_t count(const BenchOptions& options, std::uint64_t wanted, std::uint64_t of) {
  const std::uint64_t messages = options.messages == 0 ? wanted : options.messages;
  return std::max<std::uint64_t>(messages / of, 1) * of;
}

}  // namespace

Result<nlohmann::ordered_json> bench_actors(const BenchOptions& options) {
  if (!caf::available()) {
    return fail(ErrorCode::not_found,
                "this rk was built without its peer, the C++ Actor Framework: install libcaf-dev "
                "(scripts/bootstrap does) and build again");
  }
  // ours takes a tenth of a second at least: the workers' start and the notice of the end do not
  // count
  const std::uint64_t pings = count(options, 2'000'000, 1);
  const std::uint64_t local_pings = count(options, 4'000'000, 1);
  const std::uint64_t laps = count(options, 10'000'000, kRingTokens);
  const std::uint64_t items = count(options, 8'000'000, kFeeders);
  const std::uint64_t hops = count(options, 6'000'000, kWandererTokens);
  // memory first: what later runs leave behind in the allocator would hide a part of it
  const Pair bytes{"caf_bytes", Pair::Better::lower, 6.0,
                   [] { return bench::actor_bytes(kWanderers, resident_bytes); },
                   []() -> Result<double> {
                     return caf::bytes_per_actor(kWanderers, kWorkers, resident_bytes);
                   }};
  std::vector<Pair> pairs = {
      bytes,
      ring("caf_ping_cross", 3.5, pings, {2, kWorkers, Placement::spread, 1}),
      ring("caf_ping_local", 10, local_pings, {2, 1, Placement::block, 1}),
      speed(
          "caf_fan_in", 6, items, [=] { return bench::fan_in_seconds(kFeeders, items); },
          [=]() -> Result<double> { return caf::fan_in_seconds(kFeeders, items, kWorkers); }),
      ring("caf_ring_hashed", 4, laps, {kRingActors, kWorkers, Placement::hashed, kRingTokens}),
      ring("caf_ring_block", 8, laps, {kRingActors, kWorkers, Placement::block, kRingTokens}),
      speed(
          "caf_random", 15, hops,
          [=] { return bench::random_seconds(kWanderers, kWandererTokens, hops); },
          [=]() -> Result<double> {
            return caf::random_seconds(kWanderers, kWandererTokens, hops, kWorkers);
          })};
  const auto spawns = static_cast<std::uint32_t>(std::min<std::uint64_t>(local_pings, 200'000));
  const auto caf_spawn = [=]() -> Result<double> { return caf::spawn_seconds(spawns, kWorkers); };
  pairs.push_back(speed(
      "caf_spawn", 8, spawns, [=] { return bench::spawn_seconds(spawns); }, caf_spawn));
  // for information: the worst placement, every hop crosses
  pairs.push_back(ring("caf_ring_spread", std::nullopt, laps,
                       {kRingActors, kWorkers, Placement::spread, kRingTokens}));
  // for information: actors that exist from the start cost less
  pairs.push_back(speed(
      "caf_spawn_before_start", std::nullopt, spawns,
      [=] { return bench::spawn_before_start_seconds(spawns); }, caf_spawn));
  RK_TRY_ASSIGN(auto out, run_pairs(pairs, options.repetitions));
  out["caf_bytes"]["limit_bytes"] = kLimitBytes;
  return out;
}

}  // namespace rk::tools
