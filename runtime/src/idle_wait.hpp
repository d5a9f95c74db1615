// The pauses of a thread that polls, and the bell that ends them.
//
// Threads: one waits and calls everything but ring(), which any thread may call under any lock.
//
// Invariant: after ring() the next take_ring() of the waiter is true and happens without a pause
// longer than `shortest`. The waiter clears the bell before it looks at what the ringer changed,
// and the ringer rings after the change: so a change is seen by this look or by one more.
#pragma once

#include <ringkernel/runtime/polling.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace rk {

class IdleWait {
 public:
  using Clock = std::chrono::steady_clock;

  explicit IdleWait(const Polling& polling = {}) : polling_(polling) {}

  void set(const Polling& polling) { polling_ = polling; }
  /// Something came at `now`, or will soon.
  void reset(Clock::time_point now) { calm_since_ = now; }
  /// True if it was rung since the last call.
  [[nodiscard]] bool take_ring() {
    // acquire: what the ringer did before is seen from here on; pairs with ring()
    return rung_.exchange(false, std::memory_order_acquire);
  }
  /// How long to pause at `now`, at most `limit` or else the shortest pause.
  [[nodiscard]] std::chrono::nanoseconds pause(
      Clock::time_point now,
      std::chrono::nanoseconds limit = std::chrono::nanoseconds::max()) const {
    const auto longest =
        std::max(polling_.shortest, std::min<std::chrono::nanoseconds>(polling_.longest, limit));
    const double calm = static_cast<double>((now - calm_since_).count());
    const double wanted = std::min(calm * polling_.growth, static_cast<double>(longest.count()));
    return std::max(polling_.shortest, std::chrono::nanoseconds(static_cast<long long>(wanted)));
  }
  /// Pauses; shorter if it rings. The shortest pause is not worth a bell to those who ring.
  void wait(std::chrono::nanoseconds pause) {
    if (pause <= polling_.shortest) return std::this_thread::sleep_for(pause);
    std::unique_lock lock(mutex_);
    // sequentially consistent, with the load in the predicate and both words in ring(): either the
    // ringer sees that somebody rests, or the waiter that it was rung
    rests_.store(true, std::memory_order_seq_cst);
    bell_.wait_for(lock, std::min<std::chrono::nanoseconds>(pause, kLongestWait),
                   [this] { return rung_.load(std::memory_order_seq_cst); });
    rests_.store(false, std::memory_order_relaxed);  // relaxed: a ring too many harms nobody
  }

  void ring() {
    // sequentially consistent: as said in wait(); release: publishes what the caller did, even when
    // the ring before was not taken yet and covers this one
    if (rung_.exchange(true, std::memory_order_seq_cst)) return;
    if (!rests_.load(std::memory_order_seq_cst)) return;
    // empty on purpose: a waiter that saw no ring under the lock waits by now and hears the bell
    { const std::lock_guard lock(mutex_); }
    bell_.notify_one();
  }

 private:
  static constexpr std::chrono::hours kLongestWait{24};  ///< no clock overflows

  Polling polling_;
  Clock::time_point calm_since_{};
  std::atomic<bool> rung_{false};
  std::atomic<bool> rests_{false};
  std::mutex mutex_;
  std::condition_variable bell_;
};

}  // namespace rk
