// The cut of real workers under every interleaving that a seed can reach. Built with RK_MUTANT=1,
// 2 or 12 to 15 the same program must fail, and its seed must bring the failure back.
#include "account_system.hpp"
#include "expectations.hpp"

#include <ringkernel/runtime/mutant.hpp>

#include <algorithm>

namespace rk::testing {
namespace {

Subject cut(std::shared_ptr<AccountSystem> system, std::uint32_t workers) {
  return {"cut_of_" + std::to_string(workers) + "_workers",
          [system] { return system->reset(); },
          {.preemptions = 6, .expected_steps = 1500}};
}

void explore_cut(std::uint32_t workers, std::uint64_t schedules) {
  auto system = std::make_shared<AccountSystem>(workers);
  const Subject subject = cut(system, workers);
  if constexpr (RK_MUTANT != 0)
    return expect_caught(subject, "mutant_" + std::to_string(RK_MUTANT), schedules);
  const Exploration found = explore(subject, schedules);
  EXPECT_FALSE(found.failing_seed) << found.outcome.failure;
  const Coverage& met = system->coverage();
  std::printf(
      "  met: %llu messages recorded by workers, %llu by the dispatcher; %llu full inboxes, "
      "%llu messages set aside, %llu through cells\n",
      static_cast<unsigned long long>(met.recorded_by_workers),
      static_cast<unsigned long long>(met.recorded_by_dispatcher),
      static_cast<unsigned long long>(met.full_inboxes),
      static_cast<unsigned long long>(met.set_aside), static_cast<unsigned long long>(met.by_cell));
  if (found.schedules > 1) {
    EXPECT_GT(met.by_cell, schedules);
    EXPECT_GT(std::min(met.recorded_by_workers, met.recorded_by_dispatcher), schedules / 10);
    EXPECT_GT(std::min(met.full_inboxes, met.set_aside), schedules / 100);
  }
}

#if RK_MUTANT != 14  // shows with a third worker only
TEST(CutSchedules, MoneyOfTwoWorkersIsInTheCutOnce) { explore_cut(2, 60'000); }
#endif
TEST(CutSchedules, MoneyOfThreeWorkersIsInTheCutOnce) { explore_cut(3, 30'000); }

TEST(CutSchedules, ASeedDecidesEveryStep) {
  const Subject subject = cut(std::make_shared<AccountSystem>(2), 2);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const RunOutcome first = replay(subject, seed);
    ASSERT_EQ(replay(subject, seed), first) << "seed " << seed;
    EXPECT_NE(replay(subject, seed + 1).trace, first.trace) << "seed " << seed;
  }
}

}  // namespace
}  // namespace rk::testing
