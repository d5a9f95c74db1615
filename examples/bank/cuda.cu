#include <ringkernel/kernels/cuda_executor.cuh>

#include "bank.hpp"
#include "cuda.hpp"

namespace rk::bank {

Result<std::unique_ptr<Executor>> make_cuda_bank(bool or_host) {
  return make_executor<Account, PeerAccount>(or_host ? Backend::automatic : Backend::cuda);
}

}  // namespace rk::bank
