// `.rkcp` encode and decode beside the peer that no encoder can beat: one plain copy of the same
// bytes. Compare ratios inside one run, not times of different runs.
#include <benchmark/benchmark.h>

#include <cstring>
#include <ringkernel/checkpoint/format.hpp>
#include <vector>

namespace {

using rk::checkpoint::Bytes;
using rk::checkpoint::ChunkType;
using rk::checkpoint::ChunkView;

struct Sample {
  std::vector<std::byte> state;
  std::vector<ChunkView> chunks;
  rk::checkpoint::Metadata metadata;
  std::vector<std::byte> file;  // encoded, and the warm buffer to encode into
};

Sample make_sample(std::int64_t mebibytes, std::int64_t chunk_kibibytes) {
  Sample sample;
  sample.state.resize(static_cast<std::size_t>(mebibytes) << 20);
  std::uint64_t word = 1;
  for (auto& byte : sample.state) {
    word = word * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(word >> 56);
  }
  const std::size_t step = static_cast<std::size_t>(chunk_kibibytes) << 10;
  for (std::size_t at = 0; at < sample.state.size(); at += step) {
    sample.chunks.push_back({.type = ChunkType::device_memory,
                             .id = at,
                             .data = Bytes(sample.state).subspan(at, step)});
  }
  sample.metadata.kernel_id = "bench";
  sample.file = rk::checkpoint::encode(sample.metadata, sample.chunks, {}).value();
  return sample;
}

void set_bytes(benchmark::State& state, const Sample& sample) {
  state.SetBytesProcessed(static_cast<std::int64_t>(sample.state.size()) * state.iterations());
}

void format_memcpy(benchmark::State& state) {
  Sample sample = make_sample(state.range(0), state.range(1));
  for (auto _ : state) {
    std::memcpy(sample.file.data(), sample.state.data(), sample.state.size());
    benchmark::ClobberMemory();
  }
  set_bytes(state, sample);
}

void format_encode(benchmark::State& state) {
  Sample sample = make_sample(state.range(0), state.range(1));
  for (auto _ : state) {
    auto bytes = rk::checkpoint::encode_into(sample.file, sample.metadata, sample.chunks, {});
    if (!bytes) return state.SkipWithError(bytes.error().message.c_str());
    benchmark::ClobberMemory();
  }
  set_bytes(state, sample);
}

void format_decode(benchmark::State& state) {
  const Sample sample = make_sample(state.range(0), state.range(1));
  for (auto _ : state) {
    auto file = rk::checkpoint::decode(sample.file);
    if (!file) return state.SkipWithError(file.error().message.c_str());
    benchmark::DoNotOptimize(file->chunks.data());
  }
  set_bytes(state, sample);
}

void axes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"mib", "chunk_kib"})
      ->Args({64, 64})
      ->Args({64, 1024})
      ->Args({64, 4096})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

BENCHMARK(format_memcpy)->Apply(axes);
BENCHMARK(format_encode)->Apply(axes);
BENCHMARK(format_decode)->Apply(axes);

}  // namespace
