// One application with everything in it that must survive the cut, and the host's ledger of what it
// said. Every event is said once, under a key of its own, and the ledger is part of the checkpoint:
// what is lost leaves a key out, what happens twice counts one twice.
#pragma once

#include "programs.hpp"

#include <ringkernel/runtime/library_message.hpp>

#include <cstring>
#include <map>
#include <span>
#include <tuple>
#include <vector>

namespace rk::test::survival {

enum class Event : std::uint32_t {
  baton,     ///< a: number, b: hops left
  tick,      ///< a: ticker, b: number; in microseconds
  early,     ///< a timer came before its time
  step,      ///< a: ticker, b: number; in steps
  answered,  ///< a: asker, b: number
  expired,   ///< a: asker, b: number
  muddled,   ///< an answer under another question's correlation
  born,      ///< a: the child's id
  refused,   ///< no place for a child
  down,      ///< a: watcher, b: the dead one's index
  letter,    ///< a: number of a dead letter
};
struct Said {
  static constexpr std::uint8_t tag = 1;
  Event event;
  std::uint32_t a;
  std::uint32_t b;
};

/// Goes round the hands; fails on its way.
struct Baton {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t number;
  std::uint32_t hops;
};
struct Meet {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 1;
  ActorId peer;
  std::uint32_t watches;
};
inline constexpr std::uint32_t kHands = 12;
inline constexpr std::uint32_t kStride = 5;

/// Supervised; links and monitors.
struct Hand {
  using messages = handles<Baton, Meet, Down>;
  static constexpr const char* name = "survival.hand";
  static constexpr bool supervised = true;
  static constexpr std::uint32_t max_links = 4;
  std::uint64_t scratch = 0;

  RK_FN static std::uint32_t failures_of(const Baton& token) {
    return token.number % 3 == 0 && token.hops % 5 == 2 ? 1 + token.number % 2 : 0;
  }
  template <class Ctx>
  RK_FN void on(const Baton& token, Ctx& ctx) {
    if (ctx.leader()) ++scratch;
    if (ctx.tries() < failures_of(token)) return ctx.fail(token.number);
    ctx.send_to_host(Said{Event::baton, token.number, token.hops});
    if (token.hops == 0) return;
    const ref<Hand> next{ActorId::make((ctx.self().index() + kStride) % kHands, 0)};
    const Baton on{token.number, token.hops - 1};
    if (token.number % 4 == 0) {
      ctx.send_control(next, on);
    } else {
      ctx.send(next, on);
    }
  }
  template <class Ctx>
  RK_FN void on(const Meet& meet, Ctx& ctx) {
    if (meet.watches != 0) {
      ctx.monitor(meet.peer);
    } else {
      ctx.link(meet.peer);
    }
  }
  template <class Ctx>
  RK_FN void on(const Down& down, Ctx& ctx) {
    ctx.send_to_host(Said{Event::down, ctx.self().index(), down.actor.index()});
  }
};
/// Restarts who fails.
struct Boss {
  using messages = handles<Failed>;
  static constexpr const char* name = "survival.boss";
  std::uint64_t failures = 0;
  template <class Ctx>
  RK_FN void on(const Failed& failed, Ctx& ctx) {
    if (ctx.leader()) ++failures;
    ctx.command(CommandTag::restart, failed.child, Command{.code = failed.code});
  }
};

struct Wind {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_timers = 6;
  ActorId other;  ///< who gets the ticks in steps
};
struct Tick {
  static constexpr std::uint8_t tag = 5;
  static constexpr std::uint32_t max_sends = 0;
  std::uint64_t due_us;  ///< 0: in steps
  std::uint32_t winder;
  std::uint32_t number;
};
struct Nudge {
  static constexpr std::uint8_t tag = 6;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t left;
};
inline constexpr std::uint32_t kTicks = 3;
inline constexpr std::uint32_t kNudges = 30;
struct Ticker {
  using messages = handles<Wind, Tick, Nudge>;
  static constexpr const char* name = "survival.ticker";
  std::uint64_t ticks = 0;

  template <class Ctx>
  RK_FN void on(const Wind& wind, Ctx& ctx) {
    const ref<Ticker> self{ctx.self()};
    for (std::uint32_t i = 0; i < kTicks; ++i) {
      const std::uint64_t delay = 1500 + i * 4000;
      ctx.send_after(delay, self, Tick{ctx.now_us() + delay, self.id.index(), i});
      ctx.send_after_steps(4 + i * 9, ref<Ticker>{wind.other}, Tick{0, self.id.index(), i});
    }
    ctx.send(self, Nudge{kNudges});
  }
  template <class Ctx>
  RK_FN void on(const Tick& tick, Ctx& ctx) {
    if (ctx.leader()) ++ticks;
    const bool is_early = tick.due_us != 0 && ctx.now_us() < tick.due_us;
    ctx.send_to_host(Said{is_early           ? Event::early
                          : tick.due_us != 0 ? Event::tick
                                             : Event::step,
                          tick.winder, tick.number});
  }
  template <class Ctx>
  RK_FN void on(const Nudge& nudge, Ctx& ctx) {
    if (nudge.left > 1) ctx.send(ref<Ticker>{ctx.self()}, Nudge{nudge.left - 1});
  }
};

struct Question {
  static constexpr std::uint8_t tag = 7;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t number;
  std::uint32_t is_heard;
};
struct Answer {
  static constexpr std::uint8_t tag = 8;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
};
struct Inquire {
  static constexpr std::uint8_t tag = 9;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_timers = 1;
  std::uint32_t number;
};
inline constexpr std::uint32_t kQuestions = 8;
/// Answers, or never does.
struct Server {
  using messages = handles<Question>;
  static constexpr const char* name = "survival.server";
  std::uint64_t asked = 0;
  template <class Ctx>
  RK_FN void on(const Question& question, Ctx& ctx) {
    if (ctx.leader()) ++asked;
    if (question.is_heard != 0) ctx.reply(Answer{question.number});
  }
};
/// Asks one question after the other, without waiting. Each second one is not heard and expires.
struct Asker {
  using messages = handles<Inquire, Answer, AskExpired>;
  static constexpr const char* name = "survival.asker";
  ref<Server> server;
  std::uint32_t is_brief = 0;  ///< asks once
  std::uint64_t deadline_us = 3'600'000'000ull;
  std::uint32_t pending[kQuestions] = {};

  template <class Ctx>
  RK_FN void on(const Inquire& inquire, Ctx& ctx) {
    const std::uint32_t n = inquire.number;
    const bool is_heard = n % 2 == 0;
    const std::uint32_t correlation =
        ctx.ask(server, Question{n, is_heard ? 1u : 0u}, is_heard ? deadline_us : 4000);
    if (ctx.leader()) pending[n] = correlation;
    if (is_brief == 0 && n + 1 < kQuestions) ctx.send(ref<Asker>{ctx.self()}, Inquire{n + 1});
  }
  template <class Ctx>
  RK_FN void on(const Answer& answer, Ctx& ctx) {
    const bool is_right = ctx.correlation() == pending[answer.number];
    ctx.send_to_host(
        Said{is_right ? Event::answered : Event::muddled, ctx.self().index(), answer.number});
  }
  template <class Ctx>
  RK_FN void on(const AskExpired& notice, Ctx& ctx) {
    std::uint32_t n = 0;
    while (n < kQuestions && pending[n] != notice.correlation) ++n;
    ctx.send_to_host(Said{n < kQuestions ? Event::expired : Event::muddled, ctx.self().index(), n});
  }
};

struct Raise {
  static constexpr std::uint8_t tag = 10;
  static constexpr std::uint32_t max_sends = 3;
  static constexpr std::uint32_t max_spawns = 1;
  std::uint32_t round;
};
struct Hello {
  static constexpr std::uint8_t tag = 11;
  static constexpr std::uint32_t max_sends = 1;
  ActorId parent;
};
struct Bye {
  static constexpr std::uint8_t tag = 12;
  static constexpr std::uint32_t max_sends = 2;
  ActorId child;
};
/// To somebody who is dead.
struct Letter {
  static constexpr std::uint8_t tag = 13;
  std::uint32_t number;
};
struct Child;
inline constexpr std::uint32_t kRounds = 12;
/// Two children a round, one here and one elsewhere. Each dies, and is written to when it has.
struct Nursery {
  using messages = handles<Raise, Bye, Spawned>;
  static constexpr const char* name = "survival.nursery";
  std::uint32_t letters = 0;
  std::uint32_t rounds = 0;
  template <class Ctx>
  RK_FN void on(const Raise& raise, Ctx& ctx);
  template <class Ctx>
  RK_FN void on(const Bye& bye, Ctx& ctx);
  template <class Ctx>
  RK_FN void on(const Spawned& spawned, Ctx& ctx) {
    if (spawned.actor == kNoActor) ctx.send_to_host(Said{Event::refused, 0, 0});
  }
};
struct Child {
  using messages = handles<Hello, Letter>;
  static constexpr const char* name = "survival.child";
  std::uint64_t letters = 0;
  template <class Ctx>
  RK_FN void on(const Hello& hello, Ctx& ctx) {
    ctx.send_to_host(Said{Event::born, ctx.self().word, 0});
    ctx.send(ref<Nursery>{hello.parent}, Bye{ctx.self()});
    ctx.stop();
  }
  template <class Ctx>
  RK_FN void on(const Letter&, Ctx& ctx) {
    if (ctx.leader()) ++letters;
  }
};
template <class Ctx>
RK_FN void Nursery::on(const Raise&, Ctx& ctx) {
  const ref<Child> born = ctx.spawn(Child{});
  if (born) {
    ctx.send(born, Hello{ctx.self()});
  } else {
    ctx.send_to_host(Said{Event::refused, 1, 0});
  }
  ctx.template spawn_on<Child>(ctx.worker() + 1, Hello{ctx.self()});
}
template <class Ctx>
RK_FN void Nursery::on(const Bye& bye, Ctx& ctx) {
  const std::uint32_t number = ctx.self().index() * 1000 + letters;
  const bool is_round_over = letters % 2 == 1;
  const std::uint32_t round = rounds;
  ctx.sync();
  if (ctx.leader()) {
    ++letters;
    if (is_round_over) ++rounds;
  }
  ctx.send(ref<Child>{bye.child}, Letter{number});
  if (is_round_over && round + 1 < kRounds) ctx.send(ref<Nursery>{ctx.self()}, Raise{round + 1});
}

/// What the host heard, how often.
class Ledger {
 public:
  using Key = std::tuple<Event, std::uint32_t, std::uint32_t>;
  void listen(Runtime& runtime) {
    runtime.on_output<Said>([this](const Said& said, const OutputInfo&) {
      ++heard_[{said.event, said.a, said.b}];
    });
    runtime.on_cut([this]() -> Result<std::vector<std::byte>> { return save(); },
                   [this](std::span<const std::byte> bytes) -> Result<void> {
                     load(bytes);
                     return {};
                   });
  }
  /// How many different ones of a kind were heard; those that were heard twice fail the test.
  [[nodiscard]] std::uint32_t count(Event event) const {
    std::uint32_t count = 0;
    for (const auto& [key, times] : heard_) {
      if (std::get<0>(key) != event) continue;
      ++count;
      EXPECT_EQ(times, 1u) << "event " << static_cast<std::uint32_t>(event) << " of "
                           << std::get<1>(key) << ", " << std::get<2>(key);
    }
    return count;
  }
  [[nodiscard]] bool has(Event event, std::uint32_t a, std::uint32_t b) const {
    return heard_.contains({event, a, b});
  }

 private:
  struct Row {
    Event event;
    std::uint32_t a;
    std::uint32_t b;
    std::uint32_t times;
  };
  [[nodiscard]] std::vector<std::byte> save() const {
    std::vector<std::byte> bytes(heard_.size() * sizeof(Row));
    std::byte* to = bytes.data();
    for (const auto& [key, times] : heard_) {
      const Row row{std::get<0>(key), std::get<1>(key), std::get<2>(key), times};
      std::memcpy(to, &row, sizeof(row));
      to += sizeof(row);
    }
    return bytes;
  }
  void load(std::span<const std::byte> bytes) {
    heard_.clear();
    for (; bytes.size() >= sizeof(Row); bytes = bytes.subspan(sizeof(Row))) {
      Row row;
      std::memcpy(&row, bytes.data(), sizeof(row));
      heard_[{row.event, row.a, row.b}] = row.times;
    }
  }
  std::map<Key, std::uint32_t> heard_;
};

}  // namespace rk::test::survival
