// Sixteen actor types; see registers.cuh.
#include "registers.cuh"

rk::Result<std::unique_ptr<rk::Executor>> registers_16() {
  using namespace registers;
  return rk::make_cuda_executor<Node<0>, Node<1>, Node<2>, Node<3>, Node<4>, Node<5>, Node<6>,
                                Node<7>, Node<8>, Node<9>, Node<10>, Node<11>, Node<12>, Node<13>,
                                Node<14>, Node<15>>();
}
