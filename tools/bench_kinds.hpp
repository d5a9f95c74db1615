// What the kinds of `rk bench` share: options, medians, and repetitions of ours and a peer in turn.
#pragma once

#include <ringkernel/runtime/result.hpp>

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rk::tools {

struct BenchOptions {
  std::string name;
  std::uint32_t mib = 64;
  std::uint32_t repetitions = 15;
  std::uint64_t messages = 0;  ///< of a repetition; 0: the workload's own
  std::string directory;       ///< empty: a temporary one
  std::string json;            ///< "-": stdout
};

Result<nlohmann::ordered_json> bench_queues(const BenchOptions& options);
Result<nlohmann::ordered_json> bench_actors(const BenchOptions& options);

double median(std::vector<double> samples);

/// A workload that ours and a peer run in turn.
struct Pair {
  enum class Better { higher, lower };
  std::string key;
  Better better = Better::higher;  ///< what the figures mean
  std::optional<double> bound;     ///< claimed: ours is at least so many times better
  std::function<Result<double>()> ours;
  std::function<Result<double>()> peer;
};

/// Runs every pair `repetitions` times, who begins changing each time, with a probe of the cores
/// before and after (bench/cores.hpp). Per key: the medians `ours` and `peer`, `ratio` (how many
/// times better ours is, the median of the repetitions' own ratios), `bound` if there is one, and
/// `probe_ns`; and one `probe_ns` for all.
Result<nlohmann::ordered_json> run_pairs(const std::vector<Pair>& pairs, std::uint32_t repetitions);

}  // namespace rk::tools
