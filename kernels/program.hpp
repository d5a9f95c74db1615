// A program: the actor types that one device program runs, and the compile-time resolution of
// (actor type, message tag).
#pragma once

#include <ringkernel/kernels/probe.hpp>
#include <ringkernel/runtime/actor.hpp>

#include <cstddef>
#include <cstdint>

namespace rk {

template <Actor... As>
struct Program {
  static_assert(sizeof...(As) > 0 && sizeof...(As) <= 255, "a program has 1 to 255 actor types");
  static constexpr std::uint32_t kMessageSlotBytes = message_slot_bytes<As...>();
  using Probe = NoProbe;

  static ProgramInfo info() {
    ProgramInfo program;
    program.message_slot_bytes = kMessageSlotBytes;
    (program.types.push_back(describe_actor<As>()), ...);
    return program;
  }

  /// What a handler of (type, tag) may use up. `known` becomes false if the type does not handle
  /// the tag.
  RK_FN static Budget budget(std::uint32_t type, std::uint8_t tag, bool& known) {
    Budget result;
    known = false;
    std::uint32_t index = 0;
    (void)((index++ == type && (budget_of(typename As::messages{}, tag, result, known), true)) ||
           ...);
    return result;
  }

  /// Runs the handler of (type, tag) on `state`. Collective. False if the type does not handle the
  /// tag.
  template <class Ctx>
  RK_FN static bool dispatch(std::uint32_t type, std::uint8_t tag, std::byte* state,
                             const std::byte* payload, Ctx& ctx) {
    bool known = false;
    std::uint32_t index = 0;
    (void)((index++ == type && (known = handle(typename As::messages{}, tag,
                                               *reinterpret_cast<As*>(state), payload, ctx),
                                true)) ||
           ...);
    return known;
  }

 private:
  template <class... Ms>
  RK_FN static void budget_of(handles<Ms...>, std::uint8_t tag, Budget& result, bool& known) {
    (void)((Ms::tag == tag && (result = Budget{detail::max_sends<Ms>(), detail::max_blocks<Ms>(),
                                               detail::max_host_sends<Ms>()},
                               known = true)) ||
           ...);
  }
  template <class A, class Ctx, class... Ms>
  RK_FN static bool handle(handles<Ms...>, std::uint8_t tag, A& actor, const std::byte* payload,
                           Ctx& ctx) {
    return ((Ms::tag == tag && (actor.on(*reinterpret_cast<const Ms*>(payload), ctx), true)) ||
            ...);
  }
};

}  // namespace rk
