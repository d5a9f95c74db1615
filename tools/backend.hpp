// Where the actors of an example run: what --backend names, and what this rk was built for.
#pragma once

#include <ringkernel/runtime/executor.hpp>

#include <memory>
#include <string>

namespace rk::tools {

/// A static one in an example's cuda.cu, which only the CUDA build has, adds its executor on a GPU.
struct CudaBackend {
  using Make = Result<std::unique_ptr<Executor>> (*)();
  CudaBackend(const std::string& example, Make make);
};
[[nodiscard]] bool built_with_cuda();

/// The executor for --backend. auto: a GPU if this rk was built for one and finds one.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_executor(
    const std::string& backend, const std::string& example,
    std::unique_ptr<Executor> (*make_host)());

}  // namespace rk::tools
