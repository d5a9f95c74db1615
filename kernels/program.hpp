// A program: the actor types that one device program runs, and the compile-time resolution of
// (actor type, message tag).
#pragma once

#include <ringkernel/kernels/probe.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/library_message.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

namespace rk {

template <Actor... As>
struct Program {
  static_assert(sizeof...(As) > 0 && sizeof...(As) <= 255, "a program has 1 to 255 actor types");
  static constexpr std::uint32_t kMessageSlotBytes = message_slot_bytes<As...>();
  static constexpr std::uint32_t kTypes = sizeof...(As);
  using Probe = NoProbe;

  static constexpr bool kAnySupervised = (detail::is_supervised<As>() || ...);
  static constexpr bool kAnyLifeline = (detail::trail_layout<As>().has_lifeline() || ...);
  static constexpr std::uint32_t kMaxLinks = [] {
    const std::uint32_t links[] = {detail::max_links<As>()...};
    std::uint32_t most = 0;
    for (const std::uint32_t of_type : links) most = of_type > most ? of_type : most;
    return most;
  }();
  /// No handler of this program uses up more.
  static constexpr Budget kMost = [] {
    Budget most{};
    (detail::widen(most, typename As::messages{}), ...);
    return most;
  }();
  /// Most messages one handler of a grain below block sends: what a lane stages.
  static constexpr std::uint32_t kLaneSends = [] {
    std::uint32_t sends = 0;
    const auto widest = [&](Grain grain, Budget of) {
      if (grain != Grain::block && of.sends + of.host_sends > sends)
        sends = of.sends + of.host_sends;
    };
    (widest(detail::actor_grain<As>(), detail::most_of(typename As::messages{})), ...);
    return sends;
  }();

  static ProgramInfo info() {
    ProgramInfo program;
    program.message_slot_bytes = kMessageSlotBytes;
    program.lane_sends = kLaneSends;
    (program.types.push_back(describe_actor<As>()), ...);
    return program;
  }

  template <class A>
  static constexpr std::uint32_t type_of() {
    static_assert((std::is_same_v<A, As> || ...), "the program does not list this actor type");
    std::uint32_t index = 0;
    std::uint32_t found = 0;
    ((std::is_same_v<A, As> ? found = index++ : index++), ...);
    return found;
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
  /// Whether a handler of (type, tag) uses up nothing: it declares none of what Budget counts.
  RK_FN static bool is_frugal(std::uint32_t type, std::uint8_t tag) {
    bool result = false;
    std::uint32_t index = 0;
    (void)((index++ == type && (result = is_frugal_of(typename As::messages{}, tag), true)) || ...);
    return result;
  }
  RK_FN static Grain grain(std::uint32_t type) {
    Grain result = Grain::block;
    std::uint32_t index = 0;
    (void)((index++ == type && (result = detail::actor_grain<As>(), true)) || ...);
    return result;
  }
  RK_FN static TrailLayout trail(std::uint32_t type) {
    TrailLayout result;
    std::uint32_t index = 0;
    (void)((index++ == type && (result = detail::trail_layout<As>(), true)) || ...);
    return result;
  }
  /// Writes a default state of `type`.
  RK_FN static void make(std::uint32_t type, std::byte* state) {
    std::uint32_t index = 0;
    (void)((index++ == type && (make_one<As>(state), true)) || ...);
  }

  /// Runs the handler of (type, tag) on `state`, if the type's grain is `Of`. Collective. False if
  /// the type does not handle the tag.
  template <Grain Of, class Ctx>
  RK_FN static bool dispatch(std::uint32_t type, std::uint8_t tag, std::byte* state,
                             const std::byte* payload, Ctx& ctx) {
    bool known = false;
    std::uint32_t index = 0;
    (void)((index++ == type && (known = handle<Of, As>(tag, state, payload, ctx), true)) || ...);
    return known;
  }
  /// As above, whatever the grain.
  template <class Ctx>
  RK_FN static bool dispatch(std::uint32_t type, std::uint8_t tag, std::byte* state,
                             const std::byte* payload, Ctx& ctx) {
    bool known = false;
    std::uint32_t index = 0;
    (void)((index++ == type &&
            (known = run(typename As::messages{}, tag, *reinterpret_cast<As*>(state), payload, ctx),
             true)) ||
           ...);
    return known;
  }

 private:
  template <class A>
  RK_FN static void make_one(std::byte* state) {
    if constexpr (std::is_default_constructible_v<A>) new (state) A{};
  }
  template <class... Ms>
  RK_FN static void budget_of(handles<Ms...>, std::uint8_t tag, Budget& result, bool& known) {
    (void)((Ms::tag == tag && (result = detail::budget<Ms>(), known = true)) || ...);
  }
  template <class... Ms>
  RK_FN static bool is_frugal_of(handles<Ms...>, std::uint8_t tag) {
    return ((Ms::tag == tag && detail::budget<Ms>() == Budget{}) || ...);
  }
  template <Grain Of, class A, class Ctx>
  RK_FN static bool handle(std::uint8_t tag, std::byte* state, const std::byte* payload, Ctx& ctx) {
    if constexpr (detail::actor_grain<A>() == Of) {
      return run(typename A::messages{}, tag, *reinterpret_cast<A*>(state), payload, ctx);
    } else {
      return false;
    }
  }
  template <class A, class Ctx, class... Ms>
  RK_FN static bool run(handles<Ms...>, std::uint8_t tag, A& actor, const std::byte* payload,
                        Ctx& ctx) {
    return ((Ms::tag == tag && run_one<Ms>(actor, payload, ctx)) || ...);
  }
  template <class M, class A, class Ctx>
  RK_FN static bool run_one(A& actor, const std::byte* payload, Ctx& ctx) {
    // a batch never holds one of these, and what its handler calls does not exist there
    if constexpr (Ctx::kIsStaged && !detail::may_be_batched<M>()) {
      return false;
    } else {
      ctx.grant(detail::budget<M>());
      actor.on(*reinterpret_cast<const M*>(payload), ctx);
      return true;
    }
  }
};

}  // namespace rk
