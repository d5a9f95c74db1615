// Bounded waiting: pause, then yield, then sleep. One Backoff per waiting loop; not shared.
#pragma once

#include <ringkernel/hlc/host_device.hpp>
#include <ringkernel/runtime/schedule_point.hpp>

#include <cstdint>

#if !defined(__CUDA_ARCH__)
#include <chrono>
#include <thread>
#endif

namespace rk {

/// Cheap monotonic tick counter of the calling core. Only ratios and differences taken on one
/// worker mean anything.
RK_FN inline std::uint64_t ticks() {
#if defined(__CUDA_ARCH__)
  return static_cast<std::uint64_t>(clock64());
#elif defined(RK_SCHEDULE_POINTS)
  return testing::virtual_ticks();
#elif defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

/// Physical time in microseconds since 1970: the system clock, or the device's global timer (the
/// host adds the offset).
RK_FN inline std::uint64_t wall_clock_us() {
#if defined(__CUDA_ARCH__)
  std::uint64_t ns;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
  return ns / 1000;
#elif defined(RK_SCHEDULE_POINTS)
  return testing::virtual_time_us();
#else
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
#endif
}

/// A clock that never steps back, in nanoseconds; on a GPU it advances by 32 ns to 1 us at a time.
RK_FN inline std::uint64_t monotonic_ns() {
#if defined(__CUDA_ARCH__)
  std::uint64_t ns;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
  return ns;
#elif defined(RK_SCHEDULE_POINTS)
  return testing::virtual_time_us() * 1000;
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

/// Waiting in three stages: spin for `kSpins` rounds, yield for `kYields`, then sleep `kSleepUs`
/// each round. Spinning alone collapses where cores are shared.
class Backoff {
 public:
  RK_FN void reset() { round_ = 0; }

  /// Ends early once `is_there()`, which is asked again and again in the spinning stage. Returns
  /// whether it is; false on a device, where nothing asks.
  template <class IsThere>
  RK_FN bool wait([[maybe_unused]] IsThere is_there) {
#if !defined(__CUDA_ARCH__) && !defined(RK_SCHEDULE_POINTS)
    if (round_ < kSpins) {
      ++round_;
      return look(is_there);
    }
#endif
    wait();
#if defined(__CUDA_ARCH__)
    return false;  // the next turn looks anyway
#else
    return is_there();
#endif
  }

  /// Before an answer through a pair cell is looked for: whose turn it is would lose the cell's
  /// line to who polls it. About as long as an answer takes at least.
  static constexpr std::uint32_t kAnswerPauses = 4;

  /// One round of the spinning stage, the second look after `pauses`; looks once where nobody asks.
  template <class IsThere>
  RK_FN static bool look(IsThere is_there, [[maybe_unused]] std::uint32_t pauses = 1) {
#if !defined(__CUDA_ARCH__) && !defined(RK_SCHEDULE_POINTS)
    for (std::uint32_t n = 1; n < kLooks; ++n) {
      if (is_there()) return true;
#if defined(__x86_64__)
      for (; pauses > 1; --pauses) __builtin_ia32_pause();
      __builtin_ia32_pause();
#endif
    }
#endif
    return is_there();
  }

  RK_FN void wait() {
    ++round_;
#if defined(__CUDA_ARCH__)
    __nanosleep(round_ < kSpins ? 20 : 200);
#elif defined(RK_SCHEDULE_POINTS)
    testing::yield_point();
#else
    if (round_ < kSpins) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else if (round_ < kSpins + kYields) {
      // where others compute, each yield costs one of their time slices: who sleeps is woken sooner
      const auto before = std::chrono::steady_clock::now();
      std::this_thread::yield();
      if (std::chrono::steady_clock::now() - before > kLongYield) round_ = kSpins + kYields;
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(kSleepUs));
    }
#endif
  }

 private:
  static constexpr std::uint32_t kSpins = 64;
  static constexpr std::uint32_t kLooks = 16;
  static constexpr std::uint32_t kYields = 512;
  static constexpr std::uint32_t kSleepUs = 50;
#if !defined(__CUDA_ARCH__)
  static constexpr std::chrono::microseconds kLongYield{500};
#endif
  std::uint32_t round_ = 0;
};

}  // namespace rk
