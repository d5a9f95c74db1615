// HLC tick and merge on 1 and 4 threads: our one-word clock beside a mutex and beside a clock split
// into two words. `duplicates` counts stamps issued more than once in a separate, untimed run of
// the same load.
#include "../tests/hlc/split_word_clock.hpp"

#include <benchmark/benchmark.h>

#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/hlc/shared_clock.hpp>

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using rk::hlc::Timestamp;

constexpr std::uint64_t kNowUs = 1'800'000'000'000'000;

/// The simplest correct shared clock.
class MutexClock {
 public:
  Timestamp tick(std::uint64_t wall_us) {
    const std::lock_guard lock(mutex_);
    return clock_.tick(wall_us);
  }
  Timestamp merge(Timestamp received, std::uint64_t wall_us) {
    const std::lock_guard lock(mutex_);
    return clock_.merge(received, wall_us);
  }

 private:
  std::mutex mutex_;
  rk::hlc::WorkerClock clock_;
};

// A wall clock of 1 us resolution that stands still between readings, without the cost of reading
// it.
std::uint64_t wall_us(std::uint64_t i) { return kNowUs + i / 64; }

template <class Clock>
std::size_t duplicates(std::size_t threads) {
  constexpr std::size_t kPerThread = 200'000;
  Clock clock;
  std::vector<std::uint64_t> words(threads * kPerThread);
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  {
    std::vector<std::jthread> running;
    for (std::size_t t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        start.arrive_and_wait();
        for (std::size_t i = 0; i < kPerThread; ++i) {
          words[t * kPerThread + i] = clock.tick(wall_us(i)).word;
        }
      });
    }
  }
  std::sort(words.begin(), words.end());
  std::size_t found = 0;
  for (std::size_t i = 1; i < words.size(); ++i) found += words[i] == words[i - 1];
  return found;
}

template <class Clock>
struct Shared {
  static inline Clock
      clock;  // one object for all threads of a benchmark, as Google Benchmark needs
};

template <class Clock>
void report_duplicates(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    static const double one = static_cast<double>(duplicates<Clock>(1));
    static const double four = static_cast<double>(duplicates<Clock>(4));
    state.counters["duplicates"] = state.threads() == 1 ? one : four;
  }
}

template <class Clock>
void tick(benchmark::State& state) {
  std::uint64_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(Shared<Clock>::clock.tick(wall_us(++i)));
  report_duplicates<Clock>(state);
}

template <class Clock>
void merge(benchmark::State& state) {
  std::uint64_t i = 0;
  for (auto _ : state) {
    const Timestamp received{rk::hlc::at_wall(wall_us(i)).word + 1};
    benchmark::DoNotOptimize(Shared<Clock>::clock.merge(received, wall_us(++i)));
  }
  report_duplicates<Clock>(state);
}

// The device's clock has one writer per worker, so it has no contention by construction.
void worker_tick(benchmark::State& state) {
  rk::hlc::WorkerClock clock;
  std::uint64_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(clock.tick(wall_us(++i)));
  state.SetItemsProcessed(state.iterations());
}

void worker_merge(benchmark::State& state) {
  rk::hlc::WorkerClock clock;
  std::uint64_t i = 0;
  for (auto _ : state) {
    const Timestamp received{rk::hlc::at_wall(wall_us(i)).word + 1};
    benchmark::DoNotOptimize(clock.merge(received, wall_us(++i)));
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(worker_tick)->Name("tick/WorkerClock")->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(tick<rk::hlc::SharedClock>)
    ->Name("tick/SharedClock")
    ->Threads(1)
    ->Threads(4)
    ->UseRealTime();
BENCHMARK(tick<MutexClock>)->Name("tick/Mutex")->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(tick<rk::hlc::peer::SplitWordClock>)
    ->Name("tick/SplitWords")
    ->Threads(1)
    ->Threads(4)
    ->UseRealTime();
BENCHMARK(worker_merge)->Name("merge/WorkerClock")->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(merge<rk::hlc::SharedClock>)
    ->Name("merge/SharedClock")
    ->Threads(1)
    ->Threads(4)
    ->UseRealTime();
BENCHMARK(merge<MutexClock>)->Name("merge/Mutex")->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(merge<rk::hlc::peer::SplitWordClock>)
    ->Name("merge/SplitWords")
    ->Threads(1)
    ->Threads(4)
    ->UseRealTime();

}  // namespace
