// A type of the user's that both halves of the program compile.
#pragma once

#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/runtime/result.hpp>

#include <cstdint>

struct Counter {
  rk::hlc::WorkerClock clock;
  RK_FN rk::hlc::Timestamp next(std::uint64_t wall_us) { return clock.tick(wall_us); }
};
