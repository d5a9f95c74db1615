// The group of a CUDA worker: the threads of one block.
//
// Its functions are marked for host and device because the worker's are; a host call is a
// programming error and traps.
#pragma once

#include <ringkernel/hlc/host_device.hpp>
#include <ringkernel/runtime/actor.hpp>

#include <cub/block/block_reduce.cuh>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

namespace rk {

/// One warp of a block: what runs a handler of grain warp. Every thread holds its own copy.
class WarpGroup {
 public:
  static constexpr std::uint32_t kLanes = 32;

  [[nodiscard]] RK_FN std::uint32_t rank() const {
#if defined(__CUDA_ARCH__)
    return threadIdx.x % kLanes;
#else
    std::abort();
#endif
  }
  [[nodiscard]] RK_FN static constexpr std::uint32_t size() { return kLanes; }
  RK_FN void sync() {
#if defined(__CUDA_ARCH__)
    __syncwarp();
#else
    std::abort();
#endif
  }
  /// The value of lane 0.
  template <class T>
  RK_FN T broadcast(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
#if defined(__CUDA_ARCH__)
    constexpr std::uint32_t kWords = (sizeof(T) + 3) / 4;
    std::uint32_t words[kWords] = {};
    memcpy(words, &value, sizeof(T));
    for (std::uint32_t i = 0; i < kWords; ++i) words[i] = __shfl_sync(0xFFFFFFFFu, words[i], 0);
    memcpy(&value, words, sizeof(T));
#endif
    return value;
  }
};

/// A worker of one block. Every thread holds its own copy; `Shared` lies in shared memory.
class BlockGroup {
 public:
  static constexpr std::uint32_t kThreads = 256;
  static constexpr bool kIsSingle = false;
  static constexpr std::uint32_t kMaxBatch = 32;  ///< one warp's worth of handlers
  [[nodiscard]] RK_FN static constexpr std::uint32_t lanes_of(Grain grain, std::uint32_t size) {
    return grain == Grain::thread ? 1 : grain == Grain::warp ? WarpGroup::kLanes : size;
  }
  RK_FN static WarpGroup warp() { return {}; }
  using Reduce = cub::BlockReduce<std::uint64_t, kThreads>;

  struct Shared {
    typename Reduce::TempStorage reduce;
    alignas(16) std::byte scratch[64];
  };

  RK_FN explicit BlockGroup(Shared& shared) : shared_(&shared) {}

  [[nodiscard]] RK_FN std::uint32_t rank() const {
#if defined(__CUDA_ARCH__)
    return threadIdx.x;
#else
    std::abort();
#endif
  }
  [[nodiscard]] RK_FN static constexpr std::uint32_t size() { return kThreads; }

  RK_FN void sync() {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#else
    std::abort();
#endif
  }

  /// The value of lane 0.
  template <class T>
  RK_FN T broadcast(T value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(Shared::scratch) &&
                  alignof(T) <= 16);
    T& place = *reinterpret_cast<T*>(shared_->scratch);
    if (rank() == 0) place = value;
    sync();
    const T result = place;
    sync();  // or lane 0 could overwrite the place for a broadcast that follows
    return result;
  }

  /// The sum over all lanes, for all of them. What the lanes wrote before is ordered before what
  /// lane 0 releases after: the barriers in broadcast() come after every lane's writes.
  RK_FN std::uint64_t sum(std::uint64_t value) {
#if defined(__CUDA_ARCH__)
    value = Reduce(shared_->reduce).Sum(value);
#endif
    return broadcast(value);
  }

 private:
  Shared* shared_;
};

}  // namespace rk
