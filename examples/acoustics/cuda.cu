#include "cuda.hpp"

#include <ringkernel/kernels/cuda_executor.cuh>

#include "tile.hpp"

namespace rk::acoustics {

Result<std::unique_ptr<Executor>> make_cuda_tile_executor() { return make_cuda_executor<Tile>(); }

}  // namespace rk::acoustics
