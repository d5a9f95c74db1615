// Actors that move by themselves, and what goes on meanwhile.
#include <ringkernel/checkpoint/memory_storage.hpp>

#include <atomic>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <thread>

#include "spots.hpp"

namespace rk::test {
namespace {

/// Work that keeps itself going.
struct Spin {
  static constexpr std::uint8_t tag = 60;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t left;
};
struct Spinner {
  using messages = handles<Spin>;
  static constexpr const char* name = "test.spinner";
  std::uint64_t turns = 0;
  template <class Ctx>
  RK_FN void on(const Spin& spin, Ctx& ctx) {
    if (ctx.leader()) ++turns;
    if (spin.left != 0) ctx.send(ref<Spinner>{ctx.self()}, Spin{spin.left - 1});
  }
};

TEST(Rebalance, TheLoadedWorkerGivesActorsAwayUntilBothHaveTheSame) {
  RuntimeOptions options = movable();
  options.rebalance.every = std::chrono::milliseconds(5);
  auto runtime = make_runtime<Spinner>({2, 1}, options);
  // block placement: the first half, which does all the work, lives on worker 0
  auto spinners = runtime->spawn<Spinner>(16, [](std::uint32_t, Spinner&) {});
  expect_ok(runtime->reserve<Spinner>(48));
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 8; ++i) {
    expect_ok(runtime->send((*spinners)[i], Spin{0xFFFFFFFFu}));
    EXPECT_EQ(*runtime->worker_of((*spinners)[i].id), 0u);
  }
  std::uint32_t there = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (there < 2 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    there = 0;
    for (std::uint32_t i = 0; i < 8; ++i) there += *runtime->worker_of((*spinners)[i].id);
  }
  EXPECT_GE(there, 2u);
  EXPECT_GE(runtime->stats().moves, 2u);
  expect_ok(runtime->stop());
}

TEST(Rebalance, OptionsThatMakeNoSenseAreRefused) {
  const auto code = [](RebalanceOptions rebalance) {
    RuntimeOptions options;
    options.rebalance = rebalance;
    const auto runtime = Runtime::create(make_host_executor<Spinner>(), std::move(options));
    return runtime ? std::optional<ErrorCode>{} : runtime.error().code;
  };
  using std::chrono::seconds;
  const std::optional refused{ErrorCode::invalid_argument};
  EXPECT_EQ(code({.enabled = true, .every = seconds(1), .threshold = 1}), std::nullopt);
  EXPECT_EQ(code({.enabled = true, .every = seconds(-1)}), refused);
  EXPECT_EQ(code({.enabled = false, .every = seconds(1)}), refused);
  EXPECT_EQ(code({.enabled = true, .every = seconds(1), .threshold = 0.5}), refused);
  EXPECT_EQ(code({.enabled = true, .threshold = std::nan("")}), refused);
}

TEST(Rebalance, EvenOrIdleWorkersAreLeftAlone) {
  RuntimeOptions options = movable();
  options.rebalance.every = std::chrono::milliseconds(2);
  auto runtime = make_runtime<Spinner>({2, 1}, options);
  auto spinners = runtime->spawn<Spinner>(4, [](std::uint32_t, Spinner&) {});
  expect_ok(runtime->reserve<Spinner>(16));
  expect_ok(runtime->start());
  // one actor alone is the whole load: elsewhere it would be no less
  expect_ok(runtime->send((*spinners)[0], Spin{0xFFFFFFFFu}));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(runtime->stats().moves, 0u);
  expect_ok(runtime->stop());
}

/// Stays in its handler until it is woken.
struct Sleep {
  static constexpr std::uint8_t tag = 61;
};
struct Sleeper {
  using messages = handles<Sleep>;
  static constexpr const char* name = "test.sleeper";
  std::uint64_t naps = 0;
  template <class Ctx>
  void on(const Sleep&, Ctx&) {
    ++naps;
    is_asleep = true;
    while (is_asleep) std::this_thread::yield();
  }
  static inline std::atomic<bool> is_asleep = false;
};

TEST(Rebalance, ALongHandlerAndAnOpenCutHoldUpNeitherOutputsNorReads) {
  for (const bool with_cut : {false, true}) {
    RuntimeOptions options = movable();
    options.checkpoint.storage = std::make_shared<checkpoint::MemoryStorage>();
    if (!with_cut) options.rebalance.every = std::chrono::milliseconds(2);
    auto runtime = make_runtime<Spot, Sleeper>({2, 1}, options);
    std::atomic<std::uint32_t> seen = 0;
    runtime->on_output<Where>([&](const Where&, const OutputInfo&) { ++seen; });
    auto spots = runtime->spawn<Spot>(2, [](std::uint32_t, Spot&) {}, {.field_bytes = 64});
    auto sleepers = runtime->spawn<Sleeper>(2, [](std::uint32_t, Sleeper&) {});
    expect_ok(runtime->reserve<Spot>(6, 64));
    expect_ok(runtime->start());
    // not on worker 0, which forwards what the host sends
    const auto spot = (*spots)[0];
    ASSERT_EQ(*runtime->worker_of(spot.id), 0u);
    ASSERT_EQ(*runtime->worker_of((*sleepers)[1].id), 1u);
    expect_ok(runtime->send((*sleepers)[1], Sleep{}));
    while (!Sleeper::is_asleep) std::this_thread::yield();
    std::thread saver([&] {
      if (with_cut) {
        EXPECT_TRUE(runtime->checkpoint_now());
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto moved = runtime->move_actor(spot.id, 1, std::chrono::milliseconds(50));
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().code, ErrorCode::would_block);
    EXPECT_NE(moved.error().message.find(with_cut ? "checkpoint" : "handler"), std::string::npos);
    expect_ok(runtime->send(spot, Add{1}));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (seen == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_EQ(seen, 1u);
    EXPECT_TRUE(runtime->read(spot));
    EXPECT_TRUE(Sleeper::is_asleep);
    Sleeper::is_asleep = false;
    saver.join();
    expect_ok(runtime->move_actor(spot.id, 1, std::chrono::seconds(20)));
    expect_ok(runtime->stop());
    EXPECT_EQ(runtime->stats().moves, 1u);
  }
}

TEST(Moves, ACallbackThatThrowsInTheMiddleEndsTheRunAndTellsTheCaller) {
  auto it = make_spots({2, 1});
  Runtime& runtime = *it->runtime;
  runtime.on_output<Where>(
      [](const Where&, const OutputInfo&) { throw std::runtime_error("no more"); });
  expect_ok(runtime.start(true));
  expect_ok(runtime.send(it->spots[0], Add{1}));
  expect_ok(runtime.resume());
  // whether it throws in the move or before, the order comes to an end, and so do the workers
  const auto moved = runtime.move_actor(it->spots[0].id, 1);
  if (!moved) {
    EXPECT_EQ(moved.error().code, ErrorCode::closed);
  }
  (void)runtime.stop();
  EXPECT_FALSE(runtime.move_actor(it->spots[0].id, 1));
}

}  // namespace
}  // namespace rk::test
