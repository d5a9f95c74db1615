// The host executor: runs a device program on CPU threads. One thread is one worker of one lane;
// tests also run workers of several lanes (`lanes_per_worker`), because a group of one hides every
// missing barrier.
//
// Worker 0's first lane also runs the H2K dispatcher, between its own actions.
#pragma once

#include <ringkernel/kernels/dispatcher.hpp>
#include <ringkernel/kernels/program.hpp>
#include <ringkernel/kernels/worker.hpp>
#include <ringkernel/kernels/zeroed_memory.hpp>
#include <ringkernel/runtime/executor.hpp>

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace rk {

struct HostExecutorOptions {
  std::uint32_t lanes_per_worker = 1;  ///< 1 in production; up to ThreadGroup::kMaxLanes in tests
};

namespace detail {

template <class Program>
class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(HostExecutorOptions options) : options_(options), info_(Program::info()) {}
  ~HostExecutor() override {
    for (auto& thread : threads_) thread.join();
  }

  [[nodiscard]] std::string name() const override { return "host"; }
  [[nodiscard]] const ProgramInfo& program() const override { return info_; }
  [[nodiscard]] std::uint32_t max_workers() const override { return kMaxWorkers; }
  [[nodiscard]] std::uint32_t lanes() const override { return options_.lanes_per_worker; }
  [[nodiscard]] std::uint32_t default_workers() const override {
    const std::uint32_t cores = std::thread::hardware_concurrency();
    return cores == 0 ? 1 : std::min(cores, kMaxWorkers);
  }

  Result<ExecutorMemory> allocate(std::uint64_t device_bytes, std::uint64_t host_bytes) override {
    if (!device_.allocate(device_bytes) || !host_.allocate(host_bytes)) {
      return fail(ErrorCode::no_space,
                  "out of memory: the system needs " +
                      std::to_string((device_bytes + host_bytes) >> 20) +
                      " MiB; use fewer or smaller actors, or smaller Capacities");
    }
    return ExecutorMemory{device_.get(), host_.get()};
  }
  [[nodiscard]] bool device_is_host_addressable() const override { return true; }
  Result<void> write(std::byte* device_to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(device_to, from, bytes);
    return {};
  }
  Result<void> read(std::byte* to, const std::byte* device_from, std::uint64_t bytes) override {
    std::memcpy(to, device_from, bytes);
    return {};
  }

  Result<void> launch(const SystemView& system) override {
    const std::uint32_t lanes = options_.lanes_per_worker;
    RK_ASSERT(lanes >= 1 && lanes <= ThreadGroup::kMaxLanes && threads_.empty());
    system_ = system;
    dispatcher_ = std::make_unique<Dispatcher>(system_);
    running_ = system_.worker_count * lanes;
    try {
      for (std::uint32_t index = 0; index < system_.worker_count; ++index) {
        lanes == 1 ? launch_single(index) : launch_group(index, lanes);
      }
    } catch (const std::system_error& error) {
      open_gate(Gate::cancelled);
      for (auto& thread : threads_) thread.join();
      threads_.clear();
      return fail(ErrorCode::no_space, std::string("cannot start ") +
                                           std::to_string(system_.worker_count * lanes) +
                                           " threads: " + error.what());
    }
    open_gate(Gate::open);
    return {};
  }
  Result<void> healthy() override { return {}; }

  Result<void> join(std::chrono::nanoseconds timeout) override {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, timeout, [this] { return running_ == 0; })) {
        return fail(ErrorCode::deadline_exceeded,
                    std::to_string(running_) +
                        " worker threads have not stopped: a handler does not return");
      }
    }
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    return {};
  }

  Result<std::byte*> allocate_staging(std::uint64_t bytes) override {
    staging_.emplace_back();
    if (!staging_.back().allocate(bytes))
      return fail(ErrorCode::no_space, "out of memory for staging buffers");
    return staging_.back().get();
  }
  Result<void> fetch(std::byte* staging_to, const std::byte* device_from,
                     std::uint64_t bytes) override {
    std::memcpy(staging_to, device_from, bytes);
    return {};
  }

 private:
  /// A worker writes its last members for every message, another reads its first ones as often:
  /// they share no cache line, and no pair of lines that is fetched together.
  template <class W>
  struct alignas(128) Apart {
    Apart(const SystemView& system, std::uint32_t index) : worker(system, index) {}
    W worker;
  };

  /// Threads wait here until all of them exist: a worker alone would wait for the others for ever.
  enum class Gate { closed, open, cancelled };

  void open_gate(Gate state) {
    const std::lock_guard lock(mutex_);
    gate_ = state;
    changed_.notify_all();
  }
  void launch_single(std::uint32_t index) {
    singles_.push_back(std::make_unique<Apart<Worker<Program, SingleGroup>>>(system_, index));
    threads_.emplace_back([this, index, apart = singles_.back().get()] {
      SingleGroup group;
      run(apart->worker, group, index);
    });
  }
  void launch_group(std::uint32_t index, std::uint32_t lanes) {
    groups_.push_back(std::make_unique<ThreadGroup::Shared>(lanes));
    wides_.push_back(std::make_unique<Apart<Worker<Program, ThreadGroup>>>(system_, index));
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
      threads_.emplace_back(
          [this, index, lane, apart = wides_.back().get(), shared = groups_.back().get()] {
            ThreadGroup group(*shared, lane);
            run(apart->worker, group, index);
          });
    }
  }
  template <class W, class Group>
  void run(W& worker, Group& group, std::uint32_t index) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return gate_ != Gate::closed; });
      if (gate_ == Gate::cancelled) return;
    }
    worker.run(group, [&] {
      bool worked = false;
      if (index == 0) dispatcher_->turn(worked);
      return worked;
    });
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) changed_.notify_all();
  }

  HostExecutorOptions options_;
  ProgramInfo info_;
  ZeroedMemory device_;
  ZeroedMemory host_;
  std::vector<ZeroedMemory> staging_;
  SystemView system_{};
  std::unique_ptr<Dispatcher> dispatcher_;
  std::vector<std::unique_ptr<Apart<Worker<Program, SingleGroup>>>> singles_;
  std::vector<std::unique_ptr<Apart<Worker<Program, ThreadGroup>>>> wides_;
  std::vector<std::unique_ptr<ThreadGroup::Shared>> groups_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Gate gate_ = Gate::closed;
  std::uint32_t running_ = 0;
};

}  // namespace detail

/// An executor that runs actors of these types on CPU threads.
template <Actor... As>
std::unique_ptr<Executor> make_host_executor(HostExecutorOptions options = {}) {
  return std::make_unique<detail::HostExecutor<Program<As...>>>(options);
}

}  // namespace rk
