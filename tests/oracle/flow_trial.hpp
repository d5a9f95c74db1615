// Cyclic traffic through queues that are far too small: random programs that a seed decides, run to
// their end or to their deadlock, and judged by what the actors themselves counted.
//
// Every hop carries a budget: the hops that it and all that follows from it owe. Its handler
// consumes one and splits the rest among what it sends, so that the sum over all actors is known
// beforehand, whatever the order, the workers and the random numbers.
#pragma once

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace rk::flow {

/// A hop whose handler sends up to `Fan` messages: each number is a tag and a budget of its own.
template <std::uint32_t Fan>
struct Hop {
  static constexpr std::uint8_t tag = Fan;
  static constexpr std::uint32_t max_sends = Fan;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t budget;
};
/// A hop whose handler sends one on and asks somebody.
struct Asking {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_timers = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t budget;
};
/// A hop whose handler sets a timer instead of sending.
struct Resting {
  static constexpr std::uint8_t tag = 5;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_timers = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t budget;
};
struct Inquiry {
  static constexpr std::uint8_t tag = 6;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
};
struct Reply {
  static constexpr std::uint8_t tag = 7;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
};

/// What a program is like; every actor has a copy.
struct Habits {
  std::uint32_t population = 1;
  std::uint32_t branch_percent = 0;  ///< hops that split as often as they may
  std::uint32_t ask_percent = 0;     ///< hops that become an Asking
  std::uint32_t rest_percent = 0;    ///< hops that become a Resting
  std::uint32_t ask_deadline_us = 0;
  std::uint32_t longest_rest_us = 0;
};

/// What an actor counted.
struct Tally {
  std::uint64_t hops = 0;
  std::uint64_t sent = 0;      ///< timers and deadlines included
  std::uint64_t handled = 0;   ///< of all kinds
  std::uint64_t answered = 0;  ///< asks: each ended a deadline
  std::uint64_t expired = 0;
};

template <Grain Of>
struct Walker {
  using messages = handles<Hop<1>, Hop<2>, Hop<3>, Asking, Resting, Inquiry, Reply, AskExpired>;
  static constexpr const char* name = Of == Grain::block  ? "flow.block"
                                      : Of == Grain::warp ? "flow.warp"
                                                          : "flow.thread";
  static constexpr Grain grain = Of;
  Habits habits;
  Tally tally;

  template <std::uint32_t Fan, class Ctx>
  RK_FN void on(const Hop<Fan>& hop, Ctx& ctx) {
    Rng rng = ctx.rng();
    std::uint32_t rest = hop.budget - 1;
    std::uint32_t sends = rng.below(100) < habits.branch_percent ? Fan : 1;
    if (sends > rest) sends = rest;
    for (std::uint32_t left = sends; left > 0; --left) {
      const std::uint32_t share = left == 1 ? rest : 1 + rng.below(rest - left + 1);
      rest -= share;
      pass_on(share, rng, ctx);
    }
    count(1, sends, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Asking& hop, Ctx& ctx) {
    Rng rng = ctx.rng();
    (void)ctx.ask(somebody(rng), Inquiry{}, habits.ask_deadline_us);
    if (hop.budget > 1) pass_on(hop.budget - 1, rng, ctx);
    count(1, hop.budget > 1 ? 3 : 2, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Resting& hop, Ctx& ctx) {
    Rng rng = ctx.rng();
    if (hop.budget > 1)
      ctx.send_after(rng.below(habits.longest_rest_us + 1), somebody(rng), Hop<1>{hop.budget - 1});
    count(1, hop.budget > 1 ? 1 : 0, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Inquiry&, Ctx& ctx) {
    ctx.reply(Reply{});
    count(0, 1, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Reply&, Ctx& ctx) {
    count(0, 0, ctx);
    if (ctx.leader()) ++tally.answered;
  }
  template <class Ctx>
  RK_FN void on(const AskExpired&, Ctx& ctx) {
    count(0, 0, ctx);
    if (ctx.leader()) ++tally.expired;
  }

 private:
  RK_FN ref<Walker> somebody(Rng& rng) const {
    // all types handle the same messages, so that one reference stands for all
    return {ActorId::make(rng.below(habits.population), 0)};
  }
  template <class Ctx>
  RK_FN void pass_on(std::uint32_t budget, Rng& rng, Ctx& ctx) const {
    const ref<Walker> to = somebody(rng);
    const std::uint32_t what = rng.below(100);
    if (what < habits.ask_percent) return ctx.send(to, Asking{budget});
    if (what < habits.ask_percent + habits.rest_percent) return ctx.send(to, Resting{budget});
    switch (rng.below(3)) {
      case 0: return ctx.send(to, Hop<1>{budget});
      case 1: return ctx.send(to, Hop<2>{budget});
      default: return ctx.send(to, Hop<3>{budget});
    }
  }
  template <class Ctx>
  RK_FN void count(std::uint64_t hops, std::uint64_t sent, Ctx& ctx) {
    if (!ctx.leader()) return;
    tally.hops += hops;
    tally.sent += sent;
    ++tally.handled;
  }
};

using Block = Walker<Grain::block>;
using Warp = Walker<Grain::warp>;
using Thread = Walker<Grain::thread>;

/// One random program.
struct Settings {
  std::uint64_t seed = 0;
  std::uint32_t workers = 1;
  std::uint32_t lanes = 1;
  std::uint32_t actors = 2;
  std::uint32_t starts = 1;
  std::uint32_t budget = 1;  ///< of each start
  Capacities capacity{};
  Habits habits{};
};

inline Settings settings_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto between = [&](std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>(random() % (high - low + 1));
  };
  const auto few_slots = [&] { return std::uint32_t{4} << between(0, 2); };
  Settings s;
  s.seed = seed;
  s.workers = between(1, 4);
  s.lanes = between(0, 7) == 0 ? 4 : 1;  // groups of threads are slow where cores are few
  s.actors = between(2, 40);
  s.capacity = {.inbox_slots = 4,
                .local_slots = few_slots(),
                .control_slots = few_slots(),
                .outbox_slots = few_slots(),
                .stash_slots = few_slots(),
                .timer_slots = few_slots(),
                .slab_blocks = 2,
                .slab_block_bytes = 64,
                .h2k_slots = 64,
                .k2h_slots = 16,
                .snapshot_ring_bytes = 1 << 20};
  s.starts = between(1, between(0, 1) == 0 ? 4 : 40);
  s.budget = between(1, s.lanes == 1 ? 400 : 60);
  s.habits.population = s.actors;
  const std::uint32_t branches = between(0, 3);
  s.habits.branch_percent = branches == 0 ? 0 : branches == 1 ? 10 : branches == 2 ? 40 : 100;
  if (between(0, 2) == 0) s.habits.ask_percent = between(5, 40);
  if (between(0, 2) == 0) s.habits.rest_percent = between(5, 30);
  // some asks are over before they can be answered, most others after
  s.habits.ask_deadline_us = between(0, 2) == 0 ? between(0, 300) : 30000u;
  s.habits.longest_rest_us = between(0, 300);
  return s;
}

enum class Ending { quiescent, deadlock };

/// The workers a deadlock's message names, the first one again at the end; empty: it names no
/// cycle.
inline std::vector<std::uint32_t> cycle_of(const std::string& message) {
  const std::string before = "wait for each other: ";
  const auto begin = message.find(before);
  const auto end = message.find("; raise Capacities::");
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::string text = message.substr(begin + before.size(), end - begin - before.size());
  std::vector<std::uint32_t> workers;
  for (;;) {
    if (text.rfind("worker ", 0) != 0) return {};
    workers.push_back(static_cast<std::uint32_t>(std::stoul(text.substr(7))));
    const auto next = text.find(" -> ");
    if (next == std::string::npos) return workers;
    text.erase(0, next + 4);
  }
}
/// What is wrong with the cycle; empty: nothing.
inline std::string judge_cycle(const std::vector<std::uint32_t>& cycle, std::uint32_t workers) {
  if (cycle.size() < 2 || cycle.front() != cycle.back()) return "it is not closed";
  std::vector<bool> seen(workers);
  for (std::size_t i = 0; i + 1 < cycle.size(); ++i) {
    if (cycle[i] >= workers) return "it names a worker that is not there";
    if (seen[cycle[i]]) return "it names a worker twice";
    seen[cycle[i]] = true;
  }
  return {};
}

/// Sum of what all actors counted. After stop().
inline Result<Tally> tally_of(Runtime& runtime) {
  Tally sum;
  RK_TRY(runtime.for_each_slot([&](const SlotHeader&, std::span<const std::byte> state, auto) {
    Block walker;  // all types have the same layout
    std::memcpy(&walker, state.data(), sizeof(walker));
    sum.hops += walker.tally.hops;
    sum.sent += walker.tally.sent;
    sum.handled += walker.tally.handled;
    sum.answered += walker.tally.answered;
    sum.expired += walker.tally.expired;
  }));
  return sum;
}

template <class A>
Result<void> spawn_some(Runtime& runtime, std::uint32_t count, const Habits& habits) {
  if (count == 0) return {};
  RK_TRY(runtime.spawn<A>(count, [habits](std::uint32_t, A& walker) { walker.habits = habits; }));
  return {};
}

inline Result<std::unique_ptr<Runtime>> begin(const Settings& s) {
  RuntimeOptions options;
  options.workers = s.workers;
  options.capacity = s.capacity;
  options.seed = s.seed;
  options.placement = s.seed % 2 == 0 ? Placement::spread : Placement::block;
  options.stall_deadline = {};
  options.telemetry = false;
  RK_TRY_ASSIGN(
      auto runtime,
      Runtime::create(make_host_executor<Block, Warp, Thread>({.lanes_per_worker = s.lanes}),
                      options));
  const std::uint32_t blocks = (s.actors + 1) / 2;
  const std::uint32_t warps = (s.actors - blocks) / 2;
  RK_TRY(spawn_some<Block>(*runtime, blocks, s.habits));
  RK_TRY(spawn_some<Warp>(*runtime, warps, s.habits));
  RK_TRY(spawn_some<Thread>(*runtime, s.actors - blocks - warps, s.habits));
  RK_TRY(runtime->start(true));
  for (std::uint32_t i = 0; i < s.starts; ++i) {
    RK_TRY(runtime->send(ref<Block>{ActorId::make((i * 7) % s.actors, 0)}, Hop<3>{s.budget}));
  }
  return runtime;
}

/// Whether the counters fit what the actors counted.
inline Result<void> judge_counts(const Settings& s, Ending ending, const RuntimeStats& stats,
                                 const Tally& tally) {
  const auto compare = [](const char* what, std::uint64_t is,
                          std::uint64_t should) -> Result<void> {
    if (is == should) return {};
    return fail(ErrorCode::internal, std::string(what) + ": " + std::to_string(is) +
                                         " instead of " + std::to_string(should));
  };
  // a dead letter is an output of its own; an answer takes its deadline with it
  RK_TRY(compare("sent", stats.sent, s.starts + tally.sent + stats.dead));
  RK_TRY(compare("received", stats.received,
                 tally.handled + tally.answered + stats.dead + stats.host_received));
  RK_TRY(compare("in flight", stats.in_flight, stats.sent - stats.received));
  if (ending == Ending::deadlock) {
    if (stats.in_flight == 0) return fail(ErrorCode::internal, "a deadlock with nothing in flight");
    return {};
  }
  RK_TRY(compare("in flight at the end", stats.in_flight, 0));
  RK_TRY(compare("hops", tally.hops, std::uint64_t{s.starts} * s.budget));
  return compare("late answers", stats.dead, stats.host_received);
}

/// Runs one program. An error is a finding: what is lost, hangs, or is named wrongly.
inline Result<Ending> run_trial(const Settings& s, std::chrono::seconds patience) {
  RK_TRY_ASSIGN(auto runtime, begin(s));
  const auto ran = runtime->run({.max_walltime = patience, .checkpoint_on_stop = false});
  Ending ending = Ending::quiescent;
  if (!ran) {
    if (ran.error().code != ErrorCode::deadlock) return unexpected(ran.error());
    ending = Ending::deadlock;
    if (const std::string wrong = judge_cycle(cycle_of(ran.error().message), s.workers);
        !wrong.empty())
      return fail(ErrorCode::internal, wrong + ": " + ran.error().message);
    // who is named does not move any more, even when timers come
    RK_TRY_ASSIGN(const Telemetry before, runtime->telemetry());
    std::this_thread::sleep_for(std::chrono::milliseconds(runtime->stats().timers == 0 ? 3 : 40));
    RK_TRY_ASSIGN(const Telemetry after, runtime->telemetry());
    for (const std::uint32_t w : cycle_of(ran.error().message)) {
      if (after.workers[w].received != before.workers[w].received)
        return fail(ErrorCode::internal, "it still moves: " + ran.error().message);
    }
  } else if (ran->reason != StopReason::quiescent) {
    const auto telemetry = runtime->stats();
    return fail(ErrorCode::deadline_exceeded,
                "hangs, with " + std::to_string(telemetry.sent - telemetry.received) +
                    " messages in flight, " + std::to_string(telemetry.timers) +
                    " of them in timer stores");
  }
  RK_TRY(runtime->stop());
  RK_TRY_ASSIGN(const Tally tally, tally_of(*runtime));
  RK_TRY(judge_counts(s, ending, runtime->stats(), tally));
  return ending;
}

}  // namespace rk::flow
