#include <ringkernel/kernels/cuda_executor.cuh>
#include <ringkernel/tools/backend.hpp>

#include "bank.hpp"

namespace {

const rk::tools::CudaBackend backend("bank", [] {
  return rk::make_cuda_executor<rk::bank::Account, rk::bank::PeerAccount>();
});

}  // namespace
