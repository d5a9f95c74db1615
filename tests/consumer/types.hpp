// An actor of the user's that both halves of the program compile.
#pragma once

#include <cstdint>
#include <memory>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/executor.hpp>
#include <string>

namespace consumer {

struct Add {
  static constexpr std::uint8_t tag = 1;
  std::uint32_t amount;
};

struct Counter {
  using messages = rk::handles<Add>;
  std::uint64_t total;
  template <class Ctx>
  RK_FN void on(const Add& add, Ctx& ctx) {
    if (ctx.leader()) total += add.amount;
  }
};

/// device.cu: the CUDA executor of this program's actors, and the name by which the .cu knows the
/// actor.
rk::Result<std::unique_ptr<rk::Executor>> make_device_executor();
std::string counter_name_in_device_code();

}  // namespace consumer
