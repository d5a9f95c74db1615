// Groups: the lanes that run one worker together. On CUDA a group is a block (cuda_executor.cuh);
// here are the host's.
//
// A group offers rank(), size(), sync(), broadcast(value of lane 0), sum(value of each lane). All
// of them except rank and size are collective: every lane calls them in the same order. A handler
// of some grain takes lanes_of(grain, size) lanes, so that several run side by side; warp() is the
// part of the group that a lane is in for one of grain warp.
#pragma once

#include <ringkernel/hlc/host_device.hpp>
#include <ringkernel/runtime/actor.hpp>

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace rk {

/// A worker of one thread: everything collective is free.
class SingleGroup {
 public:
  static constexpr bool kIsSingle = true;
  static constexpr std::uint32_t kMaxBatch = 1;
  [[nodiscard]] RK_FN static constexpr std::uint32_t lanes_of(Grain, std::uint32_t) { return 1; }
  RK_FN SingleGroup& warp() { return *this; }
  [[nodiscard]] RK_FN static constexpr std::uint32_t rank() { return 0; }
  [[nodiscard]] RK_FN static constexpr std::uint32_t size() { return 1; }
  RK_FN static void sync() {}
  template <class T>
  RK_FN static T broadcast(T value) {
    return value;
  }
  RK_FN static std::uint64_t sum(std::uint64_t value) { return value; }
};

/// A worker of several threads: what shows a missing barrier to ThreadSanitizer, because a group of
/// one hides it.
class ThreadGroup {
 public:
  static constexpr std::uint32_t kMaxLanes = 16;
  static constexpr bool kIsSingle = false;
  static constexpr std::uint32_t kMaxBatch = kMaxLanes;
  /// All `size` lanes together are less than a warp.
  [[nodiscard]] RK_FN static std::uint32_t lanes_of(Grain grain, std::uint32_t size) {
    return grain == Grain::thread ? 1 : size;
  }
  RK_FN ThreadGroup& warp() { return *this; }

  /// Shared by the lanes of one worker.
  struct Shared {
    explicit Shared(std::uint32_t lane_count)
        : lanes(lane_count), barrier(static_cast<std::ptrdiff_t>(lane_count)) {}
    std::uint32_t lanes;
    std::barrier<> barrier;
    alignas(16) std::byte scratch[64];
    std::uint64_t partial[kMaxLanes];
  };

  ThreadGroup(Shared& shared, std::uint32_t rank) : shared_(&shared), rank_(rank) {}

  // Marked for the device only because the worker's functions are: no device program uses this
  // group.
  [[nodiscard]] RK_FN std::uint32_t rank() const { return rank_; }
  [[nodiscard]] RK_FN std::uint32_t size() const { return shared_->lanes; }
  RK_FN void sync() {
#if !defined(__CUDA_ARCH__)
    shared_->barrier.arrive_and_wait();
#endif
  }

  template <class T>
  RK_FN T broadcast(T value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(Shared::scratch));
    if (rank_ == 0) std::memcpy(shared_->scratch, &value, sizeof(T));
    sync();
    std::memcpy(&value, shared_->scratch, sizeof(T));
    sync();
    return value;
  }

  RK_FN std::uint64_t sum(std::uint64_t value) {
    shared_->partial[rank_] = value;
    sync();
    std::uint64_t total = 0;
    for (std::uint32_t lane = 0; lane < shared_->lanes; ++lane) total += shared_->partial[lane];
    sync();
    return total;
  }

 private:
  Shared* shared_;
  std::uint32_t rank_;
};

}  // namespace rk
