// The clock's headers compile for the device and agree with the host there.
#include <ringkernel/hlc/clock.hpp>

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdint>

namespace {

using rk::hlc::Timestamp;
using rk::hlc::WorkerClock;

struct Trace {
  static constexpr int kSteps = 64;
  Timestamp stamps[kSteps];
};

// Standing and stepping wall clocks, foreign stamps, a restore.
RK_FN void run_trace(Trace& trace) {
  WorkerClock clock;
  for (int i = 0; i < Trace::kSteps; ++i) {
    const std::uint64_t wall_us = 1000u + static_cast<std::uint64_t>((i * 37) % 11);
    if (i % 7 == 3) clock.restore(Timestamp{(990ull + i) << rk::hlc::kLogicalBits});
    const Timestamp received{(1001ull << rk::hlc::kLogicalBits) + static_cast<std::uint64_t>(i)};
    trace.stamps[i] = i % 3 == 0 ? clock.merge(received, wall_us) : clock.tick(wall_us);
  }
}

__global__ void trace_kernel(Trace* trace) { run_trace(*trace); }

TEST(HlcOnDevice, IssuesTheSameStampsAsTheHost) {
  Trace host{};
  run_trace(host);
  Trace* device = nullptr;
  ASSERT_EQ(cudaMalloc(&device, sizeof(Trace)), cudaSuccess) << "these tests need a GPU";
  trace_kernel<<<1, 1>>>(device);
  Trace copy{};
  ASSERT_EQ(cudaMemcpy(&copy, device, sizeof(Trace), cudaMemcpyDeviceToHost), cudaSuccess);
  cudaFree(device);
  for (int i = 0; i < Trace::kSteps; ++i) {
    EXPECT_EQ(copy.stamps[i].word, host.stamps[i].word) << i;
    if (i > 0) {
      EXPECT_LT(copy.stamps[i - 1].word, copy.stamps[i].word) << i;
    }
  }
}

}  // namespace
