// Failure and what follows: suspension, retry, poison, restart from a copy, links and monitors.
#include "fabric_programs.hpp"

namespace rk::test {
namespace {

struct Work {
  static constexpr std::uint8_t tag = 30;
  static constexpr std::uint32_t max_sends = 2;
  std::uint32_t number;
  std::uint32_t failures;  ///< of its handler, before it succeeds
};
struct Attach {
  static constexpr std::uint8_t tag = 31;
  static constexpr std::uint32_t max_sends = 2;
  ActorId peer;
  std::uint32_t as_watcher;
};
struct Worked {
  static constexpr std::uint8_t tag = 32;
  std::uint32_t number;
  std::uint32_t sum;
};

struct Laborer {
  using messages = handles<Work, Attach, Down>;
  static constexpr const char* name = "test.laborer";
  static constexpr bool supervised = true;
  static constexpr std::uint32_t max_links = 3;
  std::uint32_t sum = 0;
  std::uint32_t order = 0;  ///< of what was handled, a digit each
  std::uint32_t downs = 0;
  std::uint32_t down_code = 0;

  template <class Ctx>
  RK_FN void on(const Work& work, Ctx& ctx) {
    if (ctx.leader()) {
      sum += work.number;
      order = order * 10 + work.number;
    }
    ctx.sync();
    // what was changed before a failure must not be seen after it
    if (ctx.tries() < work.failures) return ctx.fail(100 + work.number);
    ctx.send_to_host(Worked{work.number, sum});
  }
  template <class Ctx>
  RK_FN void on(const Attach& attach, Ctx& ctx) {
    if (attach.as_watcher != 0) {
      ctx.monitor(attach.peer);
    } else {
      ctx.link(attach.peer);
    }
  }
  template <class Ctx>
  RK_FN void on(const Down& down, Ctx& ctx) {
    if (!ctx.leader()) return;
    ++downs;
    down_code = down.code;
  }
};

/// Answers every failure with one command, and remembers.
struct Boss {
  using messages = handles<Failed>;
  static constexpr const char* name = "test.boss";
  std::uint32_t answer = static_cast<std::uint32_t>(CommandTag::restart);
  std::uint32_t failures = 0;
  std::uint32_t last_code = 0;

  template <class Ctx>
  RK_FN void on(const Failed& failed, Ctx& ctx) {
    if (ctx.leader()) {
      ++failures;
      last_code = failed.code;
    }
    ctx.command(static_cast<CommandTag>(answer), failed.child, Command{.code = failed.code});
  }
};

class Supervision : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Supervision,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{4, 1}, Shape{2, 4}),
                         shape_name);

struct Team {
  std::unique_ptr<Runtime> runtime;
  ref<Boss> boss;
  ActorRange<Laborer> laborers;
  std::vector<Worked> worked;
};
std::unique_ptr<Team> make_team(const Shape& shape, SpawnPolicy policy,
                                CommandTag answer = CommandTag::restart,
                                RuntimeOptions options = {}) {
  auto team = std::make_unique<Team>();
  team->runtime = make_runtime<Boss, Laborer>(shape, std::move(options));
  team->runtime->on_output<Worked>([team = team.get()](const Worked& worked, const OutputInfo&) {
    team->worked.push_back(worked);
  });
  auto boss = team->runtime->spawn<Boss>(
      1, [answer](std::uint32_t, Boss& b) { b.answer = static_cast<std::uint32_t>(answer); });
  EXPECT_TRUE(boss);
  team->boss = (*boss)[0];
  policy.supervisor = team->boss.id;
  auto laborers =
      team->runtime->spawn<Laborer>(5, [](std::uint32_t, Laborer& laborer) { laborer.sum = 1000; },
                                    {.field_bytes = 24, .policy = policy});
  EXPECT_TRUE(laborers);
  team->laborers = *laborers;
  expect_ok(team->runtime->start(true));
  return team;
}

TEST_P(Supervision, AFailedMessageIsTriedAgainFirstAndLaterOnesKeepTheirOrder) {
  auto team = make_team(GetParam(), {.max_tries = 5});
  const auto laborer = team->laborers[4];
  expect_ok(team->runtime->send(laborer, Work{1, 0}));
  expect_ok(team->runtime->send(laborer, Work{2, 3}));
  expect_ok(team->runtime->send(laborer, Work{3, 0}));
  expect_ok(team->runtime->send(laborer, Work{4, 1}));
  ASSERT_TRUE(team->runtime->run());
  ASSERT_EQ(team->worked.size(), 4u);
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(team->worked[i].number, i + 1);
  // the last restart was before 4 succeeded: of what came before nothing is left
  const auto state = team->runtime->read(laborer);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->sum, 1004u);
  EXPECT_EQ(state->order, 4u);
  const auto boss = team->runtime->read(team->boss);
  EXPECT_EQ(boss->failures, 4u);
  EXPECT_EQ(boss->last_code, 104u);
  expect_ok(team->runtime->stop());
  EXPECT_EQ(team->runtime->stats().in_flight, 0u);
}

TEST_P(Supervision, APoisonMessageIsADeadLetterAfterItsTries) {
  auto team = make_team(GetParam(), {.max_tries = 3});
  const auto laborer = team->laborers[2];
  expect_ok(team->runtime->send(laborer, Work{1, 99}));
  expect_ok(team->runtime->send(laborer, Work{2, 0}));
  ASSERT_TRUE(team->runtime->run());
  ASSERT_EQ(team->worked.size(), 1u);
  EXPECT_EQ(team->worked[0].number, 2u);
  EXPECT_EQ(team->runtime->read(team->boss)->failures, 3u);
  const auto letters = team->runtime->dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].reason, DeadReason::poisoned);
  EXPECT_EQ(letters[0].tries, 3u);
  EXPECT_EQ(letters[0].to, laborer.id);
  expect_ok(team->runtime->stop());
}

TEST_P(Supervision, AChildThatIsKilledForItsFailureLeavesDeadLettersNotSilence) {
  auto team = make_team(GetParam(), {.max_tries = 3}, CommandTag::kill);
  const auto laborer = team->laborers[1];
  expect_ok(team->runtime->send(laborer, Work{1, 1}));
  expect_ok(team->runtime->send(laborer, Work{2, 0}));
  ASSERT_TRUE(team->runtime->run());
  EXPECT_TRUE(team->worked.empty());
  EXPECT_EQ(team->runtime->dead_letters().size(), 2u);
  EXPECT_EQ(team->runtime->stats().live, 5u);
  expect_ok(team->runtime->stop());
}

TEST_P(Supervision, WhoseSupervisorIsDeadDiesOfItsFailure) {
  auto team = make_team(GetParam(), {.max_tries = 3});
  expect_ok(team->runtime->kill(team->boss.id));
  ASSERT_TRUE(team->runtime->run());
  expect_ok(team->runtime->send(team->laborers[3], Work{1, 1}));
  ASSERT_TRUE(team->runtime->run());
  EXPECT_FALSE(team->runtime->read(team->laborers[3]));
  EXPECT_EQ(team->runtime->stats().live, 4u);
  expect_ok(team->runtime->stop());
}

TEST_P(Supervision, AWatcherLearnsOfADeathOnceAndOfAPeerThatIsDeadAlready) {
  auto team = make_team(GetParam(), {});
  expect_ok(team->runtime->send(team->laborers[0], Attach{team->laborers[4].id, 1}));
  ASSERT_TRUE(team->runtime->run());
  expect_ok(team->runtime->kill(team->laborers[4].id, 77));
  ASSERT_TRUE(team->runtime->run());
  EXPECT_EQ(team->runtime->read(team->laborers[0])->downs, 1u);
  EXPECT_EQ(team->runtime->read(team->laborers[0])->down_code, 77u);
  expect_ok(team->runtime->send(team->laborers[0], Attach{team->laborers[4].id, 1}));
  ASSERT_TRUE(team->runtime->run());
  EXPECT_EQ(team->runtime->read(team->laborers[0])->downs, 2u);
  EXPECT_EQ(team->runtime->read(team->laborers[0])->down_code, kCodeNoActor);
  expect_ok(team->runtime->stop());
}

TEST_P(Supervision, TheDeathOfALinkedActorFailsItsPeer) {
  auto team = make_team(GetParam(), {});
  expect_ok(team->runtime->send(team->laborers[0], Attach{team->laborers[4].id, 0}));
  ASSERT_TRUE(team->runtime->run());
  expect_ok(team->runtime->kill(team->laborers[4].id, 55));
  ASSERT_TRUE(team->runtime->run());
  const auto boss = team->runtime->read(team->boss);
  EXPECT_EQ(boss->failures, 1u);
  EXPECT_EQ(boss->last_code, 55u);
  // restarted, it goes on
  expect_ok(team->runtime->send(team->laborers[0], Work{7, 0}));
  ASSERT_TRUE(team->runtime->run());
  ASSERT_EQ(team->worked.size(), 1u);
  EXPECT_EQ(team->worked[0].sum, 1007u);
  expect_ok(team->runtime->stop());
}

TEST(SupervisionErrors, WithoutASupervisorAFailureEndsTheRun) {
  auto runtime = make_runtime<Laborer>({2, 1});
  auto laborers = runtime->spawn<Laborer>(2, [](std::uint32_t, Laborer&) {});
  ASSERT_TRUE(laborers);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*laborers)[1], Work{1, 9}));
  auto report = runtime->run();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::handler_failed);
}

}  // namespace
}  // namespace rk::test
