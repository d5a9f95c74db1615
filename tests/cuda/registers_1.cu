// One actor type; see registers.cuh.
#include "registers.cuh"

rk::Result<std::unique_ptr<rk::Executor>> registers_1() {
  return rk::make_cuda_executor<registers::Node<0>>();
}
