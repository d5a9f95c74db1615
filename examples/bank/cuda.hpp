// The bank on a GPU. Defined in cuda.cu, which only builds with RK_CUDA=ON compile (RK_HAVE_CUDA).
#pragma once

#include <memory>
#include <ringkernel/runtime/executor.hpp>

namespace rk::bank {

/// `or_host`: without a GPU the host executor instead of an error.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_cuda_bank(bool or_host);

}  // namespace rk::bank
