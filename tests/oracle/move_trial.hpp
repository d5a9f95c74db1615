// Actors that move from worker to worker under traffic: random programs that a seed decides, judged
// by what the actors themselves saw.
//
// A number of tokens go from actor to actor, each for a number of hops; how a hop goes on (plain,
// with a block, on the control lane, as a timer, beside a question) is random. Every actor checks
// that what each sender sent it on a lane comes in order. The sum of all hops is known beforehand.
#pragma once

#include <ringkernel/checkpoint/memory_storage.hpp>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rk::moves {

inline constexpr std::uint32_t kMostActors = 24;
/// No ask may expire, even if the whole process is stopped for minutes: an hour.
inline constexpr std::uint64_t kAskDeadlineUs = 3'600'000'000;

/// A token that has `left` hops to go.
struct Token {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_timers = 1;
  static constexpr std::uint32_t max_blocks = 1;
  static constexpr std::uint32_t max_host_sends = 1;
  std::uint32_t left;
};
/// A token that a timer brought: the one message whose order nobody promises.
struct Late {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_timers = 1;
  static constexpr std::uint32_t max_blocks = 1;
  static constexpr std::uint32_t max_host_sends = 1;
  std::uint32_t left;
};
struct Question {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 1;
};
struct Answer {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 0;
};
/// Of the host, and to it.
struct Note {
  static constexpr std::uint8_t tag = 5;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 1;
};

struct Walker {
  using messages = handles<Token, Late, Question, Answer, Note, AskExpired>;
  static constexpr const char* name = "moves.walker";
  std::uint32_t actors = 0;
  std::uint32_t with_timers = 0;
  std::uint64_t hops = 0;
  std::uint64_t notes = 0;
  std::uint64_t handled = 0;
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;
  std::uint64_t expired = 0;
  std::uint64_t spoilt = 0;  ///< blocks that are not what was sent
  std::uint64_t disorder = 0;
  std::uint64_t control_disorder = 0;             ///< of these: on the control lane
  std::uint32_t newest[2][kMostActors + 1] = {};  ///< by lane and sender; last: the host

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    check(ctx);
    const auto block = ctx.template payload<std::uint32_t>();
    if (ctx.leader() && block && (block[0] != token.left || block[15] != ~token.left)) ++spoilt;
    go_on(token.left, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Late& late, Ctx& ctx) {
    count(ctx);
    go_on(late.left, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Question&, Ctx& ctx) {
    check(ctx);
    ctx.reply(Answer{});
  }
  template <class Ctx>
  RK_FN void on(const Answer&, Ctx& ctx) {
    check(ctx);
    if (ctx.leader()) ++answered;
  }
  template <class Ctx>
  RK_FN void on(const Note&, Ctx& ctx) {
    check(ctx);
    if (ctx.leader()) ++notes;
    ctx.send_to_host(Note{});
  }
  template <class Ctx>
  RK_FN void on(const AskExpired&, Ctx& ctx) {
    count(ctx);
    if (ctx.leader()) ++expired;
  }

 private:
  template <class Ctx>
  RK_FN void count(Ctx& ctx) {
    if (!ctx.leader()) return;
    // the field must come along
    auto field = ctx.template field<std::uint64_t>();
    if (field[0] != handled || field[field.count - 1] != handled) ++disorder;
    field[0] = field[field.count - 1] = ++handled;
  }
  template <class Ctx>
  RK_FN void check(Ctx& ctx) {
    count(ctx);
    if (!ctx.leader()) return;
    const std::uint32_t lane = (ctx.message().header().flags & kFlagControl) != 0 ? 1 : 0;
    const ActorId from = ctx.sender();
    std::uint32_t& seen = newest[lane][from == kHostId ? kMostActors : from.index()];
    if (static_cast<std::int32_t>(ctx.source_sequence() - seen) <= 0) {
      ++disorder;
      control_disorder += lane;
    }
    seen = ctx.source_sequence();
  }
  template <class Ctx>
  RK_FN void go_on(std::uint32_t left, Ctx& ctx) {
    if (ctx.leader()) ++hops;
    Rng rng = ctx.rng();
    const ref<Walker> to{ActorId::make(rng.below(actors), 0)};
    const std::uint32_t how = rng.below(16);
    if (how == 0) ctx.send_to_host(Note{});
    if (left == 0) return;
    if (how == 1 && with_timers != 0) return ctx.send_after(rng.below(300), to, Late{left - 1});
    if (how == 2 && with_timers != 0 && rng.below(8) == 0)
      return ctx.send_after_steps(rng.below(4), to, Late{left - 1});
    if (how == 3) {
      if (ctx.leader()) ++asked;
      (void)ctx.ask(ref<Walker>{ActorId::make(rng.below(actors), 0)}, Question{}, kAskDeadlineUs);
    }
    if (how < 6) return ctx.send_control(to, Token{left - 1});
    if (how > 6) return ctx.send(to, Token{left - 1});
    const auto block = ctx.template block<std::uint32_t>(16);
    if (ctx.leader()) {
      block[0] = left - 1;
      block[15] = ~(left - 1);
    }
    ctx.send(to, Token{left - 1}, block);
  }
};

struct Settings {
  std::uint64_t seed = 0;
  std::uint32_t workers = 2;
  std::uint32_t lanes = 1;
  std::uint32_t actors = 4;
  std::uint32_t tokens = 8;
  std::uint32_t hops = 2000;
  std::uint32_t moves = 60;
  std::uint32_t cuts = 0;  ///< among the moves
  std::uint32_t full_every = 1;
  std::uint32_t field_bytes = 64;
  bool with_timers = false;
  std::chrono::seconds patience{60};  ///< with tokens that come no further
  Capacities capacity{};
};

inline Settings settings_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto between = [&](std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>(random() % (high - low + 1));
  };
  Settings s;
  s.seed = seed;
  s.workers = between(2, 4);
  s.lanes = between(0, 9) == 0 ? 4 : 1;  // groups of threads are slow where cores are few
  s.actors = between(2, kMostActors);
  s.tokens = between(1, 64);
  s.moves = s.lanes == 1 ? 40 : 10;
  s.with_timers = between(0, 1) == 0;
  s.field_bytes = between(0, 3) == 0 ? 9000 : 64;
  if (between(0, 1) == 0) {
    s.cuts = between(1, 4);
    s.full_every = between(0, 1) == 0 ? 8 : 1;
  }
  // inboxes that are full all the time; outboxes and FIFOs hold all there is
  const std::uint32_t inbox = between(0, 1) == 0 ? 8192 : 4;
  s.hops = s.lanes != 1 ? 100 : inbox == 4 ? 500 : 2000;  // each fourth wakes another thread
  s.capacity = {.inbox_slots = inbox,
                .local_slots = 512,
                .control_slots = between(0, 1) == 0 ? 256u : 4u,
                .outbox_slots = 512,
                .stash_slots = 256,
                .timer_slots = 256,
                .slab_blocks = 128,
                .slab_block_bytes = 64,
                .h2k_slots = 16,
                .k2h_slots = between(0, 1) == 0 ? 16u : 4096u,
                .snapshot_ring_bytes = 1 << 20};
  return s;
}

/// What a trial went through; one that meets nothing says nothing.
struct Report {
  std::uint64_t moved = 0;
  std::uint64_t refused = 0;
  std::uint64_t cuts = 0;
  std::uint64_t messages = 0;  ///< in flight at the cuts
  std::uint64_t stashed = 0;
  std::uint64_t full_inboxes = 0;
};

inline Result<std::unique_ptr<Runtime>> make(const Settings& s,
                                             std::shared_ptr<checkpoint::MemoryStorage> storage,
                                             std::uint64_t* disordered_outputs) {
  RuntimeOptions options;
  options.workers = s.workers;
  options.capacity = s.capacity;
  options.seed = s.seed + 1;
  options.placement = s.seed % 2 == 0 ? Placement::spread : Placement::block;
  options.stall_deadline = std::chrono::seconds(20);
  options.rebalance.enabled = true;
  options.checkpoint.storage = std::move(storage);
  options.checkpoint.full_every = s.full_every;
  options.checkpoint.deadline = std::chrono::seconds(20);
  RK_TRY_ASSIGN(auto runtime,
                Runtime::create(make_host_executor<Walker>({.lanes_per_worker = s.lanes}),
                                std::move(options)));
  auto newest = std::make_shared<std::vector<std::uint32_t>>(kMostActors);
  runtime->on_output<Note>([newest, disordered_outputs](const Note&, const OutputInfo& info) {
    std::uint32_t& seen = (*newest)[info.source.index()];
    if (static_cast<std::int32_t>(info.source_sequence - seen) <= 0) ++*disordered_outputs;
    seen = info.source_sequence;
  });
  RK_TRY(runtime->reserve<Walker>(s.actors + 2 * s.workers, s.field_bytes));
  return runtime;
}

/// Lets the tokens go to their ends. Timers in steps wait for messages, which the host sends.
inline Result<void> finish(Runtime& runtime, const Settings& s) {
  constexpr auto kLongest = std::chrono::milliseconds(2000);
  auto deadline = std::chrono::steady_clock::now() + s.patience;
  std::uint64_t notes = 0;
  std::uint64_t most = 0;  // handled, but for the notes and what they send: what tokens did
  for (auto round = std::chrono::milliseconds(10);; round = std::min(2 * round, kLongest)) {
    RK_TRY_ASSIGN(const RunReport ran,
                  runtime.run({.max_walltime = round, .checkpoint_on_stop = false}));
    if (ran.reason == StopReason::quiescent) return {};
    const RuntimeStats stats = runtime.stats();
    if (stats.received > most + 2 * notes) {
      most = stats.received - 2 * notes;
      deadline = std::chrono::steady_clock::now() + s.patience;
    }
    if (std::chrono::steady_clock::now() > deadline)
      return fail(
          ErrorCode::deadline_exceeded,
          "the tokens do not come to their ends: " + std::to_string(stats.sent - stats.received) +
              " in flight, " + std::to_string(stats.timers) + " timers, " +
              std::to_string(stats.dead) + " dead");
    if (stats.timers == 0) continue;
    RK_TRY(runtime.resume());
    round = std::chrono::milliseconds(10);
    for (std::uint32_t i = 0; i < 4 * s.actors; ++i)
      notes += runtime.send(ref<Walker>{ActorId::make(i % s.actors, 0)}, Note{}) ? 1 : 0;
  }
}

/// What all actors saw, after stop().
inline Result<void> judge(Runtime& runtime, const Settings& s, std::uint64_t disordered_outputs,
                          bool restored) {
  RK_TRY(runtime.stop());
  Walker sum;
  std::uint32_t walkers = 0;
  RK_TRY(runtime.for_each_slot([&](const SlotHeader&, std::span<const std::byte> state, auto) {
    Walker walker;
    std::memcpy(&walker, state.data(), sizeof(walker));
    ++walkers;
    sum.hops += walker.hops;
    sum.asked += walker.asked;
    sum.answered += walker.answered;
    sum.expired += walker.expired;
    sum.spoilt += walker.spoilt;
    sum.disorder += walker.disorder;
    sum.control_disorder += walker.control_disorder;
  }));
  const auto compare = [](const char* what, std::uint64_t is,
                          std::uint64_t should) -> Result<void> {
    if (is == should) return {};
    return fail(ErrorCode::internal, std::string(what) + ": " + std::to_string(is) +
                                         " instead of " + std::to_string(should));
  };
  // restored control messages wait behind new ones of the control lane
  if (restored) sum.disorder -= sum.control_disorder;
  RK_TRY(compare("messages out of order", sum.disorder, 0));
  RK_TRY(compare("spoilt blocks", sum.spoilt, 0));
  RK_TRY(compare("outputs out of order", disordered_outputs, 0));
  RK_TRY(compare("actors", walkers, s.actors));
  RK_TRY(compare("hops", sum.hops, std::uint64_t{s.tokens} * (s.hops + 1)));
  RK_TRY(compare("expired asks", sum.expired, 0));
  RK_TRY(compare("answers", sum.answered, sum.asked));
  RK_TRY(compare("dead letters", runtime.stats().dead, 0));
  return compare("in flight", runtime.stats().in_flight, 0);
}

/// Runs one program. An error is a finding.
inline Result<Report> run_trial(const Settings& s) {
  auto storage = std::make_shared<checkpoint::MemoryStorage>();
  std::uint64_t disordered_outputs = 0;
  std::mt19937_64 random(s.seed * 7 + 1);
  Report report;
  {
    RK_TRY_ASSIGN(auto runtime, make(s, storage, &disordered_outputs));
    RK_TRY_ASSIGN(const auto walkers, runtime->spawn<Walker>(s.actors,
                                                             [&](std::uint32_t, Walker& walker) {
                                                               walker.actors = s.actors;
                                                               walker.with_timers =
                                                                   s.with_timers ? 1 : 0;
                                                             },
                                                             {.field_bytes = s.field_bytes}));
    RK_TRY(runtime->start(true));
    for (std::uint32_t i = 0; i < s.tokens;) {
      auto sent = runtime->send(walkers[i % s.actors], Token{s.hops});
      if (!sent && sent.error().code != ErrorCode::would_block) return unexpected(sent.error());
      i += sent ? 1 : 0;
      if (i == 8) RK_TRY(runtime->resume());  // the ring is small
    }
    RK_TRY(runtime->resume());
    std::uint32_t cuts = s.cuts;
    for (std::uint32_t n = 0; n < s.moves; ++n) {
      const auto actor = walkers[static_cast<std::uint32_t>(random() % s.actors)];
      const auto to = static_cast<std::uint32_t>(random() % s.workers);
      for (std::uint32_t i = 0; i < 4; ++i) (void)runtime->send(actor, Note{});
      const auto moved = runtime->move_actor(actor.id, to);
      for (std::uint32_t i = 0; i < 4; ++i) (void)runtime->send(actor, Note{});
      if (!moved && moved.error().code != ErrorCode::would_block &&
          moved.error().code != ErrorCode::no_space)
        return unexpected(moved.error());
      RK_TRY_ASSIGN(const std::uint32_t at, runtime->worker_of(actor.id));
      if (moved && at != to) return fail(ErrorCode::internal, "it is not where it was moved to");
      if (cuts != 0 && random() % 8 == 0) {
        RK_TRY_ASSIGN(const CheckpointCost cost, runtime->checkpoint_now());
        --cuts;
        ++report.cuts;
        report.messages += cost.messages;
      }
    }
    RK_TRY(finish(*runtime, s));
    report.stashed = runtime->stats().stashed_total;
    report.full_inboxes = runtime->stats().full_inbox_total;
    RK_TRY(judge(*runtime, s, disordered_outputs, false));
    report.moved = runtime->stats().moves;
    report.refused = runtime->stats().moves_refused;
  }
  if (report.cuts == 0) return report;
  // the newest cut, taken between moves, comes to the same end elsewhere
  Settings other = s;
  other.workers = 1 + s.workers % 3;
  std::uint64_t disordered_again = 0;
  RK_TRY_ASSIGN(auto runtime, make(other, storage, &disordered_again));
  RK_TRY_ASSIGN(const RestoreReport restored, runtime->restore_latest());
  if (!restored.restored) return fail(ErrorCode::internal, "the checkpoint was not restored");
  RK_TRY(runtime->start());
  for (std::uint32_t n = 0; n < 5; ++n) {
    auto moved = runtime->move_actor(ActorId::make(n % s.actors, 0), n % other.workers);
    if (!moved && moved.error().code != ErrorCode::would_block &&
        moved.error().code != ErrorCode::no_space)
      return unexpected(moved.error());
  }
  RK_TRY(finish(*runtime, other));
  if (auto judged = judge(*runtime, other, disordered_again, true); !judged)
    return fail(judged.error().code, "restored: " + judged.error().message);
  return report;
}

}  // namespace rk::moves
