// The device half: the same type inside a kernel. Runs no kernel, so that the program works without a GPU.
#include "types.hpp"

__global__ void count(Counter* counter) { counter->next(1000); }

bool device_half_agrees() {
  Counter counter;
  return counter.next(1000).word == 1000ull << rk::hlc::kLogicalBits;
}
