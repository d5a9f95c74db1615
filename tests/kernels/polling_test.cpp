// The host's threads sleep when nothing comes: every call that needs them wakes them. In these
// tests they would sleep for an hour otherwise.
#include "fabric_programs.hpp"
#include "temp_dir.hpp"

#include <thread>

namespace rk::test {
namespace {

using namespace std::chrono_literals;

/// After the first look that finds nothing, they rest for an hour.
RuntimeOptions sleepy_options(const std::string& dir = "") {
  RuntimeOptions options;
  options.polling = {.longest = 1h, .growth = 1e9};
  options.checkpoint.dir = dir;
  return options;
}
/// Lets them fall asleep. Were it too short, a test would pass without showing anything.
void let_rest() { std::this_thread::sleep_for(20ms); }

class Polled : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Polled,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{4, 1}, Shape{2, 4}),
                         shape_name);

TEST_P(Polled, AQuestionWakesWhoeverHandsOverItsAnswer) {
  auto runtime = make_runtime<Server>(GetParam(), sleepy_options());
  const auto servers = runtime->spawn<Server>(3, [](std::uint32_t, Server&) {});
  ASSERT_TRUE(servers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 6; ++i) {
    let_rest();
    const auto answer = runtime->ask<Answer>((*servers)[i % 3], Question{0, i}, 600s).get();
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->value, 2 * i);
  }
  let_rest();
  auto never = runtime->ask<Answer>((*servers)[0], Question{1, 0}, 20ms).get();
  ASSERT_FALSE(never) << "its deadline must not be slept through";
  EXPECT_EQ(never.error().code, ErrorCode::deadline_exceeded);
  let_rest();
  expect_ok(runtime->stop());
}

TEST_P(Polled, AReadWakesTheDrain) {
  auto runtime = make_runtime<Server>(GetParam(), sleepy_options());
  const auto servers = runtime->spawn<Server>(3, [](std::uint32_t, Server&) {});
  ASSERT_TRUE(servers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 6; ++i) {
    let_rest();
    ASSERT_TRUE(runtime->read((*servers)[i % 3]));
  }
  expect_ok(runtime->stop());
}

TEST_P(Polled, ACheckpointIsTakenFromItsRequestToItsEnd) {
  TempDir dir;
  auto runtime = make_runtime<Server>(GetParam(), sleepy_options(dir.path()));
  const auto servers = runtime->spawn<Server>(3, [](std::uint32_t, Server&) {});
  ASSERT_TRUE(servers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 4; ++i) {
    let_rest();
    const auto cost = runtime->checkpoint_now();
    ASSERT_TRUE(cost) << cost.error().message;
    EXPECT_EQ(cost->slots, 3u);
  }
  expect_ok(runtime->stop());
}

TEST_P(Polled, StepPauseAndResumeDoNotWaitForTheNextLook) {
  auto runtime = make_runtime<Server>(GetParam(), sleepy_options());
  const auto servers = runtime->spawn<Server>(3, [](std::uint32_t, Server&) {});
  ASSERT_TRUE(servers);
  expect_ok(runtime->start(true));
  let_rest();
  auto answer = runtime->ask<Answer>((*servers)[0], Question{0, 4}, 600s);
  expect_ok(runtime->step(1));
  ASSERT_TRUE(answer.get());
  let_rest();
  expect_ok(runtime->step(5));  // nothing is left to do: only the counters tell
  expect_ok(runtime->resume());
  let_rest();
  expect_ok(runtime->pause());
  expect_ok(runtime->stop());
}

TEST_P(Polled, AStepThatNothingCanUseUpEndsWhileAMessageWaitsForItsTime) {
  auto runtime = make_runtime<Server, Client>(GetParam(), sleepy_options());
  const auto servers = runtime->spawn<Server>(1, [](std::uint32_t, Server&) {});
  ASSERT_TRUE(servers);
  const auto clients = runtime->spawn<Client>(1, [&](std::uint32_t, Client& client) {
    client.server = (*servers)[0];
    client.deadline_us = 3'600'000'000ull;
  });
  ASSERT_TRUE(clients);
  expect_ok(runtime->start(true));
  expect_ok(runtime->send((*clients)[0], Begin{1}));
  expect_ok(runtime->step(5));
  let_rest();
  // the deadline is in flight, so that the counters never balance
  expect_ok(runtime->step(5));
  let_rest();
  expect_ok(runtime->step(5));
  expect_ok(runtime->stop());
  EXPECT_GT(runtime->stats().in_flight, 0u);
}

TEST_P(Polled, ARunThatIsOverAlreadyEnds) {
  auto runtime = make_runtime<Server>(GetParam(), sleepy_options());
  ASSERT_TRUE(runtime->spawn<Server>(3, [](std::uint32_t, Server&) {}));
  expect_ok(runtime->start());
  for (int i = 0; i < 3; ++i) {
    let_rest();
    expect_run(*runtime);
  }
  expect_ok(runtime->stop());
}

TEST_P(Polled, ACheckpointByTimeIsNotSleptThrough) {
  TempDir dir;
  RuntimeOptions options = sleepy_options(dir.path());
  options.checkpoint.every = 30ms;
  auto runtime = make_runtime<Server>(GetParam(), std::move(options));
  ASSERT_TRUE(runtime->spawn<Server>(3, [](std::uint32_t, Server&) {}));
  expect_ok(runtime->start());
  while (runtime->stats().checkpoints < 3) std::this_thread::sleep_for(1ms);
  expect_ok(runtime->stop());
}

TEST_P(Polled, TheEndOfARunAndARequestToStopAreNoticed) {
  // pauses grow by the default share, so that the end comes late by that share of the run's length
  auto runtime = make_runtime<Hopper>(GetParam(), {.polling = {.longest = 1h}});
  const auto hoppers =
      runtime->spawn<Hopper>(8, [](std::uint32_t, Hopper& hopper) { hopper.population = 8; });
  ASSERT_TRUE(hoppers);
  std::uint32_t ended = 0;
  runtime->on_output<Token>([&](const Token&, const OutputInfo&) { ++ended; });
  expect_ok(runtime->start());
  for (std::uint32_t round = 1; round <= 3; ++round) {
    expect_ok(runtime->send((*hoppers)[round], Token{1000}));
    expect_run(*runtime);
    EXPECT_EQ(ended, round);
  }
  std::thread asker([&] {
    let_rest();
    runtime->request_stop();
  });
  const auto report = runtime->run({.until_quiescent = false});
  asker.join();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, StopReason::requested);
  expect_ok(runtime->stop());
}

}  // namespace
}  // namespace rk::test
