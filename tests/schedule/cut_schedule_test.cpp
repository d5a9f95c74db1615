// The cut of real workers under every interleaving that a seed can reach. Built with RK_MUTANT=1
// or 2 the same program must fail, and its seed must bring the failure back.
#include "cut_system.hpp"

#include <ringkernel/runtime/mutant.hpp>

#include <gtest/gtest.h>

namespace rk::testing {
namespace {

Subject cut(std::uint32_t workers) {
  auto system = std::make_shared<CutSystem>(workers);
  return {"cut_of_" + std::to_string(workers) + "_workers",
          [system] { return system->reset(); },
          {.preemptions = 4, .expected_steps = 700}};
}

void explore_cut(std::uint32_t workers, std::uint64_t schedules) {
  Subject subject = cut(workers);
  if constexpr (RK_MUTANT != 0) subject.name = "planted_mutant_" + std::to_string(RK_MUTANT);
  const Exploration found = explore(subject, schedules);
  if constexpr (RK_MUTANT == 0) {
    EXPECT_FALSE(found.failing_seed) << found.outcome.failure;
    return;
  }
  ASSERT_TRUE(found.failing_seed) << "the planted bug went unseen";
  EXPECT_EQ(replay(subject, *found.failing_seed), found.outcome);
  std::printf("caught cut_mutant_%d after %llu schedules, replayed\n", RK_MUTANT,
              static_cast<unsigned long long>(found.schedules));
}

TEST(CutSchedules, MoneyOfTwoWorkersIsInTheCutOnce) { explore_cut(2, 60'000); }
TEST(CutSchedules, MoneyOfThreeWorkersIsInTheCutOnce) { explore_cut(3, 30'000); }

TEST(CutSchedules, ASeedDecidesEveryStep) {
  const Subject subject = cut(2);
  const RunOutcome first = replay(subject, 7);
  EXPECT_EQ(replay(subject, 7), first);
  EXPECT_NE(replay(subject, 8).trace, first.trace);
}

}  // namespace
}  // namespace rk::testing
