// The host half: runs the actor on the host executor. With CUDA compiled in it also links the
// device half, which must know the actor by the same name and, without a GPU, must fail with an
// error and not end the program.
#include <cstdio>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include "types.hpp"

namespace {

bool count(std::unique_ptr<rk::Executor> executor) {
  auto runtime = rk::Runtime::create(std::move(executor), {.workers = 2});
  if (!runtime) return std::puts(runtime.error().message.c_str()), false;
  auto counters = (*runtime)->spawn<consumer::Counter>(
      4, [](std::uint32_t, consumer::Counter& counter) { counter.total = 0; });
  if (!counters || !(*runtime)->start()) return false;
  for (std::uint32_t i = 0; i < 100; ++i) {
    if (!(*runtime)->send((*counters)[i % 4], consumer::Add{i})) return false;
  }
  if (!(*runtime)->run()) return false;
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i < 4; ++i) {
    auto counter = (*runtime)->read((*counters)[i]);
    if (!counter) return false;
    total += counter->total;
  }
  return (*runtime)->stop().has_value() && total == 4950;
}

#ifdef CONSUMER_HAVE_CUDA
bool device_half_works() {
  if (consumer::counter_name_in_device_code() !=
      rk::Program<consumer::Counter>::info().types[0].name) {
    return false;
  }
  auto executor = consumer::make_device_executor();
  if (executor) return count(std::move(executor).value());
  std::printf("consumer: no GPU used: %s\n", executor.error().message.c_str());
  return executor.error().code == rk::ErrorCode::not_found;
}
#endif

}  // namespace

int main() {
  if (!count(rk::make_host_executor<consumer::Counter>())) return 1;
#ifdef CONSUMER_HAVE_CUDA
  if (!device_half_works()) return 1;
#endif
  std::puts("consumer: ok");
  return 0;
}
