// Where a test's scheduler may switch between workers: before every atomic access of shared code
// and in every wait.
//
// A program compiled with RK_SCHEDULE_POINTS defines the four functions declared here; every other
// program gets nothing. The macro changes inline functions, so a program is compiled with it as a
// whole or not at all (one-definition rule): such a program must not link objects of the library
// that were compiled without it. See tests/schedule.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <cstdint>

#if defined(RK_SCHEDULE_POINTS) && !defined(__CUDA_ARCH__)
namespace rk::testing {
void schedule_point();          ///< before an atomic access: may switch, a forced switch
void yield_point();             ///< instead of a pause or sleep: switches for free
std::uint64_t virtual_ticks();  ///< instead of the tick counter: the same in every replay
std::uint64_t virtual_time_us();
}  // namespace rk::testing
#endif

namespace rk::detail {

RK_FN inline void schedule_point() {
#if defined(RK_SCHEDULE_POINTS) && !defined(__CUDA_ARCH__)
  testing::schedule_point();
#endif
}

}  // namespace rk::detail
