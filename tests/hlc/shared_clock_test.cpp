// The host's clock under many threads, and what enters it from outside.
#include "split_word_clock.hpp"

#include <ringkernel/hlc/physical_time.hpp>
#include <ringkernel/hlc/shared_clock.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace rk::hlc {
namespace {

constexpr std::uint64_t kNowUs = 1'800'000'000'000'000;

/// Runs `body(thread, i)` `count` times on each of `threads` threads and returns every thread's
/// stamps in order.
template <class Body>
std::vector<std::vector<Timestamp>> stamps_of(std::size_t threads, std::size_t count, Body body) {
  std::vector<std::vector<Timestamp>> issued(threads);
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::jthread> running;
  for (std::size_t t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      issued[t].reserve(count);
      start.arrive_and_wait();
      for (std::size_t i = 0; i < count; ++i) issued[t].push_back(body(t, i));
    });
  }
  running.clear();
  return issued;
}

/// Stamps issued more than once, over all threads.
std::size_t duplicates(const std::vector<std::vector<Timestamp>>& issued) {
  std::vector<std::uint64_t> words;
  for (const auto& thread : issued) {
    for (const auto stamp : thread) words.push_back(stamp.word);
  }
  std::sort(words.begin(), words.end());
  std::size_t found = 0;
  for (std::size_t i = 1; i < words.size(); ++i) found += words[i] == words[i - 1];
  return found;
}

bool each_thread_increases(const std::vector<std::vector<Timestamp>>& issued) {
  return std::all_of(issued.begin(), issued.end(), [](const auto& thread) {
    return std::adjacent_find(thread.begin(), thread.end(),
                              [](auto a, auto b) { return !(a < b); }) == thread.end();
  });
}

class SharedClockThreads : public testing::TestWithParam<std::size_t> {};

TEST_P(SharedClockThreads, NeverIssuesAStampTwiceAndNeverGoesBack) {
  SharedClock clock;
  const SystemTime time;
  const auto issued =
      stamps_of(GetParam(), 50'000, [&](auto, auto) { return clock.tick(time.now_us()); });
  EXPECT_EQ(duplicates(issued), 0u);
  EXPECT_TRUE(each_thread_increases(issued));
}

TEST_P(SharedClockThreads, StandingWallClockStillGivesUniqueStamps) {
  SharedClock clock;
  const auto issued = stamps_of(GetParam(), 50'000, [&](auto, auto) { return clock.tick(kNowUs); });
  EXPECT_EQ(duplicates(issued), 0u);
  EXPECT_TRUE(each_thread_increases(issued));
  // With one fixed wall reading the word counts events: none may be skipped either.
  EXPECT_EQ(clock.last().word, at_wall(kNowUs).word + GetParam() * 50'000 - 1);
}

TEST_P(SharedClockThreads, ReceiveIsAfterItsSendWhileWallClockStepsBack) {
  SharedClock clock;
  ManualTime time(kNowUs);
  std::vector<WorkerClock> remote(GetParam());
  std::vector<std::size_t> violations(GetParam());
  const auto issued = stamps_of(GetParam(), 20'000, [&](std::size_t t, std::size_t i) {
    if (t == 0 && i % 64 == 0) time.set_us(kNowUs - i);
    const Timestamp sent = remote[t].tick(kNowUs + (i * 7919 + t) % 1000);
    const Timestamp received = clock.merge(sent, time.now_us());
    violations[t] += !(sent < received);
    return received;
  });
  for (const auto count : violations) EXPECT_EQ(count, 0u);
  EXPECT_EQ(duplicates(issued), 0u);
  EXPECT_TRUE(each_thread_increases(issued));
}

INSTANTIATE_TEST_SUITE_P(Threads, SharedClockThreads, testing::Values(1, 2, 4, 8));

// The check above must be able to fail: the same load on a clock of two words repeats stamps.
TEST(DuplicateCheck, CatchesAClockWhosePartsAreTwoWords) {
  std::size_t found = 0;
  for (int round = 0; round < 200 && found == 0; ++round) {
    peer::SplitWordClock clock;
    found = duplicates(stamps_of(4, 50'000, [&](auto, auto) { return clock.tick(kNowUs); }));
  }
  EXPECT_GT(found, 0u);
}

TEST(DuplicateCheck, CountsPlantedDuplicatesAndReversals) {
  EXPECT_EQ(duplicates({{{1}, {2}, {3}}, {{3}, {4}, {1}}}), 2u);
  EXPECT_FALSE(each_thread_increases({{{1}, {2}}, {{4}, {3}}}));
  EXPECT_FALSE(each_thread_increases({{{1}, {1}}}));
  EXPECT_TRUE(each_thread_increases({{{1}, {2}}, {}}));
}

RC_GTEST_PROP(SharedClock, AgreesWithTheWorkerClockOnEverySequence, ()) {
  SharedClock shared;
  WorkerClock worker;
  const auto steps = *rc::gen::container<std::vector<std::pair<std::uint64_t, std::uint64_t>>>(
      rc::gen::pair(rc::gen::inRange<std::uint64_t>(0, 1 << 20),
                    rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 32)));
  for (const auto& [wall_us, word] : steps) {
    const Timestamp received{word};
    switch (word % 3) {
      case 0: RC_ASSERT(shared.tick(wall_us) == worker.tick(wall_us)); break;
      case 1: RC_ASSERT(shared.merge(received, wall_us) == worker.merge(received, wall_us)); break;
      default: shared.restore(received); worker.restore(received);
    }
    RC_ASSERT(shared.last() == worker.last);
  }
}

TEST(Admit, RefusesAStampFromTheFutureAndTheClockIsNotDragged) {
  SharedClock clock;
  const Timestamp before = clock.tick(kNowUs);
  EXPECT_FALSE(clock.admit(at_wall(kNowUs + kDefaultMaxDriftUs + 1), kNowUs).has_value());
  EXPECT_FALSE(clock.admit(Timestamp{~0ull}, kNowUs).has_value());
  EXPECT_EQ(clock.last(), before);
  EXPECT_EQ(clock.tick(kNowUs).word, before.word + 1);
}

TEST(Admit, AcceptsUpToTheBoundAndOrdersAfterTheSender) {
  SharedClock clock;
  const Timestamp edge = at_wall(kNowUs + kDefaultMaxDriftUs);
  const auto stamp = clock.admit(edge, kNowUs);
  ASSERT_TRUE(stamp.has_value());
  EXPECT_LT(edge, *stamp);
  EXPECT_TRUE(clock.admit(at_wall(1), kNowUs).has_value()) << "old stamps are welcome";
  EXPECT_FALSE(clock.admit(at_wall(kNowUs + 11), kNowUs, 10).has_value())
      << "the bound is the caller's";
}

TEST(Restore, IsExemptFromTheDriftCheckAndNeverMovesBack) {
  SharedClock clock;
  const Timestamp far_future = at_wall(kNowUs + 100 * kDefaultMaxDriftUs);
  clock.restore(far_future);
  EXPECT_LT(far_future, clock.tick(kNowUs));
  const Timestamp now = clock.last();
  clock.restore(at_wall(5));
  EXPECT_EQ(clock.last(), now);
  SharedClock from_checkpoint(far_future);
  EXPECT_LT(far_future, from_checkpoint.tick(0));
}

}  // namespace
}  // namespace rk::hlc
