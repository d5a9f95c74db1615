// A short version of scripts/check_bank.
#include <gtest/gtest.h>

#include <ringkernel/tests/oracle/stuck.hpp>

namespace rk::bank::test {
namespace {

struct Shape {
  const char* name;
  Variant variant;
  std::uint32_t workers;
  std::uint32_t lanes;
  std::uint32_t accounts;
  std::uint64_t transfers;
};

class BankCuts : public testing::TestWithParam<Shape> {};

TEST_P(BankCuts, HoldAllMoneyAndEveryMessageAndRestoreAnywhere) {
  const Shape& shape = GetParam();
  TrialOptions trial;
  trial.settings = {.accounts = shape.accounts,
                    .transfers = shape.transfers,
                    .seed = 77,
                    .deposits = shape.transfers / 200,
                    .variant = shape.variant};
  trial.workers = shape.workers;
  trial.lanes = shape.lanes;
  trial.cuts = 12;
  trial.restores = 3;
  const auto report = run_trial(trial);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->cuts, 12u);
  EXPECT_EQ(report->restored, 3u);
  EXPECT_GT(report->caught.transfers, 0u) << "cuts that catch no message prove nothing";
}

INSTANTIATE_TEST_SUITE_P(Shapes, BankCuts,
                         testing::Values(Shape{"random_1", Variant::random, 1, 1, 2000, 100'000},
                                         Shape{"random_2", Variant::random, 2, 1, 2000, 100'000},
                                         Shape{"peers_4", Variant::peers, 4, 1, 1000, 100'000},
                                         Shape{"groups_of_4", Variant::peers, 2, 4, 100, 4'000}),
                         [](const auto& shape) { return shape.param.name; });

TEST(BankCut, CompletesWhilePausedAndChangesNothing) {
  TrialOptions trial;
  trial.settings = {.accounts = 2000, .transfers = 1'000'000, .seed = 5, .deposits = 100};
  const auto messages = cut_while_paused(trial);
  ASSERT_TRUE(messages.has_value()) << messages.error().message;
  EXPECT_GT(*messages, 0u);
}

TEST(BankCut, CompletesWhileQueuesWaitForEachOther) {
  for (const std::uint32_t workers : {1u, 2u}) {
    const auto report = rescue_stuck(workers);
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_GT(report->caught, 0u);
    EXPECT_EQ(report->handled_at_end, report->expected);
  }
}

TEST(BankAudit, NoticesAMissingMessageARepeatedOneAndAWrongBalance) {
  const TrialDirectory directory;
  TrialOptions trial;
  trial.settings = {.accounts = 500,
                    .transfers = 1'000'000,
                    .seed = 3,
                    .deposits = 100,
                    .variant = Variant::peers};
  auto bank = open_bank(trial, 2, 1, directory / "live");
  ASSERT_TRUE(bank.has_value());
  ASSERT_TRUE((*bank)->begin().has_value());
  ASSERT_TRUE((*bank)->open_teller().has_value());
  const auto cost = (*bank)->runtime().checkpoint_now();
  ASSERT_TRUE(cost.has_value()) << cost.error().message;
  auto loaded = load_epoch(directory / "live", cost->epoch);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  ASSERT_FALSE(loaded->messages.empty());
  const auto verdict = [&](const checkpoint::LoadedCheckpoint& cut) {
    return Audit(trial.settings).check(cut).has_value();
  };
  EXPECT_TRUE(verdict(*loaded));

  auto lost = *loaded;
  lost.messages.pop_back();
  EXPECT_FALSE(verdict(lost));

  auto repeated = *loaded;
  repeated.messages.push_back(repeated.messages.front());
  EXPECT_FALSE(verdict(repeated));

  auto richer = *loaded;
  PeerAccount account;
  std::memcpy(&account, richer.slots[0].state.data(), sizeof(account));
  ++account.ledger.balance;
  richer.slots[0].state = std::as_bytes(std::span(&account, 1));
  EXPECT_FALSE(verdict(richer));
}

}  // namespace
}  // namespace rk::bank::test
