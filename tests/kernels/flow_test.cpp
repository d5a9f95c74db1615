// Queues of a few slots: cyclic traffic runs to its end or names its deadlock, and what ends a wait
// is not held up by it. scripts/check_flow does the first part at length.
#include "../oracle/flow_trial.hpp"

#include "programs.hpp"

#include <ringkernel/runtime/library_message.hpp>

#include <thread>

namespace rk::test {
namespace {

using namespace std::chrono_literals;

TEST(FlowControl, CyclicTrafficEndsOrNamesItsDeadlockAndLosesNothing) {
  std::uint32_t endings[2] = {};
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto ending = flow::run_trial(flow::settings_of(seed), 60s);
    ASSERT_TRUE(ending) << "seed " << seed << ": " << ending.error().message;
    ++endings[static_cast<std::uint32_t>(*ending)];
  }
  EXPECT_GT(endings[0], 0u);
  EXPECT_GT(endings[1], 0u);
}

TEST(FlowControl, ACycleThatIsNotOneIsNoticed) {
  const std::string before = "bounded queues wait for each other: ";
  const std::string after = "; raise Capacities::inbox_slots";
  const auto judge = [&](const std::string& cycle) {
    return flow::judge_cycle(flow::cycle_of(before + cycle + after), 3);
  };
  EXPECT_EQ(judge("worker 0 (x) -> worker 2 (y) -> worker 0"), "");
  EXPECT_EQ(judge("worker 1 (x) -> worker 1"), "");
  EXPECT_NE(judge("worker 0 (x)"), "");
  EXPECT_NE(judge("worker 0 (x) -> worker 2"), "");
  EXPECT_NE(judge("worker 0 (x) -> worker 3 (y) -> worker 0"), "");
  EXPECT_NE(judge("worker 0 (x) -> worker 1 (y) -> worker 1 (y) -> worker 0"), "");
  EXPECT_NE(judge("somebody"), "");
}

// --- a suspended actor's messages fill the stash; what ends the suspension must get by

struct Work {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
};
struct Laborer {
  using messages = handles<Work>;
  static constexpr const char* name = "flow.laborer";
  static constexpr bool supervised = true;
  std::uint64_t worked = 0;
  template <class Ctx>
  RK_FN void on(const Work&, Ctx& ctx) {
    if (ctx.leader()) ++worked;
  }
};
struct Order {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t command;
};
/// Itself supervised, as in a tree of supervisors.
struct Foreman {
  using messages = handles<Order>;
  static constexpr const char* name = "flow.foreman";
  static constexpr bool supervised = true;
  ref<Laborer> laborer;
  template <class Ctx>
  RK_FN void on(const Order& order, Ctx& ctx) {
    ctx.command(static_cast<CommandTag>(order.command), laborer.id, Command{});
  }
};
struct Caller {
  using messages = handles<Order>;
  static constexpr const char* name = "flow.caller";
  ref<Foreman> foreman;
  template <class Ctx>
  RK_FN void on(const Order& order, Ctx& ctx) {
    ctx.send_control(foreman, order);
  }
};

TEST(FlowControl, AFullStashDoesNotHoldUpWhatEmptiesIt) {
  RuntimeOptions options;
  options.capacity = tiny_capacities();
  options.capacity.stash_slots = 4;
  options.capacity.h2k_slots = 64;
  options.placement = Placement::spread;
  auto runtime = make_runtime<Laborer, Foreman, Caller>({2, 1}, options);
  const SpawnPolicy policy{.supervisor = ActorId::make(3, 0)};
  // ids 0, 2 and 4 live on worker 0, 3 and 5 on worker 1
  auto laborers = runtime->spawn<Laborer>(2, [](std::uint32_t, Laborer&) {}, {.policy = policy});
  ASSERT_TRUE(laborers);
  auto foremen = runtime->spawn<Foreman>(
      2, [&](std::uint32_t, Foreman& f) { f.laborer = (*laborers)[0]; }, {.policy = policy});
  ASSERT_TRUE(foremen);
  auto callers =
      runtime->spawn<Caller>(2, [&](std::uint32_t, Caller& c) { c.foreman = (*foremen)[0]; });
  ASSERT_TRUE(callers);
  expect_ok(runtime->start());
  const auto order = [](CommandTag tag) { return Order{static_cast<std::uint32_t>(tag)}; };
  expect_ok(runtime->send((*callers)[1], order(CommandTag::suspend)));
  expect_run(*runtime);
  // no more than fit: what the host sends beyond that would hold up its order, too
  for (std::uint32_t i = 0; i < 8; ++i) expect_ok(runtime->send((*laborers)[0], Work{i}));
  // of four places mail takes two: one is for a message whose handler fails, one for the control
  // lane
  while (runtime->stats().stashed_total < 2) std::this_thread::sleep_for(1ms);
  expect_ok(runtime->send((*callers)[1], order(CommandTag::resume)));
  const auto report = runtime->run({.max_walltime = 60s});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::quiescent) << "the stash holds up what empties it";
  EXPECT_EQ(runtime->read((*laborers)[0])->worked, 8u);
  expect_ok(runtime->stop());
}

TEST(FlowControl, AKillGetsByTheMessagesThatWaitForWhomItEnds) {
  constexpr std::uint32_t kMessages = 40;
  RuntimeOptions options;
  options.capacity = tiny_capacities();
  options.capacity.stash_slots = 4;
  options.capacity.h2k_slots = 64;
  auto runtime = make_runtime<Laborer, Foreman>({1, 1}, options);
  auto laborers = runtime->spawn<Laborer>(1, [](std::uint32_t, Laborer&) {},
                                          {.policy = {.supervisor = ActorId::make(1, 0)}});
  ASSERT_TRUE(laborers);
  auto foremen =
      runtime->spawn<Foreman>(1, [&](std::uint32_t, Foreman& f) { f.laborer = (*laborers)[0]; });
  ASSERT_TRUE(foremen);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*foremen)[0], Order{static_cast<std::uint32_t>(CommandTag::suspend)}));
  expect_run(*runtime);
  // stash and inbox cannot hold them all: the others stay in the host's ring
  for (std::uint32_t i = 0; i < kMessages; ++i) expect_ok(runtime->send((*laborers)[0], Work{i}));
  while (runtime->stats().stashed_total < 2) std::this_thread::sleep_for(1ms);
  expect_ok(runtime->kill((*laborers)[0].id));
  const auto report = runtime->run({.max_walltime = 60s});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::quiescent) << "the kill waits for what it would end";
  EXPECT_EQ(runtime->dead_letters().size(), kMessages);
  expect_ok(runtime->stop());
}

// --- a timer in steps comes due while there is no room for it, and its actor handles nothing more

struct Wind {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 4;
  static constexpr std::uint32_t max_timers = 1;
};
struct Fill {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 0;
};
struct Bell {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 0;
};
struct Ringer {
  using messages = handles<Wind, Fill, Bell>;
  static constexpr const char* name = "flow.ringer";
  ref<Ringer> other;
  std::uint32_t bells = 0;
  std::uint32_t fills = 0;
  template <class Ctx>
  RK_FN void on(const Wind&, Ctx& ctx) {
    // due at once, when this handler has filled the queue to the last place
    ctx.send_after_steps(0, other, Bell{});
    for (std::uint32_t i = 0; i < 4; ++i) ctx.send(other, Fill{});
  }
  template <class Ctx>
  RK_FN void on(const Fill&, Ctx& ctx) {
    if (ctx.leader()) ++fills;
  }
  template <class Ctx>
  RK_FN void on(const Bell&, Ctx& ctx) {
    if (ctx.leader()) ++bells;
  }
};

TEST(FlowControl, ATimerInStepsThatFindsNoRoomIsNotForgotten) {
  RuntimeOptions options;
  options.capacity = tiny_capacities();
  options.capacity.local_slots = 4;
  auto runtime = make_runtime<Ringer>({1, 1}, options);
  auto ringers = runtime->spawn<Ringer>(
      2, [](std::uint32_t i, Ringer& r) { r.other = {ActorId::make(1 - i, 0)}; });
  ASSERT_TRUE(ringers);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*ringers)[0], Wind{}));
  const auto report = runtime->run({.max_walltime = 60s});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::quiescent) << "the timer never came";
  EXPECT_EQ(runtime->read((*ringers)[1])->bells, 1u);
  EXPECT_EQ(runtime->read((*ringers)[1])->fills, 4u);
  expect_ok(runtime->stop());
}

// --- what was set aside leaves once it has room, however long the local FIFO stays

struct Spin {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
};
struct Halt {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 0;
};
struct Spinner {
  using messages = handles<Spin, Halt>;
  static constexpr const char* name = "flow.spinner";
  std::uint32_t halted = 0;
  template <class Ctx>
  RK_FN void on(const Spin& spin, Ctx& ctx) {
    if (halted == 0) ctx.send(ref<Spinner>{ctx.self()}, spin);
  }
  template <class Ctx>
  RK_FN void on(const Halt&, Ctx& ctx) {
    if (ctx.leader()) halted = 1;
  }
};
struct Grand {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 200;
};
struct Grandee {
  using messages = handles<Grand>;
  static constexpr const char* name = "flow.grandee";
  std::uint32_t handled = 0;
  template <class Ctx>
  RK_FN void on(const Grand&, Ctx& ctx) {
    if (ctx.leader()) ++handled;
  }
};

TEST(FlowControl, WhatWasSetAsideLeavesALongLocalFifoBehindOnceItHasRoom) {
  constexpr std::uint32_t kStaying = 280;
  constexpr std::uint32_t kLeaving = 120;
  RuntimeOptions options;
  options.capacity.local_slots = 512;
  auto runtime = make_runtime<Spinner, Grandee>({1, 1}, options);
  const auto spinners = runtime->spawn<Spinner>(2, [](std::uint32_t, Spinner&) {});
  const auto grandees = runtime->spawn<Grandee>(1, [](std::uint32_t, Grandee&) {});
  ASSERT_TRUE(spinners && grandees);
  expect_ok(runtime->start());
  const auto send = [&](auto to, auto message) {
    for (;;) {
      const auto sent = runtime->send(to, message);
      if (sent || sent.error().code != ErrorCode::would_block) return expect_ok(sent);
      std::this_thread::yield();
    }
  };
  const auto comes_true = [](auto is_true) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!is_true() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(1ms);
    return is_true();
  };
  for (std::uint32_t i = 0; i < kStaying; ++i) send((*spinners)[0], Spin{});
  for (std::uint32_t i = 0; i < kLeaving; ++i) send((*spinners)[1], Spin{});
  send((*grandees)[0], Grand{});  // behind 400 messages that go round: 200 more find no room
  EXPECT_TRUE(comes_true([&] { return runtime->stats().stashed_total > 0; }));
  EXPECT_EQ(runtime->read((*grandees)[0])->handled, 0u);
  send((*spinners)[1], Halt{});  // 280 stay for ever
  EXPECT_TRUE(comes_true([&] { return runtime->read((*grandees)[0])->handled == 1; }));
  send((*spinners)[0], Halt{});
  const auto report = runtime->run({.max_walltime = 60s});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, StopReason::quiescent);
  expect_ok(runtime->stop());
}

}  // namespace
}  // namespace rk::test
