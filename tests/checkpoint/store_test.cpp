// Single checkpoints under names, as files.
#include <rapidcheck.h>

#include <algorithm>
#include <ringkernel/checkpoint/checkpoint_store.hpp>
#include <ringkernel/checkpoint/faulty_storage.hpp>

#include "crash_storage.hpp"
#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

Checkpoint numbered(std::uint64_t step) {
  auto checkpoint = CheckpointBuilder("sim", "wave")
                        .step(step)
                        .region("actor_state", pattern(64, static_cast<std::uint32_t>(step)))
                        .build();
  EXPECT_TRUE(checkpoint);
  return *std::move(checkpoint);
}

std::string step_name(std::uint64_t step, std::uint32_t slot = 0,
                      const std::string& prefix = "sim") {
  return format_snapshot_name({.prefix = prefix, .slot = slot, .step = step});
}

class Store : public testing::Test {
 protected:
  TemporaryDirectory temporary_;
  std::filesystem::path root_ = temporary_ / "snapshots";
  CheckpointStore store_{std::make_shared<FileStorage>(root_)};

  void save(std::uint64_t step, std::uint32_t slot = 0, const std::string& prefix = "sim") {
    ASSERT_OK(store_.save(numbered(step), step_name(step, slot, prefix)));
  }
};

TEST_F(Store, SavesLoadsListsAndRemoves) {
  ASSERT_OK(store_.save(numbered(7), "by-hand"));
  EXPECT_TRUE(std::filesystem::exists(root_ / "by-hand.rkcp"));
  const auto loaded = store_.load("by-hand");
  ASSERT_OK(loaded);
  EXPECT_EQ(*loaded, numbered(7));
  EXPECT_EQ(*store_.exists("by-hand"), true);
  EXPECT_EQ(*store_.exists("other"), false);
  ASSERT_OK(store_.remove("by-hand"));
  EXPECT_EQ(*store_.exists("by-hand"), false);
  EXPECT_EQ(store_.remove("by-hand").error().code, ErrorCode::not_found);
  EXPECT_EQ(store_.load("by-hand").error().code, ErrorCode::not_found);
}

TEST_F(Store, AnAbsentDirectoryListsAsEmpty) {
  EXPECT_TRUE(store_.list()->empty());
  EXPECT_TRUE(store_.list("sim", 0)->empty());
  const auto latest = store_.load_latest("sim", 0);
  ASSERT_OK(latest);
  EXPECT_FALSE(latest->checkpoint);
  EXPECT_EQ(*store_.exists("x"), false);
  EXPECT_FALSE(std::filesystem::exists(root_)) << "reading makes nothing";
}

TEST_F(Store, LatestIsTheGreatestStepAsANumberNotAsText) {
  for (const std::uint64_t step : {900u, 10000u, 20u}) save(step);
  const auto latest = store_.load_latest("sim", 0);
  ASSERT_OK(latest);
  EXPECT_EQ(latest->name, "sim_0_step_10000");
  EXPECT_EQ(latest->checkpoint->metadata().step, 10000u);
  EXPECT_EQ(*store_.list(),
            (std::vector<std::string>{"sim_0_step_20", "sim_0_step_900", "sim_0_step_10000"}));
}

TEST_F(Store, PrefixSimSlot0NeverMatchesPrefixSim0Slot7) {
  save(1, 7, "sim_0");
  EXPECT_TRUE(store_.list("sim", 0)->empty());
  EXPECT_EQ(store_.list("sim_0", 7)->size(), 1u);
  save(2, 0, "sim");
  save(3, 1, "sim");
  save(4, 11, "sim");
  EXPECT_EQ(store_.list("sim", 0)->size(), 1u);
  EXPECT_EQ(store_.list("sim", 1)->size(), 1u);
  EXPECT_EQ(store_.load_latest("sim", 1)->name, "sim_1_step_3");
}

TEST_F(Store, FallsBackPastTornFilesAndSaysSo) {
  for (const std::uint64_t step : {1u, 2u, 3u, 4u}) save(step);
  auto bytes = read_bytes(root_ / "sim_0_step_4.rkcp");
  bytes.resize(bytes.size() / 2);
  write_bytes(root_ / "sim_0_step_4.rkcp", bytes);
  write_bytes(root_ / "sim_0_step_3.rkcp", {});
  const auto latest = store_.load_latest("sim", 0);
  ASSERT_OK(latest);
  EXPECT_EQ(latest->name, "sim_0_step_2");
  ASSERT_EQ(latest->skipped.size(), 2u);
  EXPECT_EQ(latest->skipped[0].name, "sim_0_step_4");
  EXPECT_EQ(latest->skipped[1].name, "sim_0_step_3");
  EXPECT_EQ(latest->skipped[0].error.code, ErrorCode::corrupt);
  EXPECT_NE(latest->skipped[0].error.message.find("sim_0_step_4.rkcp"), std::string::npos);
}

TEST_F(Store, NamesThatLeaveTheDirectoryAreRefused) {
  std::filesystem::create_directories(temporary_ / "outside");
  for (const std::string name :
       {"", ".", "..", "../outside/x", "/tmp/x", "a/b", ".hidden", "a b", "a\\b", "\xc3\xa9"}) {
    EXPECT_EQ(store_.save(numbered(1), name).error().code, ErrorCode::invalid_argument) << name;
    EXPECT_EQ(store_.load(name).error().code, ErrorCode::invalid_argument) << name;
    EXPECT_EQ(store_.remove(name).error().code, ErrorCode::invalid_argument) << name;
    EXPECT_EQ(store_.exists(name).error().code, ErrorCode::invalid_argument) << name;
  }
  EXPECT_TRUE(store_.save(numbered(1), std::string(kMaxPublishedNameBytes - 5, 'n')));
  EXPECT_FALSE(store_.save(numbered(1), std::string(kMaxPublishedNameBytes - 4, 'n')));
}

TEST_F(Store, TheSizeLimitHoldsForSavingAndLoading) {
  save(1);
  CheckpointStore small(std::make_shared<FileStorage>(root_), 128);
  EXPECT_EQ(small.save(numbered(2), "two").error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(root_ / "two.rkcp"));
  EXPECT_FALSE(small.load(step_name(1)));
  EXPECT_TRUE(store_.load(step_name(1)));
}

TEST_F(Store, OtherFilesAreLeftAlone) {
  save(1);
  write_bytes(root_ / "notes.txt", {});
  std::filesystem::create_directory(root_ / "sim_0_step_9.rkcp");
  std::filesystem::create_symlink(root_ / "sim_0_step_1.rkcp", root_ / "sim_0_step_8.rkcp");
  EXPECT_EQ(*store_.list(), (std::vector<std::string>{"sim_0_step_1"}));
}

TEST(StoreCommit, ASavedCheckpointSurvivesAPowerCutAtAnyMoment) {
  for (std::uint64_t call = 1;; ++call) {
    auto crash = std::make_shared<CrashStorage>();
    CheckpointStore before(crash);
    ASSERT_OK(before.save(numbered(1), "sim_0_step_1"));
    auto faulty = std::make_shared<FaultyStorage>(
        crash, FaultPlan{.at_call = call, .action = FaultPlan::Action::fail_after});
    CheckpointStore store(faulty);
    const bool is_saved = store.save(numbered(2), "sim_0_step_1").has_value();
    for (std::uint32_t seed = 0; seed < 8; ++seed) {
      crash->power_cut(seed);
      const auto loaded = before.load("sim_0_step_1");
      ASSERT_OK(loaded);
      EXPECT_TRUE(*loaded == numbered(2) || (!is_saved && *loaded == numbered(1)))
          << "call " << call << ", seed " << seed;
    }
    if (is_saved) {
      EXPECT_GE(call, 4u) << "the loop has met every step";
      return;
    }
  }
}

TEST(StoreProperty, SnapshotNamesReadBackAndNothingElseDoes) {
  EXPECT_TRUE(rc::check([] {
    const auto prefix = *rc::gen::nonEmpty(
        rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab_step_019.-"))));
    RC_PRE(is_valid_name(prefix));
    const SnapshotName name{.prefix = prefix,
                            .slot = *rc::gen::arbitrary<std::uint32_t>(),
                            .step = *rc::gen::arbitrary<std::uint64_t>()};
    RC_ASSERT(parse_snapshot_name(format_snapshot_name(name)) == name);
  }));
  for (const auto* text :
       {"", "sim", "sim_0", "sim_0_step_", "sim_0_step_x", "sim_0_step_-1", "sim_0_step_01",
        "sim_00_step_1", "_0_step_1", "sim_step_1", "sim_4294967296_step_1",
        "sim_0_step_18446744073709551616", "sim_0_step_1 ", ".sim_0_step_1"}) {
    EXPECT_FALSE(parse_snapshot_name(text)) << text;
  }
}

}  // namespace
}  // namespace rk::checkpoint::test
