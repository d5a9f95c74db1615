# CUDA as a language: nvcc >= 13.0, code for sm_80 and sm_90, static CUDA runtime.
find_program(RK_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME PATHS /usr/local/cuda/bin PATH_SUFFIXES bin)
if(NOT RK_NVCC)
  message(FATAL_ERROR "RK_CUDA=ON needs nvcc >= 13.0 on PATH or in /usr/local/cuda/bin")
endif()
if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER "${RK_NVCC}")
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real")
endif()
# The standard goes through the flags: CMake 3.25 does not know C++20 for this compiler.
string(APPEND CMAKE_CUDA_FLAGS
  " -std=c++20 --fmad=false --expt-relaxed-constexpr -Werror=all-warnings --compress-mode=size"
  " -Xcompiler=-Wall,-Wextra,-Werror,-ffp-contract=off -Xptxas=-v")
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O2 -g -lineinfo")
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
# Keeps the assembler's register and spill figures beside each object, for scripts/cuda_report.
set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CURRENT_SOURCE_DIR}/scripts/cuda_compile")
enable_language(CUDA)
include(RkCudaStandard)
ringkernel_cuda_cxx20()
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13.0)
  message(FATAL_ERROR "nvcc ${CMAKE_CUDA_COMPILER_VERSION} found; 13.0 or newer is needed")
endif()
