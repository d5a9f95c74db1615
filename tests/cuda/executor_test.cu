// A whole system on the GPU. Every test ends on its own or by its time limit in CTest, and stops
// the kernel before it returns.
#include "programs.hpp"

#include <ringkernel/kernels/cuda_executor.cuh>
#include <ringkernel/runtime/runtime.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace device_tests;
using namespace std::chrono_literals;

constexpr auto kLimit = 30s;

std::unique_ptr<rk::Executor> on_device() {
  auto executor = rk::make_cuda_executor<Node, Echo, Wide>();
  if (!executor) {
    ADD_FAILURE() << executor.error().message;
    return nullptr;
  }
  return std::move(executor).value();
}

std::unique_ptr<rk::Runtime> create(std::unique_ptr<rk::Executor> executor,
                                    rk::RuntimeOptions options) {
  if (executor == nullptr) return nullptr;
  options.stall_deadline = 10s;
  auto runtime = rk::Runtime::create(std::move(executor), std::move(options));
  if (!runtime) {
    ADD_FAILURE() << runtime.error().message;
    return nullptr;
  }
  return std::move(runtime).value();
}

#define ASSERT_OK(expression)                      \
  do {                                             \
    auto result = (expression);                    \
    ASSERT_TRUE(result) << result.error().message; \
  } while (false)

constexpr std::uint32_t kNodes = 300;
constexpr std::uint32_t kTokens = 64;

/// A ring of nodes and the tokens that enter it; fills the runtime and starts it.
void start_ring(rk::Runtime& runtime, std::uint32_t hops) {
  auto nodes = runtime.spawn<Node>(kNodes, [](std::uint32_t i, Node& node) {
    node = Node{{rk::ActorId::make((i + 1) % kNodes, 0)}, 0};
  });
  ASSERT_OK(nodes);
  ASSERT_OK(runtime.start());
  for (std::uint32_t t = 0; t < kTokens; ++t)
    ASSERT_OK(runtime.send((*nodes)[t * 7 % kNodes], Token{hops}));
}

void expect_ring_is_done(rk::Runtime& runtime, std::uint32_t hops) {
  std::vector<std::uint64_t> expected(kNodes, std::uint64_t{hops / kNodes} * kTokens);
  for (std::uint32_t t = 0; t < kTokens; ++t) {
    for (std::uint32_t h = 0; h < hops % kNodes; ++h) ++expected[(t * 7 + h) % kNodes];
  }
  std::uint32_t visited = 0;
  ASSERT_OK(
      runtime.for_each_slot([&](const rk::SlotHeader& header, std::span<const std::byte> state,
                                std::span<const std::byte>) {
        Node node;
        std::memcpy(&node, state.data(), sizeof(node));
        EXPECT_EQ(node.seen, expected[header.id.index()]) << "node " << header.id.index();
        ++visited;
      }));
  EXPECT_EQ(visited, kNodes);
}

TEST(CudaExecutor, StartsAndStopsWithoutWork) {
  auto runtime = create(on_device(), {});
  ASSERT_NE(runtime, nullptr);
  ASSERT_OK(runtime->spawn<Node>(1, [](std::uint32_t, Node& node) { node = {}; }));
  ASSERT_OK(runtime->start());
  std::this_thread::sleep_for(50ms);
  ASSERT_OK(runtime->stop());
}

TEST(CudaExecutor, RefusesMoreWorkersThanRunAtOnce) {
  auto executor = on_device();
  ASSERT_NE(executor, nullptr);
  EXPECT_GE(executor->max_workers(), executor->default_workers());
  auto runtime = rk::Runtime::create(std::move(executor), {.workers = 100000});
  ASSERT_FALSE(runtime);
  EXPECT_EQ(runtime.error().code, rk::ErrorCode::invalid_argument);
}

TEST(CudaExecutor, TwoSystemsAfterEachOther) {
  for (int round = 0; round < 2; ++round) {
    auto runtime = create(on_device(), {.workers = 2});
    ASSERT_NE(runtime, nullptr);
    start_ring(*runtime, 10);
    ASSERT_OK(runtime->run({.max_walltime = kLimit}));
    ASSERT_OK(runtime->stop());
    expect_ring_is_done(*runtime, 10);
  }
}

class CudaRing : public testing::TestWithParam<std::uint32_t> {};

TEST_P(CudaRing, LosesAndDoublesNoMessage) {
  constexpr std::uint32_t kHops = 2000;
  auto runtime = create(on_device(), {.workers = GetParam()});
  ASSERT_NE(runtime, nullptr);
  start_ring(*runtime, kHops);
  auto report = runtime->run({.max_walltime = kLimit});
  ASSERT_OK(report);
  EXPECT_EQ(report->reason, rk::StopReason::quiescent);
  ASSERT_OK(runtime->stop());
  const rk::RuntimeStats stats = runtime->stats();
  EXPECT_EQ(stats.sent, stats.received);
  EXPECT_EQ(stats.received, std::uint64_t{kHops} * kTokens);
  EXPECT_EQ(stats.dead, 0u);
  expect_ring_is_done(*runtime, kHops);
}
// 0: the default, a worker on every processor but one
INSTANTIATE_TEST_SUITE_P(Workers, CudaRing, testing::Values(1u, 2u, 7u, 0u));

TEST(CudaExecutor, FullInboxesLoseNothing) {
  rk::RuntimeOptions options{.workers = 4};
  options.capacity.inbox_slots = 8;
  options.capacity.outbox_slots = 64;
  options.capacity.stash_slots = 64;
  auto runtime = create(on_device(), options);
  ASSERT_NE(runtime, nullptr);
  start_ring(*runtime, 500);
  ASSERT_OK(runtime->run({.max_walltime = kLimit}));
  ASSERT_OK(runtime->stop());
  expect_ring_is_done(*runtime, 500);
}

TEST(CudaExecutor, EveryInputIsAnsweredOnceInOrder) {
  constexpr std::uint32_t kAsks = 20000;
  auto runtime = create(on_device(), {.workers = 2});
  ASSERT_NE(runtime, nullptr);
  auto echo = runtime->spawn<Echo>(1, [](std::uint32_t, Echo& actor) { actor = {}; });
  ASSERT_OK(echo);
  std::vector<std::uint32_t> answers;
  runtime->on_output<Answer>(
      [&](const Answer& answer, const rk::OutputInfo&) { answers.push_back(answer.number); });
  runtime->on_feed([&, next = 0u](rk::Feed& feed) mutable {
    while (next < kAsks && feed.has_room() && feed.send((*echo)[0], Ask{next})) ++next;
    return next < kAsks ? rk::FeedState::more : rk::FeedState::ended;
  });
  ASSERT_OK(runtime->run({.max_walltime = kLimit}));
  ASSERT_OK(runtime->stop());
  ASSERT_EQ(answers.size(), kAsks);
  for (std::uint32_t i = 0; i < kAsks; ++i) ASSERT_EQ(answers[i], i);
}

TEST(CudaExecutor, BlocksArriveAsAllLanesWroteThem) {
  auto runtime = create(on_device(), {.workers = 2, .placement = rk::Placement::spread});
  ASSERT_NE(runtime, nullptr);
  auto pair = runtime->spawn<Wide>(2,
                                   [](std::uint32_t i, Wide& wide) {
                                     wide = Wide{{rk::ActorId::make(1 - i, 0)}, 0};
                                   },
                                   {.field_bytes = 1024});
  ASSERT_OK(pair);
  ASSERT_OK(runtime->start());
  ASSERT_OK(runtime->send((*pair)[0], Fill{2000}));
  ASSERT_OK(runtime->run({.max_walltime = kLimit}));
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto wide = runtime->read((*pair)[i]);
    ASSERT_OK(wide);
    EXPECT_EQ(wide->wrong, 0u);
  }
  ASSERT_OK(runtime->stop());
}

/// A checkpoint directory of this test's own.
class CudaCheckpoint : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(dir_); }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  rk::RuntimeOptions options(std::uint32_t workers) const {
    rk::RuntimeOptions result{.workers = workers};
    result.checkpoint.dir = dir_;
    return result;
  }
  const std::string dir_ = testing::TempDir() + "rk_cuda_" +
                           testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(CudaCheckpoint, CutsOfARunningRingContinueOnTheHost) {
  constexpr std::uint32_t kHops = 1u << 24;  // far more than are handled before the cuts
  constexpr std::uint32_t kTail = 500;       // what the restored tokens still do
  {
    auto runtime = create(on_device(), options(4));
    ASSERT_NE(runtime, nullptr);
    start_ring(*runtime, kHops);
    for (int cut = 0; cut < 5; ++cut) {
      std::this_thread::sleep_for(20ms);
      ASSERT_OK(runtime->checkpoint_now());
    }
    ASSERT_OK(runtime->stop());
  }
  auto runtime = create(rk::make_host_executor<Node, Echo, Wide>(), options(2));
  ASSERT_NE(runtime, nullptr);
  auto restored = runtime->restore_latest();
  ASSERT_OK(restored);
  ASSERT_TRUE(restored->restored);
  ASSERT_OK(runtime->start(true));
  ASSERT_OK(runtime->step(kTail));
  ASSERT_OK(runtime->stop());
  const rk::RuntimeStats stats = runtime->stats();
  EXPECT_EQ(restored->epoch, 5u);
  EXPECT_GT(stats.received, 0u) << "no token came along";
  EXPECT_EQ(stats.dead, 0u);
  std::uint64_t seen = 0;
  ASSERT_OK(runtime->for_each_slot(
      [&](const rk::SlotHeader&, std::span<const std::byte> state, std::span<const std::byte>) {
        Node node;
        std::memcpy(&node, state.data(), sizeof(node));
        seen += node.seen;
      }));
  EXPECT_GT(seen, 0u);
  EXPECT_LT(seen, std::uint64_t{kHops} * kTokens);
}

/// Device to host and back, with a known end.
TEST_F(CudaCheckpoint, ARunThatChangesItsExecutorEndsInTheSameState) {
  constexpr std::uint32_t kHops = 30000;
  {
    auto runtime = create(on_device(), options(4));
    ASSERT_NE(runtime, nullptr);
    start_ring(*runtime, kHops);
    ASSERT_OK(runtime->checkpoint_now());
    ASSERT_OK(runtime->stop());
  }
  {
    auto runtime = create(rk::make_host_executor<Node, Echo, Wide>(), options(2));
    ASSERT_NE(runtime, nullptr);
    ASSERT_OK(runtime->restore_latest());
    ASSERT_OK(runtime->start());
    std::this_thread::sleep_for(20ms);
    ASSERT_OK(runtime->checkpoint_now());
    ASSERT_OK(runtime->stop());
  }
  auto runtime = create(on_device(), options(3));
  ASSERT_NE(runtime, nullptr);
  auto restored = runtime->restore_latest();
  ASSERT_OK(restored);
  EXPECT_EQ(restored->epoch, 2u);
  auto report = runtime->run({.max_walltime = kLimit, .checkpoint_on_stop = false});
  ASSERT_OK(report);
  EXPECT_EQ(report->reason, rk::StopReason::quiescent);
  ASSERT_OK(runtime->stop());
  expect_ring_is_done(*runtime, kHops);
}

}  // namespace
