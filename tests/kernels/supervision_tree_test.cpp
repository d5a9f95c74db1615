// Supervisors, machines and links on a running system: what fails is restarted as the strategy
// says, nothing waits for ever, and nothing but the failed actor's state is lost.
#include "patterns.hpp"

#include <ringkernel/runtime/lifeline.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <thread>

namespace rk::test {
namespace {

constexpr std::uint32_t kCodeOwn = 71;
constexpr std::uint64_t kHour = 3'600'000'000;

struct Task {
  static constexpr std::uint8_t tag = 40;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t number;
  std::uint32_t failures;  ///< of its handler, before it succeeds
};
struct Tie {
  static constexpr std::uint8_t tag = 41;
  static constexpr std::uint32_t max_sends = 1;
  ActorId peer;
};
/// To the host: seen before a failure, or finished.
struct Seen {
  static constexpr std::uint8_t tag = 42;
  std::uint32_t number;
  std::uint32_t finished;
};
struct Hand {
  using messages = handles<Task, Tie>;
  static constexpr const char* name = "test.hand";
  static constexpr bool supervised = true;
  static constexpr std::uint32_t max_links = 2;
  std::uint32_t handled = 0;
  std::uint32_t torn = 0;

  template <class Ctx>
  RK_FN void on(const Task& task, Ctx& ctx) {
    if (ctx.leader()) {
      ++handled;
      ++torn;
    }
    const bool fails = ctx.tries() < task.failures;
    ctx.send_to_host(Seen{task.number, fails ? 0u : 1u});
    if (fails) return ctx.fail(kCodeOwn);
    ctx.sync();
    if (ctx.leader()) --torn;
  }
  template <class Ctx>
  RK_FN void on(const Tie& tie, Ctx& ctx) {
    ctx.link(tie.peer);
  }
};

constexpr auto kOne = SupervisorStrategy::one_for_one;
constexpr auto kAll = SupervisorStrategy::one_for_all;
constexpr auto kRest = SupervisorStrategy::rest_for_one;

/// hands 0..n-1, then lines, then the top, whose ids are known beforehand for that.
struct Plan {
  std::uint32_t hands = 6;
  std::uint32_t lines = 1;
  SupervisorStrategy strategy = kOne;
  std::uint32_t intensity = 16;
  std::uint32_t top_intensity = 16;
  Restart restart = Restart::fresh;
  std::uint8_t max_tries = 100;
  std::vector<std::uint32_t> temporary{};
};
class Works {
 public:
  Works(const Shape& shape, const Plan& plan, RuntimeOptions options = spread_options(),
        bool restore = false)
      : plan_(plan) {
    runtime = make_runtime<Hand, Supervisor>(shape, std::move(options));
    runtime->on_output<Seen>([this](const Seen& seen, const OutputInfo&) {
      ++(seen.finished != 0 ? finished : failed)[seen.number];
    });
    // what the host has seen is part of a checkpoint
    runtime->on_cut(
        [this] {
          std::vector<std::byte> bytes(finished.size() * sizeof(Entry));
          std::size_t at = 0;
          for (const auto& [number, times] : finished) {
            const Entry entry{number, times};
            std::memcpy(bytes.data() + at++ * sizeof(Entry), &entry, sizeof(Entry));
          }
          return bytes;
        },
        [this](std::span<const std::byte> bytes) -> Result<void> {
          for (std::size_t at = 0; at < bytes.size(); at += sizeof(Entry)) {
            Entry entry;
            std::memcpy(&entry, bytes.data() + at, sizeof(Entry));
            finished[entry.number] = entry.times;
          }
          return {};
        });
    if (restore) {
      const auto report = runtime->restore_latest();
      EXPECT_TRUE(report && report->restored);
    } else {
      build();
    }
    expect_ok(runtime->start(true));
  }
  [[nodiscard]] ref<Hand> hand(std::uint32_t i) const { return {ActorId::make(i, 0)}; }
  [[nodiscard]] ref<Supervisor> line(std::uint32_t i) const {
    return {ActorId::make(plan_.hands + i, 0)};
  }
  [[nodiscard]] ref<Supervisor> top() const { return line(plan_.lines); }
  void give(std::uint32_t to, Task task) { expect_ok(runtime->send(hand(to), task)); }
  void run() { run_to_the_end(*runtime); }
  std::uint32_t handled(std::uint32_t i) {
    const auto state = runtime->read(hand(i));
    EXPECT_TRUE(state) << i;
    EXPECT_EQ(state->torn, 0u) << "half changed";
    return state->handled;
  }
  std::vector<std::uint32_t> all_handled() {
    std::vector<std::uint32_t> all;
    for (std::uint32_t i = 0; i < plan_.hands; ++i) all.push_back(handled(i));
    return all;
  }
  std::uint32_t restarts(ActorId id, const TrailLayout& layout) {
    auto bytes = runtime->read_slot(id);
    if (!bytes) return ADD_FAILURE() << bytes.error().message, 0;
    return Trail(*reinterpret_cast<SlotHeader*>(bytes->data()), layout).lifeline().restarts;
  }
  std::uint32_t hand_restarts(std::uint32_t i) {
    return restarts(hand(i).id, detail::trail_layout<Hand>());
  }
  std::uint32_t line_restarts(std::uint32_t i) {
    return restarts(line(i).id, detail::trail_layout<Supervisor>());
  }
  /// One task to each hand, so that a restart shows in `handled`.
  void warm_up() {
    for (std::uint32_t i = 0; i < plan_.hands; ++i) give(i, {1000 + i, 0});
    run();
  }

  std::unique_ptr<Runtime> runtime;
  std::map<std::uint32_t, std::uint32_t> finished;
  std::map<std::uint32_t, std::uint32_t> failed;

 private:
  struct Entry {
    std::uint32_t number;
    std::uint32_t times;
  };
  [[nodiscard]] std::uint32_t line_of(std::uint32_t hand) const { return hand % plan_.lines; }
  void build() {
    for (std::uint32_t i = 0; i < plan_.hands; ++i) {
      const auto spawned = runtime->spawn<Hand>(1, [](std::uint32_t, Hand&) {},
                                                {.policy = {.supervisor = line(line_of(i)).id,
                                                            .restart = plan_.restart,
                                                            .max_tries = plan_.max_tries}});
      ASSERT_TRUE(spawned);
    }
    std::vector<Child> lines;
    for (std::uint32_t l = 0; l < plan_.lines; ++l) {
      std::vector<Child> children;
      for (std::uint32_t i = 0; i < plan_.hands; ++i) {
        const bool is_temporary =
            std::find(plan_.temporary.begin(), plan_.temporary.end(), i) != plan_.temporary.end();
        if (line_of(i) == l)
          children.push_back(
              {hand(i).id, is_temporary ? ChildMode::temporary : ChildMode::permanent});
      }
      const auto spawned = spawn_supervisor(*runtime, {.strategy = plan_.strategy,
                                                       .intensity = plan_.intensity,
                                                       .window_us = kHour,
                                                       .children = std::move(children),
                                                       .policy = {.supervisor = top().id}});
      ASSERT_TRUE(spawned && *spawned == line(l));
      lines.push_back({line(l).id});
    }
    const auto spawned = spawn_supervisor(
        *runtime,
        {.intensity = plan_.top_intensity, .window_us = kHour, .children = std::move(lines)});
    ASSERT_TRUE(spawned && *spawned == top());
  }
  Plan plan_;
};

class SupervisionTree : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, SupervisionTree, kPatternShapes, shape_name);

using Counts = std::vector<std::uint32_t>;

TEST_P(SupervisionTree, OneForOneResetsTheOneThatFailed) {
  Works works(GetParam(), {});
  works.warm_up();
  works.give(2, {1, 2});
  works.run();
  EXPECT_EQ(works.all_handled(), (Counts{1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(works.hand_restarts(2), 2u);
  EXPECT_EQ(works.hand_restarts(1), 0u);
  EXPECT_EQ(works.finished[1], 1u);
  // what a handler sent before it failed stays sent
  EXPECT_EQ(works.failed[1], 2u);
  EXPECT_EQ(works.runtime->read(works.line(0))->restarts, 2u);
}

TEST_P(SupervisionTree, OneForAllResetsAll) {
  Works works(GetParam(), {.strategy = kAll});
  works.warm_up();
  works.give(2, {1, 1});
  works.run();
  EXPECT_EQ(works.all_handled(), (Counts{0, 0, 1, 0, 0, 0}));
  for (std::uint32_t i = 0; i < 6; ++i) EXPECT_EQ(works.hand_restarts(i), 1u);
  EXPECT_EQ(works.finished[1], 1u);
}

TEST_P(SupervisionTree, RestForOneSparesThoseAddedBefore) {
  Works works(GetParam(), {.strategy = kRest});
  works.warm_up();
  works.give(2, {1, 1});
  works.run();
  EXPECT_EQ(works.all_handled(), (Counts{1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(works.hand_restarts(1), 0u);
  EXPECT_EQ(works.hand_restarts(5), 1u);
}

TEST_P(SupervisionTree, ATemporaryChildDiesAndItsMailIsDeadNotLost) {
  Works works(GetParam(), {.strategy = kAll, .temporary = {3}});
  works.warm_up();
  for (std::uint32_t n = 1; n <= 4; ++n) works.give(3, {n, n == 2 ? 9u : 0u});
  works.run();
  EXPECT_FALSE(works.runtime->read(works.hand(3)));
  EXPECT_EQ(works.handled(2), 1u) << "its failure is no business of the others";
  EXPECT_EQ(works.finished[1], 1u);
  const auto letters = works.runtime->dead_letters();
  ASSERT_EQ(letters.size(), 3u);
  for (const DeadLetter& letter : letters) EXPECT_EQ(letter.reason, DeadReason::dead);
}

TEST_P(SupervisionTree, ARestartKeepsTheMailboxAndItsOrder) {
  Works works(GetParam(), {.strategy = kAll});
  for (std::uint32_t n = 0; n < 50; ++n) works.give(n % 6, {n, n % 10 == 0 ? 1u : 0u});
  works.run();
  EXPECT_EQ(works.finished.size(), 50u);
  for (const auto& [number, times] : works.finished) EXPECT_EQ(times, 1u) << number;
  EXPECT_TRUE(works.runtime->dead_letters().empty());
}

TEST_P(SupervisionTree, MoreMailThanTheStashHoldsDoesNotKeepTheSupervisorFromAnswering) {
  RuntimeOptions options = spread_options();
  options.capacity.stash_slots = 16;
  // everything on one worker, too: the supervisors are behind the mail they must clear
  Works works(GetParam(), {.lines = 2, .intensity = 2, .top_intensity = Supervisor::kNoLimit},
              options);
  for (std::uint32_t n = 0; n < 200; ++n) works.give(n % 6, {n, n % 20 == 0 ? 5u : 0u});
  works.run();
  EXPECT_EQ(works.finished.size(), 200u);
  for (const auto& [number, times] : works.finished) EXPECT_EQ(times, 1u) << number;
}

TEST_P(SupervisionTree, TooManyRestartsRestartTheSubtreeAndNoOther) {
  Works works(GetParam(), {.hands = 6, .lines = 2, .intensity = 2});
  works.warm_up();
  works.give(0, {1, 3});  // restarted twice, then it is too much
  works.run();
  EXPECT_EQ(works.line_restarts(0), 1u);
  EXPECT_EQ(works.line_restarts(1), 0u);
  EXPECT_EQ(works.runtime->read(works.top())->restarts, 1u);
  // hands 0, 2, 4 are of line 0, which began anew
  EXPECT_EQ(works.handled(2), 0u);
  EXPECT_EQ(works.handled(4), 0u);
  EXPECT_EQ(works.handled(1), 1u);
  EXPECT_EQ(works.handled(3), 1u);
  EXPECT_EQ(works.finished[1], 1u);
  EXPECT_EQ(works.failed[1], 3u);
  // and is fit for more
  works.give(2, {2, 1});
  works.give(0, {3, 0});
  works.run();
  EXPECT_EQ(works.finished[2], 1u);
  EXPECT_EQ(works.finished[3], 1u);
  EXPECT_EQ(works.line_restarts(0), 1u);
}

TEST_P(SupervisionTree, ARestartOfASupervisorIsARestartOfItsChildrenWhoeverAskedForIt) {
  // line 1 exceeds nothing: it is restarted because the top is one_for_all
  const Shape shape = GetParam();
  auto runtime = make_runtime<Hand, Supervisor>(shape, spread_options());
  const auto id = [](std::uint32_t i) { return ActorId::make(i, 0); };
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(runtime->spawn<Hand>(1, [](std::uint32_t, Hand&) {},
                                     {.policy = {.supervisor = id(2 + i), .max_tries = 9}}));
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(spawn_supervisor(*runtime, {.intensity = 1,
                                            .window_us = kHour,
                                            .children = {{id(i)}},
                                            .policy = {.supervisor = id(4)}}));
  }
  ASSERT_TRUE(spawn_supervisor(
      *runtime, {.strategy = kAll, .window_us = kHour, .children = {{id(2)}, {id(3)}}}));
  expect_ok(runtime->start(true));
  expect_ok(runtime->send(ref<Hand>{id(1)}, Task{1, 0}));
  run_to_the_end(*runtime);
  EXPECT_EQ(runtime->read(ref<Hand>{id(1)})->handled, 1u);
  expect_ok(runtime->send(ref<Hand>{id(0)}, Task{2, 2}));
  run_to_the_end(*runtime);
  EXPECT_EQ(runtime->read(ref<Hand>{id(0)})->handled, 1u);
  EXPECT_EQ(runtime->read(ref<Hand>{id(1)})->handled, 0u);
}

TEST_P(SupervisionTree, ACrashLoopEndsTheRunInTheNameOfTheTop) {
  Works works(GetParam(), {.lines = 2, .intensity = 2, .top_intensity = 2, .max_tries = 0});
  works.give(1, {1, 1000});
  auto report = works.runtime->run();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::handler_failed);
  EXPECT_NE(report.error().message.find(std::to_string(kCodeIntensity)), std::string::npos)
      << report.error().message;
  expect_ok(works.runtime->stop());
  // two restarts and what was too much, for each of the line's three lives. The first of the lives
  // that a restart began with has one failure more, which was not counted
  EXPECT_EQ(works.failed[1], 9u);
}

TEST_P(SupervisionTree, ASupervisorThatIsKilledInsteadTakesTheFailedChildWithIt) {
  // the line is a temporary child of the top
  const auto id = [](std::uint32_t i) { return ActorId::make(i, 0); };
  auto runtime = make_runtime<Hand, Supervisor>(GetParam(), spread_options());
  ASSERT_TRUE(runtime->spawn<Hand>(2, [](std::uint32_t, Hand&) {},
                                   {.policy = {.supervisor = id(2), .max_tries = 0}}));
  ASSERT_TRUE(spawn_supervisor(*runtime, {.intensity = 1,
                                          .window_us = kHour,
                                          .children = {{id(0)}, {id(1)}},
                                          .policy = {.supervisor = id(3)}}));
  ASSERT_TRUE(spawn_supervisor(*runtime, {.children = {{id(2), ChildMode::temporary}}}));
  expect_ok(runtime->start(true));
  expect_ok(runtime->send(ref<Hand>{id(0)}, Task{1, 1000}));
  run_to_the_end(*runtime);
  EXPECT_FALSE(runtime->read(ref<Supervisor>{id(2)}));
  EXPECT_FALSE(runtime->read(ref<Hand>{id(0)}));
  ASSERT_EQ(runtime->dead_letters().size(), 1u);
  // who did not fail lives on
  expect_ok(runtime->send(ref<Hand>{id(1)}, Task{2, 0}));
  run_to_the_end(*runtime);
  EXPECT_EQ(runtime->read(ref<Hand>{id(1)})->handled, 1u);
}

TEST_P(SupervisionTree, FailuresOutsideTheWindowDoNotEscalate) {
  const auto id = [](std::uint32_t i) { return ActorId::make(i, 0); };
  auto runtime = make_runtime<Hand, Supervisor>(GetParam(), spread_options());
  ASSERT_TRUE(runtime->spawn<Hand>(1, [](std::uint32_t, Hand&) {},
                                   {.policy = {.supervisor = id(1), .max_tries = 0}}));
  ASSERT_TRUE(
      spawn_supervisor(*runtime, {.intensity = 1, .window_us = 1000, .children = {{id(0)}}}));
  expect_ok(runtime->start(true));
  for (std::uint32_t n = 0; n < 5; ++n) {
    expect_ok(runtime->send(ref<Hand>{id(0)}, Task{n, 1}));
    run_to_the_end(*runtime);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  EXPECT_EQ(runtime->read(ref<Supervisor>{id(1)})->restarts, 5u);
}

TEST_P(SupervisionTree, SavedMeansTheNewestCutAndTheSameAfterARestore) {
  TempDir dir;
  const Plan plan{.restart = Restart::saved};
  {
    Works works(GetParam(), plan, spread_options(dir.path()));
    for (std::uint32_t n = 0; n < 5; ++n) works.give(0, {n, 0});
    works.run();
    ASSERT_TRUE(works.runtime->checkpoint_now());
    for (std::uint32_t n = 5; n < 8; ++n) works.give(0, {n, 0});
    works.run();
    EXPECT_EQ(works.handled(0), 8u);
    works.give(0, {8, 1});
    works.run();
    EXPECT_EQ(works.handled(0), 6u) << "five of the cut and the message tried again";
    works.give(1, {9, 1});
    works.run();
    EXPECT_EQ(works.handled(1), 1u);
    // nothing but hand 0 changes: its copy must follow an increment, too
    ASSERT_TRUE(works.runtime->checkpoint_now());
    works.give(0, {10, 0});
    works.run();
    EXPECT_EQ(works.handled(0), 7u);
    expect_ok(works.runtime->stop());
  }
  Works works(other_than(GetParam()), plan, spread_options(dir.path()), true);
  EXPECT_EQ(works.handled(0), 6u);
  works.give(0, {11, 0});
  works.give(0, {12, 1});
  works.run();
  EXPECT_EQ(works.handled(0), 7u);
}

TEST_P(SupervisionTree, TheFailureOfAnotherWorkersPartnerComesOverTheLink) {
  Works works(GetParam(), {.lines = 2, .temporary = {1}});  // spread: neighbours are apart
  expect_ok(works.runtime->send(works.hand(0), Tie{works.hand(1).id}));
  works.warm_up();
  works.give(0, {1, 0});
  works.run();
  EXPECT_EQ(works.handled(0), 2u);
  works.give(1, {2, 5});
  works.run();
  EXPECT_FALSE(works.runtime->read(works.hand(1)));
  EXPECT_EQ(works.handled(0), 0u);
  EXPECT_EQ(works.hand_restarts(0), 1u);
  EXPECT_EQ(works.handled(2), 1u);
}

TEST_P(SupervisionTree, ARestartIsNoDeathForLinks) {
  Works works(GetParam(), {.lines = 2});
  expect_ok(works.runtime->send(works.hand(0), Tie{works.hand(1).id}));
  works.warm_up();
  works.give(1, {2, 3});
  works.run();
  EXPECT_EQ(works.handled(0), 1u);
  EXPECT_EQ(works.hand_restarts(0), 0u);
  // and the link outlives it
  expect_ok(works.runtime->kill(works.hand(1).id, 5));
  works.run();
  EXPECT_EQ(works.hand_restarts(0), 1u);
}

// --- who cannot answer a Failed

/// Fails whatever it is told.
struct Coward {
  using messages = handles<Failed>;
  static constexpr const char* name = "test.coward";
  static constexpr bool supervised = true;
  std::uint32_t unused = 0;
  template <class Ctx>
  RK_FN void on(const Failed&, Ctx& ctx) {
    ctx.fail(5);
  }
};
TEST_P(SupervisionTree, AFailedThatIsPoisonToTheSupervisorKillsTheChildInsteadOfLeavingItWaiting) {
  const auto id = [](std::uint32_t i) { return ActorId::make(i, 0); };
  auto runtime = make_runtime<Hand, Supervisor, Coward>(GetParam(), spread_options());
  ASSERT_TRUE(runtime->spawn<Hand>(1, [](std::uint32_t, Hand&) {},
                                   {.policy = {.supervisor = id(1), .max_tries = 0}}));
  ASSERT_TRUE(runtime->spawn<Coward>(1, [](std::uint32_t, Coward&) {},
                                     {.policy = {.supervisor = id(2), .max_tries = 2}}));
  ASSERT_TRUE(spawn_supervisor(*runtime, {.children = {{id(1)}}}));
  expect_ok(runtime->start(true));
  expect_ok(runtime->send(ref<Hand>{id(0)}, Task{1, 1000}));
  run_to_the_end(*runtime);
  EXPECT_FALSE(runtime->read(ref<Hand>{id(0)}));
  EXPECT_TRUE(runtime->read(ref<Coward>{id(1)}));
}

/// Handles no Failed at all.
struct Stranger {
  using messages = handles<Tie>;
  static constexpr const char* name = "test.stranger";
  std::uint32_t unused = 0;
  template <class Ctx>
  RK_FN void on(const Tie&, Ctx&) {}
};
TEST_P(SupervisionTree, WhoseSupervisorDoesNotHandleFailedDiesOfItsFailure) {
  const auto id = [](std::uint32_t i) { return ActorId::make(i, 0); };
  auto runtime = make_runtime<Hand, Stranger>(GetParam(), spread_options());
  ASSERT_TRUE(runtime->spawn<Hand>(1, [](std::uint32_t, Hand&) {},
                                   {.policy = {.supervisor = id(1), .max_tries = 0}}));
  ASSERT_TRUE(runtime->spawn<Stranger>(1, [](std::uint32_t, Stranger&) {}));
  expect_ok(runtime->start(true));
  expect_ok(runtime->send(ref<Hand>{id(0)}, Task{1, 1000}));
  run_to_the_end(*runtime);
  EXPECT_FALSE(runtime->read(ref<Hand>{id(0)}));
}

// --- cuts

TEST_P(SupervisionTree, WhatCrossesACutAndFailsIsRecordedOnce) {
  TempDir dir;
  Works works(GetParam(), {.lines = 2, .intensity = 3, .top_intensity = Supervisor::kNoLimit},
              spread_options(dir.path()));
  expect_ok(works.runtime->resume());
  std::uint32_t sent = 0;
  for (int cut = 0; cut < 4; ++cut) {
    // a backlog in front of every worker, so that much of it crosses the cut
    for (std::uint32_t n = 0; n < 200; ++n, ++sent)
      while (!works.runtime->send(works.hand(sent % 6), Task{sent, sent % 3})) {
      }
    const auto cost = works.runtime->checkpoint_now();
    ASSERT_TRUE(cost) << cost.error().message;
  }
  works.run();
  EXPECT_EQ(works.finished.size(), sent);
  EXPECT_EQ(works.runtime->stats().checkpoint_failures, 0u);
}

// --- random histories, cut in the middle

TEST_P(SupervisionTree, RandomFailuresCutInTheMiddleLoseAndRepeatNothing) {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::uint64_t random = seed * 0x9E3779B97F4A7C15ull;
    const auto draw = [&random](std::uint32_t n) {
      random = random * 6364136223846793005ull + 1442695040888963407ull;
      return static_cast<std::uint32_t>((random >> 33) % n);
    };
    const Plan plan{.hands = 12,
                    .lines = 3,
                    .strategy = std::array{kOne, kAll, kRest}[seed % 3],
                    .intensity = 3,
                    .top_intensity = Supervisor::kNoLimit,
                    .restart = seed % 2 == 0 ? Restart::saved : Restart::fresh,
                    .max_tries = 4};
    constexpr std::uint32_t kTasks = 200;
    TempDir dir;
    std::size_t poison = 0;
    {
      Works works(GetParam(), plan, spread_options(dir.path()));
      for (std::uint32_t n = 0; n < kTasks; ++n) {
        const std::uint32_t dice = draw(10);
        const std::uint32_t failures = dice == 0 ? 99 : dice < 4 ? draw(4) : 0;
        poison += dice == 0 ? 1 : 0;
        works.give(draw(plan.hands), {n, failures});
      }
      expect_ok(works.runtime->step(20 + draw(60)));
      auto cost = works.runtime->checkpoint_now();
      ASSERT_TRUE(cost) << cost.error().message;
      expect_ok(works.runtime->stop());
    }
    Works works(other_than(GetParam()), plan, spread_options(dir.path()), true);
    works.run();
    EXPECT_EQ(works.finished.size() + poison, kTasks);
    for (const auto& [number, times] : works.finished) EXPECT_EQ(times, 1u) << number;
    EXPECT_EQ(works.runtime->dead_letters().size(), poison);
    for (const DeadLetter& letter : works.runtime->dead_letters()) {
      EXPECT_EQ(letter.reason, DeadReason::poisoned);
      EXPECT_EQ(letter.tries, 4u);
    }
    (void)works.all_handled();
    expect_ok(works.runtime->stop());
    EXPECT_EQ(works.runtime->stats().in_flight, 0u);
  }
}

}  // namespace
}  // namespace rk::test
