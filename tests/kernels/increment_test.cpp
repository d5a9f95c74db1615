// Increments of a running system: each restores, with its chain, to a state the system was in.
#include "programs.hpp"
#include "temp_dir.hpp"

#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/tests/oracle/painter.hpp>

#include <filesystem>
#include <set>

namespace rk::test {
namespace {

using painting::Paint;
using painting::Painter;

constexpr std::uint32_t kPainters = 40;

/// Fields of no byte, of less than a page, of a few pages, and of more pages than a record holds.
std::uint32_t words_of(std::uint32_t i) {
  constexpr std::uint32_t kWords[] = {0, 3, 100, 513, 2500, 9, 40'000, 70};
  return kWords[i % std::size(kWords)];
}

RuntimeOptions incremental_in(const TempDir& dir, std::uint32_t full_every) {
  RuntimeOptions options;
  options.capacity.snapshot_ring_bytes = 1 << 20;
  options.checkpoint.dir = dir.path();
  options.checkpoint.keep = 100;
  options.checkpoint.full_every = full_every;
  return options;
}

void spawn_painters(Runtime& runtime) {
  ASSERT_TRUE(
      runtime.spawn<Painter>(kPainters,
                             [](std::uint32_t i, Painter& painter) {
                               painter.seed = i + 1;
                               painter.words = words_of(i);
                             },
                             {.field_bytes_of = [](std::uint32_t i) { return words_of(i) * 8; }}));
}

void paint(Runtime& runtime, std::uint32_t actor, std::uint32_t times) {
  expect_ok(runtime.send(ref<Painter>{ActorId::make(actor, 0)}, Paint{times - 1}));
}
void settle(Runtime& runtime) {
  auto report = runtime.run();
  EXPECT_TRUE(report) << (report ? "" : report.error().message);
}
CheckpointCost save(Runtime& runtime) {
  auto cost = runtime.checkpoint_now();
  EXPECT_TRUE(cost) << (cost ? "" : cost.error().message);
  return cost ? *cost : CheckpointCost{};
}

checkpoint::CheckpointDirectory open_directory(const TempDir& dir) {
  return *checkpoint::CheckpointDirectory::open(
      std::make_shared<checkpoint::FileStorage>(dir.path()), "checkpoint");
}

/// Loads every checkpoint of the directory and checks every slot of it. Returns how many.
std::size_t check_all(const TempDir& dir) {
  auto directory = open_directory(dir);
  auto entries = directory.list(checkpoint::Depth::shards);
  EXPECT_TRUE(entries) << entries.error().message;
  for (const auto& entry : *entries) {
    EXPECT_EQ(entry.state, checkpoint::CheckpointState::valid) << entry.reason;
    auto loaded = checkpoint::load_checkpoint(directory, entry);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
    if (!loaded) continue;
    EXPECT_EQ(loaded->slots.size(), kPainters);
    for (const auto& slot : loaded->slots) {
      EXPECT_EQ(painting::check_painter(slot), "") << entry.directory;
    }
  }
  return entries->size();
}

class Increments : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Increments,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{3, 1}, Shape{2, 4}),
                         shape_name);

TEST_P(Increments, OfARunningSystemRestoreToAStateItWasInAndItGoesOn) {
  constexpr std::uint32_t kCheckpoints = 11;
  constexpr std::uint32_t kFullEvery = 5;
  const std::uint32_t paints = GetParam().lanes == 1 ? 3000 : 150;
  TempDir dir;
  std::uint32_t sent = 0;
  {
    auto runtime = make_runtime<Painter>(GetParam(), incremental_in(dir, kFullEvery));
    spawn_painters(*runtime);
    expect_ok(runtime->start());
    for (std::uint32_t i = 0; i < kCheckpoints; ++i) {
      // some are at work while the cut is open, others rest, others never worked
      for (std::uint32_t k = 0; k < 6; ++k) {
        const std::uint32_t actor = (i * 3 + k * 5) % (kPainters - 4);
        paint(*runtime, actor, paints);
        sent += paints;
      }
      const CheckpointCost cost = save(*runtime);
      EXPECT_EQ(cost.slots, kPainters);
      EXPECT_EQ(cost.parent == 0, i % kFullEvery == 0) << i;
    }
    expect_ok(runtime->stop());
  }
  EXPECT_EQ(check_all(dir), kCheckpoints);

  // on another number of workers, to the end: every paint that was ordered is done
  auto resumed = make_runtime<Painter>(Shape{GetParam().workers + 1, 1}, incremental_in(dir, 2));
  auto report = resumed->restore_latest();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->restored);
  settle(*resumed);
  const CheckpointCost first = save(*resumed);
  EXPECT_EQ(first.parent, 0u) << "a restart begins with a full one";
  paint(*resumed, 3, 5);
  settle(*resumed);
  EXPECT_EQ(save(*resumed).parent, first.epoch);
  expect_ok(resumed->stop());
  EXPECT_EQ(check_all(dir), kCheckpoints + 2);
  std::uint64_t done = 0;
  expect_ok(resumed->for_each_slot([&](const SlotHeader&, auto state, auto) {
    done += reinterpret_cast<const Painter*>(state.data())->paints;
  }));
  EXPECT_EQ(done, sent + 5);
}

TEST_P(Increments, LeaveOutWhatWasNotTouched) {
  TempDir dir;
  auto runtime = make_runtime<Painter>(GetParam(), incremental_in(dir, 10));
  spawn_painters(*runtime);
  expect_ok(runtime->start());
  const CheckpointCost full = save(*runtime);
  const CheckpointCost nothing = save(*runtime);
  EXPECT_EQ(nothing.parent, full.epoch);
  EXPECT_GT(full.file_bytes, 1'500'000u);
  EXPECT_LT(nothing.file_bytes, 2000u);
  // of an actor of 79 pages the one with its state and one of its field, and a small actor
  paint(*runtime, 6, 1);
  paint(*runtime, 1, 1);
  settle(*runtime);
  const CheckpointCost little = save(*runtime);
  EXPECT_EQ(little.parent, nothing.epoch);
  EXPECT_GT(little.file_bytes, nothing.file_bytes + 2 * 4096);
  EXPECT_LT(little.file_bytes, nothing.file_bytes + 2 * 4096 + 1000);
  expect_ok(runtime->stop());
  EXPECT_EQ(check_all(dir), 3u);
}

TEST(Increment, HashesOfAFailedCheckpointAreNoBaseline) {
  const auto run = [](const TempDir& dir, std::uint64_t fail_at) {
    auto options = incremental_in(dir, 10);
    auto storage = std::make_shared<checkpoint::FaultyStorage>(
        std::make_shared<checkpoint::FileStorage>(dir.path()),
        checkpoint::FaultPlan{.at_call = fail_at});
    options.checkpoint.storage = storage;
    auto runtime = make_runtime<Painter>({1, 1}, options);
    spawn_painters(*runtime);
    expect_ok(runtime->start());
    save(*runtime);
    paint(*runtime, 6, 1);
    settle(*runtime);
    const CheckpointCost durable = save(*runtime);
    const std::uint64_t calls = storage->calls();
    paint(*runtime, 6, 1);
    settle(*runtime);
    const auto failed = runtime->checkpoint_now();
    EXPECT_EQ(!failed.has_value(), fail_at != 0);
    paint(*runtime, 6, 1);  // a third page: the second is in no durable checkpoint yet
    settle(*runtime);
    const CheckpointCost next = save(*runtime);
    if (fail_at != 0) {
      EXPECT_EQ(next.parent, durable.epoch);
    }
    expect_ok(runtime->stop());
    return calls;
  };
  TempDir counted;
  const std::uint64_t calls = run(counted, 0);
  EXPECT_EQ(check_all(counted), 4u);
  TempDir dir;
  run(dir, calls + 3);
  EXPECT_EQ(check_all(dir), 3u);
}

TEST(Increment, AParentThatIsGoneMakesItsIncrementsInvalidAndTheNextOneFull) {
  TempDir dir;
  std::string second;
  {
    auto runtime = make_runtime<Painter>({2, 1}, incremental_in(dir, 10));
    spawn_painters(*runtime);
    expect_ok(runtime->start());
    save(*runtime);
    second = save(*runtime).directory;
    const CheckpointCost third = save(*runtime);
    EXPECT_NE(third.parent, 0u);
    std::filesystem::remove_all(std::filesystem::path(dir.path()) / second);
    std::filesystem::remove_all(std::filesystem::path(dir.path()) / third.directory);
    EXPECT_EQ(save(*runtime).parent, 0u) << "its parent was removed by somebody";
    save(*runtime);
    expect_ok(runtime->stop());
  }
  auto directory = open_directory(dir);
  auto entries = directory.list();
  ASSERT_EQ(entries->size(), 3u);
  std::filesystem::remove_all(std::filesystem::path(dir.path()) / (*entries)[1].directory);
  auto found = directory.newest_valid();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->entry->name.epoch, 1u);
  ASSERT_EQ(found->skipped.size(), 1u);
  EXPECT_NE(found->skipped[0].reason.find("increment of"), std::string::npos);
  const auto verified = directory.verify((*entries)[2], checkpoint::Depth::manifest);
  EXPECT_EQ(verified->state, checkpoint::CheckpointState::corrupt);
  EXPECT_FALSE(checkpoint::load_checkpoint(directory, (*entries)[2]));
}

TEST(Increment, RetentionKeepsTheChainOfWhatItKeeps) {
  TempDir dir;
  auto options = incremental_in(dir, 4);
  options.checkpoint.keep = 1;
  auto runtime = make_runtime<Painter>({2, 1}, options);
  spawn_painters(*runtime);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 9; ++i) {
    paint(*runtime, i, 2);
    settle(*runtime);
    save(*runtime);
    EXPECT_EQ(check_all(dir), i % 4 + 1) << "the newest and its chain";
  }
  expect_ok(runtime->stop());
}

TEST(Increment, FullEveryMustBeAtLeastOne) {
  TempDir dir;
  auto runtime = Runtime::create(make_host_executor<Painter>(), incremental_in(dir, 0));
  ASSERT_FALSE(runtime);
  EXPECT_EQ(runtime.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace rk::test
