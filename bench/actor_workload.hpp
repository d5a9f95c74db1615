// Our side of `rk bench actors`: small actor programs on the public Runtime, host executor, stamps
// and counters and all. Each function starts the workers, then times from the first message sent to
// the last handled, and checks that as many were handled as there should be.
#pragma once

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <bit>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace rk::bench {

/// A token runs on until its hops are used up.
struct Token {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t hops;
};
/// Passes tokens to the next actor.
struct Relay {
  using messages = handles<Token>;
  static constexpr const char* name = "bench.relay";
  ref<Relay> next;

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    if (token.hops > 0) ctx.send(next, Token{token.hops - 1});
  }
};
/// Passes tokens to any actor.
struct Wanderer {
  using messages = handles<Token>;
  static constexpr const char* name = "bench.wanderer";
  std::uint32_t population;

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    if (token.hops == 0) return;
    ctx.send(ref<Wanderer>{ActorId::make(ctx.rng().below(population), 0)}, Token{token.hops - 1});
  }
};

struct Item {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t number;
};
/// `left` more items are to be sent.
struct Burst {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t kItems = 32;
  static constexpr std::uint32_t max_sends = kItems + 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t left;
};
struct Collector {
  using messages = handles<Item>;
  static constexpr const char* name = "bench.collector";
  std::uint64_t items;
  std::uint64_t sum;

  template <class Ctx>
  RK_FN void on(const Item& item, Ctx&) {
    ++items;
    sum += item.number;
  }
};
struct Feeder {
  using messages = handles<Burst>;
  static constexpr const char* name = "bench.feeder";
  ref<Collector> collector;

  template <class Ctx>
  RK_FN void on(const Burst& burst, Ctx& ctx) {
    std::uint64_t left = burst.left;
    for (std::uint32_t i = 0; i < Burst::kItems && left > 0; ++i) ctx.send(collector, Item{left--});
    if (left > 0) ctx.send(ref<Feeder>{ctx.self()}, Burst{left});
  }
};

class ActorClock {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Sends from the host, waiting for room where there is none.
template <class A, class M>
Result<void> send_all(Runtime& runtime, ref<A> to, const M& message) {
  for (;;) {
    auto sent = runtime.send(to, message);
    if (sent || sent.error().code != ErrorCode::would_block) return sent;
    std::this_thread::yield();
  }
}

/// Waits for the end, takes the time, and compares the number of handled messages.
inline Result<double> finish_timed(Runtime& runtime, const ActorClock& clock,
                                   std::uint64_t expected) {
  RK_TRY(runtime.run());
  const double seconds = clock.seconds();
  RK_TRY(runtime.stop());
  const std::uint64_t handled = runtime.stats().received;
  if (handled != expected) {
    return fail(ErrorCode::corrupt, "handled " + std::to_string(handled) + " messages instead of " +
                                        std::to_string(expected));
  }
  return seconds;
}

struct RingShape {
  std::uint32_t actors = 2;
  std::uint32_t workers = 2;
  Placement placement = Placement::spread;
  std::uint32_t tokens = 1;
};

/// Tokens run round a ring of relays, `messages` hops in all. A ring of two is ping-pong.
inline Result<double> ring_seconds(const RingShape& shape, std::uint64_t messages) {
  RuntimeOptions options{.workers = shape.workers};
  options.placement = shape.placement;
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Relay>(), options));
  RK_TRY_ASSIGN(const auto relays,
                runtime->spawn<Relay>(shape.actors, [&](std::uint32_t i, Relay& relay) {
                  relay.next = {ActorId::make((i + 1) % shape.actors, 0)};
                }));
  RK_TRY(runtime->start());
  const std::uint64_t hops = messages / shape.tokens;
  const ActorClock clock;
  for (std::uint32_t t = 0; t < shape.tokens; ++t) {
    const auto at = static_cast<std::uint32_t>(std::uint64_t{t} * shape.actors / shape.tokens);
    RK_TRY(send_all(*runtime, relays[at], Token{hops - 1}));
  }
  return finish_timed(*runtime, clock, hops * shape.tokens);
}

/// Every feeder sends `messages / feeders` items to one collector.
inline Result<double> fan_in_seconds(std::uint32_t feeders, std::uint64_t messages) {
  RK_TRY_ASSIGN(auto runtime,
                Runtime::create(make_host_executor<Collector, Feeder>(), {.workers = 2}));
  RK_TRY_ASSIGN(const auto collectors,
                runtime->spawn<Collector>(1, [](std::uint32_t, Collector&) {}));
  RK_TRY_ASSIGN(const auto sources,
                runtime->spawn<Feeder>(feeders, [&](std::uint32_t, Feeder& feeder) {
                  feeder.collector = collectors[0];
                }));
  RK_TRY(runtime->start());
  const std::uint64_t items = messages / feeders;
  const std::uint64_t bursts = (items + Burst::kItems - 1) / Burst::kItems;
  const ActorClock clock;
  for (std::uint32_t i = 0; i < feeders; ++i) RK_TRY(send_all(*runtime, sources[i], Burst{items}));
  RK_TRY_ASSIGN(const double seconds, finish_timed(*runtime, clock, feeders * (items + bursts)));
  RK_TRY_ASSIGN(const Collector collector, runtime->read(collectors[0]));
  if (collector.items != items * feeders || collector.sum != feeders * (items * (items + 1) / 2))
    return fail(ErrorCode::corrupt, "the collector got something else than was sent");
  return seconds;
}

/// Tokens wander between `population` actors, `messages` hops in all.
inline Result<double> random_seconds(std::uint32_t population, std::uint32_t tokens,
                                     std::uint64_t messages) {
  RuntimeOptions options{.workers = 2};
  options.capacity.local_slots = 2 * std::bit_ceil(tokens);
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Wanderer>(), options));
  RK_TRY_ASSIGN(const auto wanderers,
                runtime->spawn<Wanderer>(population, [&](std::uint32_t, Wanderer& wanderer) {
                  wanderer.population = population;
                }));
  RK_TRY(runtime->start());
  const std::uint64_t hops = messages / tokens;
  const ActorClock clock;
  for (std::uint32_t t = 0; t < tokens; ++t) {
    const auto at = static_cast<std::uint32_t>(std::uint64_t{t} * population / tokens);
    RK_TRY(send_all(*runtime, wanderers[at], Token{hops - 1}));
  }
  return finish_timed(*runtime, clock, hops * tokens);
}

/// Spawns `count` actors before the start, and starts; all of it timed.
inline Result<double> spawn_before_start_seconds(std::uint32_t count) {
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Relay>(), {.workers = 2}));
  const ActorClock clock;
  RK_TRY(runtime->spawn<Relay>(
      count, [](std::uint32_t i, Relay& relay) { relay.next = {ActorId::make(i, 0)}; }));
  RK_TRY(runtime->start());
  const double seconds = clock.seconds();
  RK_TRY(runtime->stop());
  return seconds;
}

/// Bytes by which `resident()` grows for each of `population` actors that live and handled a
/// message.
template <class Resident>
Result<double> actor_bytes(std::uint32_t population, Resident resident) {
  const double before = resident();
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Relay>(), {.workers = 2}));
  RK_TRY_ASSIGN(const auto relays,
                runtime->spawn<Relay>(population, [](std::uint32_t i, Relay& relay) {
                  relay.next = {ActorId::make(i, 0)};
                }));
  RK_TRY(runtime->start());
  for (std::uint32_t i = 0; i < population; ++i) RK_TRY(send_all(*runtime, relays[i], Token{0}));
  RK_TRY(runtime->run());
  const double grown = resident() - before;
  RK_TRY(runtime->stop());
  return grown / population;
}

}  // namespace rk::bench
