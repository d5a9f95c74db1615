// What tests say of an exploration.
#pragma once

#include "scheduler.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace rk::testing {

/// The bug is found, and its seed alone brings it back: same failure, same steps.
inline void expect_caught(Subject subject, const std::string& bug, std::uint64_t schedules) {
  subject.name = "planted_" + bug;
  const Exploration found = explore(subject, schedules);
  ASSERT_TRUE(found.failing_seed) << bug << " went unseen";
  EXPECT_EQ(replay(subject, *found.failing_seed), found.outcome);
  std::printf("caught %s after %llu schedules, replayed\n", bug.c_str(),
              static_cast<unsigned long long>(found.schedules));
}

}  // namespace rk::testing
