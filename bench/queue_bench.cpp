// Our rings beside Boost.Lockfree's, in one program: a stream between two threads (SPSC) and an
// inbox with one and two producers. Axes: message bytes, producers. Repetitions of all cases are
// interleaved, so that a noisy moment hits both sides; compare medians inside one run.
#include <benchmark/benchmark.h>
#include <ringkernel/bench/queue_workload.hpp>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace rk::bench;

constexpr std::uint64_t kMessages = 1 << 19;

template <class Queue>
void stream(benchmark::State& state) {
  const auto queue = std::make_unique<Queue>();
  for (auto _ : state) {
    const Transfer done = transfer(*queue, static_cast<std::uint32_t>(state.range(0)), kMessages);
    if (!done.intact) return state.SkipWithError("messages were lost or torn");
    state.SetIterationTime(done.seconds);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
}

template <class Queue>
benchmark::internal::Benchmark* add(const std::string& kind, std::size_t bytes) {
  return benchmark::RegisterBenchmark((kind + "/bytes:" + std::to_string(bytes)).c_str(),
                                      stream<Queue>)
      ->UseManualTime()
      ->ArgName("producers")
      ->Arg(1);
}

template <std::size_t Bytes>
void add_all() {
  add<OurStream<Bytes>>("spsc/ours", Bytes);
  add<PeerStream<Bytes>>("spsc/boost_spsc_queue", Bytes);
  add<OurInbox<Bytes>>("inbox/ours", Bytes)->Arg(2);
  add<PeerInbox<Bytes>>("inbox/boost_queue", Bytes)->Arg(2);
}

}  // namespace

int main(int argc, char** argv) {
  // defaults first: what the user names later wins
  std::vector<std::string> texts = {argv[0], "--benchmark_enable_random_interleaving=true",
                                    "--benchmark_repetitions=9", "--benchmark_min_time=0.05",
                                    "--benchmark_report_aggregates_only=true"};
  texts.insert(texts.end(), argv + 1, argv + argc);
  std::vector<char*> arguments;
  for (auto& text : texts) arguments.push_back(text.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  add_all<16>();
  add_all<64>();
  add_all<256>();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
