// Pauses of a polling thread: how they grow, and that no ring is slept through.
#include <ringkernel/runtime/src/idle_wait.hpp>

#include <gtest/gtest.h>

#include <thread>

namespace rk {
namespace {

using namespace std::chrono_literals;
using Time = IdleWait::Clock::time_point;

constexpr Polling kPolling{.shortest = 100us, .longest = 1ms, .growth = 0.0625};

TEST(IdleWait, PausesGrowWithTheSilenceUpToTheLongest) {
  IdleWait idle(kPolling);
  const Time start = Time(1h);
  idle.reset(start);
  EXPECT_EQ(idle.pause(start), 100us);
  EXPECT_EQ(idle.pause(start + 1600us), 100us);
  EXPECT_EQ(idle.pause(start + 8ms), 500us);
  EXPECT_EQ(idle.pause(start + 16ms), 1ms);
  EXPECT_EQ(idle.pause(start + 10h), 1ms);
  EXPECT_EQ(idle.pause(Time::max()), 1ms);
  idle.reset(start + 10h);
  EXPECT_EQ(idle.pause(start + 10h), 100us);
}

TEST(IdleWait, ALimitShortensPausesButNotBelowTheShortest) {
  IdleWait idle(kPolling);
  idle.reset(Time(1h));
  EXPECT_EQ(idle.pause(Time(2h), 300us), 300us);
  EXPECT_EQ(idle.pause(Time(2h), 1us), 100us);
  EXPECT_EQ(idle.pause(Time(2h), 1h), 1ms);
}

TEST(IdleWait, ARingBeforeThePauseIsNotForgotten) {
  IdleWait idle(kPolling);
  EXPECT_FALSE(idle.take_ring());
  idle.ring();
  idle.ring();
  idle.wait(1h);  // returns at once
  EXPECT_TRUE(idle.take_ring());
  EXPECT_FALSE(idle.take_ring());
}

TEST(IdleWait, EveryRingEndsThePauseOfTheOther) {
  // a ring that is slept through hangs both
  constexpr int kRounds = 20'000;
  IdleWait here(kPolling);
  IdleWait there(kPolling);
  std::thread other([&] {
    for (int round = 0; round < kRounds; ++round) {
      while (!there.take_ring()) there.wait(1h);
      here.ring();
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    there.ring();
    while (!here.take_ring()) here.wait(1h);
  }
  other.join();
}

TEST(IdleWait, WhatWasChangedBeforeARingIsSeenAfterIt) {
  IdleWait idle(kPolling);
  std::uint64_t word = 0;  // no atomic: a sanitizer sees whether the bell orders it
  std::thread ringer([&] {
    word = 7;
    idle.ring();
  });
  while (!idle.take_ring()) idle.wait(1h);
  EXPECT_EQ(word, 7u);
  ringer.join();
}

}  // namespace
}  // namespace rk
