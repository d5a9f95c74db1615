// The seam between command.cpp, which any compiler builds, and cuda.cu, which only the CUDA build
// has.
#pragma once

#include <memory>

#include <ringkernel/runtime/executor.hpp>

namespace rk::acoustics {

/// An executor that runs tiles on the GPU. `not_found` when there is none. Defined where
/// RK_HAVE_CUDA is.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_cuda_tile_executor();

}  // namespace rk::acoustics
