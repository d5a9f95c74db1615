// The Executor seam: where the device program runs. Implementations: make_host_executor
// (kernels/host_executor.hpp) and make_cuda_executor (kernels/cuda_executor.cuh). Runtime owns one
// and never learns which.
#pragma once

#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/result.hpp>
#include <ringkernel/runtime/system.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace rk {

/// Memory of a system. `device` is zeroed; `host` is zeroed, and mapped at the same address on the
/// device.
struct ExecutorMemory {
  std::byte* device = nullptr;
  std::byte* host = nullptr;
};

/// Runs one device program. Life: allocate, write (image of the system), launch, join, read; each
/// at most once except write and read. Threads: one controlling thread, except `fetch`, which any
/// thread may call while the program runs and after it.
class Executor {
 public:
  virtual ~Executor() = default;

  [[nodiscard]] virtual std::string name() const = 0;  ///< "host" or "cuda"
  [[nodiscard]] virtual const ProgramInfo& program() const = 0;
  /// Largest number of workers that are certain to run at the same time.
  [[nodiscard]] virtual std::uint32_t max_workers() const = 0;
  /// Lanes of a worker's group.
  [[nodiscard]] virtual std::uint32_t lanes() const { return 1; }
  /// Workers to use when the user names none.
  [[nodiscard]] virtual std::uint32_t default_workers() const = 0;

  virtual Result<ExecutorMemory> allocate(std::uint64_t device_bytes, std::uint64_t host_bytes) = 0;
  /// True if the host may access device memory through its pointers (while the program is not
  /// running).
  [[nodiscard]] virtual bool device_is_host_addressable() const = 0;
  virtual Result<void> write(std::byte* device_to, const std::byte* from, std::uint64_t bytes) = 0;
  virtual Result<void> read(std::byte* to, const std::byte* device_from, std::uint64_t bytes) = 0;

  /// Host time minus device time in microseconds, measured while nothing runs. Zero where both read
  /// one clock.
  virtual std::int64_t clock_offset_us() { return 0; }
  /// Starts workers 0..n-1 and the H2K dispatcher and returns.
  virtual Result<void> launch(const SystemView& system) = 0;
  /// An error if the program died (device lost). Cheap; call it while waiting.
  virtual Result<void> healthy() = 0;
  /// Waits for the end of the program after RunState::stopping. deadline_exceeded: it is still
  /// running.
  virtual Result<void> join(std::chrono::nanoseconds timeout) = 0;

  /// Memory that `fetch` copies into fastest (pinned on CUDA). Freed with the executor.
  virtual Result<std::byte*> allocate_staging(std::uint64_t bytes) = 0;
  /// Copies device memory (a snapshot ring, counters) to staging memory while the program runs;
  /// returns when the bytes are there.
  virtual Result<void> fetch(std::byte* staging_to, const std::byte* device_from,
                             std::uint64_t bytes) = 0;
};

}  // namespace rk
