// `.rkcp` encode and decode beside the peer that no encoder can beat: one plain copy of the same
// bytes. Compare ratios inside one run, not times of different runs.
#include <benchmark/benchmark.h>

#include <ringkernel/bench/format_workload.hpp>

namespace {

using rk::bench::FormatWorkload;
using rk::checkpoint::Codec;
using rk::checkpoint::Compression;

FormatWorkload make(const benchmark::State& state, Compression compression = {}) {
  return FormatWorkload(static_cast<std::size_t>(state.range(0)) << 20,
                        static_cast<std::size_t>(state.range(1)) << 10, compression,
                        compression.codec != Codec::none);
}

void set_bytes(benchmark::State& state, const FormatWorkload& workload) {
  state.SetBytesProcessed(static_cast<std::int64_t>(workload.state_bytes()) * state.iterations());
  state.counters["file_share"] =
      static_cast<double>(workload.file_bytes()) / static_cast<double>(workload.state_bytes());
}

void format_memcpy(benchmark::State& state) {
  FormatWorkload workload = make(state);
  for (auto _ : state) {
    workload.copy();
    benchmark::ClobberMemory();
  }
  set_bytes(state, workload);
}

void run_encode(benchmark::State& state, Compression compression) {
  FormatWorkload workload = make(state, compression);
  for (auto _ : state) {
    const auto done = workload.encode();
    if (!done) return state.SkipWithError(done.error().message.c_str());
    benchmark::ClobberMemory();
  }
  set_bytes(state, workload);
}

void run_decode(benchmark::State& state, Compression compression) {
  const FormatWorkload workload = make(state, compression);
  for (auto _ : state) {
    const auto done = workload.decode();
    if (!done) return state.SkipWithError(done.error().message.c_str());
  }
  set_bytes(state, workload);
}

void format_encode(benchmark::State& state) { run_encode(state, {}); }
void format_decode(benchmark::State& state) { run_decode(state, {}); }
void format_encode_lz4(benchmark::State& state) { run_encode(state, {.codec = Codec::lz4}); }
void format_decode_lz4(benchmark::State& state) { run_decode(state, {.codec = Codec::lz4}); }
void format_encode_zstd(benchmark::State& state) { run_encode(state, {.codec = Codec::zstd}); }
void format_decode_zstd(benchmark::State& state) { run_decode(state, {.codec = Codec::zstd}); }

void axes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"mib", "chunk_kib"})
      ->Args({64, 64})
      ->Args({64, 1024})
      ->Args({64, 4096})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}
void codec_axes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"mib", "chunk_kib"})
      ->Args({64, 1024})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

BENCHMARK(format_memcpy)->Apply(axes);
BENCHMARK(format_encode)->Apply(axes);
BENCHMARK(format_decode)->Apply(axes);
BENCHMARK(format_encode_lz4)->Apply(codec_axes);
BENCHMARK(format_decode_lz4)->Apply(codec_axes);
BENCHMARK(format_encode_zstd)->Apply(codec_axes);
BENCHMARK(format_decode_zstd)->Apply(codec_axes);

}  // namespace
