// The background share of a worker's time: handlers earn, saving spends.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <cstdint>

namespace rk {

/// Lane 0 only. Capped both ways: time earned while the ring was full is not spent in one long gap,
/// and time spent while the worker was idle is not held against it.
class TimeShare {
 public:
  TimeShare() = default;
  /// `percent` of the worker's time, 1..90.
  RK_FN explicit TimeShare(std::uint32_t percent) : percent_(percent) {}

  RK_FN void reset() { credit_ = 0; }
  [[nodiscard]] RK_FN bool available() const { return credit_ > 0; }
  /// A handler ran for `ticks`.
  RK_FN void earn(std::uint64_t ticks) {
    credit_ += static_cast<std::int64_t>(ticks * percent_ / (100 - percent_));
    if (credit_ > kMostTicks) credit_ = kMostTicks;
  }
  /// Saving took `ticks`.
  RK_FN void spend(std::uint64_t ticks) {
    credit_ -= static_cast<std::int64_t>(ticks);
    if (credit_ < -kMostTicks) credit_ = -kMostTicks;
  }

 private:
  static constexpr std::int64_t kMostTicks = 200'000;
  std::uint64_t percent_ = 25;
  std::int64_t credit_ = 0;
};

}  // namespace rk
