// RK_FN marks a function that runs on the host and on the device. Every room uses this mark, so
// that one set of headers is both the CUDA device program and the host executor.
#pragma once

#if defined(__cplusplus) && __cplusplus < 202002L
#error "ringkernel needs C++20; with nvcc pass -std=c++20"
#endif

#if defined(__CUDACC__)
#define RK_FN __host__ __device__
#else
#define RK_FN
#endif

// RK_HOT, on the way of every message: g++ would leave these out of line, and then copy what could
// stay in registers; nvcc inlines by itself. RK_COLD: what is rare stays out of that way. RK_APART:
// the same for what is not rare, but has a way of its own.
#if defined(__CUDACC__)
#define RK_HOT
#define RK_COLD __noinline__
#define RK_APART __noinline__
#else
#define RK_HOT __attribute__((always_inline))
#define RK_COLD __attribute__((noinline, cold))
#define RK_APART __attribute__((noinline))
#endif
