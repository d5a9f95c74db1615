// The runtime's life: failures leave it in a state that says what is wrong, and nothing broken
// becomes a checkpoint.
#include "programs.hpp"
#include "temp_dir.hpp"

#include <filesystem>
#include <stdexcept>
#include <thread>

namespace rk::test {
namespace {

struct Order {
  static constexpr std::uint8_t tag = 9;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_blocks = 1;
  std::uint32_t what;
};
struct Rogue {
  using messages = handles<Order>;
  static constexpr const char* name = "test.rogue";
  std::uint32_t unused;
  template <class Ctx>
  RK_FN void on(const Order& order, Ctx& ctx) {
    const ref<Rogue> self{ctx.self()};
    if (order.what == 1) ctx.fail(7);
    if (order.what == 2) {
      auto block = ctx.template block<float>(2);
      ctx.send(self, Order{0}, block);
      ctx.send(self, Order{0}, block);
    }
    if (order.what == 3) {
      auto block = ctx.template block<float>(2);
      ctx.send(self, Order{4}, block);
    }
    if (order.what == 4) ctx.send(self, Order{0}, ctx.template payload<float>());
  }
};
struct Greedy {
  static constexpr std::uint8_t tag = 10;
  static constexpr std::uint32_t max_sends = 5000;
  std::uint32_t unused;
};
struct Hoarder {
  using messages = handles<Greedy>;
  static constexpr const char* name = "test.hoarder";
  std::uint32_t unused;
  template <class Ctx>
  RK_FN void on(const Greedy&, Ctx&) {}
};

RuntimeOptions saving_in(const TempDir& dir) {
  RuntimeOptions options;
  options.checkpoint.dir = dir.path();
  return options;
}

TEST(Lifecycle, AStateBrokenByAFaultIsNeverSaved) {
  TempDir dir;
  auto runtime = make_runtime<Rogue>({2, 1}, saving_in(dir));
  auto rogues = runtime->spawn<Rogue>(4, [](std::uint32_t, Rogue&) {});
  ASSERT_TRUE(rogues);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*rogues)[3], Order{1}));
  ASSERT_FALSE(runtime->run());
  auto cost = runtime->checkpoint_now();
  ASSERT_FALSE(cost);
  EXPECT_EQ(cost.error().code, ErrorCode::handler_failed);
  expect_ok(runtime->stop());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path())) {
    EXPECT_NE(entry.path().filename(), "MANIFEST");
  }
}

class BlockMisuse : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Kinds, BlockMisuse, testing::Values(2u, 3u));

TEST_P(BlockMisuse, IsAFaultAndNotADoubleFree) {
  auto runtime = make_runtime<Rogue>({1, 1});
  auto rogues = runtime->spawn<Rogue>(1, [](std::uint32_t, Rogue&) {});
  ASSERT_TRUE(rogues);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*rogues)[0], Order{GetParam()}));
  auto report = runtime->run();
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("block"), std::string::npos) << report.error().message;
}

TEST(Lifecycle, ABudgetThatCanNeverBeGrantedIsRefusedAtOnce) {
  RuntimeOptions options{.workers = 1};
  options.capacity.outbox_slots = 64;
  auto runtime = Runtime::create(make_host_executor<Hoarder>(), options);
  ASSERT_FALSE(runtime);
  EXPECT_EQ(runtime.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(runtime.error().message.find("outbox_slots"), std::string::npos);
}

TEST(Lifecycle, AbsurdCapacitiesAreRefusedNotRounded) {
  RuntimeOptions options;
  options.capacity.inbox_slots = ~0u;
  EXPECT_FALSE(Runtime::create(make_host_executor<Rogue>(), options));
  options.capacity = {};
  options.capacity.slab_block_bytes = ~0u;
  EXPECT_FALSE(Runtime::create(make_host_executor<Rogue>(), options));
}

TEST(Lifecycle, EpochsFarAheadInTheDirectoryDoNotConfuseColours) {
  TempDir dir;
  std::filesystem::create_directories(dir.path() + "/other-40000-aa");
  auto runtime = make_runtime<Hopper>({2, 1}, saving_in(dir));
  runtime->on_output<Token>([](const Token&, const OutputInfo&) {});
  auto hoppers = runtime->spawn<Hopper>(50, [](std::uint32_t, Hopper& h) { h.population = 50; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 50; ++i) expect_ok(runtime->send((*hoppers)[i], Token{5000}));
  auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost) << cost.error().message;
  EXPECT_EQ(cost->epoch, 40001u);
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
}

TEST(Lifecycle, PausedAfterARestoreMeansPaused) {
  TempDir dir;
  {
    auto runtime = make_runtime<Hopper>({2, 1}, saving_in(dir));
    auto hoppers = runtime->spawn<Hopper>(8, [](std::uint32_t, Hopper& h) { h.population = 8; });
    ASSERT_TRUE(hoppers);
    expect_ok(runtime->start(true));
    for (std::uint32_t i = 0; i < 8; ++i) expect_ok(runtime->send((*hoppers)[i], Token{3}));
    auto cost = runtime->checkpoint_now();
    ASSERT_TRUE(cost) << cost.error().message;
    EXPECT_EQ(cost->messages, 8u);
  }
  auto runtime = make_runtime<Hopper>({2, 1}, saving_in(dir));
  runtime->on_output<Token>([](const Token&, const OutputInfo&) {});
  ASSERT_TRUE(runtime->restore_latest());
  expect_ok(runtime->start(true));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  for (std::uint32_t i = 0; i < 8; ++i) {
    EXPECT_EQ(runtime->read(ref<Hopper>{ActorId::make(i, 0)})->visits, 0u);
  }
  ASSERT_TRUE(runtime->run());
}

TEST(Lifecycle, AStepOnUnevenWorkEndsAndLeavesNoBudgetBehind) {
  auto runtime = make_runtime<Hopper>({2, 1});
  runtime->on_output<Token>([](const Token&, const OutputInfo&) {});
  auto hoppers = runtime->spawn<Hopper>(2, [](std::uint32_t, Hopper& h) { h.population = 1; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start(true));
  expect_ok(runtime->send((*hoppers)[0], Token{1000}));
  expect_ok(runtime->step(10));  // worker 1 has nothing to do
  const std::uint64_t after = runtime->read((*hoppers)[0])->visits;
  EXPECT_EQ(after, 10u);
  expect_ok(runtime->send((*hoppers)[1], Token{5}));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(runtime->read((*hoppers)[1])->visits, 0u);
  EXPECT_EQ(runtime->read((*hoppers)[0])->visits, after);
}

TEST(Lifecycle, AnActorThatNoCheckpointCouldHoldIsRefusedAtSpawn) {
  auto runtime = make_runtime<Hopper>({1, 1});
  auto hoppers =
      runtime->spawn<Hopper>(1, [](std::uint32_t, Hopper&) {}, {.field_bytes = 0x60000000});
  ASSERT_FALSE(hoppers);
  EXPECT_EQ(hoppers.error().code, ErrorCode::invalid_argument);
}

TEST(Lifecycle, ReadOfAnotherActorTypeIsRefused) {
  auto runtime = make_runtime<Hopper, Rogue>({1, 1});
  ASSERT_TRUE(runtime->spawn<Hopper>(1, [](std::uint32_t, Hopper&) {}));
  expect_ok(runtime->start());
  auto wrong = runtime->read(ref<Rogue>{ActorId::make(0, 0)});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::invalid_argument);
}

TEST(Lifecycle, AThrowingCallbackEndsTheRunWithItsWords) {
  auto runtime = make_runtime<Hopper>({1, 1});
  auto hoppers = runtime->spawn<Hopper>(1, [](std::uint32_t, Hopper& h) { h.population = 1; });
  ASSERT_TRUE(hoppers);
  runtime->on_output<Token>(
      [](const Token&, const OutputInfo&) { throw std::runtime_error("no more paper"); });
  expect_ok(runtime->start());
  expect_ok(runtime->send((*hoppers)[0], Token{0}));
  auto report = runtime->run();
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("no more paper"), std::string::npos);
}

/// Hands everything to a host executor, but cannot launch or cannot join.
class Ailing final : public Executor {
 public:
  Ailing(bool launches, bool joins) : launches_(launches), joins_(joins) {}
  [[nodiscard]] std::string name() const override { return inner_->name(); }
  [[nodiscard]] const ProgramInfo& program() const override { return inner_->program(); }
  [[nodiscard]] std::uint32_t max_workers() const override { return 4; }
  [[nodiscard]] std::uint32_t default_workers() const override { return 1; }
  Result<ExecutorMemory> allocate(std::uint64_t device, std::uint64_t host) override {
    return inner_->allocate(device, host);
  }
  [[nodiscard]] bool device_is_host_addressable() const override { return false; }
  Result<void> write(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    return inner_->write(to, from, bytes);
  }
  Result<void> read(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    return inner_->read(to, from, bytes);
  }
  Result<void> launch(const SystemView& system) override {
    if (!launches_) return fail(ErrorCode::device_lost, "the launch failed");
    return inner_->launch(system);
  }
  Result<void> healthy() override { return {}; }
  Result<void> join(std::chrono::nanoseconds timeout) override {
    RK_TRY(inner_->join(timeout));
    if (!joins_) return fail(ErrorCode::device_lost, "the device is gone");
    return {};
  }
  Result<std::byte*> allocate_staging(std::uint64_t bytes) override {
    return inner_->allocate_staging(bytes);
  }
  Result<void> fetch(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    return inner_->fetch(to, from, bytes);
  }

 private:
  std::unique_ptr<Executor> inner_ = make_host_executor<Hopper>();
  bool launches_;
  bool joins_;
};

TEST(Lifecycle, AFailedLaunchIsReportedAgainInsteadOfTriedAgain) {
  auto runtime = Runtime::create(std::make_unique<Ailing>(false, true));
  ASSERT_TRUE(runtime);
  ASSERT_TRUE((*runtime)->spawn<Hopper>(3, [](std::uint32_t, Hopper&) {}));
  for (int i = 0; i < 2; ++i) {
    auto started = (*runtime)->start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().message, "the launch failed");
  }
}

TEST(Lifecycle, AFailedJoinDoesNotEndTheProcess) {
  auto runtime = Runtime::create(std::make_unique<Ailing>(true, false));
  ASSERT_TRUE(runtime);
  ASSERT_TRUE((*runtime)->spawn<Hopper>(3, [](std::uint32_t, Hopper&) {}));
  expect_ok((*runtime)->start());
  auto stopped = (*runtime)->stop();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::device_lost);
  EXPECT_EQ((*runtime)->run().error().code, ErrorCode::device_lost);
}

TEST(Lifecycle, AFailedRestoreLeavesNoActorsBehind) {
  TempDir dir;
  {
    auto runtime = make_runtime<Hopper>({1, 1}, saving_in(dir));
    runtime->on_cut([] { return std::vector<std::byte>(3); },
                    [](std::span<const std::byte>) -> Result<void> { return {}; });
    ASSERT_TRUE(runtime->spawn<Hopper>(5, [](std::uint32_t, Hopper&) {}));
    ASSERT_TRUE(runtime->checkpoint_now());
  }
  auto runtime = make_runtime<Hopper>({1, 1}, saving_in(dir));
  auto restored = runtime->restore_latest();
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, ErrorCode::incompatible);
  auto hoppers = runtime->spawn<Hopper>(2, [](std::uint32_t, Hopper& h) { h.population = 2; });
  ASSERT_TRUE(hoppers);
  EXPECT_EQ(hoppers->first, 0u);
  ASSERT_TRUE(runtime->run());
}

}  // namespace
}  // namespace rk::test
