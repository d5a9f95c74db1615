// The device half: the same actor in a persistent kernel.
#include <ringkernel/kernels/cuda_executor.cuh>

#include "types.hpp"

namespace consumer {

rk::Result<std::unique_ptr<rk::Executor>> make_device_executor() {
  return rk::make_cuda_executor<Counter>();
}

std::string counter_name_in_device_code() { return rk::Program<Counter>::info().types[0].name; }

}  // namespace consumer
