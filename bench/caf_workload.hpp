// The peer of `rk bench actors`: the workloads of actor_workload.hpp on CAF, the C++ Actor
// Framework. caf_workload.cpp alone includes its headers. Event-based actors that never block; the
// actor system lives before the first message and after the last, so that its threads' start is not
// timed. All return seconds, but bytes_per_actor.
#pragma once

#include <cstdint>
#include <functional>

namespace rk::bench::caf_peer {

/// False: this program was built without CAF, and nothing below may be called.
bool available();

/// Tokens run round a ring; two actors are ping-pong. `threads` of CAF's scheduler.
double ring_seconds(std::uint32_t actors, std::uint32_t tokens, std::uint64_t messages,
                    std::uint32_t threads);
double fan_in_seconds(std::uint32_t feeders, std::uint64_t messages, std::uint32_t threads);
double random_seconds(std::uint32_t population, std::uint32_t tokens, std::uint64_t messages,
                      std::uint32_t threads);
/// An actor spawns `count` actors from within its handler, 32 at a time, lazily initialized. Nobody
/// keeps them or sends them a message: with one each, CAF takes several times as long.
double spawn_seconds(std::uint64_t count, std::uint32_t threads);
double bytes_per_actor(std::uint32_t population, std::uint32_t threads,
                       const std::function<double()>& resident);

}  // namespace rk::bench::caf_peer
