// The worker loop on the host executor: nothing is lost, duplicated or reordered, whatever is full.
#include "programs.hpp"

#include <thread>

namespace rk::test {
namespace {

class Workers : public testing::TestWithParam<Shape> {};

INSTANTIATE_TEST_SUITE_P(Shapes, Workers,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{4, 1}, Shape{1, 4},
                                         Shape{2, 4}),
                         shape_name);

TEST_P(Workers, TokensAreConservedWhenEveryQueueIsTiny) {
  constexpr std::uint32_t kPopulation = 40;
  constexpr std::uint32_t kTokens = 24;
  constexpr std::uint32_t kHops = 200;
  auto runtime = make_runtime<Hopper>(GetParam(), {.capacity = tiny_capacities()});
  auto hoppers = runtime->spawn<Hopper>(
      kPopulation, [](std::uint32_t, Hopper& h) { h.population = kPopulation; });
  ASSERT_TRUE(hoppers);
  std::uint32_t outputs = 0;
  runtime->on_output<Token>([&](const Token&, const OutputInfo&) { ++outputs; });
  std::uint32_t fed = 0;
  runtime->on_feed([&](Feed& feed) {
    while (fed < kTokens && feed.send((*hoppers)[fed % kPopulation], Token{kHops})) ++fed;
    return fed < kTokens ? FeedState::more : FeedState::ended;
  });
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  expect_ok(runtime->stop());
  std::uint64_t visits = 0;
  std::uint32_t ended = 0;
  expect_ok(runtime->for_each_slot([&](const SlotHeader& slot, auto state, auto) {
    const auto& hopper = *reinterpret_cast<const Hopper*>(state.data());
    EXPECT_EQ(hopper.visits, slot.handled);
    visits += hopper.visits;
    ended += hopper.ended;
  }));
  EXPECT_EQ(ended, kTokens);
  EXPECT_EQ(outputs, kTokens);
  EXPECT_EQ(visits, std::uint64_t{kTokens} * (kHops + 1));
  const RuntimeStats stats = runtime->stats();
  EXPECT_EQ(stats.sent, stats.received);
  EXPECT_EQ(stats.dead, 0u);
}

TEST_P(Workers, MessagesOfAPairKeepTheirOrderThroughOutboxAndStash) {
  constexpr std::uint32_t kBursters = 6;
  constexpr std::uint32_t kBursts = 100;
  auto runtime = make_runtime<Burster, Counter>(
      GetParam(), {.capacity = tiny_capacities(), .placement = Placement::spread});
  auto bursters = runtime->spawn<Burster>(kBursters, [&](std::uint32_t, Burster& b) {
    b.counters[0] = {ActorId::make(kBursters, 0)};
    b.counters[1] = {ActorId::make(kBursters + 1, 0)};
  });
  auto counters = runtime->spawn<Counter>(2, [](std::uint32_t, Counter& c) { c.violations = 0; });
  ASSERT_TRUE(bursters && counters);
  std::uint32_t fed = 0;
  runtime->on_feed([&](Feed& feed) {
    while (fed < kBursters && feed.send((*bursters)[fed], Burst{kBursts - 1})) ++fed;
    return fed < kBursters ? FeedState::more : FeedState::ended;
  });
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  for (std::uint32_t c = 0; c < 2; ++c) {
    auto counter = runtime->read((*counters)[c]);
    ASSERT_TRUE(counter) << counter.error().message;
    EXPECT_EQ(counter->violations, 0u);
    for (std::uint32_t s = 0; s < kBursters; ++s) EXPECT_EQ(counter->next[s], kBursts * 4);
  }
}

TEST_P(Workers, BlocksArriveWholeAndAreNeverLeaked) {
  constexpr std::uint32_t kCarriers = 7;
  constexpr std::uint32_t kRounds = 600;  // far more than there are blocks
  auto runtime = make_runtime<Carrier>(
      GetParam(), {.capacity = tiny_capacities(), .placement = Placement::spread});
  auto carriers = runtime->spawn<Carrier>(kCarriers, [](std::uint32_t i, Carrier& c) {
    c.next = {ActorId::make((i + 1) % kCarriers, 0)};
    c.rounds = kRounds;
  });
  ASSERT_TRUE(carriers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 3; ++i) expect_ok(runtime->send((*carriers)[i], Parcel{0}));
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  expect_ok(runtime->stop());
  std::uint64_t handled = 0;
  expect_ok(runtime->for_each_slot([&](const SlotHeader& slot, auto state, auto) {
    handled += slot.handled;
    for (const std::uint32_t errors : reinterpret_cast<const Carrier*>(state.data())->errors)
      EXPECT_EQ(errors, 0u);
  }));
  EXPECT_EQ(handled, 3u * (kRounds + 1));
}

TEST(Placements, NeighboursAreTogetherApartOrAsAHashOfTheirIdsSays) {
  constexpr std::uint32_t kHoppers = 1000;
  const auto workers_of = [](Placement placement) {
    auto runtime = make_runtime<Hopper>({3, 1}, {.placement = placement});
    const auto hoppers = runtime->spawn<Hopper>(kHoppers, [](std::uint32_t, Hopper&) {});
    EXPECT_TRUE(hoppers);
    expect_ok(runtime->start());
    std::vector<std::uint32_t> workers;
    for (std::uint32_t i = 0; i < kHoppers; ++i)
      workers.push_back(*runtime->worker_of((*hoppers)[i].id));
    expect_ok(runtime->stop());
    return workers;
  };
  const auto together = [](const std::vector<std::uint32_t>& workers) {
    std::uint32_t pairs = 0;
    for (std::uint32_t i = 1; i < kHoppers; ++i) pairs += workers[i] == workers[i - 1];
    return pairs;
  };
  EXPECT_EQ(together(workers_of(Placement::block)), kHoppers - 3);
  EXPECT_EQ(together(workers_of(Placement::spread)), 0u);
  const auto hashed = workers_of(Placement::hashed);
  EXPECT_EQ(hashed, workers_of(Placement::hashed));
  EXPECT_NEAR(together(hashed), kHoppers / 3, 60);
  for (std::uint32_t worker = 0; worker < 3; ++worker)
    EXPECT_NEAR(static_cast<double>(std::count(hashed.begin(), hashed.end(), worker)), kHoppers / 3,
                60);
}

TEST_P(Workers, ReadSeesAHandlerBoundaryWhileRunning) {
  auto runtime = make_runtime<Hopper>(GetParam());
  auto hoppers = runtime->spawn<Hopper>(4, [](std::uint32_t, Hopper& h) { h.population = 4; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start());
  // groups of several threads on fewer cores are slow
  const std::uint32_t hops = GetParam().lanes == 1 ? 20'000 : 1'000;
  for (std::uint32_t i = 0; i < 4; ++i) expect_ok(runtime->send((*hoppers)[i], Token{hops}));
  std::uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    auto slot = runtime->read_slot((*hoppers)[0].id);
    ASSERT_TRUE(slot) << slot.error().message;
    const auto& header = *reinterpret_cast<const SlotHeader*>(slot->data());
    const auto& hopper = *reinterpret_cast<const Hopper*>(slot->data() + sizeof(SlotHeader));
    EXPECT_EQ(header.handled, hopper.visits);
    EXPECT_GE(hopper.visits, last);
    last = hopper.visits;
  }
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
}

TEST_P(Workers, PauseHoldsStepCountsResumeGoesOn) {
  auto runtime = make_runtime<Hopper>(GetParam());
  auto hoppers = runtime->spawn<Hopper>(1, [](std::uint32_t, Hopper& h) { h.population = 1; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start(true));
  expect_ok(runtime->send((*hoppers)[0], Token{1000}));
  expect_ok(runtime->pause());
  EXPECT_EQ(runtime->read((*hoppers)[0])->visits, 0u);
  const std::uint32_t alone = GetParam().workers == 1 ? 1 : 0;
  if (alone != 0) {
    expect_ok(runtime->step(3));
    EXPECT_EQ(runtime->read((*hoppers)[0])->visits, 3u);
    expect_ok(runtime->step(4));
    EXPECT_EQ(runtime->read((*hoppers)[0])->visits, 7u);
  }
  expect_ok(runtime->resume());
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(runtime->read((*hoppers)[0])->visits, 1001u);
}

TEST_P(Workers, SubscribersGetEveryOutputAndAFullOneHoldsTheSendersBack) {
  auto runtime = make_runtime<Hopper>(GetParam(), {.capacity = {.k2h_slots = 4}});
  auto all = runtime->subscribe<Token>();
  auto slow = runtime->subscribe<Token>(2);
  auto hoppers = runtime->spawn<Hopper>(4, [](std::uint32_t, Hopper& h) { h.population = 4; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start());
  constexpr std::uint32_t kTokens = 200;
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < kTokens; ++i) {
      while (!runtime->send((*hoppers)[i % 4], Token{0})) std::this_thread::yield();
    }
  });
  std::uint32_t received = 0;
  while (received < kTokens) received += slow.receive(std::chrono::seconds(10)) ? 1 : 0;
  sender.join();
  const auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  std::uint32_t in_all = 0;
  while (all.try_receive()) ++in_all;
  EXPECT_EQ(in_all, kTokens);
  EXPECT_FALSE(slow.try_receive());
  expect_ok(runtime->stop());
}

TEST(WorkerErrors, MessageToNobodyBecomesADeadLetterAndTheRunStillEnds) {
  auto runtime = make_runtime<Hopper>({2, 1});
  auto hoppers = runtime->spawn<Hopper>(1, [](std::uint32_t, Hopper& h) { h.population = 1000; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*hoppers)[0], Token{5}));
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(runtime->stats().dead, 1u);
  const auto letters = runtime->dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].reason, DeadReason::unknown);
  EXPECT_EQ(letters[0].from, (*hoppers)[0].id);
}

TEST(WorkerErrors, SendToNobodyFromTheHostIsRefused) {
  auto runtime = make_runtime<Hopper>({1, 1});
  ASSERT_TRUE(runtime->spawn<Hopper>(1, [](std::uint32_t, Hopper& h) { h.population = 1; }));
  EXPECT_EQ(runtime->send(ref<Hopper>{ActorId::make(0, 0)}, Token{1}).error().code,
            ErrorCode::closed);
  expect_ok(runtime->start());
  EXPECT_EQ(runtime->send(ref<Hopper>{ActorId::make(1, 0)}, Token{1}).error().code,
            ErrorCode::not_found);
  // another life of the same place may begin any time: this one is judged where it arrives
  expect_ok(runtime->send(ref<Hopper>{ActorId::make(0, 1)}, Token{1}));
  ASSERT_TRUE(runtime->run());
  const auto letters = runtime->dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].reason, DeadReason::unknown);
}

struct Order {
  static constexpr std::uint8_t tag = 9;
  static constexpr std::uint32_t max_sends = 2;
  std::uint32_t what;
};
struct Rogue {
  using messages = handles<Order>;
  std::uint32_t unused;
  template <class Ctx>
  RK_FN void on(const Order& order, Ctx& ctx) {
    if (order.what == 1) ctx.fail(42);
    if (order.what == 2) {
      for (int i = 0; i < 3; ++i) ctx.send(ref<Rogue>{ctx.self()}, Order{0});
    }
    if (order.what == 3) (void)ctx.template block<float>(4);
    if (order.what == 4) {
      ctx.send_to_host(order);
      ctx.send_to_host(order);
    }
  }
};

class BrokenContract : public testing::TestWithParam<std::pair<std::uint32_t, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Kinds, BrokenContract,
                         testing::Values(std::pair{1u, "ctx.fail(42)"}, std::pair{2u, "max_sends"},
                                         std::pair{3u, "max_blocks"},
                                         std::pair{4u, "max_host_sends"}));

TEST_P(BrokenContract, EndsTheRunAndNamesTheActorAndTheRemedy) {
  auto runtime = make_runtime<Rogue>({2, 1});
  runtime->on_output<Order>([](const Order&, const OutputInfo&) {});
  auto rogues = runtime->spawn<Rogue>(5, [](std::uint32_t, Rogue&) {});
  ASSERT_TRUE(rogues);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*rogues)[3], Order{GetParam().first}));
  auto report = runtime->run();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::handler_failed);
  EXPECT_NE(report.error().message.find("actor 3"), std::string::npos) << report.error().message;
  EXPECT_NE(report.error().message.find(GetParam().second), std::string::npos)
      << report.error().message;
}

TEST(WorkerStalls, QueuesThatWaitForEachOtherAreReportedNotWaitedForForever) {
  auto runtime = make_runtime<Doubler>(
      {2, 1}, {.capacity = tiny_capacities(), .stall_deadline = std::chrono::seconds(20)});
  auto doublers = runtime->spawn<Doubler>(4, [](std::uint32_t, Doubler&) {});
  ASSERT_TRUE(doublers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 4; ++i) expect_ok(runtime->send((*doublers)[i], Split{}));
  auto report = runtime->run({.max_walltime = std::chrono::seconds(20)});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::deadlock);
  EXPECT_NE(report.error().message.find("->"), std::string::npos) << report.error().message;
  EXPECT_NE(report.error().message.find("raise Capacities::"), std::string::npos);
}

}  // namespace
}  // namespace rk::test
