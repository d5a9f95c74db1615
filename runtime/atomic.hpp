// The one atomics shim: every atomic access of shared code goes through these functions.
//
// On the device they are cuda::atomic_ref with an explicit scope, on the host std::atomic_ref. The
// scope says who is at the other end: `Scope::device` for two workers of one device,
// `Scope::system` for a worker and the host (or the copy engine). On the host both mean the same.
// Objects are plain words in plain memory, so that layouts stay trivially copyable; alignment to
// the word's size is the caller's duty.
//
// There is no stand-alone fence on purpose: ThreadSanitizer cannot see one. Publishing many lanes'
// writes is group.sync() followed by one lane's release store, which is cumulative.
//
// Tests step real code from one access to the next (schedule_point.hpp).
#pragma once

#include <ringkernel/hlc/host_device.hpp>
#include <ringkernel/runtime/schedule_point.hpp>

#if defined(__CUDA_ARCH__)
#include <cuda/atomic>
#else
#include <atomic>
#endif

#include <cstdint>

namespace rk {

enum class Scope { device, system };

#if defined(__CUDA_ARCH__)
namespace detail {
template <Scope S, class T>
__device__ inline auto atomic(T& word) {
  if constexpr (S == Scope::device) {
    return cuda::atomic_ref<T, cuda::thread_scope_device>(word);
  } else {
    return cuda::atomic_ref<T, cuda::thread_scope_system>(word);
  }
}
using cuda::std::memory_order_acquire;
using cuda::std::memory_order_relaxed;
using cuda::std::memory_order_release;
}  // namespace detail
#else
namespace detail {
template <Scope, class T>
inline auto atomic(T& word) {
  return std::atomic_ref<T>(word);
}
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
}  // namespace detail
#endif

template <Scope S, class T>
RK_FN inline T load_acquire(T& word) {
  detail::schedule_point();
  return detail::atomic<S>(word).load(detail::memory_order_acquire);
}
template <Scope S, class T>
RK_FN inline T load_relaxed(T& word) {
  detail::schedule_point();
  return detail::atomic<S>(word).load(detail::memory_order_relaxed);
}
template <Scope S, class T>
RK_FN inline void store_release(T& word, T value) {
  detail::schedule_point();
  detail::atomic<S>(word).store(value, detail::memory_order_release);
}
template <Scope S, class T>
RK_FN inline void store_relaxed(T& word, T value) {
  detail::schedule_point();
  detail::atomic<S>(word).store(value, detail::memory_order_relaxed);
}
/// Weak compare-exchange, relaxed on both paths: it hands out tickets and publishes nothing.
template <Scope S, class T>
RK_FN inline bool claim_relaxed(T& word, T& expected, T desired) {
  detail::schedule_point();
  return detail::atomic<S>(word).compare_exchange_weak(
      expected, desired, detail::memory_order_relaxed, detail::memory_order_relaxed);
}

}  // namespace rk
