#include <ringkernel/kernels/cuda_executor.cuh>
#include <ringkernel/tools/backend.hpp>

#include "tile.hpp"

namespace {

const rk::tools::CudaBackend backend("acoustics",
                                     [] { return rk::make_cuda_executor<rk::acoustics::Tile>(); });

}  // namespace
