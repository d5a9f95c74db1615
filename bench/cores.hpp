// Where a benchmark's threads run, and how far apart that is.
//
// On a virtual machine the placement of cores alone moves figures of two threads by a factor of
// three, and a thread that shares a core with its partner measures the scheduler. So benchmarks of
// two threads and more pin them, and say how long one cache line takes from one to the other.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace rk::bench {

inline void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// The cores this process may use, as they were at the first call.
inline const cpu_set_t& usable_cores() {
  static const cpu_set_t cores = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) CPU_SET(0, &set);
    return set;
  }();
  return cores;
}

/// Keeps a thread on the n-th usable core, counted round; gives it back its freedom at the end.
/// With one core it does nothing.
class Pinned {
 public:
  explicit Pinned(std::uint32_t n) {
    const cpu_set_t& usable = usable_cores();
    const auto count = static_cast<std::uint32_t>(CPU_COUNT(&usable));
    if (count < 2) return;
    std::uint32_t left = n % count;
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
      if (!CPU_ISSET(core, &usable) || left-- > 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(core, &one);
      (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
      return;
    }
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { (void)pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), &usable_cores()); }
};

/// One-way latency of a bare atomic word between the first two usable cores, in nanoseconds: the
/// median of short batches, so that a batch during which a thread lost its core does not count.
inline double probe_ns() {
  constexpr std::size_t kBatches = 9;
  constexpr std::uint64_t kRoundTrips = 300;
  struct alignas(128) Word {
    std::atomic<std::uint64_t> value{0};
  };
  Word there;
  Word back;
  const auto await = [](const Word& word, std::uint64_t value) {
    for (std::uint32_t spins = 0; word.value.load(std::memory_order_acquire) != value; ++spins) {
      spins < 10'000 ? pause_core() : std::this_thread::yield();
    }
  };
  std::thread partner([&] {
    const Pinned pinned(1);
    for (std::uint64_t i = 1; i <= (kBatches + 1) * kRoundTrips; ++i) {
      await(there, i);
      back.value.store(i, std::memory_order_release);
    }
  });
  const Pinned pinned(0);
  std::array<double, kBatches> batches{};
  std::uint64_t number = 0;
  for (std::size_t batch = 0; batch <= kBatches; ++batch) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < kRoundTrips; ++i) {
      there.value.store(++number, std::memory_order_release);
      await(back, number);
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    // the first batch contains the start of the thread
    if (batch > 0) batches[batch - 1] = took.count() / static_cast<double>(2 * kRoundTrips);
  }
  partner.join();
  std::nth_element(batches.begin(), batches.begin() + kBatches / 2, batches.end());
  return batches[kBatches / 2];
}

}  // namespace rk::bench
