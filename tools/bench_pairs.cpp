#include <ringkernel/bench/cores.hpp>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "bench_kinds.hpp"

namespace rk::tools {

using nlohmann::ordered_json;

double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

Result<ordered_json> run_pairs(const std::vector<Pair>& pairs, std::uint32_t repetitions) {
  struct Samples {
    std::vector<double> ours;
    std::vector<double> peer;
    std::vector<double> ratio;
    std::vector<double> probe;
  };
  std::vector<Samples> all(pairs.size());
  std::vector<double> probes;
  for (std::uint32_t repetition = 0; repetition < repetitions; ++repetition) {
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const Pair& pair = pairs[i];
      const double before = bench::probe_ns();
      double figures[2] = {};
      for (std::uint32_t turn = 0; turn < 2; ++turn) {
        const bool peers_turn = (repetition + turn) % 2 == 1;
        RK_TRY_ASSIGN(figures[peers_turn], peers_turn ? pair.peer() : pair.ours());
      }
      Samples& samples = all[i];
      samples.ours.push_back(figures[0]);
      samples.peer.push_back(figures[1]);
      samples.ratio.push_back(pair.better == Pair::Better::higher ? figures[0] / figures[1]
                                                                  : figures[1] / figures[0]);
      samples.probe.push_back(std::max(before, bench::probe_ns()));
      probes.push_back(samples.probe.back());
    }
  }
  ordered_json out;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    ordered_json& entry = out[pairs[i].key];
    entry["ours"] = median(all[i].ours);
    entry["peer"] = median(all[i].peer);
    entry["ratio"] = median(all[i].ratio);
    if (pairs[i].bound) entry["bound"] = *pairs[i].bound;
    entry["probe_ns"] = median(all[i].probe);
  }
  out["probe_ns"] = median(probes);
  return out;
}

}  // namespace rk::tools
