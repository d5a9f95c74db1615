// Supervisor: which commands a failure is answered with, and when it is too much.
#include "actor_bench.hpp"
#include "patterns.hpp"

#include <rapidcheck/gtest.h>

#include <set>

namespace rk::test {
namespace {

struct Order {
  CommandTag command;
  std::uint32_t child;
  friend bool operator==(const Order&, const Order&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Order& order) {
    return out << static_cast<int>(order.command) << ":" << order.child;
  }
};
Order restart(std::uint32_t child) { return {CommandTag::restart, child}; }
Order kill(std::uint32_t child) { return {CommandTag::kill, child}; }
using Orders = std::vector<Order>;

class Bench : public ActorBench<Supervisor> {
 public:
  Bench(SupervisorStrategy strategy, std::uint32_t children, std::uint32_t intensity = 16,
        std::uint32_t capacity = 64)
      : ActorBench<Supervisor>(supervisor_field_bytes(capacity)) {
    actor.strategy = strategy;
    actor.intensity = intensity;
    actor.window_us = 1000;
    for (std::uint32_t i = 0; i < children; ++i) add(i);
  }
  void add(std::uint32_t child, ChildMode mode = ChildMode::permanent) {
    handle(AddChild{ActorId{child}, mode}, kHostId);
  }
  void fails(std::uint32_t child) {
    EXPECT_EQ(handle(Failed{ActorId{child}, 9}, ActorId{child}), std::nullopt);
  }
  void dies(std::uint32_t child) { handle(Down{ActorId{child}, 9}, ActorId{child}); }
  /// What it commanded since the last call.
  Orders orders() {
    Orders orders;
    for (const Sent& sent : take()) {
      EXPECT_TRUE(sent.command) << "tag " << +sent.tag;
      EXPECT_EQ(sent.as<Command>().actor, kSelf);
      orders.push_back({static_cast<CommandTag>(sent.tag), sent.to.word});
    }
    return orders;
  }
  Orders after_all() {
    drain();
    return orders();
  }
};

constexpr auto kOne = SupervisorStrategy::one_for_one;
constexpr auto kAll = SupervisorStrategy::one_for_all;
constexpr auto kRest = SupervisorStrategy::rest_for_one;

TEST(Supervisors, OneForOneRestartsTheOneAtOnce) {
  Bench bench(kOne, 4);
  bench.fails(2);
  EXPECT_EQ(bench.orders(), (Orders{restart(2)}));
  EXPECT_TRUE(bench.to_self.empty());
}

TEST(Supervisors, OneForAllRestartsAllInTheirOrder) {
  Bench bench(kAll, 4);
  bench.fails(2);
  EXPECT_EQ(bench.after_all(), (Orders{restart(0), restart(1), restart(2), restart(3)}));
  EXPECT_EQ(bench.actor.restarts, 1u);
}

TEST(Supervisors, RestForOneSparesThoseAddedBefore) {
  Bench bench(kRest, 5);
  bench.fails(2);
  EXPECT_EQ(bench.after_all(), (Orders{restart(2), restart(3), restart(4)}));
}

TEST(Supervisors, SweepsTravelOnTheControlLaneAndReachChildrenBeyondOneHandler) {
  Bench bench(kAll, 40);
  bench.fails(0);
  ASSERT_EQ(bench.to_self.size(), 1u);
  EXPECT_TRUE(bench.to_self.front().control);
  bench.turn();
  EXPECT_EQ(bench.orders().size(), 15u);
  EXPECT_EQ(bench.after_all().size(), 25u);
  EXPECT_EQ(bench.actor.sweeping, Supervisor::Sweeping::no);
}

TEST(Supervisors, ATemporaryChildIsKilledAndTouchesNobody) {
  for (const auto strategy : {kOne, kAll, kRest}) {
    Bench bench(strategy, 2, 0);
    bench.add(2, ChildMode::temporary);
    bench.fails(2);
    EXPECT_EQ(bench.after_all(), (Orders{kill(2)}));
    EXPECT_EQ(bench.actor.children, 2u);
  }
}

TEST(Supervisors, ATemporarySiblingIsKilledWhereOthersAreRestarted) {
  Bench bench(kAll, 2);
  bench.add(2, ChildMode::temporary);
  bench.add(3);
  bench.fails(3);
  EXPECT_EQ(bench.after_all(), (Orders{restart(0), restart(1), kill(2), restart(3)}));
  EXPECT_EQ(bench.actor.children, 3u);
  EXPECT_EQ(bench.actor.sweeping, Supervisor::Sweeping::no);
}

TEST(Supervisors, AStrangerThatFailsIsKilledBecauseNobodyElseAnswers) {
  Bench bench(kAll, 2);
  bench.fails(9);
  EXPECT_EQ(bench.after_all(), (Orders{kill(9)}));
  EXPECT_EQ(bench.actor.restarts, 0u);
}

TEST(Supervisors, ForgottenChildrenAreNotRestarted) {
  Bench bench(kAll, 5);
  bench.dies(1);
  bench.handle(RemoveChild{ActorId{3}}, kHostId);
  bench.handle(RemoveChild{ActorId{30}}, kHostId);  // is none
  bench.fails(0);
  EXPECT_EQ(bench.after_all(), (Orders{restart(0), restart(2), restart(4)}));
}

TEST(Supervisors, AChildThatFailsBeforeTheSweepReachesItIsCountedOnce) {
  Bench bench(kAll, 40);
  bench.fails(3);
  bench.turn();     // 0..14 are restarted
  bench.fails(20);  // still to come
  EXPECT_EQ(bench.after_all().size(), 40u);
  EXPECT_EQ(bench.actor.restarts, 1u);
}

TEST(Supervisors, AChildThatFailsBehindTheSweepStartsAnother) {
  Bench bench(kRest, 40);
  bench.fails(3);
  bench.turn();  // 3..17 are restarted
  EXPECT_EQ(bench.orders().size(), 15u);
  bench.fails(10);
  bench.fails(5);
  const Orders rest = bench.after_all();
  ASSERT_EQ(rest.size(), 22u + 35u);
  EXPECT_EQ(rest[21], restart(39));
  EXPECT_EQ(rest[22], restart(5));
  EXPECT_EQ(bench.actor.restarts, 3u);
}

TEST(Supervisors, ChildrenThatDieDuringASweepDoNotShiftItOverOthers) {
  Bench bench(kAll, 20);
  bench.fails(0);
  bench.turn();
  EXPECT_EQ(bench.orders().size(), 15u);
  bench.dies(2);   // behind it
  bench.dies(16);  // ahead of it
  EXPECT_EQ(bench.after_all(), (Orders{restart(15), restart(17), restart(18), restart(19)}));
}

TEST(Supervisors, TooManyRestartsInTheWindowFailItAndCommandNothing) {
  Bench bench(kOne, 20, 2);
  bench.fails(0);
  bench.now_us += 400;
  bench.fails(1);
  EXPECT_EQ(bench.orders(), (Orders{restart(0), restart(1)}));
  bench.now_us += 600;  // both are still within 1000
  EXPECT_EQ(bench.handle(Failed{ActorId{2}, 9}, ActorId{2}), kCodeIntensity);
  EXPECT_TRUE(bench.after_all().empty());
  EXPECT_EQ(bench.actor.children, 20u);
  EXPECT_EQ(bench.actor.restarts, 2u);
}

TEST(Supervisors, WhatFailedItIsAnsweredAfterItsRestartWithoutBeingCounted) {
  for (const auto strategy : {kOne, kAll, kRest}) {
    Bench bench(strategy, 4, 0);  // even where nothing may be restarted
    EXPECT_EQ(bench.handle(Failed{ActorId{2}, 9}, ActorId{2}), kCodeIntensity);
    EXPECT_EQ(bench.handle(Failed{ActorId{2}, 9}, ActorId{2}, 1), std::nullopt);
    EXPECT_EQ(bench.orders(), (Orders{restart(2)}));
    EXPECT_EQ(bench.actor.restarts, 0u);
  }
}

TEST(Supervisors, RestartedItRestartsAllItsChildren) {
  for (const auto strategy : {kOne, kAll, kRest}) {
    Bench bench(strategy, 20);
    bench.add(20, ChildMode::temporary);
    bench.handle(Restarted{1}, ActorBench<Supervisor>::kSelf);
    const Orders orders = bench.after_all();
    ASSERT_EQ(orders.size(), 21u);
    for (std::uint32_t i = 0; i < 20; ++i) EXPECT_EQ(orders[i], restart(i));
    EXPECT_EQ(orders[20], kill(20));
    EXPECT_EQ(bench.actor.restarts, 0u);
    EXPECT_EQ(bench.actor.sweeping, Supervisor::Sweeping::no);
  }
  Bench bench(kOne, 2);
  EXPECT_EQ(bench.handle(Restarted{1}, ActorId{3}), kCodeNotAMessage);
}

TEST(Supervisors, WithoutALimitNothingIsTooMuch) {
  Bench bench(kOne, 2, Supervisor::kNoLimit);
  for (int i = 0; i < 100; ++i) bench.fails(0);
  EXPECT_EQ(bench.orders().size(), 100u);
}

TEST(Supervisors, RestartsThatAreOldDoNotCount) {
  Bench bench(kOne, 3, 2);
  for (int i = 0; i < 50; ++i) {
    bench.fails(0);
    bench.now_us += 501;
  }
  EXPECT_EQ(bench.orders().size(), 50u);
  EXPECT_EQ(bench.actor.sweeping, Supervisor::Sweeping::no);
}

TEST(Supervisors, ARestartInTheMiddleOfASweepStartsItOver) {
  Bench bench(kAll, 40);
  bench.fails(0);
  bench.turn();
  EXPECT_EQ(bench.orders().size(), 15u);
  bench.handle(Restarted{1}, ActorBench<Supervisor>::kSelf);
  const Orders orders = bench.after_all();
  ASSERT_EQ(orders.size(), 40u);
  for (std::uint32_t i = 0; i < 40; ++i) EXPECT_EQ(orders[i], restart(i));
}

TEST(Supervisors, AFullTableRefusesWithAnAnswer) {
  Bench bench(kOne, 2, 3, 2);
  bench.add(1, ChildMode::temporary);  // is one: takes no place
  EXPECT_TRUE(bench.take().empty());
  bench.handle(AddChild{ActorId{2}}, ActorId{7});
  const auto out = bench.take();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, ActorId{7});
  EXPECT_EQ(out[0].as<ChildRefused>().child, ActorId{2});
  bench.fails(1);
  EXPECT_EQ(bench.orders(), (Orders{kill(1)}));
}

TEST(Supervisors, SweepsOfOthersFail) {
  Bench bench(kOne, 2);
  EXPECT_EQ(bench.handle(Sweep{}, ActorId{3}), kCodeNotAMessage);
}

RC_GTEST_PROP(SupervisorProperty, EveryFailureOfALiveChildIsAnsweredAndNothingElseIs, ()) {
  const auto strategy = *rc::gen::element(kOne, kAll, kRest);
  constexpr std::uint32_t kActors = 50;
  Bench bench(strategy, 0, 16);
  bench.actor.window_us = 0;
  std::set<std::uint32_t> waiting;  // failed, without an answer yet
  std::set<std::uint32_t> children;
  const auto obey = [&] {
    for (const Order& order : bench.orders()) {
      waiting.erase(order.child);
      if (order.command == CommandTag::kill) {
        children.erase(order.child);
      } else {
        RC_ASSERT(children.count(order.child) == 1u);
      }
      if (strategy == kOne) RC_ASSERT(bench.to_self.empty());
    }
  };
  const auto ops = *rc::gen::container<std::vector<std::pair<int, std::uint32_t>>>(
      200, rc::gen::pair(rc::gen::inRange(0, 10), rc::gen::inRange(0u, kActors)));
  for (const auto& [kind, child] : ops) {
    bench.now_us += 1;
    if (kind < 3) {
      bench.add(child, kind == 0 ? ChildMode::temporary : ChildMode::permanent);
      children.insert(child);
    } else if (kind < 4) {
      bench.dies(child);
      children.erase(child);
      waiting.erase(child);
    } else if (kind < 7) {
      if (waiting.count(child) != 0) continue;  // suspended: cannot fail again
      waiting.insert(child);
      bench.fails(child);
    } else {
      RC_ASSERT(bench.turn() == std::nullopt);
    }
    obey();
    RC_ASSERT(bench.actor.children == children.size());
    RC_ASSERT(bench.to_self.size() <= 1u);
  }
  bench.drain();
  obey();
  RC_ASSERT(waiting.empty());
  RC_ASSERT(bench.actor.sweeping == Supervisor::Sweeping::no);
}

// --- a running system. The children are ids that nobody has, so that commands to them go nowhere:
// this is about the supervisor's own state.

class SupervisorRuns : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, SupervisorRuns, kPatternShapes, shape_name);

constexpr std::uint32_t kImagined = 100;
ActorId imagined(std::uint32_t i) { return ActorId::make(1000 + i, 0); }

std::vector<Child> children_of(Runtime& runtime, ref<Supervisor> supervisor) {
  auto state = runtime.read(supervisor);
  auto slot = runtime.read_slot(supervisor.id);
  if (!state || !slot) return {};
  std::vector<Child> children(state->children);
  std::memcpy(static_cast<void*>(children.data()),
              slot->data() + sizeof(SlotHeader) + align_up(sizeof(Supervisor), kSlotAlignment),
              children.size() * sizeof(Child));
  return children;
}

TEST_P(SupervisorRuns, ItsChildrenAndItsCountOutliveTheRun) {
  TempDir dir;
  ref<Supervisor> supervisor{};
  {
    auto runtime = make_runtime<Supervisor>(GetParam(), spread_options(dir.path()));
    auto spawned = spawn_supervisor(*runtime, {.strategy = kRest,
                                               .intensity = 4,
                                               .window_us = 1ull << 60,
                                               .max_children = kImagined,
                                               .children = {{imagined(0)}, {imagined(1)}}});
    ASSERT_TRUE(spawned) << spawned.error().message;
    supervisor = *spawned;
    expect_ok(runtime->start(true));
    for (std::uint32_t i = 2; i < kImagined; ++i)
      expect_ok(runtime->send(supervisor, AddChild{imagined(i), ChildMode::permanent}));
    expect_ok(runtime->send(supervisor, RemoveChild{imagined(1)}));
    for (std::uint32_t i = 0; i < 2; ++i) {
      expect_ok(runtime->send(supervisor, Failed{imagined(0), 5}));
      run_to_the_end(*runtime);
    }
    expect_ok(runtime->pause());
    expect_ok(runtime->send(supervisor, Failed{imagined(0), 5}));
    save_in_the_middle(std::move(runtime), 3);
  }
  auto runtime = make_runtime<Supervisor>(other_than(GetParam()), spread_options(dir.path()));
  ASSERT_TRUE(runtime->restore_latest());
  expect_ok(runtime->start());
  run_to_the_end(*runtime);
  EXPECT_EQ(runtime->read(supervisor)->restarts, 3u);
  const auto children = children_of(*runtime, supervisor);
  ASSERT_EQ(children.size(), kImagined - 1);
  EXPECT_EQ(children[0].id, imagined(0));
  for (std::uint32_t i = 2; i < kImagined; ++i) EXPECT_EQ(children[i - 1].id, imagined(i));
  expect_ok(runtime->send(supervisor, Failed{imagined(50), 5}));
  run_to_the_end(*runtime);
  EXPECT_EQ(runtime->read(supervisor)->restarts, 4u);
  // the fifth within the window, counted over both runs
  expect_ok(runtime->send(supervisor, Failed{imagined(50), 5}));
  expect_failure(*runtime, kCodeIntensity);
}

TEST(SupervisorSpawn, RefusesWhatItCannotKeep) {
  auto runtime = make_runtime<Supervisor>({1, 1});
  EXPECT_FALSE(spawn_supervisor(*runtime, {.intensity = 17}));
  EXPECT_FALSE(spawn_supervisor(*runtime, {.max_children = 0}));
  EXPECT_FALSE(spawn_supervisor(*runtime, {.max_children = 1, .children = {{}, {}}}));
}

}  // namespace
}  // namespace rk::test
