// Four actor types; see registers.cuh.
#include "registers.cuh"

rk::Result<std::unique_ptr<rk::Executor>> registers_4() {
  using namespace registers;
  return rk::make_cuda_executor<Node<0>, Node<1>, Node<2>, Node<3>>();
}
