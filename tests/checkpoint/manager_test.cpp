// Snapshots of single actors: requests, replies, retention.
#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/manager.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(ManagerTime, AnIntervalOfNeverIsNeverDue) {
  TemporaryDirectory temporary;
  auto manager = CheckpointManager::create(
      CheckpointStore(std::make_shared<FileStorage>(temporary.path())), {});
  ASSERT_OK(manager);
  manager->register_actor(0, "a", "t", CheckpointManager::kOnDemand);
  EXPECT_TRUE(manager->poll_due(1h).empty());
  EXPECT_EQ(manager->next_due(), std::nullopt);
  EXPECT_TRUE(manager->request_snapshot(0, 1h));
}

class Manager : public testing::Test {
 protected:
  TemporaryDirectory temporary_;
  std::shared_ptr<Storage> storage_ = std::make_shared<FileStorage>(temporary_ / "snapshots");

  CheckpointManager make(ManagerOptions options = {.interval = 10s, .prefix = "sim"}) {
    auto manager = CheckpointManager::create(CheckpointStore(storage_), std::move(options));
    EXPECT_TRUE(manager);
    return *std::move(manager);
  }
  static SnapshotResponse reply(const SnapshotRequest& request, std::uint64_t step) {
    return {.request_id = request.request_id,
            .actor_slot = request.actor_slot,
            .data = pattern(32, static_cast<std::uint32_t>(step)),
            .step = step};
  }
  static Result<SavedSnapshot> take(CheckpointManager& manager, std::uint32_t slot,
                                    std::uint64_t step, nanoseconds now = 0s) {
    RK_TRY_ASSIGN(const SnapshotRequest request, manager.request_snapshot(slot, now));
    return manager.complete(reply(request, step), now, 1700000000000000 + step);
  }
  std::vector<std::string> files() { return *CheckpointStore(storage_).list(); }
};

TEST_F(Manager, ANewActorIsDueAtOnceAndThenOncePerInterval) {
  auto manager = make();
  manager.register_actor(3, "sim_3", "wave");
  EXPECT_EQ(manager.next_due(), nanoseconds::min());
  const auto requests = manager.poll_due(100s);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].actor_slot, 3u);
  EXPECT_TRUE(manager.poll_due(100s).empty()) << "one request at a time";
  EXPECT_EQ(manager.pending_count(), 1u);
  const auto saved = manager.complete(reply(requests[0], 1000), 101s, 55);
  ASSERT_OK(saved);
  EXPECT_EQ(saved->name, "sim_3_step_1000");
  EXPECT_EQ(manager.completed_count(), 1u);
  EXPECT_EQ(manager.next_due(), 110s);
  EXPECT_TRUE(manager.poll_due(110s - 1ns).empty());
  EXPECT_EQ(manager.poll_due(110s).size(), 1u);
}

TEST_F(Manager, TheFileSaysWhoseStateItIs) {
  auto manager = make();
  manager.register_actor(3, "sim_3", "wave");
  const auto request = manager.request_snapshot(3, 0s);
  ASSERT_OK(request);
  SnapshotResponse response = reply(*request, 9);
  response.field = pattern(8, 1);
  response.hlc = {.physical = 5, .logical = 6, .node = 7};
  response.custom = {{"type_version", "2"}};
  ASSERT_OK(manager.complete(response, 0s, 55));
  const auto latest = manager.load_latest(3);
  ASSERT_OK(latest);
  ASSERT_TRUE(latest->checkpoint);
  const Metadata& metadata = latest->checkpoint->metadata();
  EXPECT_EQ(metadata.kernel_id, "sim_3");
  EXPECT_EQ(metadata.kernel_type, "wave");
  EXPECT_EQ(metadata.step, 9u);
  EXPECT_EQ(metadata.hlc, (WideStamp{.physical = 5, .logical = 6, .node = 7}));
  EXPECT_EQ(metadata.custom,
            (std::map<std::string, std::string>{
                {"actor_slot", "3"}, {"snapshot_request_id", "1"}, {"type_version", "2"}}));
  EXPECT_EQ(latest->checkpoint->created_at_us(), 55u);
  EXPECT_EQ(latest->checkpoint->find_region("actor_state")->data, pattern(32, 9));
  EXPECT_EQ(latest->checkpoint->find_region("actor_field")->data, pattern(8, 1));
}

TEST_F(Manager, ALostReplyDoesNotBlockTheActorForEver) {
  auto manager = make({.interval = 10s, .prefix = "sim", .reply_timeout = 60s});
  manager.register_actor(0, "a", "t");
  const auto lost = manager.poll_due(0s);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_TRUE(manager.poll_due(59s).empty());
  EXPECT_EQ(manager.next_due(), 60s);
  const auto next = manager.poll_due(60s);
  ASSERT_EQ(next.size(), 1u);
  EXPECT_NE(next[0].request_id, lost[0].request_id);
  EXPECT_EQ(manager.failed_count(), 1u);
  EXPECT_NE(manager.last_failure().find("did not answer"), std::string::npos);
  // and when it comes after all, it is too late
  EXPECT_EQ(manager.complete(reply(lost[0], 5), 61s, 0).error().code, ErrorCode::not_found);
  EXPECT_TRUE(files().empty());
  ASSERT_OK(manager.complete(reply(next[0], 6), 61s, 0));
}

TEST_F(Manager, AReplyOfAnotherActorIsRefusedAndTheRequestStays) {
  auto manager = make();
  manager.register_actor(0, "a", "t");
  manager.register_actor(1, "b", "t");
  const auto request = manager.request_snapshot(0, 0s);
  ASSERT_OK(request);
  SnapshotResponse wrong = reply(*request, 1);
  wrong.actor_slot = 1;
  EXPECT_EQ(manager.complete(wrong, 0s, 0).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(manager.pending_count(), 1u);
  EXPECT_TRUE(files().empty());
  ASSERT_OK(manager.complete(reply(*request, 1), 0s, 0));
}

TEST_F(Manager, EmptyDataIsAFailureNotACheckpoint) {
  auto manager = make();
  manager.register_actor(0, "a", "t");
  SnapshotResponse empty = reply(*manager.request_snapshot(0, 0s), 1);
  empty.data.clear();
  EXPECT_EQ(manager.complete(empty, 0s, 0).error().code, ErrorCode::corrupt);
  EXPECT_EQ(manager.failed_count(), 1u);
  EXPECT_EQ(manager.pending_count(), 0u);
  EXPECT_TRUE(files().empty());
}

TEST_F(Manager, AReplyThatSaysItFailedIsCounted) {
  auto manager = make();
  manager.register_actor(0, "a", "t");
  SnapshotResponse failed = reply(*manager.request_snapshot(0, 0s), 1);
  failed.success = false;
  failed.message = "the device is gone";
  const auto result = manager.complete(failed, 0s, 0);
  EXPECT_EQ(result.error().code, ErrorCode::handler_failed);
  EXPECT_NE(manager.last_failure().find("the device is gone"), std::string::npos);
  EXPECT_EQ(manager.failed_count(), 1u);
  EXPECT_EQ(manager.completed_count(), 0u);
}

TEST_F(Manager, UnknownRequestsAreRefused) {
  auto manager = make();
  EXPECT_EQ(manager.complete({.request_id = 9999, .data = pattern(1, 1)}, 0s, 0).error().code,
            ErrorCode::not_found);
  EXPECT_EQ(manager.request_snapshot(4, 0s).error().code, ErrorCode::not_found);
  manager.register_actor(4, "a", "t");
  const auto request = manager.request_snapshot(4, 0s);
  EXPECT_EQ(manager.request_snapshot(4, 0s).error().code, ErrorCode::would_block);
  ASSERT_OK(manager.complete(reply(*request, 1), 0s, 0));
  EXPECT_EQ(manager.complete(reply(*request, 1), 0s, 0).error().code, ErrorCode::not_found);
  EXPECT_EQ(manager.failed_count(), 0u);
}

TEST_F(Manager, AFullDiskIsCountedAsFailed) {
  auto faulty = std::make_shared<FaultyStorage>(storage_, FaultPlan{.at_call = 3});
  auto manager = *CheckpointManager::create(CheckpointStore(faulty), {.prefix = "sim"});
  manager.register_actor(0, "a", "t");
  const auto result = take(manager, 0, 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::no_space);
  EXPECT_EQ(manager.failed_count(), 1u);
  EXPECT_EQ(manager.completed_count(), 0u);
  EXPECT_EQ(manager.pending_count(), 0u);
  EXPECT_TRUE(files().empty());
  ASSERT_OK(take(manager, 0, 2));
}

TEST_F(Manager, RetentionHoldsAcrossRestarts) {
  {
    auto manager = make({.keep = 2, .prefix = "sim"});
    manager.register_actor(0, "a", "t");
    for (const std::uint64_t step : {800u, 900u}) ASSERT_OK(take(manager, 0, step));
  }
  auto manager = make({.keep = 2, .prefix = "sim"});
  manager.register_actor(0, "a", "t");
  const auto saved = take(manager, 0, 10000);
  ASSERT_OK(saved);
  EXPECT_EQ(saved->removed, (std::vector<std::string>{"sim_0_step_800"}));
  EXPECT_EQ(files(), (std::vector<std::string>{"sim_0_step_900", "sim_0_step_10000"}));
  EXPECT_EQ(manager.load_latest(0)->name, "sim_0_step_10000");
}

TEST_F(Manager, SavingAStepAgainWithKeep1KeepsItsFile) {
  auto manager = make({.keep = 1, .prefix = "sim"});
  manager.register_actor(0, "a", "t");
  for (int i = 0; i < 3; ++i) {
    const auto saved = take(manager, 0, 5);
    ASSERT_OK(saved);
    EXPECT_TRUE(saved->removed.empty());
    EXPECT_EQ(files(), (std::vector<std::string>{"sim_0_step_5"}));
  }
}

TEST_F(Manager, ARunThatWentBackKeepsWhatItSaves) {
  auto manager = make({.keep = 2, .prefix = "sim"});
  manager.register_actor(0, "a", "t");
  for (const std::uint64_t step : {800u, 900u, 100u}) ASSERT_OK(take(manager, 0, step));
  EXPECT_EQ(files(), (std::vector<std::string>{"sim_0_step_100", "sim_0_step_900"}));
}

TEST_F(Manager, RetentionTouchesNoOtherActorAndNoOtherPrefix) {
  auto other = make({.keep = 1, .prefix = "sim_0"});
  other.register_actor(7, "a", "t");
  ASSERT_OK(take(other, 7, 1));
  auto manager = make({.keep = 1, .prefix = "sim"});
  manager.register_actor(0, "a", "t");
  manager.register_actor(1, "b", "t");
  ASSERT_OK(take(manager, 1, 1));
  for (const std::uint64_t step : {1u, 2u, 3u}) ASSERT_OK(take(manager, 0, step));
  EXPECT_EQ(files(), (std::vector<std::string>{"sim_0_step_3", "sim_1_step_1", "sim_0_7_step_1"}));
  EXPECT_EQ(*manager.list(0), (std::vector<std::string>{"sim_0_step_3"}));
  EXPECT_EQ(*manager.list(2), std::vector<std::string>{});
}

TEST_F(Manager, AnIntervalOfItsOwnAndKeepingAll) {
  auto manager = make({.interval = 10s, .keep = 0, .prefix = "sim"});
  manager.register_actor(0, "a", "t", 1s);
  manager.register_actor(1, "b", "t");
  for (std::uint64_t second = 0; second < 10; ++second) {
    for (const auto& request : manager.poll_due(std::chrono::seconds(second)))
      ASSERT_OK(manager.complete(reply(request, second), std::chrono::seconds(second), 0));
  }
  EXPECT_EQ(manager.list(0)->size(), 10u);
  EXPECT_EQ(manager.list(1)->size(), 1u);
}

TEST_F(Manager, CancellingMakesAnActorDueAgain) {
  auto manager = make();
  manager.register_actor(0, "a", "t");
  manager.register_actor(1, "b", "t");
  const auto requests = manager.poll_due(0s);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_TRUE(manager.cancel(requests[0].request_id));
  EXPECT_FALSE(manager.cancel(requests[0].request_id));
  EXPECT_EQ(manager.pending_count(), 1u);
  EXPECT_EQ(manager.complete(reply(requests[0], 1), 0s, 0).error().code, ErrorCode::not_found);
  EXPECT_EQ(manager.cancel_all(), 1u);
  EXPECT_EQ(manager.pending_count(), 0u);
  EXPECT_EQ(manager.failed_count(), 0u);
  EXPECT_EQ(manager.poll_due(0s).size(), 2u);
}

TEST_F(Manager, UnregisteringEndsTheActorsRequest) {
  auto manager = make();
  manager.register_actor(0, "a", "t");
  const auto requests = manager.poll_due(0s);
  EXPECT_TRUE(manager.unregister_actor(0));
  EXPECT_FALSE(manager.unregister_actor(0));
  EXPECT_EQ(manager.pending_count(), 0u);
  EXPECT_EQ(manager.complete(reply(requests[0], 1), 0s, 0).error().code, ErrorCode::not_found);
  EXPECT_TRUE(manager.poll_due(1h).empty());
  EXPECT_EQ(manager.next_due(), std::nullopt);
}

TEST_F(Manager, DisabledItStillAnswersRequestsOnDemand) {
  auto manager = make({.prefix = "sim", .is_enabled = false});
  manager.register_actor(0, "a", "t");
  EXPECT_TRUE(manager.poll_due(1h).empty());
  ASSERT_OK(take(manager, 0, 1, 1h));
}

TEST_F(Manager, BadOptionsAreRefused) {
  const auto code = [&](ManagerOptions options) {
    const auto manager = CheckpointManager::create(CheckpointStore(storage_), std::move(options));
    return manager ? ErrorCode::internal : manager.error().code;
  };
  EXPECT_EQ(code({.prefix = "../up"}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.prefix = ""}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.interval = -1s}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.reply_timeout = 0s}), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace rk::checkpoint::test
