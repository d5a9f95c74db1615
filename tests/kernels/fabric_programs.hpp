// Actors that come and go, ask, wait and fail: programs of the fabric tests.
#pragma once

#include "programs.hpp"

#include <ringkernel/runtime/library_message.hpp>

namespace rk::test {

/// Grows a family: every Grow of depth n makes `kFan` children of depth n - 1 and sends them on.
struct Grow {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_spawns = 2;
  static constexpr std::uint32_t max_host_sends = 1;
  std::uint32_t depth;
};
struct Shrink {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 2;
  std::uint32_t unused;
};
struct Born {
  static constexpr std::uint8_t tag = 3;
  ActorId id;
  std::uint32_t depth;
};
struct Tree {
  using messages = handles<Grow, Shrink>;
  static constexpr const char* name = "test.tree";
  std::uint64_t pattern = 0;
  ActorId child[2] = {kNoActor, kNoActor};
  std::uint32_t depth = 0;
  std::uint32_t refused = 0;

  template <class Ctx>
  RK_FN void on(const Grow& grow, Ctx& ctx) {
    if (ctx.leader()) {
      depth = grow.depth;
      pattern = 0xABCD0000u + grow.depth;
    }
    ctx.send_to_host(Born{ctx.self(), grow.depth});
    if (grow.depth == 0) return;
    for (ActorId& id : child) {
      const ref<Tree> born = ctx.spawn(Tree{});
      if (ctx.leader()) id = born.id;
      if (born) {
        ctx.send(born, Grow{grow.depth - 1});
      } else if (ctx.leader()) {
        ++refused;
      }
    }
  }
  template <class Ctx>
  RK_FN void on(const Shrink& shrink, Ctx& ctx) {
    for (const ActorId& id : child) {
      if (!(id == kNoActor)) ctx.send(ref<Tree>{id}, shrink);
    }
    ctx.stop();
  }
};

/// Asks a server, which answers at once, late or never.
struct Begin {
  static constexpr std::uint8_t tag = 10;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_timers = 2;
  std::uint32_t how;
};
struct Question {
  static constexpr std::uint8_t tag = 11;
  static constexpr std::uint32_t max_timers = 1;
  std::uint32_t how;  ///< 0: answer, 1: never
  std::uint32_t value;
};
struct Answer {
  static constexpr std::uint8_t tag = 12;
  std::uint32_t value;
};
struct Server {
  using messages = handles<Question>;
  static constexpr const char* name = "test.server";
  std::uint64_t asked = 0;
  template <class Ctx>
  RK_FN void on(const Question& question, Ctx& ctx) {
    if (ctx.leader()) ++asked;
    if (question.how == 0) ctx.reply(Answer{question.value * 2});
  }
};
struct Client {
  using messages = handles<Begin, Answer, AskExpired>;
  static constexpr const char* name = "test.client";
  ref<Server> server;
  std::uint32_t pending = 0;
  std::uint32_t answered = 0;
  std::uint32_t expired = 0;
  std::uint32_t wrong = 0;
  std::uint64_t deadline_us = 0;

  template <class Ctx>
  RK_FN void on(const Begin& begin, Ctx& ctx) {
    const std::uint32_t correlation = ctx.ask(server, Question{begin.how, 21}, deadline_us);
    if (ctx.leader()) pending = correlation;
  }
  template <class Ctx>
  RK_FN void on(const Answer& answer, Ctx& ctx) {
    if (!ctx.leader()) return;
    ++answered;
    if (answer.value != 42 || ctx.correlation() != pending) ++wrong;
  }
  template <class Ctx>
  RK_FN void on(const AskExpired& notice, Ctx& ctx) {
    if (!ctx.leader()) return;
    ++expired;
    if (notice.correlation != pending) ++wrong;
  }
};

/// A clock that ticks itself, in time or in steps.
struct Wind {
  static constexpr std::uint8_t tag = 20;
  static constexpr std::uint32_t max_sends = 3;
  static constexpr std::uint32_t max_timers = 1;
  std::uint32_t ticks;
  std::uint32_t in_steps;
};
struct Tick {
  static constexpr std::uint8_t tag = 21;
  static constexpr std::uint32_t max_timers = 1;
  std::uint32_t left;
};
struct Nudge {
  static constexpr std::uint8_t tag = 22;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
};
struct Clockwork {
  using messages = handles<Wind, Tick, Nudge>;
  static constexpr const char* name = "test.clockwork";
  std::uint64_t ticks = 0;
  std::uint64_t last_us = 0;
  std::uint64_t early = 0;
  std::uint64_t due_us = 0;
  std::uint32_t order = 0;  ///< what came, a digit each

  template <class Ctx>
  RK_FN void on(const Wind& wind, Ctx& ctx) {
    const ref<Clockwork> self{ctx.self()};
    if (wind.in_steps != 0) {
      ctx.send_after_steps(2, self, Tick{0});
      for (std::uint32_t i = 1; i <= 3; ++i) ctx.send(self, Nudge{i});
    } else {
      arm(wind.ticks, ctx);
    }
  }
  template <class Ctx>
  RK_FN void on(const Tick& tick, Ctx& ctx) {
    if (ctx.leader()) {
      ++ticks;
      if (ctx.now_us() < due_us) ++early;
      order = order * 10 + 9;
    }
    if (tick.left != 0) arm(tick.left, ctx);
  }
  template <class Ctx>
  RK_FN void on(const Nudge& nudge, Ctx& ctx) {
    if (ctx.leader()) order = order * 10 + nudge.number;
  }

 private:
  template <class Ctx>
  RK_FN void arm(std::uint32_t left, Ctx& ctx) {
    if (ctx.leader()) due_us = ctx.now_us() + 500;
    ctx.send_after(500, ref<Clockwork>{ctx.self()}, Tick{left - 1});
  }
};

}  // namespace rk::test
