// What CUDA reports, as our Error: code, cudaError_t, and what to do about it.
#pragma once

#include <ringkernel/runtime/result.hpp>

#include <cuda_runtime.h>

#include <string>

namespace rk::detail {

[[nodiscard]] inline ErrorCode cuda_error_code(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation: return ErrorCode::no_space;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady:
    case cudaErrorInitializationError:
    case cudaErrorStubLibrary:
    case cudaErrorDevicesUnavailable:
    case cudaErrorInvalidDevice: return ErrorCode::not_found;
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInvalidDeviceFunction: return ErrorCode::incompatible;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorCooperativeLaunchTooLarge:
    case cudaErrorLaunchOutOfResources: return ErrorCode::invalid_argument;
    default: return ErrorCode::device_lost;
  }
}

[[nodiscard]] inline const char* cuda_advice(ErrorCode code) {
  switch (code) {
    case ErrorCode::no_space: return "use fewer or smaller actors, or smaller Capacities";
    case ErrorCode::not_found: return "use the host executor, or check the driver with nvidia-smi";
    case ErrorCode::incompatible:
      return "this program holds no code for this GPU; build it with its architecture in "
             "CMAKE_CUDA_ARCHITECTURES";
    case ErrorCode::invalid_argument: return "ask for fewer workers";
    default:
      return "the device context is unusable: end this process and start again from the last "
             "checkpoint";
  }
}

[[nodiscard]] inline Error cuda_error(cudaError_t error, const char* what) {
  const ErrorCode code = cuda_error_code(error);
  return Error{code, static_cast<int>(error),
               std::string(what) + ": " + cudaGetErrorName(error) + " (" +
                   cudaGetErrorString(error) + "); " + cuda_advice(code)};
}

[[nodiscard]] inline Result<void> cuda_check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  return unexpected(cuda_error(error, what));
}

}  // namespace rk::detail
