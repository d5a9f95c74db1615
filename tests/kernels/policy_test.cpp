// When a running system saves itself, and what it does when it cannot.
#include "programs.hpp"
#include "temp_dir.hpp"

#include <ringkernel/checkpoint/faulty_storage.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace rk::test {
namespace {

using namespace std::chrono_literals;

/// Hoppers with `tokens` tokens under way, each of which makes `hops` hops.
std::unique_ptr<Runtime> hopping(RuntimeOptions options, std::uint32_t tokens, std::uint32_t hops) {
  auto runtime = make_runtime<Hopper>({2, 1}, std::move(options));
  runtime->on_output<Token>([](const Token&, const OutputInfo&) {});
  auto sent = std::make_shared<std::uint32_t>(0);
  const auto hoppers =
      runtime->spawn<Hopper>(50, [](std::uint32_t, Hopper& hopper) { hopper.population = 50; });
  EXPECT_TRUE(hoppers);
  runtime->on_feed([=](Feed& feed) {
    for (; *sent < tokens; ++*sent) {
      if (!feed.send((*hoppers)[*sent % 50], Token{hops})) return FeedState::more;
    }
    return FeedState::ended;
  });
  return runtime;
}

RuntimeOptions saving_in(const TempDir& dir) {
  RuntimeOptions options;
  options.checkpoint.dir = dir.path();
  return options;
}

TEST(SavePolicy, EveryNMessagesSavesAtLeastOncePerRunOfThatLength) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.every_messages = 500;
  auto runtime = hopping(options, 50, 20);
  const auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  expect_ok(runtime->stop());
  const RuntimeStats stats = runtime->stats();
  EXPECT_EQ(stats.received, 50u * 22u);
  EXPECT_GE(stats.checkpoints, 1u);
  EXPECT_LE(stats.checkpoints, 2u);
  EXPECT_EQ(stats.checkpoint_failures, 0u);
}

TEST(SavePolicy, FewerMessagesThanThatSaveNothing) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.every_messages = 50 * 22 + 1;
  auto runtime = hopping(options, 50, 20);
  ASSERT_TRUE(runtime->run());
  expect_ok(runtime->stop());
  EXPECT_EQ(runtime->stats().checkpoints, 0u);
}

TEST(SavePolicy, EveryNStepsFollowsTheApplicationsCount) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.every_steps = 25;
  auto runtime = hopping(options, 50, 20);
  std::atomic<std::uint64_t> ended{0};
  runtime->on_output<Token>([&](const Token&, const OutputInfo&) { ++ended; });
  runtime->on_steps([&] { return ended.load(); });
  ASSERT_TRUE(runtime->run());
  expect_ok(runtime->stop());
  EXPECT_GE(runtime->stats().checkpoints, 1u);
  EXPECT_LE(runtime->stats().checkpoints, 2u);
}

TEST(SavePolicy, StepsWithoutACountOfThemAreRefused) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.every_steps = 25;
  auto runtime = hopping(options, 1, 1);
  const auto started = runtime->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::invalid_argument);
}

TEST(SavePolicy, AnIntervalAndAMeanTimeBetweenFailuresExcludeEachOther) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.every = 1s;
  options.checkpoint.mtbf = 1h;
  const auto runtime = Runtime::create(make_host_executor<Hopper>(), options);
  ASSERT_FALSE(runtime);
  EXPECT_EQ(runtime.error().code, ErrorCode::invalid_argument);
}

/// Waits for what the run does by itself; no timing decides the outcome.
template <class Condition>
bool eventually(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + 50s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

TEST(SavePolicy, AFullDiskIsCountedAndRetriedUntilItHasRoom) {
  TempDir dir;
  RuntimeOptions options;
  // call 1 makes the directory; the next ones belong to the first checkpoint
  auto storage = std::make_shared<checkpoint::FaultyStorage>(
      std::make_shared<checkpoint::FileStorage>(dir.path() + "/checkpoints"),
      checkpoint::FaultPlan{.at_call = 4});
  options.checkpoint.storage = storage;
  options.checkpoint.every = 5ms;
  auto runtime = hopping(options, 1, ~0u);
  expect_ok(runtime->start());
  EXPECT_TRUE(eventually([&] { return runtime->stats().checkpoints >= 2; }));
  const RuntimeStats stats = runtime->stats();
  EXPECT_EQ(stats.checkpoint_failures, 1u);
  EXPECT_EQ(stats.failures_in_a_row, 0u);
  EXPECT_NE(stats.last_failure.find("no space"), std::string::npos) << stats.last_failure;
  EXPECT_GT(stats.longest_checkpoint, 0ns);
  expect_ok(runtime->stop());
}

TEST(SavePolicy, AFailureOnDemandIsRetriedToo) {
  TempDir dir;
  RuntimeOptions options;
  options.checkpoint.storage = std::make_shared<checkpoint::FaultyStorage>(
      std::make_shared<checkpoint::FileStorage>(dir.path() + "/checkpoints"),
      checkpoint::FaultPlan{.at_call = 4});
  auto runtime = hopping(options, 1, ~0u);
  expect_ok(runtime->start());
  runtime->request_checkpoint();
  EXPECT_TRUE(eventually([&] { return runtime->stats().checkpoints == 1; }));
  EXPECT_EQ(runtime->stats().checkpoint_failures, 1u);
  expect_ok(runtime->stop());
}

TEST(SavePolicy, ADiskThatStaysFullKeepsNoRunFromEnding) {
  TempDir dir;
  RuntimeOptions options;
  options.checkpoint.storage = std::make_shared<checkpoint::FaultyStorage>(
      std::make_shared<checkpoint::FileStorage>(dir.path() + "/checkpoints"),
      checkpoint::FaultPlan{.at_call = 4, .action = checkpoint::FaultPlan::Action::fail_after});
  options.checkpoint.every_messages = 100;
  auto runtime = hopping(options, 50, 20);
  const auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::quiescent);
  expect_ok(runtime->stop());
  EXPECT_EQ(runtime->stats().checkpoints, 0u);
  EXPECT_GE(runtime->stats().checkpoint_failures, 1u);
  EXPECT_EQ(runtime->stats().failures_in_a_row, runtime->stats().checkpoint_failures);
}

TEST(SavePolicy, TheWalltimeEndsEarlyEnoughForTheMargin) {
  TempDir dir;
  auto runtime = hopping(saving_in(dir), 1, ~0u);
  const auto began = std::chrono::steady_clock::now();
  // a day of walltime and all but an instant of it for saving: the run must stop at once
  const auto report = runtime->run({.max_walltime = 24h, .save_margin = 24h - 1ms});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::walltime);
  EXPECT_TRUE(report->saved);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 1h);
  EXPECT_FALSE(runtime->run({.max_walltime = 1s, .save_margin = 1s}));
  expect_ok(runtime->stop());
}

TEST(SavePolicy, TheLastCheckpointIsTriedAgainWhileThereIsWalltime) {
  TempDir dir;
  RuntimeOptions options;
  options.checkpoint.storage = std::make_shared<checkpoint::FaultyStorage>(
      std::make_shared<checkpoint::FileStorage>(dir.path() + "/checkpoints"),
      checkpoint::FaultPlan{.at_call = 4});
  auto runtime = hopping(options, 1, ~0u);
  const auto report = runtime->run({.max_walltime = 24h, .save_margin = 24h - 1ms});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->saved);
  EXPECT_EQ(runtime->stats().checkpoint_failures, 1u);
  EXPECT_EQ(runtime->stats().checkpoints, 1u);
  expect_ok(runtime->stop());
}

TEST(SavePolicy, TheOptimalIntervalIsTakenFromWhatWasMeasured) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.mtbf = 100ms;
  auto runtime = hopping(options, 1, ~0u);
  expect_ok(runtime->start());
  EXPECT_TRUE(eventually([&] { return runtime->stats().checkpoints >= 3; }));
  const RuntimeStats stats = runtime->stats();
  EXPECT_GT(stats.checkpoint_interval, 0ns);
  EXPECT_LE(stats.checkpoint_interval, 100ms);
  expect_ok(runtime->stop());
}

}  // namespace
}  // namespace rk::test
