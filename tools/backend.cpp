#include "backend.hpp"

#include <map>

namespace rk::tools {
namespace {

/// By the name of the example.
std::map<std::string, CudaBackend::Make>& registry() {
  static std::map<std::string, CudaBackend::Make> all;
  return all;
}

}  // namespace

CudaBackend::CudaBackend(const std::string& example, Make make) { registry()[example] = make; }

bool built_with_cuda() { return !registry().empty(); }

Result<std::unique_ptr<Executor>> make_executor(const std::string& backend,
                                                const std::string& example,
                                                std::unique_ptr<Executor> (*make_host)()) {
  const auto cuda = registry().find(example);
  if (backend == "cuda" && cuda == registry().end()) {
    return fail(ErrorCode::invalid_argument,
                "this rk was built without CUDA: use --backend host, or build it with `make cuda`");
  }
  if (backend != "host" && cuda != registry().end()) {
    auto executor = cuda->second();
    if (executor || backend == "cuda" || executor.error().code != ErrorCode::not_found)
      return executor;
  }
  return make_host();
}

}  // namespace rk::tools
