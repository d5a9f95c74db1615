// Snapshots of single actors of a running system.
#include "programs.hpp"
#include "temp_dir.hpp"

#include <ringkernel/checkpoint/checkpoint_store.hpp>
#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/runtime/actor_snapshots.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace rk::test {
namespace {

using namespace std::chrono_literals;

/// Opened by the test; host executors run in this process.
std::atomic<bool> gate_is_entered{false};
std::atomic<bool> gate_is_open{false};

struct Knock {
  static constexpr std::uint8_t tag = 20;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t waits;
};
/// Counts; with `waits` its handler returns only when the gate is open.
struct Porter {
  using messages = handles<Knock>;
  static constexpr const char* name = "test.porter";
  static constexpr std::uint32_t version = 3;
  std::uint32_t knocks;
  template <class Ctx>
  RK_FN void on(const Knock& knock, Ctx& ctx) {
    if (!ctx.leader()) return;
    ++knocks;
    if (knock.waits == 0) return;
    gate_is_entered = true;
    while (!gate_is_open) std::this_thread::sleep_for(1ms);
  }
};

class ActorSnapshotsTest : public testing::Test {
 protected:
  void SetUp() override {
    gate_is_entered = gate_is_open = false;
    runtime_ = make_runtime<Porter>({2, 1}, saving_in(dir_));
    // one porter per worker
    auto porters = runtime_->spawn<Porter>(2, [](std::uint32_t, Porter&) {});
    ASSERT_TRUE(porters);
    porters_ = *porters;
  }
  void TearDown() override { gate_is_open = true; }

  static RuntimeOptions saving_in(const TempDir& dir) {
    RuntimeOptions options;
    options.checkpoint.dir = dir.path() + "/checkpoints";
    return options;
  }
  std::unique_ptr<ActorSnapshots> start(ActorSnapshotOptions options = {}) {
    if (options.storage == nullptr) options.dir = dir_.path() + "/snapshots";
    auto snapshots = ActorSnapshots::start(*runtime_, std::move(options));
    EXPECT_TRUE(snapshots) << (snapshots ? "" : snapshots.error().message);
    return snapshots ? *std::move(snapshots) : nullptr;
  }
  void knock(std::uint32_t porter, std::uint32_t times) {
    for (std::uint32_t i = 0; i < times; ++i) expect_ok(runtime_->send(porters_[porter], Knock{0}));
  }
  /// Waits until all knocks were heard; the runtime goes on running.
  void settle() { ASSERT_TRUE(runtime_->run()); }

  TempDir dir_;
  std::unique_ptr<Runtime> runtime_;
  ActorRange<Porter> porters_;
};

template <class Condition>
bool eventually(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + 50s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

TEST_F(ActorSnapshotsTest, OnDemandASlotOfTheRunningSystemBecomesAFile) {
  expect_ok(runtime_->start());
  knock(1, 5);
  settle();
  auto snapshots = start();
  expect_ok(snapshots->watch(porters_[1].id, 0s));
  const auto name = snapshots->snapshot(porters_[1].id);
  ASSERT_TRUE(name) << name.error().message;
  EXPECT_EQ(*name, "snapshot_1_step_5");

  const auto latest = snapshots->load_latest(porters_[1].id);
  ASSERT_TRUE(latest) << latest.error().message;
  EXPECT_EQ(latest->type, "test.porter");
  EXPECT_EQ(latest->version, 3u);
  EXPECT_EQ(latest->handled, 5u);
  const auto porter = state_of<Porter>(*latest);
  ASSERT_TRUE(porter);
  EXPECT_EQ(porter->knocks, 5u);
  EXPECT_FALSE(state_of<Hopper>(*latest)) << "another type";

  const checkpoint::CheckpointStore store(
      std::make_shared<checkpoint::FileStorage>(dir_.path() + "/snapshots"));
  const auto file = store.load(*name);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->metadata().kernel_id, "actor_1");
  EXPECT_GT(file->metadata().hlc.physical, 0u) << "the stamp of the newest message it handled";
  EXPECT_GT(file->created_at_us(), 0u);
}

TEST_F(ActorSnapshotsTest, ASnapshotEndsWhileACheckpointOfEverythingIsOpen) {
  std::atomic<bool> is_cut{false};
  runtime_->on_cut(
      [&]() -> Result<std::vector<std::byte>> {
        is_cut = true;
        return std::vector<std::byte>{};
      },
      [](std::span<const std::byte>) { return Result<void>(); });
  expect_ok(runtime_->start());
  knock(0, 3);
  settle();
  auto snapshots = start();
  expect_ok(snapshots->watch(porters_[0].id, 0s));

  // worker 1 stands in a handler, so the cut cannot end
  expect_ok(runtime_->send(porters_[1], Knock{1}));
  ASSERT_TRUE(eventually([] { return gate_is_entered.load(); }));
  runtime_->request_checkpoint();
  ASSERT_TRUE(eventually([&] { return is_cut.load(); }));
  const auto name = snapshots->snapshot(porters_[0].id);
  EXPECT_EQ(runtime_->stats().checkpoints, 0u) << "the cut is open";
  ASSERT_TRUE(name) << name.error().message;
  EXPECT_EQ(*name, "snapshot_0_step_3");

  gate_is_open = true;
  EXPECT_TRUE(eventually([&] { return runtime_->stats().checkpoints == 1; }));
  EXPECT_EQ(runtime_->stats().checkpoint_failures, 0u);
}

TEST_F(ActorSnapshotsTest, WatchedActorsAreSavedByThemselvesAndOldFilesGo) {
  expect_ok(runtime_->start());
  auto snapshots = start({.every = 1h, .keep = 2});
  expect_ok(snapshots->watch(porters_[0].id));  // one now, the next in an hour
  expect_ok(snapshots->watch(porters_[1].id, 1ms));
  std::uint64_t last = 0;
  for (int round = 0; round < 4; ++round) {
    knock(1, 1);
    last = static_cast<std::uint64_t>(round) + 1;
    ASSERT_TRUE(eventually([&] {
      const auto latest = snapshots->load_latest(porters_[1].id);
      return latest && latest->handled == last;
    }));
  }
  expect_ok(runtime_->pause());
  EXPECT_TRUE(snapshots->unwatch(porters_[1].id));
  EXPECT_FALSE(snapshots->unwatch(porters_[1].id));
  EXPECT_EQ(snapshots->snapshot(porters_[1].id).error().code, ErrorCode::not_found);
  EXPECT_TRUE(eventually([&] { return bool(snapshots->load_latest(porters_[0].id)); }));
  snapshots.reset();
  const checkpoint::CheckpointStore store(
      std::make_shared<checkpoint::FileStorage>(dir_.path() + "/snapshots"));
  EXPECT_EQ(store.list("snapshot", 1)->size(), 2u);
  EXPECT_EQ(store.list("snapshot", 0)->size(), 1u);
}

TEST_F(ActorSnapshotsTest, AFullDiskIsCountedAndTheNextOneIsTried) {
  expect_ok(runtime_->start());
  const auto storage = std::make_shared<checkpoint::FaultyStorage>(
      std::make_shared<checkpoint::FileStorage>(dir_.path() + "/snapshots"),
      checkpoint::FaultPlan{.at_call = 3});
  auto snapshots = start({.storage = storage});
  expect_ok(snapshots->watch(porters_[0].id, 1ms));
  EXPECT_TRUE(eventually([&] { return snapshots->stats().completed >= 1; }));
  EXPECT_EQ(snapshots->stats().failed, 1u);
  EXPECT_NE(snapshots->stats().last_failure.find("no space"), std::string::npos);
  EXPECT_EQ(snapshots->stats().last_name, "snapshot_0_step_0");
}

TEST_F(ActorSnapshotsTest, StoppingTheRuntimeHoldsUpNoSnapshot) {
  expect_ok(runtime_->start());
  knock(0, 2);
  settle();
  auto snapshots = start();
  for (const auto& porter : {porters_[0], porters_[1]}) expect_ok(snapshots->watch(porter.id, 1ms));
  ASSERT_TRUE(eventually([&] { return snapshots->stats().completed > 0; }));
  expect_ok(runtime_->stop());
  EXPECT_TRUE(snapshots->unwatch(porters_[1].id));
  expect_ok(snapshots->watch(porters_[0].id, 0s));
  const auto name = snapshots->snapshot(porters_[0].id);
  ASSERT_TRUE(name) << name.error().message;
  EXPECT_EQ(*name, "snapshot_0_step_2");
  EXPECT_EQ(snapshots->stats().failed, 0u);
}

TEST_F(ActorSnapshotsTest, WrongUseIsRefused) {
  auto snapshots = start();
  EXPECT_EQ(snapshots->watch(ActorId::make(9, 0)).error().code, ErrorCode::not_found);
  EXPECT_EQ(snapshots->watch(porters_[0].id, -1s).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(snapshots->snapshot(porters_[0].id).error().code, ErrorCode::not_found);
  EXPECT_EQ(snapshots->load_latest(porters_[0].id).error().code, ErrorCode::not_found);
  expect_ok(snapshots->watch(porters_[0].id, 0s));
  EXPECT_FALSE(snapshots->snapshot(porters_[0].id)) << "nothing runs yet";
  EXPECT_EQ(snapshots->stats().failed, 1u);
  const auto second = ActorSnapshots::start(*runtime_, {.dir = dir_.path() + "/snapshots"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::locked);
  EXPECT_FALSE(ActorSnapshots::start(*runtime_, {}));
  EXPECT_FALSE(ActorSnapshots::start(*runtime_, {.dir = "x", .prefix = "../y"}));
}

}  // namespace
}  // namespace rk::test
