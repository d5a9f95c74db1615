// A checkpoint of one layout restores into another through the user's function, and only through
// it.
#include <gtest/gtest.h>

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/tests/oracle/layout_run.hpp>

#include "temp_dir.hpp"

namespace rk::test {
namespace {

using namespace rk::layouts;

/// Reads what one more word of state would look like, under the same version.
struct Careless : Wide {
  std::uint64_t one_more;
};
/// Refuses by `false`.
struct Silent : Wide {
  static bool migrate(std::uint32_t, std::span<const std::byte>, Silent&) { return false; }
};
/// Would read any version as if it were version 1.
struct Old : v1::Cell {
  static bool migrate(std::uint32_t, std::span<const std::byte>, Old&) { return true; }
};
struct Huge : Wide {
  static bool migrate(std::uint32_t, std::span<const std::byte>, Huge&,
                      std::vector<std::byte>& field) {
    field.resize(513ull << 20);
    return true;
  }
};

class Migration : public testing::Test {
 protected:
  /// A checkpoint of `Cell`'s version with tokens under way.
  template <class Cell>
  void leave() {
    const auto ended = run_version<Cell>(dir_.path(), true);
    ASSERT_TRUE(ended) << ended.error().message;
    ASSERT_GT(ended->in_flight, 0u);
    ASSERT_LT(ended->visits, kVisits);
  }
  template <class Cell>
  void expect_refused(std::initializer_list<const char*> words) {
    const auto ended = run_version<Cell>(dir_.path(), false);
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, ErrorCode::incompatible);
    for (const char* word : words) {
      EXPECT_NE(ended.error().message.find(word), std::string::npos)
          << word << " is not in: " << ended.error().message;
    }
  }
  /// Finishes with `Cell`, as an uninterrupted run would.
  template <class Cell>
  void expect_finishes(const std::string& told, std::uint32_t workers = 3) {
    const auto ended = run_version<Cell>(dir_.path(), false, workers);
    ASSERT_TRUE(ended) << ended.error().message;
    ASSERT_TRUE(ended->restored.restored);
    EXPECT_EQ(ended->visits, kVisits);
    EXPECT_EQ(ended->energy, 0.5 * static_cast<double>(kVisits));
    EXPECT_EQ(ended->field, static_cast<double>(kVisits));
    if (told.empty()) {
      EXPECT_TRUE(ended->restored.migrated.empty());
      return;
    }
    EXPECT_EQ(ended->migrated, kCells);
    ASSERT_EQ(ended->restored.migrated.size(), 1u);
    EXPECT_EQ(ended->restored.migrated[0], told);
  }
  [[nodiscard]] std::uint32_t newest_version() const {
    auto directory = checkpoint::CheckpointDirectory::open(
        std::make_shared<checkpoint::FileStorage>(dir_.path()), "checkpoint");
    const auto found = directory->newest_valid();
    if (!found || !found->entry) return 0;
    const auto loaded = checkpoint::load_checkpoint(*directory, *found->entry);
    return loaded ? loaded->slots.front().version : 0;
  }

  TempDir dir_;
};

TEST_F(Migration, TakesStateOverAndTheNextCheckpointHasTheNewVersion) {
  leave<v1::Cell>();
  EXPECT_EQ(newest_version(), 1u);
  expect_finishes<v2::Cell>("'test.cell': 200 actors from version 1 to 2");
  EXPECT_EQ(newest_version(), 2u);
}

TEST_F(Migration, GoesOverSeveralVersionsAndMayChangeTheField) {
  leave<v1::Cell>();
  expect_finishes<v3::Cell>("'test.cell': 200 actors from version 1 to 3");
  EXPECT_EQ(newest_version(), 3u);
}

TEST_F(Migration, OfEachStepEndsLikeTheRunThatNeverChanged) {
  leave<v1::Cell>();
  leave<v2::Cell>();
  expect_finishes<v3::Cell>("'test.cell': 200 actors from version 2 to 3");
}

TEST_F(Migration, IsNotAskedForTheVersionOfThisProgram) {
  leave<v2::Refusing>();
  expect_finishes<v2::Refusing>("");
}

TEST_F(Migration, MissingIsRefusedAndSaysWhatToWrite) {
  leave<v1::Cell>();
  expect_refused<Wide>({"'test.cell'", "version 1 (12 bytes)", "version 2 (24 bytes)", "migrate"});
  expect_finishes<v1::Cell>("");  // nothing was changed by the refusal
}

TEST_F(Migration, RefusalOfTheFunctionIsToldWithItsReason) {
  leave<v1::Cell>();
  expect_refused<v2::Refusing>(
      {"'test.cell'", "version 1", "version 2", "actor 0", "energies before version 2 were wrong"});
  expect_refused<Silent>({"migrate() returned false"});
}

TEST_F(Migration, NeverRunsBackwards) {
  leave<v2::Cell>();
  expect_refused<Old>({"version 2", "version 1", "newer program"});
}

TEST_F(Migration, ChangedLayoutUnderTheSameVersionIsRefused) {
  leave<v2::Cell>();
  expect_refused<Careless>({"version 2 (24 bytes)", "version 2 (32 bytes)", "greater `version`"});
}

TEST_F(Migration, FieldThatNoCheckpointCouldHoldIsRefused) {
  leave<v1::Cell>();
  expect_refused<Huge>({"512 MiB"});
}

}  // namespace
}  // namespace rk::test
