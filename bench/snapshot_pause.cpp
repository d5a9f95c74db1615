// What a snapshot costs a running application, as the application sees it, beside stopping the
// world and beside fork().
//
// 64 hot tiles of 64 KiB tick without end on one worker; the rest of the state is cold. For each
// (tile, snapshot) the longest gap between two handler starts while the snapshot is under way, less
// the tile's longest gap in a window of equal length without one, is what the snapshot added. Time
// in which the system took the core away is left out (the thread's run delay). The benchmark's time
// is the median of these added gaps.
//
//   gap_cut/<MiB>          ours: live cut, copy-before-write, drained and committed (shard bytes
//   are dropped, not stored) gap_stop_world/<MiB>   peer: pause the workers, copy everything into a
//   warm buffer, resume gap_fork/<MiB>         peer: fork(); the child reads everything and ends
//   gap_cut_all_hot/<MiB>  ours, every tile ticking
//   own_cost/<MiB>         from picking a message to entering its handler while a cut is open,
//   every tile ticking: p99
#include <ringkernel/checkpoint/storage.hpp>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::uint32_t kTileBytes = 64 * 1024;
constexpr std::uint32_t kHotTiles = 64;
constexpr std::uint32_t kTouchedFloats = 1024;  // per tick
constexpr std::uint32_t kMaxTiles = 16384;

/// Nanoseconds per tick of the worker's counter.
double tick_ns() {
  static const double value = [] {
    const auto start = SteadyClock::now();
    const std::uint64_t from = rk::ticks();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const std::uint64_t to = rk::ticks();
    return std::chrono::duration<double, std::nano>(SteadyClock::now() - start).count() /
           static_cast<double>(to - from);
  }();
  return value;
}

/// How long the calling thread was ready to run but had no core, in nanoseconds
/// (/proc/thread-self/schedstat); 0 if the system does not tell.
std::uint64_t waited_for_core_ns() {
  thread_local const int file = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  char text[96] = {};
  if (file < 0 || ::pread(file, text, sizeof(text) - 1, 0) <= 0) return 0;
  unsigned long long ran = 0;
  unsigned long long waited = 0;
  return std::sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/// Longest gap per tile and window. Written by the one worker's thread, read when the window is
/// over.
struct GapRecorder {
  struct Tile {
    std::uint64_t last = 0;
    std::uint64_t waited = 0;  ///< ticks without a core before `last`
    std::uint32_t window = 0;
    std::uint64_t longest = 0;
  };
  std::vector<Tile> tiles = std::vector<Tile>(kMaxTiles);
  std::vector<std::byte*> fields = std::vector<std::byte*>(kMaxTiles);
  std::vector<std::uint64_t> results;  ///< of the window that ended, per tile; 0: none
  std::atomic<std::uint32_t> window{0};
  std::atomic<std::uint64_t> handled{0};
  std::uint64_t last_start = 0;
  std::uint64_t waited = 0;

  void start_of(std::uint32_t tile) {
    std::uint64_t now = rk::ticks();
    if (now - last_start > 50'000) {  // losing the core takes longer than that
      waited = static_cast<std::uint64_t>(static_cast<double>(waited_for_core_ns()) / tick_ns());
      now = rk::ticks();
    }
    last_start = now;
    Tile& t = tiles[tile];
    const std::uint32_t current = window.load(std::memory_order_relaxed);
    const std::uint64_t away = waited - t.waited;
    const std::uint64_t gap = t.last == 0 || now - t.last < away ? 0 : now - t.last - away;
    if (t.window != current) {
      // this gap lies in both windows
      t.longest = std::max(t.longest, gap);
      if (t.window != 0) results[tile] = t.longest;
      t.window = current;
      t.longest = 0;
    }
    t.longest = std::max(t.longest, gap);
    t.last = now;
    t.waited = waited;
    handled.store(handled.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
};
GapRecorder* recorder = nullptr;

/// Samples of own_cost.
struct CostRecorder {
  std::vector<std::uint32_t> samples;
  std::atomic<bool> recording{false};
  std::uint64_t popped = 0;
  std::uint64_t waited_ns = 0;
};
CostRecorder costs;

struct CostProbe {
  static void popped(bool cut_open) {
    costs.popped = cut_open && costs.recording.load(std::memory_order_relaxed) ? rk::ticks() : 0;
  }
  static void entered() {
    if (costs.popped == 0 || costs.samples.size() == costs.samples.capacity()) return;
    const std::uint64_t cost = rk::ticks() - costs.popped;
    if (cost > 10'000) {  // a copy, or a lost core: leave the sample out if the thread waited for
                          // one meanwhile
      const std::uint64_t waited = waited_for_core_ns();
      const bool away = waited != costs.waited_ns;
      costs.waited_ns = waited;
      if (away) return;
    }
    costs.samples.push_back(static_cast<std::uint32_t>(cost));
  }
};

struct Tick {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t again;
};
struct Tile {
  using messages = rk::handles<Tick>;
  static constexpr const char* name = "bench.tile";
  std::uint32_t tiles;
  std::uint32_t wanders;  ///< the next tick goes to a random tile instead of this one

  template <class Ctx>
  void on(const Tick& tick, Ctx& ctx) {
    const std::uint32_t index = ctx.self().index();
    const auto field = ctx.template field<float>();
    if (tick.again == 0) {
      recorder->fields[index] = reinterpret_cast<std::byte*>(field.data);
      return;
    }
    recorder->start_of(index);
    for (std::uint32_t i = 0; i < kTouchedFloats; ++i)
      field[i] = field[i] * 0.5f + static_cast<float>(i);
    const std::uint32_t next = wanders != 0 ? ctx.rng().below(tiles) : index;
    ctx.send(rk::ref<Tile>{rk::ActorId::make(next, 0)}, Tick{1});
  }
};
struct ProbedProgram : rk::Program<Tile> {
  using Probe = CostProbe;
};

/// Keeps everything but the bytes of shards, so that a drive's speed is no part of the figures.
class DiscardingStorage final : public rk::checkpoint::Storage {
 public:
  explicit DiscardingStorage(const std::filesystem::path& root) : files_(root) {}
  rk::Result<void> create_root() override { return files_.create_root(); }
  rk::Result<std::unique_ptr<rk::checkpoint::WritableFile>> create(std::string_view path) override {
    auto file = files_.create(path);
    if (file && path.ends_with(".rkcp"))
      return std::unique_ptr<rk::checkpoint::WritableFile>(new Nothing);
    return file;
  }
  rk::Result<void> make_directory(std::string_view path) override {
    return files_.make_directory(path);
  }
  rk::Result<void> publish(std::string_view path, rk::checkpoint::Bytes bytes,
                           rk::checkpoint::Overwrite overwrite) override {
    return files_.publish(path, bytes, overwrite);
  }
  rk::Result<void> remove(std::string_view path) override { return files_.remove(path); }
  rk::Result<void> remove_directory(std::string_view path) override {
    return files_.remove_directory(path);
  }
  rk::Result<void> sync_directory(std::string_view path) override {
    return files_.sync_directory(path);
  }
  rk::Result<std::vector<rk::checkpoint::StorageEntry>> list(std::string_view path) override {
    return files_.list(path);
  }
  rk::Result<std::uint64_t> file_bytes(std::string_view path) override {
    return files_.file_bytes(path);
  }
  rk::Result<void> read(std::string_view path, std::uint64_t offset,
                        std::span<std::byte> out) override {
    return files_.read(path, offset, out);
  }
  rk::Result<std::unique_ptr<rk::checkpoint::StorageLock>> lock() override { return files_.lock(); }
  [[nodiscard]] std::string describe(std::string_view path) const override {
    return files_.describe(path);
  }

 private:
  struct Nothing final : rk::checkpoint::WritableFile {
    rk::Result<void> append(rk::checkpoint::Bytes) override { return {}; }
    rk::Result<void> rewrite_head(rk::checkpoint::Bytes) override { return {}; }
    rk::Result<void> sync() override { return {}; }
  };
  rk::checkpoint::FileStorage files_;
};

template <class T>
T must(rk::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "snapshot_pause: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// A running system of `mib` MiB, paused between measurements.
class World {
 public:
  World(std::uint32_t mib, bool all_hot, std::uint64_t ring_bytes)
      : tiles_(mib * 16), all_hot_(all_hot) {
    dir_ =
        std::filesystem::temp_directory_path() / ("rk-pause-" + std::to_string(::getpid()) + "-" +
                                                  std::to_string(mib) + (all_hot ? "-hot" : ""));
    rk::RuntimeOptions options;
    options.workers = 1;
    options.capacity.snapshot_ring_bytes = ring_bytes;
    options.checkpoint.storage = std::make_shared<DiscardingStorage>(dir_);
    options.checkpoint.keep = 1;
    runtime_ = must(rk::Runtime::create(
        std::make_unique<rk::detail::HostExecutor<ProbedProgram>>(rk::HostExecutorOptions{}),
        options));
    const std::uint32_t tiles = tiles_;
    const std::uint32_t wanders = all_hot ? 1 : 0;
    const auto range = must(runtime_->spawn<Tile>(tiles_,
                                                  [=](std::uint32_t, Tile& tile) {
                                                    tile = {tiles, wanders};
                                                  },
                                                  {.field_bytes = kTileBytes}));
    gaps_.results.resize(kMaxTiles);
    recorder = &gaps_;
    must(runtime_->start());
    for (std::uint32_t i = 0; i < tiles_; ++i) send(range[i], Tick{0});
    must(runtime_->run());
    for (std::uint32_t i = 0; i < kHotTiles; ++i) send(range[i], Tick{1});
    must(runtime_->checkpoint_now());  // warms ring, staging and page tables
    must(runtime_->pause());
  }
  ~World() {
    recorder = &gaps_;
    runtime_.reset();
    std::filesystem::remove_all(dir_);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  struct Outcome {
    double median_added_ns = 0;
    double worst_added_ns = 0;
    double snapshot_ms = 0;
    double throughput_lost_percent = 0;
    std::uint64_t left_out = 0;
    std::uint64_t stalls = 0;
  };

  /// Runs `snapshot` on the ticking system and compares with an equal window without.
  template <class Snapshot>
  Outcome measure(Snapshot snapshot) {
    recorder = &gaps_;
    wake();
    const std::uint64_t stalls = runtime_->stats().stalls;
    Outcome outcome;
    const Window with = window([&] { outcome.snapshot_ms = snapshot(); });
    const Window without = window([&] { std::this_thread::sleep_for(with.length); });
    must(runtime_->pause());
    outcome.stalls = runtime_->stats().stalls - stalls;
    std::vector<double> added;
    const std::uint32_t measured = all_hot_ ? tiles_ : kHotTiles;
    for (std::uint32_t i = 0; i < measured; ++i) {
      if (with.gaps[i] == 0 || without.gaps[i] == 0) {
        ++outcome.left_out;
        continue;
      }
      added.push_back((static_cast<double>(with.gaps[i]) - static_cast<double>(without.gaps[i])) *
                      tick_ns());
    }
    std::sort(added.begin(), added.end());
    if (!added.empty()) {
      outcome.median_added_ns = added[added.size() / 2];
      outcome.worst_added_ns = added.back();
    }
    outcome.throughput_lost_percent = 100.0 * (1.0 - with.rate / without.rate);
    return outcome;
  }

  /// Each returns the snapshot's duration in milliseconds.
  double cut() {
    return std::chrono::duration<double, std::milli>(must(runtime_->checkpoint_now()).stream_time)
        .count();
  }
  double stop_world() {
    static std::vector<std::byte> copy;
    if (copy.size() < std::uint64_t{tiles_} * kTileBytes)
      copy.resize(std::uint64_t{tiles_} * kTileBytes, std::byte{1});
    const auto start = SteadyClock::now();
    must(runtime_->pause());
    for (std::uint32_t i = 0; i < tiles_; ++i) {
      std::memcpy(copy.data() + std::uint64_t{i} * kTileBytes, gaps_.fields[i], kTileBytes);
    }
    must(runtime_->resume());
    return std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
  }
  double fork_and_read() {
    const auto start = SteadyClock::now();
    const pid_t child = ::fork();
    if (child == 0) {
      std::uint64_t sum = 0;
      for (std::uint32_t i = 0; i < tiles_; ++i) {
        for (std::uint32_t at = 0; at < kTileBytes; at += 8) {
          std::uint64_t word = 0;
          std::memcpy(&word, gaps_.fields[i] + at, sizeof(word));
          sum += word;
        }
      }
      ::_exit(sum == 42 ? 1 : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
  }

  /// Samples of own_cost over one cut, in nanoseconds.
  std::vector<double> own_costs() {
    recorder = &gaps_;
    costs.samples.clear();
    costs.samples.reserve(1 << 22);
    wake();
    costs.recording = true;
    must(runtime_->checkpoint_now());
    costs.recording = false;
    must(runtime_->pause());
    std::vector<double> ns;
    for (const std::uint32_t sample : costs.samples) ns.push_back(sample * tick_ns());
    return ns;
  }

 private:
  struct Window {
    std::vector<std::uint64_t> gaps;
    std::chrono::nanoseconds length{};
    double rate = 0;
  };
  /// Resumes and waits until every hot tile has ticked, so that no gap reaches back into the pause.
  void wake() {
    const std::uint64_t before = gaps_.handled;
    must(runtime_->resume());
    while (gaps_.handled < before + 8 * std::uint64_t{all_hot_ ? tiles_ : kHotTiles}) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  template <class F>
  Window window(F body) {
    std::fill(gaps_.results.begin(), gaps_.results.end(), 0);
    const std::uint32_t number = ++window_count_;
    const auto start = SteadyClock::now();
    const std::uint64_t before = gaps_.handled;
    gaps_.window = number;
    body();
    Window result;
    result.rate = static_cast<double>(gaps_.handled - before);
    result.length = SteadyClock::now() - start;
    result.rate /= static_cast<double>(result.length.count());
    gaps_.window = ++window_count_;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(30));  // every tile ticks again and files its result
    result.gaps = gaps_.results;
    return result;
  }
  void send(rk::ref<Tile> tile, const Tick& tick) {
    for (;;) {
      auto sent = runtime_->send(tile, tick);
      if (sent) return;
      if (sent.error().code != rk::ErrorCode::would_block) must(std::move(sent));
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  std::uint32_t tiles_;
  bool all_hot_;
  std::filesystem::path dir_;
  GapRecorder gaps_;
  std::uint32_t window_count_ = 0;
  std::unique_ptr<rk::Runtime> runtime_;
};

World& world(std::uint32_t mib, bool all_hot, std::uint64_t ring_bytes) {
  static std::map<std::tuple<std::uint32_t, bool, std::uint64_t>, std::unique_ptr<World>> worlds;
  auto& entry = worlds[{mib, all_hot, ring_bytes}];
  if (entry == nullptr) entry = std::make_unique<World>(mib, all_hot, ring_bytes);
  return *entry;
}

constexpr std::uint64_t kDefaultRing = 32ull << 20;
constexpr std::uint64_t kWholeRing = 512ull << 20;  // holds the state twice: nothing waits for room

void report(benchmark::State& state, const World::Outcome& outcome) {
  state.SetIterationTime(std::max(outcome.median_added_ns, 1.0) * 1e-9);
  state.counters["added_median_us"] = outcome.median_added_ns / 1e3;
  state.counters["added_worst_us"] = outcome.worst_added_ns / 1e3;
  state.counters["snapshot_ms"] = outcome.snapshot_ms;
  state.counters["throughput_lost_percent"] = outcome.throughput_lost_percent;
  state.counters["left_out"] = static_cast<double>(outcome.left_out);
  state.counters["ring_stalls"] = static_cast<double>(outcome.stalls);
}

void gap_cut(benchmark::State& state) {
  World& w = world(static_cast<std::uint32_t>(state.range(0)), false, kDefaultRing);
  for (auto _ : state) report(state, w.measure([&] { return w.cut(); }));
}
void gap_stop_world(benchmark::State& state) {
  World& w = world(static_cast<std::uint32_t>(state.range(0)), false, kDefaultRing);
  for (auto _ : state) report(state, w.measure([&] { return w.stop_world(); }));
}
void gap_fork(benchmark::State& state) {
  World& w = world(static_cast<std::uint32_t>(state.range(0)), false, kDefaultRing);
  for (auto _ : state) report(state, w.measure([&] { return w.fork_and_read(); }));
}
void gap_cut_all_hot(benchmark::State& state) {
  World& w = world(static_cast<std::uint32_t>(state.range(0)), true, kDefaultRing);
  for (auto _ : state) report(state, w.measure([&] { return w.cut(); }));
}
void own_cost(benchmark::State& state) {
  World& w = world(static_cast<std::uint32_t>(state.range(0)), true, kWholeRing);
  for (auto _ : state) {
    std::vector<double> ns = w.own_costs();
    if (ns.empty()) return state.SkipWithError("no message was handled while the cut was open");
    std::sort(ns.begin(), ns.end());
    const double p99 = ns[ns.size() * 99 / 100];
    state.SetIterationTime(p99 * 1e-9);
    state.counters["p50_us"] = ns[ns.size() / 2] / 1e3;
    state.counters["p99_us"] = p99 / 1e3;
    state.counters["samples"] = static_cast<double>(ns.size());
  }
}

#define RK_PAUSE_BENCHMARK(name) \
  BENCHMARK(name)->ArgName("mib")->UseManualTime()->Iterations(1)->Unit(benchmark::kMicrosecond)
RK_PAUSE_BENCHMARK(gap_cut)->Arg(16)->Arg(1024);
RK_PAUSE_BENCHMARK(gap_stop_world)->Arg(16)->Arg(1024);
RK_PAUSE_BENCHMARK(gap_fork)->Arg(16)->Arg(1024);
RK_PAUSE_BENCHMARK(gap_cut_all_hot)->Arg(64);
RK_PAUSE_BENCHMARK(own_cost)->Arg(16)->Arg(256);

}  // namespace
