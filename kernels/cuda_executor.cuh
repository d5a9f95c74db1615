// The CUDA executor: runs a device program as one persistent cooperative kernel. Blocks 0..W-1 are
// the workers, block W is the H2K dispatcher.
//
// Invariants:
//  1. Everything is allocated, loaded and warmed up before the launch; while the kernel runs this
//  file calls only stream
//     queries and asynchronous copies on streams of its own.
//  2. The kernel is on its own non-blocking stream; so are the drain's copies and all others. The
//  default stream is not used.
//  3. Nothing is freed while the kernel may run: an executor whose program does not end leaks its
//  memory.
//  4. After the device was lost every call returns that same error without calling CUDA.
//
// Memory: device memory from cudaMalloc, host memory pinned and mapped at one address for both
// sides; never managed.
#pragma once

#include <ringkernel/kernels/block_group.cuh>
#include <ringkernel/kernels/cuda_error.cuh>
#include <ringkernel/kernels/dispatcher.hpp>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/kernels/program.hpp>
#include <ringkernel/kernels/worker.hpp>
#include <ringkernel/runtime/atomic.hpp>
#include <ringkernel/runtime/executor.hpp>

#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace rk {

struct CudaExecutorOptions {
  int device = 0;  ///< CUDA's number of the GPU
  /// launch() fails if the blocks are not all running by then (another process may hold the GPU).
  std::chrono::nanoseconds start_timeout = std::chrono::seconds(20);
};

namespace detail {

/// A CUDA worker has nothing to do between its actions: the dispatcher has a block of its own.
struct NoTurn {
  RK_FN bool operator()() const { return false; }
};

/// `started`: one word per block, in host memory; a block stores 1 when it runs.
template <class Program>
__global__ void __launch_bounds__(BlockGroup::kThreads, 2)
    run_program(const __grid_constant__ SystemView system, std::uint32_t* started) {
  if (blockIdx.x == system.worker_count) {
    if (threadIdx.x != 0) return;
    Dispatcher dispatcher(system);
    store_release<Scope::system>(started[blockIdx.x], 1u);  // pairs with the acquire in launch()
    Backoff backoff;
    for (bool worked = false; dispatcher.turn(worked);) {
      if (worked) {
        backoff.reset();
      } else {
        backoff.wait();
      }
    }
    return;
  }
  using BlockWorker = Worker<Program, BlockGroup>;
  static_assert(sizeof(BlockWorker) <= 16 * 1024, "a worker lives in its block's shared memory");
  __shared__ BlockGroup::Shared shared;
  __shared__ alignas(BlockWorker) std::byte place[sizeof(BlockWorker)];
  BlockGroup group(shared);
  auto* worker = reinterpret_cast<BlockWorker*>(place);
  if (group.rank() == 0) {
    new (worker) BlockWorker(system, blockIdx.x);
    store_release<Scope::system>(started[blockIdx.x], 1u);  // pairs with the acquire in launch()
  }
  group.sync();
  worker->run(group, NoTurn{});
}

template <int = 0>
__global__ void read_device_clock(std::uint64_t* time_us) {
  *time_us = wall_clock_us();
}

/// Settings of the environment under which a resident kernel cannot work. Call before the first
/// CUDA call of the process.
[[nodiscard]] inline Result<void> prepare_cuda_environment() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string_view(text == nullptr ? "" : text);
  };
  if (const auto blocking = value("CUDA_LAUNCH_BLOCKING"); !blocking.empty() && blocking != "0") {
    return fail(ErrorCode::invalid_argument,
                "CUDA_LAUNCH_BLOCKING is set: a launch would wait for the resident kernel for "
                "ever; unset it");
  }
  if (const auto loading = value("CUDA_MODULE_LOADING"); loading.empty()) {
    ::setenv("CUDA_MODULE_LOADING", "EAGER", 0);
  } else if (loading != "EAGER") {
    return fail(ErrorCode::invalid_argument,
                "CUDA_MODULE_LOADING=" + std::string(loading) +
                    ": loading code while a kernel is resident deadlocks; unset it or use EAGER");
  }
  return {};
}

class CudaExecutor final : public Executor {
 public:
  /// `kernel` is run_program<Program> of the program that `info` describes.
  static Result<std::unique_ptr<Executor>> create(ProgramInfo info, const void* kernel,
                                                  CudaExecutorOptions options) {
    RK_TRY(prepare_cuda_environment());
    std::unique_ptr<CudaExecutor> executor(new CudaExecutor(std::move(info), kernel, options));
    RK_TRY(executor->open());
    return std::unique_ptr<Executor>(std::move(executor));
  }

  ~CudaExecutor() override {
    if (running_ && !lost_) stop_abandoned_program();
    if (running_ || lost_) return;
    for (std::byte* memory : device_memory_) cudaFree(memory);
    for (std::byte* memory : host_memory_) cudaFreeHost(memory);
    for (cudaStream_t stream : {run_stream_, copy_stream_, fetch_stream_}) {
      if (stream != nullptr) cudaStreamDestroy(stream);
    }
  }

  [[nodiscard]] std::string name() const override { return "cuda"; }
  [[nodiscard]] const ProgramInfo& program() const override { return info_; }
  [[nodiscard]] std::uint32_t lanes() const override { return BlockGroup::kThreads; }
  [[nodiscard]] std::uint32_t max_workers() const override { return max_workers_; }
  [[nodiscard]] std::uint32_t default_workers() const override { return default_workers_; }
  [[nodiscard]] bool device_is_host_addressable() const override { return false; }

  Result<ExecutorMemory> allocate(std::uint64_t device_bytes, std::uint64_t host_bytes) override {
    RK_TRY(enter());
    RK_ASSERT(!running_);
    void* device = nullptr;
    RK_TRY(check(cudaMalloc(&device, std::max<std::uint64_t>(device_bytes, 1)),
                 "device memory for the system"));
    device_memory_.push_back(static_cast<std::byte*>(device));
    RK_TRY(check(cudaMemsetAsync(device, 0, device_bytes, copy_stream_), "zeroing device memory"));
    RK_TRY(check(cudaStreamSynchronize(copy_stream_), "zeroing device memory"));
    RK_TRY_ASSIGN(std::byte* const host, allocate_host(host_bytes));
    return ExecutorMemory{static_cast<std::byte*>(device), host};
  }

  Result<void> write(std::byte* device_to, const std::byte* from, std::uint64_t bytes) override {
    return copy(device_to, from, bytes, cudaMemcpyHostToDevice, copy_stream_,
                "copying to the device");
  }
  Result<void> read(std::byte* to, const std::byte* device_from, std::uint64_t bytes) override {
    return copy(to, device_from, bytes, cudaMemcpyDeviceToHost, copy_stream_,
                "copying from the device");
  }

  Result<std::byte*> allocate_staging(std::uint64_t bytes) override {
    RK_TRY(enter());
    RK_ASSERT(!running_);
    return allocate_host(bytes);
  }
  Result<void> fetch(std::byte* staging_to, const std::byte* device_from,
                     std::uint64_t bytes) override {
    return copy(staging_to, device_from, bytes, cudaMemcpyDeviceToHost, fetch_stream_,
                "draining a snapshot ring");
  }

  /// The middle of the shortest of some round trips: right to half of a launch, a few microseconds.
  std::int64_t clock_offset_us() override {
    if (running_ || !enter()) return 0;
    auto* time_us = reinterpret_cast<std::uint64_t*>(signals_);
    std::uint64_t shortest = ~0ull;
    std::int64_t offset = 0;
    for (int round = 0; round < kClockRounds; ++round) {
      const std::uint64_t before = wall_clock_us();
      read_device_clock<<<1, 1, 0, copy_stream_>>>(time_us);
      if (!check(cudaStreamSynchronize(copy_stream_), "reading the device's clock")) return 0;
      const std::uint64_t after = wall_clock_us();
      if (after < before || after - before >= shortest)
        continue;  // the clock was set back meanwhile
      shortest = after - before;
      offset =
          static_cast<std::int64_t>(before + shortest / 2) - static_cast<std::int64_t>(*time_us);
    }
    return offset;
  }

  Result<void> launch(const SystemView& system) override {
    RK_TRY(enter());
    RK_ASSERT(!running_);
    if (system.worker_count < 1 || system.worker_count > max_workers_) {
      return fail(ErrorCode::invalid_argument, "this GPU runs 1 to " +
                                                   std::to_string(max_workers_) +
                                                   " workers of this program at the same time");
    }
    RK_TRY(warm_up_copies(system));
    const std::uint32_t blocks = system.worker_count + 1;
    std::memset(signals_, 0, blocks * sizeof(std::uint32_t));
    SystemView view = system;
    std::uint32_t* started = signals_;
    void* arguments[] = {&view, &started};
    RK_TRY(check(cudaLaunchCooperativeKernel(kernel_, dim3(blocks), dim3(BlockGroup::kThreads),
                                             arguments, 0, run_stream_),
                 "launching the persistent kernel"));
    system_ = system;
    running_ = true;
    return wait_for_start(blocks);
  }

  Result<void> healthy() override {
    RK_TRY(enter());
    RK_TRY_ASSIGN([[maybe_unused]] const bool ended, program_ended());
    return {};
  }

  Result<void> join(std::chrono::nanoseconds timeout) override {
    RK_TRY(enter());
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      RK_TRY_ASSIGN(const bool ended, program_ended());
      if (ended) {
        running_ = false;
        return {};
      }
      if (std::chrono::steady_clock::now() >= deadline) {
        return fail(ErrorCode::deadline_exceeded,
                    "the persistent kernel has not stopped: a handler does not return");
      }
      std::this_thread::sleep_for(kPollInterval);
    }
  }

 private:
  static constexpr int kClockRounds = 32;
  static constexpr std::chrono::microseconds kPollInterval{100};
  static constexpr std::chrono::seconds kLastStopTimeout{2};
  static constexpr std::uint64_t kSignalBytes = 4096;
  static_assert((kMaxWorkers + 1) * sizeof(std::uint32_t) <= kSignalBytes);

  CudaExecutor(ProgramInfo info, const void* kernel, CudaExecutorOptions options)
      : info_(std::move(info)), kernel_(kernel), options_(options) {}

  Result<void> open() {
    RK_TRY(check(cudaSetDevice(options_.device), "opening the GPU"));
    RK_TRY_ASSIGN(const int cooperative, attribute(cudaDevAttrCooperativeLaunch));
    RK_TRY_ASSIGN(const int unified, attribute(cudaDevAttrUnifiedAddressing));
    RK_TRY_ASSIGN(const int mapping, attribute(cudaDevAttrCanMapHostMemory));
    RK_TRY_ASSIGN(const int major, attribute(cudaDevAttrComputeCapabilityMajor));
    RK_TRY_ASSIGN(const int processors, attribute(cudaDevAttrMultiProcessorCount));
    if (cooperative == 0 || unified == 0 || mapping == 0 || major < 8) {
      return fail(ErrorCode::incompatible,
                  "this GPU lacks cooperative launch, mapped host memory or compute capability "
                  "8.0; use the host executor");
    }
    // also loads the code of both kernels, whatever the process did before it could ask for eager
    // loading
    cudaFuncAttributes loaded{};
    RK_TRY(check(cudaFuncGetAttributes(&loaded, kernel_), "loading the device program"));
    RK_TRY(
        check(cudaFuncGetAttributes(&loaded, read_device_clock<>), "loading the device program"));
    int per_processor = 0;
    RK_TRY(check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                     &per_processor, kernel_, static_cast<int>(BlockGroup::kThreads), 0),
                 "asking how many workers fit"));
    const int resident = per_processor * processors;
    if (resident < 2) {
      return fail(ErrorCode::incompatible,
                  "this GPU has no room for one worker and the dispatcher; use the host executor");
    }
    // one block is the dispatcher; by default it gets a processor of its own
    max_workers_ = std::min(static_cast<std::uint32_t>(resident - 1), kMaxWorkers);
    default_workers_ = std::clamp(static_cast<std::uint32_t>(processors - 1), 1u, max_workers_);
    for (cudaStream_t* stream : {&run_stream_, &copy_stream_, &fetch_stream_}) {
      RK_TRY(check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "creating a stream"));
    }
    RK_TRY_ASSIGN(std::byte* const signals, allocate_host(kSignalBytes));
    signals_ = reinterpret_cast<std::uint32_t*>(signals);
    return {};
  }

  Result<int> attribute(cudaDeviceAttr which) {
    int value = 0;
    RK_TRY(check(cudaDeviceGetAttribute(&value, which, options_.device),
                 "asking what the GPU can do"));
    return value;
  }

  Result<std::byte*> allocate_host(std::uint64_t bytes) {
    bytes = std::max<std::uint64_t>(bytes, 1);
    void* memory = nullptr;
    RK_TRY(check(cudaHostAlloc(&memory, bytes, cudaHostAllocMapped | cudaHostAllocPortable),
                 "pinned host memory"));
    host_memory_.push_back(static_cast<std::byte*>(memory));
    void* on_device = nullptr;
    RK_TRY(check(cudaHostGetDevicePointer(&on_device, memory, 0), "mapping host memory"));
    if (on_device != memory) {
      return fail(ErrorCode::incompatible,
                  "host memory has another address on this GPU; use the host executor");
    }
    std::memset(memory, 0, bytes);
    return static_cast<std::byte*>(memory);
  }

  Result<void> copy(void* to, const void* from, std::uint64_t bytes, cudaMemcpyKind kind,
                    cudaStream_t stream, const char* what) {
    RK_TRY(enter());
    if (bytes == 0) return {};
    RK_TRY(check(cudaMemcpyAsync(to, from, bytes, kind, stream), what));
    return check(cudaStreamSynchronize(stream), what);
  }

  /// The first copy of a stream may allocate, which must not happen beside the resident kernel.
  Result<void> warm_up_copies(const SystemView& system) {
    auto* place = reinterpret_cast<std::byte*>(signals_);
    const auto* source = reinterpret_cast<const std::byte*>(system.device_control);
    RK_TRY(copy(place, source, sizeof(DeviceControl), cudaMemcpyDeviceToHost, fetch_stream_,
                "the first copy"));
    return copy(place, source, sizeof(DeviceControl), cudaMemcpyDeviceToHost, copy_stream_,
                "the first copy");
  }

  /// The queries also make drivers that batch launches submit this one.
  Result<void> wait_for_start(std::uint32_t blocks) {
    const auto deadline = std::chrono::steady_clock::now() + options_.start_timeout;
    for (std::uint32_t block = 0; block < blocks;) {
      // acquire: pairs with the block's release
      if (load_acquire<Scope::system>(signals_[block]) != 0) {
        ++block;
        continue;
      }
      RK_TRY(healthy());
      if (std::chrono::steady_clock::now() >= deadline) {
        return fail(ErrorCode::deadline_exceeded,
                    "the persistent kernel did not start: " + std::to_string(block) + " of " +
                        std::to_string(blocks) +
                        " blocks run; is the GPU held by another process?");
      }
      std::this_thread::sleep_for(kPollInterval);
    }
    return {};
  }

  /// Any thread. An error if the kernel died.
  Result<bool> program_ended() {
    const cudaError_t status = cudaStreamQuery(run_stream_);
    if (status == cudaErrorNotReady) return false;
    RK_TRY(check(status, "the persistent kernel died"));
    return true;
  }

  /// For an owner that gave up on join(): asks once more, so that a merely slow program does not
  /// outlive the process's wish.
  void stop_abandoned_program() {
    HostControl& control = *system_.host_control;
    store_relaxed<Scope::system>(control.run_state, static_cast<std::uint32_t>(RunState::stopping));
    // release: publishes the state; pairs with the dispatcher's acquire
    store_release<Scope::system>(control.version, load_relaxed<Scope::system>(control.version) + 1);
    (void)join(kLastStopTimeout);
  }

  /// Every entry: the device is per thread in CUDA, and the drain has its own thread.
  Result<void> enter() {
    {
      const std::lock_guard lock(mutex_);
      if (lost_) return unexpected(*lost_);
    }
    return check(cudaSetDevice(options_.device), "using the GPU");
  }

  Result<void> check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return {};
    (void)
        cudaGetLastError();  // errors that are not sticky would show up again in an unrelated call
    Error error = cuda_error(status, what);
    const std::lock_guard lock(mutex_);
    if (error.code == ErrorCode::device_lost && !lost_) lost_ = error;
    return unexpected(std::move(error));
  }

  const ProgramInfo info_;
  const void* const kernel_;
  const CudaExecutorOptions options_;
  std::uint32_t max_workers_ = 0;
  std::uint32_t default_workers_ = 0;

  cudaStream_t run_stream_ = nullptr;
  cudaStream_t copy_stream_ = nullptr;
  cudaStream_t fetch_stream_ = nullptr;  ///< the drain thread's
  std::vector<std::byte*> device_memory_;
  std::vector<std::byte*> host_memory_;
  std::uint32_t* signals_ = nullptr;  ///< mapped host memory for the start signals and the clock
  SystemView system_{};
  bool running_ = false;  ///< controlling thread only

  std::mutex mutex_;
  std::optional<Error> lost_;  ///< guarded by mutex_
};

}  // namespace detail

/// An executor that runs actors of these types on a GPU. Call it before any other use of CUDA in
/// the process. not_found without a usable GPU or driver; invalid_argument under an environment
/// that a resident kernel cannot live with.
template <Actor... As>
[[nodiscard]] Result<std::unique_ptr<Executor>> make_cuda_executor(
    CudaExecutorOptions options = {}) {
  return detail::CudaExecutor::create(
      Program<As...>::info(), reinterpret_cast<const void*>(detail::run_program<Program<As...>>),
      options);
}

/// `automatic`: a GPU if there is one, else the host.
enum class Backend { automatic, host, cuda };

template <Actor... As>
[[nodiscard]] Result<std::unique_ptr<Executor>> make_executor(Backend backend,
                                                              CudaExecutorOptions options = {}) {
  if (backend == Backend::host) return make_host_executor<As...>();
  auto executor = make_cuda_executor<As...>(options);
  if (!executor && backend == Backend::automatic && executor.error().code == ErrorCode::not_found) {
    return make_host_executor<As...>();
  }
  return executor;
}

}  // namespace rk
