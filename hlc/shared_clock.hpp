// The host's clock: many threads, one atomic word.
//
// Both parts of a stamp live in the same word and change in one compare-and-swap. Splitting them
// into two words (swap one, store the other) lets two threads issue the same stamp; tests and
// bench/hlc_bench.cpp show it. The word orders itself only: it publishes no other memory, so every
// access is relaxed, and uniqueness and monotony follow from the modification order of the one
// object.
//
// Threads: every member function may be called from any host thread. Lock-free. Host only.
#pragma once

#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/hlc/timestamp.hpp>

#include <atomic>
#include <cstdint>
#include <optional>

namespace rk::hlc {

class SharedClock {
 public:
  SharedClock() = default;
  explicit SharedClock(Timestamp at_least) : word_(at_least.word) {}
  SharedClock(const SharedClock&) = delete;
  SharedClock& operator=(const SharedClock&) = delete;

  /// Stamp of a local or send event: unique among all threads that use this clock.
  Timestamp tick(std::uint64_t wall_us) {
    return advance([wall_us](Timestamp last) { return WorkerClock{last}.tick(wall_us); });
  }

  /// Stamp of a receipt from a trusted sender (one of our workers); greater than `received`.
  Timestamp merge(Timestamp received, std::uint64_t wall_us) {
    return advance([=](Timestamp last) { return WorkerClock{last}.merge(received, wall_us); });
  }

  /// merge() for a stamp that enters from outside. Empty when `received` is more than
  /// `max_drift_us` ahead of `wall_us`; the clock is then untouched, so a broken sender cannot drag
  /// this system into the future.
  [[nodiscard]] std::optional<Timestamp> admit(Timestamp received, std::uint64_t wall_us,
                                               std::uint64_t max_drift_us = kDefaultMaxDriftUs) {
    if (!within_drift(received, wall_us, max_drift_us)) return std::nullopt;
    return merge(received, wall_us);
  }

  /// Every stamp issued from now on exceeds `at_least`. No drift check: a checkpoint is the truth.
  void restore(Timestamp at_least) {
    advance([at_least](Timestamp last) { return later_of(last, at_least); });
  }

  /// The newest stamp issued or restored. Another thread may already be past it.
  [[nodiscard]] Timestamp last() const { return Timestamp{word_.load(std::memory_order_relaxed)}; }

 private:
  template <class Next>
  Timestamp advance(Next next) {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    Timestamp mine;
    do {
      mine = next(Timestamp{seen});
    } while (!word_.compare_exchange_weak(seen, mine.word, std::memory_order_relaxed,
                                          std::memory_order_relaxed));
    return mine;
  }

  // Alone on its cache line: every host thread that sends writes it.
  alignas(64) std::atomic<std::uint64_t> word_{0};
};

}  // namespace rk::hlc
