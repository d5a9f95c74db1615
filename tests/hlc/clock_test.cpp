// A worker's clock: what it promises whatever the wall clock does.
#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/hlc/physical_time.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace rk::hlc {
namespace {

static_assert(std::is_trivially_copyable_v<WorkerClock>, "device memory and checkpoints hold it");
static_assert(std::is_standard_layout_v<WorkerClock>);
static_assert(WorkerClock{}.tick(1) == Timestamp{4096}, "usable in constant expressions");

constexpr std::uint64_t kNowUs = 1'800'000'000'000'000;

auto any_wall() { return rc::gen::inRange<std::uint64_t>(0, 2 * kNowUs); }
auto any_stamp() {
  return rc::gen::map(rc::gen::inRange<std::uint64_t>(0, at_wall(2 * kNowUs).word),
                      [](std::uint64_t word) { return Timestamp{word}; });
}

RC_GTEST_PROP(WorkerClock, StrictlyIncreasesHoweverTheWallClockJumps, ()) {
  const auto walls = *rc::gen::container<std::vector<std::uint64_t>>(any_wall());
  WorkerClock clock;
  Timestamp previous;
  for (const auto wall_us : walls) {
    const bool receive = *rc::gen::arbitrary<bool>();
    const Timestamp received = receive ? *any_stamp() : Timestamp{};
    const Timestamp stamp = receive ? clock.merge(received, wall_us) : clock.tick(wall_us);
    RC_ASSERT(previous < stamp);
    RC_ASSERT(received < stamp);
    RC_ASSERT(at_wall(wall_us) <= stamp);
    previous = stamp;
  }
}

RC_GTEST_PROP(WorkerClock, TickAndMergeAreTheFormulasOfTheDesign, ()) {
  const Timestamp last = *any_stamp();
  const Timestamp received = *any_stamp();
  const auto wall_us = *any_wall();
  RC_ASSERT(WorkerClock{last}.tick(wall_us).word == std::max(last.word + 1, wall_us << 12));
  RC_ASSERT(WorkerClock{last}.merge(received, wall_us).word ==
            std::max({last.word, received.word, wall_us << 12}) + 1);
}

RC_GTEST_PROP(WorkerClock, EverySendIsBeforeItsReceiveAcrossSkewedWorkers, ()) {
  WorkerClock workers[3];
  const std::uint64_t skew_us[3] = {0, *rc::gen::inRange<std::uint64_t>(0, 90'000'000),
                                    *rc::gen::inRange<std::uint64_t>(0, 90'000'000)};
  const auto hops = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 3));
  std::uint64_t wall_us = kNowUs;
  int at = 0;
  for (const int to : hops) {
    const Timestamp sent = workers[at].tick(wall_us - skew_us[at]);
    wall_us += *rc::gen::inRange<std::uint64_t>(0, 3);
    RC_ASSERT(sent < workers[to].merge(sent, wall_us - skew_us[to]));
    at = to;
  }
}

TEST(WorkerClock, LogicalOverflowCarriesIntoPhysicalInsteadOfRepeating) {
  WorkerClock clock;
  Timestamp stamp = clock.tick(1000);
  EXPECT_EQ(stamp.logical(), 0u);
  for (std::uint64_t i = 1; i <= kLogicalMax; ++i) stamp = clock.tick(1000);
  EXPECT_EQ(stamp.physical_us(), 1000u);
  EXPECT_EQ(stamp.logical(), kLogicalMax);
  stamp = clock.tick(1000);
  EXPECT_EQ(stamp.physical_us(), 1001u);
  EXPECT_EQ(stamp.logical(), 0u);
  EXPECT_LT(stamp, clock.tick(1001))
      << "the wall clock catching up must not repeat the carried stamp";
}

TEST(WorkerClock, WallClockSteppingBackAnHourKeepsOrderAndStaysNearTheOldTime) {
  WorkerClock clock;
  const Timestamp before = clock.tick(kNowUs);
  Timestamp previous = before;
  for (int i = 0; i < 10'000; ++i) {
    const Timestamp stamp = clock.tick(kNowUs - 3'600'000'000);
    ASSERT_LT(previous, stamp);
    previous = stamp;
  }
  EXPECT_LE(previous.physical_us() - before.physical_us(), 10'000 / kLogicalMax + 1);
}

RC_GTEST_PROP(WorkerClock, AfterRestoreEveryStampExceedsTheCheckpointEvenIfTheWallMovedBack, ()) {
  const Timestamp in_checkpoint = *any_stamp();
  WorkerClock clock{*any_stamp()};
  const Timestamp before = clock.last;
  clock.restore(in_checkpoint);
  RC_ASSERT(clock.last >= before);
  const Timestamp stamp = clock.tick(*any_wall());
  RC_ASSERT(in_checkpoint < stamp);
  RC_ASSERT(before < stamp);
}

TEST(Drift, BoundIsInclusiveAndThePastIsAlwaysAccepted) {
  EXPECT_TRUE(within_drift(at_wall(kNowUs + kDefaultMaxDriftUs), kNowUs));
  EXPECT_FALSE(within_drift(at_wall(kNowUs + kDefaultMaxDriftUs + 1), kNowUs));
  EXPECT_TRUE(within_drift(Timestamp{}, kNowUs));
  EXPECT_TRUE(within_drift(at_wall(kNowUs), kNowUs, 0));
  EXPECT_FALSE(within_drift(at_wall(1), 0, 0));
  EXPECT_FALSE(within_drift(Timestamp{~0ull}, kNowUs))
      << "the largest word must not wrap the check";
}

TEST(PhysicalTime, SystemTimeIsMicrosecondsSince1970) {
  const auto seconds =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  const auto now_us = SystemTime{}.now_us();
  EXPECT_GE(now_us / 1'000'000 + 1, seconds);
  EXPECT_LE(now_us / 1'000'000, seconds + 60);
  EXPECT_LE(now_us, kPhysicalMaxUs);
}

TEST(PhysicalTime, ManualTimeMovesOnlyWhenToldToAndMayStepBack) {
  ManualTime time(50);
  const PhysicalTime& seam = time;
  EXPECT_EQ(seam.now_us(), 50u);
  time.advance_us(7);
  EXPECT_EQ(seam.now_us(), 57u);
  time.set_us(3);
  EXPECT_EQ(seam.now_us(), 3u);
}

}  // namespace
}  // namespace rk::hlc
