// What the resident kernel costs, measured on a GPU; one JSON object on stdout, progress on stderr.
//
//   echo_us            host to actor and back to the host, one message at a time
//   round_trip_us      two actors on two workers, there and back, inside the kernel
//   snapshot           state of some sizes: time until the stream was out of the rings, and until
//   it was durable
//
// Peer: a launch of an empty kernel and its synchronization, what a program without a resident
// kernel pays per exchange.
#include "measure.hpp"

namespace device_bench {
namespace {

__global__ void empty_kernel() {}

nlohmann::json launch_us() {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  std::vector<double> samples;
  for (int i = 0; i < 2000; ++i) {
    const auto start = Clock::now();
    empty_kernel<<<1, 1, 0, stream>>>();
    cudaStreamSynchronize(stream);
    samples.push_back(microseconds(Clock::now() - start));
  }
  cudaStreamDestroy(stream);
  return quantiles(std::move(samples));
}

int run() {
  nlohmann::json report;
  {
    // the executor must be the first to use CUDA
    auto executor = round_trip_executor();
    report["max_workers"] = executor->max_workers();
    report["default_workers"] = executor->default_workers();
    report["empty_launch_us"] = launch_us();
  }
  std::fprintf(stderr, "device_bench: echo\n");
  report["echo_us"] = echo_us();
  std::fprintf(stderr, "device_bench: round trip\n");
  report["round_trip_us"] = round_trip_us();
  for (const std::uint64_t mib : {16, 256, 1024}) {
    std::fprintf(stderr, "device_bench: snapshot of %llu MiB\n",
                 static_cast<unsigned long long>(mib));
    report["snapshot"].push_back(snapshot(mib));
  }
  std::printf("%s\n", report.dump(1).c_str());
  return 0;
}

}  // namespace
}  // namespace device_bench

int main() { return device_bench::run(); }
