// Accounts that change their workers, under every interleaving that a seed can reach. Built with
// RK_MUTANT=9, 10 or 11 the same program must fail, and its seed must bring the failure back.
#include "account_system.hpp"
#include "expectations.hpp"

#include <ringkernel/runtime/mutant.hpp>

#include <algorithm>

namespace rk::testing {
namespace {

constexpr std::uint32_t kMoves = 4;

void explore_moves(std::uint32_t workers, std::uint64_t schedules) {
  const auto system = std::make_shared<AccountSystem>(workers, kMoves);
  const Subject subject{"moves_between_" + std::to_string(workers) + "_workers",
                        [system] { return system->reset(); },
                        {.preemptions = 6, .expected_steps = 3000}};
  if constexpr (RK_MUTANT != 0)
    return expect_caught(subject, "mutant_" + std::to_string(RK_MUTANT), schedules);
  const Exploration found = explore(subject, schedules);
  EXPECT_FALSE(found.failing_seed) << found.outcome.failure;
  const Coverage& met = system->coverage();
  std::printf("  met: %llu moves, %llu refused; %llu full inboxes, %llu messages set aside\n",
              static_cast<unsigned long long>(met.moves),
              static_cast<unsigned long long>(met.refused_moves),
              static_cast<unsigned long long>(met.full_inboxes),
              static_cast<unsigned long long>(met.set_aside));
  if (found.schedules > 1) {
    EXPECT_GT(met.moves, 2 * schedules);
    EXPECT_GT(std::min(met.refused_moves, met.full_inboxes), schedules / 100);
  }
}

TEST(MoveSchedules, MailFollowsInOrderBetweenTwoWorkers) { explore_moves(2, 60'000); }
TEST(MoveSchedules, MailFollowsInOrderBetweenThreeWorkers) { explore_moves(3, 30'000); }

}  // namespace
}  // namespace rk::testing
