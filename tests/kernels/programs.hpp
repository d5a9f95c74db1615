// Small actor programs that the kernel tests run, and a fixture-free way to run them.
#pragma once

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace rk::test {

/// A way to run a program: how many workers, of how many lanes.
struct Shape {
  std::uint32_t workers;
  std::uint32_t lanes;
};
inline std::string shape_name(const testing::TestParamInfo<Shape>& info) {
  return std::to_string(info.param.workers) + "workers_" + std::to_string(info.param.lanes) +
         "lanes";
}

template <Actor... As>
std::unique_ptr<Runtime> make_runtime(const Shape& shape, RuntimeOptions options = {}) {
  options.workers = shape.workers;
  auto runtime = Runtime::create(make_host_executor<As...>({.lanes_per_worker = shape.lanes}),
                                 std::move(options));
  if (!runtime) {
    ADD_FAILURE() << runtime.error().message;
    std::abort();
  }
  return *std::move(runtime);
}

inline void expect_ok(const Result<void>& result) {
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message);
}

inline void expect_run(Runtime& runtime) {
  const auto report = runtime.run();
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
}

/// Capacities so small that inboxes, outboxes and stashes fill up all the time.
inline Capacities tiny_capacities() {
  return {.inbox_slots = 16,
          .local_slots = 16,
          .control_slots = 4,
          .outbox_slots = 16,
          .stash_slots = 16,
          .slab_blocks = 8,
          .slab_block_bytes = 256,
          .h2k_slots = 8,
          .k2h_slots = 8,
          .snapshot_ring_bytes = 1 << 20};
}

/// A token hops to random actors; its journey ends after `hops`.
struct Token {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t hops;
};
struct Hopper {
  using messages = handles<Token>;
  static constexpr const char* name = "test.hopper";
  std::uint32_t population;
  std::uint32_t ended;
  std::uint64_t visits;

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    if (ctx.leader()) ++visits;
    if (token.hops == 0) {
      if (ctx.leader()) ++ended;
      ctx.send_to_host(token);
      return;
    }
    const std::uint32_t target = ctx.rng().below(population);
    ctx.send(ref<Hopper>{ActorId::make(target, 0)}, Token{token.hops - 1});
  }
};

/// Sends bursts to a counter; a burst needs most of the outbox, so that others are set aside.
struct Burst {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 9;
  std::uint32_t left;
};
struct Numbered {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t number;
};
struct Counter;
struct Burster {
  using messages = handles<Burst>;
  static constexpr const char* name = "test.burster";
  ref<Counter> counters[2];
  std::uint64_t sent[2];

  template <class Ctx>
  RK_FN void on(const Burst& burst, Ctx& ctx);
};
struct Counter {
  using messages = handles<Numbered>;
  static constexpr const char* name = "test.counter";
  static constexpr std::uint32_t kSources = 64;
  std::uint64_t next[kSources];
  std::uint32_t last_sequence[kSources];
  std::uint64_t violations;

  template <class Ctx>
  RK_FN void on(const Numbered& message, Ctx& ctx) {
    if (!ctx.leader()) return;
    const std::uint32_t source = ctx.sender().index();
    if (message.number != next[source] || ctx.source_sequence() <= last_sequence[source])
      ++violations;
    next[source] = message.number + 1;
    last_sequence[source] = ctx.source_sequence();
  }
};
template <class Ctx>
RK_FN void Burster::on(const Burst& burst, Ctx& ctx) {
  for (std::uint32_t i = 0; i < 8; ++i) {
    ctx.send(counters[i % 2], Numbered{sent[i % 2] + i / 2});
  }
  ctx.sync();
  if (ctx.leader()) {
    sent[0] += 4;
    sent[1] += 4;
  }
  if (burst.left > 0) ctx.send(ref<Burster>{ctx.self()}, Burst{burst.left - 1});
}

struct Split {
  static constexpr std::uint8_t tag = 5;
  static constexpr std::uint32_t max_sends = 2;
  std::uint32_t unused;
};
/// Every token becomes two, so that any bounded queues fill up and wait for each other.
struct Doubler {
  using messages = handles<Split>;
  static constexpr const char* name = "test.doubler";
  std::uint64_t splits;

  template <class Ctx>
  RK_FN void on(const Split&, Ctx& ctx) {
    if (ctx.leader()) ++splits;
    ctx.send(ref<Doubler>{ctx.self()}, Split{});
    ctx.send(ref<Doubler>{ctx.self()}, Split{});
  }
};

/// Passes a field of numbers on in blocks; each receiver checks and replaces every one.
struct Parcel {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_blocks = 1;
  std::uint32_t round;
};
struct Carrier {
  using messages = handles<Parcel>;
  static constexpr const char* name = "test.carrier";
  static constexpr std::uint32_t kNumbers = 48;
  ref<Carrier> next;
  std::uint32_t rounds;
  std::uint32_t errors[16];  ///< one per lane: they write at the same time

  template <class Ctx>
  RK_FN void on(const Parcel& parcel, Ctx& ctx) {
    const auto numbers = ctx.template payload<std::uint32_t>();
    if (numbers) {
      ctx.parallel_for(kNumbers, [&](std::uint32_t i) {
        if (numbers[i] != parcel.round * 1000 + i) ++errors[ctx.group().rank()];
      });
    }
    if (parcel.round == rounds) return;
    auto out = ctx.template block<std::uint32_t>(kNumbers);
    const std::uint32_t round = parcel.round + 1;
    for (std::uint32_t i = ctx.group().rank(); i < kNumbers; i += ctx.group().size())
      out[i] = round * 1000 + i;
    ctx.send(next, Parcel{round}, out);
  }
};

}  // namespace rk::test
