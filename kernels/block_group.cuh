// The group of a CUDA worker: the threads of one block.
//
// Its functions are marked for host and device because the worker's are; a host call is a
// programming error and traps.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <cub/block/block_reduce.cuh>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

namespace rk {

/// A worker of one block. Every thread holds its own copy; `Shared` lies in shared memory.
class BlockGroup {
 public:
  static constexpr std::uint32_t kThreads = 256;
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
