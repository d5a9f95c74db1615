// What the tests of the patterns share.
#pragma once

#include <ringkernel/runtime/patterns.hpp>

#include "programs.hpp"
#include "temp_dir.hpp"

namespace rk::test {

inline const auto kPatternShapes =
    testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{4, 1}, Shape{2, 4});
/// To restore on: another number of workers, or of lanes.
inline Shape other_than(const Shape& shape) {
  return shape.workers == 2 ? Shape{3, 1} : Shape{2, shape.workers == 1 ? 4u : 1u};
}

inline RuntimeOptions spread_options(const std::string& dir = "") {
  RuntimeOptions options;
  options.placement = Placement::spread;
  options.capacity.snapshot_ring_bytes = 1 << 20;
  options.checkpoint.dir = dir;
  return options;
}

inline void run_to_the_end(Runtime& runtime) {
  auto report = runtime.run();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::quiescent);
}
inline void expect_failure(Runtime& runtime, std::uint32_t code) {
  auto report = runtime.run();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::handler_failed);
  EXPECT_NE(report.error().message.find(std::to_string(code)), std::string::npos)
      << report.error().message;
}

/// Handles `steps` messages per worker at most, saves, and forgets the runtime.
inline void save_in_the_middle(std::unique_ptr<Runtime> runtime, std::uint64_t steps) {
  expect_ok(runtime->step(steps));
  auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost) << cost.error().message;
  EXPECT_GT(cost->messages, 0u) << "nothing was in flight: not in the middle";
  expect_ok(runtime->stop());
}

}  // namespace rk::test
