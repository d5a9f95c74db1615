// When checkpoints are taken, with time passed in.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <ringkernel/checkpoint/policy.hpp>

namespace rk::checkpoint::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

Progress at(nanoseconds now, std::uint64_t messages = 0, std::uint64_t steps = 0) {
  return {.now = now, .messages = messages, .steps = steps};
}

/// Begins at `from` and is durable `cost` later.
std::optional<std::string> take(Policy& policy, nanoseconds from, nanoseconds cost) {
  policy.begun(at(from));
  return policy.succeeded(at(from + cost), cost);
}

TEST(Policy, WithoutTriggersNothingIsEverDue) {
  const Policy policy;
  EXPECT_FALSE(policy.due(at(1000h, 1'000'000'000, 1'000'000)));
  EXPECT_EQ(policy.interval(), 0ns);
}

TEST(Policy, TheIntervalCountsFromTheBeginningOfTheLastCheckpoint) {
  Policy policy({.every = 10s}, at(100s));
  EXPECT_FALSE(policy.due(at(109s)));
  EXPECT_TRUE(policy.due(at(110s)));
  EXPECT_FALSE(take(policy, 110s, 3s));
  EXPECT_FALSE(policy.due(at(119s)));
  EXPECT_TRUE(policy.due(at(120s)));
}

TEST(Policy, NoSecondCheckpointIsDueWhileOneIsOpen) {
  Policy policy({.every = 1s, .every_messages = 5});
  policy.begun(at(1s));
  EXPECT_FALSE(policy.due(at(100s, 100)));
  EXPECT_FALSE(policy.due_by_count(at(100s, 100)));
}

TEST(Policy, MessagesAndStepsAreCountedFromTheLastCheckpoint) {
  Policy policy({.every_messages = 1000, .every_steps = 50}, at(0s, 7, 3));
  EXPECT_FALSE(policy.due(at(1h, 1006, 52)));
  EXPECT_TRUE(policy.due(at(0s, 1007, 3)));
  EXPECT_TRUE(policy.due(at(0s, 7, 53)));
  EXPECT_TRUE(policy.due_by_count(at(0s, 7, 53)));
  policy.begun(at(0s, 1107, 10));
  (void)policy.succeeded(at(0s, 1107, 10), 1ms);
  EXPECT_FALSE(policy.due(at(0s, 2106, 59)));
  EXPECT_TRUE(policy.due(at(0s, 2107, 59)));
  EXPECT_TRUE(policy.due(at(0s, 2106, 60)));
}

TEST(Policy, ACheckpointThatSomebodyAskedForMovesTheNextOne) {
  Policy policy({.every = 10s});
  EXPECT_FALSE(take(policy, 9s, 1ms));
  EXPECT_FALSE(policy.due(at(18s)));
  EXPECT_TRUE(policy.due(at(19s)));
}

TEST(Policy, ACheckpointLongerThanItsIntervalDoublesItAndSaysSoOnce) {
  Policy policy({.every = 1s});
  nanoseconds now = 1s;
  const auto said = take(policy, now, 3s);
  ASSERT_TRUE(said);
  EXPECT_NE(said->find("3.000 s"), std::string::npos) << *said;
  EXPECT_EQ(policy.interval(), 2s);
  now += 3s;
  EXPECT_TRUE(policy.due(at(now)));
  EXPECT_FALSE(take(policy, now, 3s)) << "said only once";
  EXPECT_EQ(policy.interval(), 4s);
  now += 4s;
  EXPECT_FALSE(take(policy, now, 3s));
  EXPECT_EQ(policy.interval(), 4s) << "3 s fit into 4 s, but not into 2 s";
  EXPECT_FALSE(policy.due(at(now + 3999ms)));
  EXPECT_TRUE(policy.due(at(now + 4s)));
}

TEST(Policy, TheDoublingHasABound) {
  Policy policy({.every = 1s});
  nanoseconds now = 1s;
  for (int i = 0; i < 20; ++i) {
    (void)take(policy, now, 1000s);
    now += 1000s;
  }
  EXPECT_EQ(policy.backoff(), Policy::kMaxBackoff);
  EXPECT_EQ(policy.interval(), 64s);
}

TEST(Policy, IntervalsRecoverWhenCheckpointsFitAgain) {
  Policy policy({.every = 1s});
  nanoseconds now = 1s;
  for (int i = 0; i < 3; ++i, now += 100s) (void)take(policy, now, 100s);
  EXPECT_EQ(policy.interval(), 8s);
  for (const nanoseconds expected : {4s, 2s, 1s, 1s}) {
    (void)take(policy, now, 100ms);
    EXPECT_EQ(policy.interval(), expected);
    now += 10s;
  }
}

TEST(Policy, CountedIntervalsBackOffToo) {
  Policy policy({.every_messages = 100});
  policy.begun(at(0s, 100));
  EXPECT_TRUE(policy.succeeded(at(0s, 250), 1s));
  EXPECT_EQ(policy.backoff(), 2u);
  EXPECT_FALSE(policy.due(at(0s, 299)));
  EXPECT_TRUE(policy.due(at(0s, 300)));
  policy.begun(at(0s, 300));
  EXPECT_FALSE(policy.succeeded(at(0s, 350), 1s));
  EXPECT_EQ(policy.backoff(), 1u);
}

TEST(Policy, AFailureIsRetriedEvenIfNothingElseIsDue) {
  Policy policy;  // on demand only
  policy.begun(at(5s));
  EXPECT_EQ(policy.failed(at(6s)), 1s);
  EXPECT_FALSE(policy.due(at(6999ms)));
  EXPECT_TRUE(policy.due(at(7s)));
  EXPECT_FALSE(take(policy, 7s, 1ms));
  EXPECT_FALSE(policy.due(at(1h)));
}

TEST(Policy, RetriesComeFurtherAndFurtherApartUpToAMinute) {
  Policy policy({.every = 500ms});
  nanoseconds now = 0s;
  for (const nanoseconds expected :
       {500ms, 1000ms, 2000ms, 4000ms, 8000ms, 16000ms, 32000ms, 60000ms, 60000ms}) {
    policy.begun(at(now));
    EXPECT_EQ(policy.failed(at(now)), expected);
    EXPECT_FALSE(policy.due(at(now + expected - 1ns))) << "the interval waits for the retry";
    now += expected;
    EXPECT_TRUE(policy.due(at(now)));
  }
  EXPECT_EQ(policy.failures_in_a_row(), 9u);
  (void)take(policy, now, 1ms);
  EXPECT_EQ(policy.failures_in_a_row(), 0u);
  policy.begun(at(now + 1s));
  EXPECT_EQ(policy.failed(at(now + 1s)), 500ms);
}

TEST(Policy, AFailureDoesNotOweACheckpointByCount) {
  Policy policy({.every_messages = 10});
  policy.begun(at(0s, 10));
  (void)policy.failed(at(0s, 1000));
  EXPECT_FALSE(policy.due_by_count(at(0s, 1000))) << "a full disk would keep the run from ending";
}

TEST(Daly, MatchesFiguresWorkedOutByHand) {
  // delta = 5 min, M = 24 h: sqrt(2*300*86400) = 7200; ratio 300/172800 = 1/576, its root 1/24:
  // 7200 * (1 + 1/72 + 1/5184) - 300 = 7001.3889 s
  EXPECT_NEAR(std::chrono::duration<double>(daly_interval(5min, 24h)).count(), 7001.388889, 1e-5);
  // delta = M/2: ratio 1/4, root 1/2: M * (1 + 1/6 + 1/36) - M/2 = 0.694444 M
  EXPECT_NEAR(std::chrono::duration<double>(daly_interval(500s, 1000s)).count(), 694.444444, 1e-5);
  EXPECT_EQ(daly_interval(2h, 1h), 1h);
  EXPECT_EQ(daly_interval(5h, 1h), 1h);
}

TEST(Daly, MatchesTheFiguresOfThePaper) {
  // delta = 5 min: optimum 117, 57 and 9.1 min for M = 24 h, 6 h and 15 min
  const auto minutes = [](nanoseconds mtbf) {
    return std::chrono::duration<double, std::ratio<60>>(daly_interval(5min, mtbf)).count();
  };
  EXPECT_NEAR(minutes(24h), 117.0, 0.5);
  EXPECT_NEAR(minutes(6h), 57.0, 0.5);
  EXPECT_NEAR(minutes(15min), 9.1, 0.05);
}

TEST(DalyProperty, LosesNoMoreThanNeighbouringIntervals) {
  // Daly's own model of the run time per unit of work, restart time left out.
  const auto loss = [](double tau, double delta, double m) {
    return m * (std::exp((tau + delta) / m) - 1) / tau;
  };
  EXPECT_TRUE(rc::check([&] {
    const double m = *rc::gen::inRange(1000, 1'000'000);
    const double delta = m / *rc::gen::inRange(50, 100'000);
    const auto ns = [](double seconds) { return nanoseconds(std::llround(seconds * 1e9)); };
    const double tau = std::chrono::duration<double>(daly_interval(ns(delta), ns(m))).count();
    RC_ASSERT(loss(tau, delta, m) <= loss(tau * 1.1, delta, m));
    RC_ASSERT(loss(tau, delta, m) <= loss(tau * 0.9, delta, m));
  }));
}

TEST(Policy, TheOptimalIntervalFollowsWhatCheckpointsCost) {
  Policy policy({.mtbf = 1h});
  EXPECT_EQ(policy.interval(), 36s) << "a hundredth of the mtbf until one is measured";
  EXPECT_FALSE(policy.due(at(35s)));
  EXPECT_TRUE(policy.due(at(36s)));
  EXPECT_FALSE(take(policy, 36s, 2s));
  EXPECT_EQ(policy.interval(), daly_interval(2s, 1h));
  EXPECT_FALSE(policy.due(at(38s + policy.interval() - 1ns))) << "counts from the end";
  EXPECT_TRUE(policy.due(at(38s + policy.interval())));
  (void)take(policy, 200s, 6s);
  EXPECT_EQ(policy.expected_cost(), 4s);
  EXPECT_EQ(policy.interval(), daly_interval(4s, 1h));
  EXPECT_EQ(Policy({.mtbf = 1000h}).interval(), 1min);
}

TEST(Policy, ContradictingOrNegativeOptionsAreRefused) {
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check({.every = 1s, .every_messages = 4}));
  EXPECT_FALSE(check({.every = 1s, .mtbf = 1h}));
  EXPECT_FALSE(check({.every = -1s}));
  EXPECT_FALSE(check({.mtbf = -1s}));
}

TEST(StopMargin, LeavesRoomForTheLastCheckpoint) {
  // automatic
  EXPECT_EQ(stop_margin(10s, std::nullopt, 0s), 500ms);
  EXPECT_EQ(stop_margin(24h, std::nullopt, 0s), 1min);
  EXPECT_EQ(stop_margin(1h, std::nullopt, 100s), 200s);
  EXPECT_EQ(stop_margin(10s, std::nullopt, 30s), 5s) << "half of the time is for work";
  // given
  EXPECT_EQ(stop_margin(1h, 5min, 100s), 5min);
  EXPECT_EQ(stop_margin(1h, 5s, 100s), 100s) << "at least what was measured";
  EXPECT_EQ(stop_margin(1h, 0s, 0s), 0s);
  EXPECT_EQ(stop_margin(10s, 8s, 100s), 8s);
}

TEST(PolicyProperty, IntervalsOfCenturiesDoNotOverflow) {
  Policy policy({.every = nanoseconds::max()});
  EXPECT_FALSE(policy.due(at(1000h)));
  EXPECT_EQ(policy.interval(), nanoseconds::max());
}

}  // namespace
}  // namespace rk::checkpoint::test
