// Where the host's physical time comes from. Clocks take microseconds as an argument, so that tests
// and deterministic runs decide what time it is. Host only.
#pragma once

#include <ringkernel/hlc/timestamp.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rk::hlc {

/// A source of microseconds since 1970-01-01 UTC. It may stand still or step back; the clocks above
/// it do not. Implementations are callable from any thread and never fail.
class PhysicalTime {
 public:
  virtual ~PhysicalTime() = default;
  [[nodiscard]] virtual std::uint64_t now_us() const = 0;
};

/// The operating system's real-time clock.
class SystemTime final : public PhysicalTime {
 public:
  [[nodiscard]] std::uint64_t now_us() const override {
    using std::chrono::duration_cast;
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    const auto us = duration_cast<std::chrono::microseconds>(since_1970).count();
    return us < 0 ? 0 : static_cast<std::uint64_t>(us);
  }
};

/// Time that moves only when told to.
class ManualTime final : public PhysicalTime {
 public:
  explicit ManualTime(std::uint64_t now_us = 0) : now_us_(now_us) {}
  // relaxed: the value itself is all a reader needs.
  [[nodiscard]] std::uint64_t now_us() const override {
    return now_us_.load(std::memory_order_relaxed);
  }
  void set_us(std::uint64_t now_us) { now_us_.store(now_us, std::memory_order_relaxed); }
  void advance_us(std::uint64_t by_us) { now_us_.fetch_add(by_us, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> now_us_;
};

}  // namespace rk::hlc
