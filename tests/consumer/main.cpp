// The host half of the consumer program.
#include "types.hpp"

#include <cstdio>

#ifdef CONSUMER_HAVE_CUDA
bool device_half_agrees();
#endif

int main() {
  Counter counter;
  const auto first = counter.next(1000);
  const auto second = counter.next(1000);
  if (!(first < second)) return 1;
#ifdef CONSUMER_HAVE_CUDA
  if (!device_half_agrees()) return 1;
#endif
  std::puts("consumer: ok");
  return 0;
}
