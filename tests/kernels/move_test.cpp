// An actor changes its worker and nothing else: id, state, order of messages, asks, timers, links.
#include <ringkernel/tests/oracle/move_trial.hpp>

#include <atomic>
#include <thread>

#include "spots.hpp"

namespace rk::test {
namespace {

class MoveSeeds : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, MoveSeeds, testing::Range<std::uint64_t>(1, 25));

TEST_P(MoveSeeds, NothingIsLostAndNoOrderChangesWhereverActorsGo) {
  const auto report = moves::run_trial(moves::settings_of(GetParam()));
  ASSERT_TRUE(report) << "move_oracle 1 " << GetParam() << ": " << report.error().message;
}

class Move : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Move,
                         testing::Values(Shape{2, 1}, Shape{3, 1}, Shape{4, 1}, Shape{2, 4}),
                         shape_name);

TEST_P(Move, TheIdStaysAndStateFieldAndWaitingMessagesComeAlong) {
  auto it = make_spots(GetParam());
  Runtime& runtime = *it->runtime;
  expect_ok(runtime.start(true));
  const auto spot = it->spots[1];
  EXPECT_EQ(*runtime.worker_of(spot.id), 0u);
  expect_ok(runtime.send(spot, Add{1}));
  expect_run(runtime);
  expect_ok(runtime.pause());
  // waiting in its inbox or still in the ring: both follow, later ones come after them
  for (std::uint32_t number = 2; number <= 5; ++number) expect_ok(runtime.send(spot, Add{number}));
  expect_ok(runtime.move_actor(spot.id, 1));
  EXPECT_EQ(*runtime.worker_of(spot.id), 1u);
  for (std::uint32_t number = 6; number <= 8; ++number) expect_ok(runtime.send(spot, Add{number}));
  expect_run(runtime);
  ASSERT_EQ(it->seen.size(), 8u);
  for (std::uint32_t i = 0; i < 8; ++i) {
    EXPECT_EQ(it->seen[i].number, i + 1);
    EXPECT_EQ(it->seen[i].worker, i == 0 ? 0u : 1u);
  }
  const auto state = runtime.read(spot);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->sum, 36u);
  EXPECT_EQ(state->order, 112345678u);
  const auto slot = runtime.read_slot(spot.id);
  ASSERT_TRUE(slot);
  std::uint64_t in_field = 0;
  std::memcpy(&in_field,
              slot->data() + sizeof(SlotHeader) + align_up(sizeof(Spot), kSlotAlignment) + 16, 8);
  EXPECT_EQ(in_field, 36u);
  EXPECT_EQ(runtime.stats().moves, 1u);
  EXPECT_EQ(runtime.stats().live, 4u * GetParam().workers);
  expect_ok(runtime.stop());
  EXPECT_EQ(runtime.stats().in_flight, 0u);
}

TEST_P(Move, ARefusedMoveSaysWhyAndChangesNothing) {
  auto it = make_spots(GetParam(), movable(), 1);
  Runtime& runtime = *it->runtime;
  const auto code = [&](ActorId actor, std::uint32_t worker) {
    const auto moved = runtime.move_actor(actor, worker, std::chrono::milliseconds(20));
    return moved ? ErrorCode::internal : moved.error().code;
  };
  EXPECT_EQ(code(it->spots[0].id, 1), ErrorCode::closed);
  expect_ok(runtime.start());
  EXPECT_EQ(code(it->spots[0].id, GetParam().workers), ErrorCode::invalid_argument);
  EXPECT_EQ(code(ActorId::make(9999, 0), 1), ErrorCode::not_found);
  EXPECT_EQ(code(worker_address(0), 1), ErrorCode::not_found);
  EXPECT_EQ(code(ActorId::make(it->spots[0].id.index(), 5), 1), ErrorCode::not_found);
  expect_ok(runtime.kill(it->spots[3].id));
  expect_run(runtime);
  EXPECT_EQ(code(it->spots[3].id, 1), ErrorCode::not_found);
  // one spare place on worker 1: the first fits, the second does not
  expect_ok(runtime.move_actor(it->spots[0].id, 1));
  EXPECT_EQ(code(it->spots[1].id, 1), ErrorCode::no_space);
  EXPECT_EQ(*runtime.worker_of(it->spots[1].id), 0u);
  EXPECT_EQ(runtime.stats().moves, 1u);
  // the place that was given in exchange takes one back
  expect_ok(runtime.move_actor(it->spots[4].id, 0));
  // where it is already
  expect_ok(runtime.move_actor(it->spots[4].id, 0));
  EXPECT_EQ(runtime.stats().moves, 2u);
  expect_ok(runtime.send(it->spots[1], Add{7}));
  expect_run(runtime);
  ASSERT_EQ(it->seen.size(), 1u);
  EXPECT_EQ(it->seen[0].worker, 0u);
  expect_ok(runtime.stop());
  EXPECT_EQ(code(it->spots[0].id, 1), ErrorCode::closed);
}

TEST(Moves, AreOffUnlessAskedForAndNeedAPlaceWithTheSameField) {
  auto off = make_spots({2, 1}, RuntimeOptions{});
  expect_ok(off->runtime->start());
  const auto refused = off->runtime->move_actor(off->spots[0].id, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  expect_ok(off->runtime->stop());

  auto other = make_spots({2, 1}, movable(), 1, 128);
  expect_ok(other->runtime->start());
  const auto unfit = other->runtime->move_actor(other->spots[0].id, 1);
  ASSERT_FALSE(unfit);
  EXPECT_EQ(unfit.error().code, ErrorCode::no_space);
  EXPECT_NE(unfit.error().message.find("field"), std::string::npos);
  expect_ok(other->runtime->stop());
}

TEST_P(Move, MessagesThatFindNoRoomAreToldAndTheActorStays) {
  RuntimeOptions options = movable();
  options.capacity.inbox_slots = 4;
  options.capacity.local_slots = 4;
  options.capacity.control_slots = 4;
  options.capacity.stash_slots = 4;
  options.capacity.timer_slots = 2;
  auto it = make_spots(GetParam(), options, 2);
  Runtime& runtime = *it->runtime;
  expect_ok(runtime.start());
  // the timers of two actors do not fit into the store of one worker
  for (const std::uint32_t i : {0u, 1u}) {
    expect_ok(runtime.send(it->spots[i], Later{5, 0, 1}));
    expect_ok(runtime.send(it->spots[4 + i], Later{5, 0, 1}));
  }
  while (runtime.stats().timers < 4) std::this_thread::yield();
  const auto moved = runtime.move_actor(it->spots[0].id, 1, std::chrono::milliseconds(500));
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, ErrorCode::would_block);
  EXPECT_NE(moved.error().message.find("timer store"), std::string::npos);
  EXPECT_GE(runtime.stats().moves_refused, 2u);  // it was tried again
  // without them it goes
  expect_ok(runtime.move_actor(it->spots[2].id, 1));
  expect_ok(runtime.stop());
}

TEST_P(Move, TimersInStepsCountOnAndTimersInTimeFindTheirWay) {
  auto it = make_spots(GetParam());
  Runtime& runtime = *it->runtime;
  expect_ok(runtime.start());
  const auto spot = it->spots[0];
  expect_ok(runtime.send(spot, Later{3, 0, 9}));
  expect_ok(runtime.send(spot, Add{1}));
  while (runtime.stats().timers < 1 || runtime.read(spot)->order != 11) std::this_thread::yield();
  expect_ok(runtime.move_actor(spot.id, 1));
  EXPECT_EQ(runtime.stats().timers, 1u);
  expect_ok(runtime.send(spot, Add{2}));
  // two of three: not yet
  while (runtime.read(spot)->order != 112) std::this_thread::yield();
  EXPECT_EQ(runtime.stats().timers, 1u);
  expect_ok(runtime.send(spot, Add{3}));
  expect_run(runtime);
  EXPECT_EQ(runtime.read(spot)->order, 11239u);
  // set here, due there
  expect_ok(runtime.pause());
  expect_ok(runtime.send(spot, Later{0, 1'000, 4}));
  expect_ok(runtime.step(1));
  EXPECT_EQ(runtime.stats().timers, 1u);
  expect_ok(runtime.move_actor(spot.id, GetParam().workers - 1));
  expect_ok(runtime.move_actor(spot.id, 0));
  expect_run(runtime);
  EXPECT_EQ(runtime.read(spot)->order, 112394u);
  EXPECT_EQ(it->seen.back().worker, 0u);
  expect_ok(runtime.stop());
  EXPECT_EQ(runtime.stats().in_flight, 0u);
  EXPECT_EQ(runtime.stats().dead, 0u);
}

TEST_P(Move, APendingAskIsAnsweredOrExpiresWhereTheAskerIs) {
  auto runtime = make_runtime<Client, Server>(GetParam(), movable());
  auto servers = runtime->spawn<Server>(1, [](std::uint32_t, Server&) {});
  auto clients = runtime->spawn<Client>(2, [&](std::uint32_t i, Client& client) {
    client.server = (*servers)[0];
    client.deadline_us = i == 0 ? 60'000'000 : 30'000;
  });
  expect_ok(runtime->reserve<Client>(2 + 2 * GetParam().workers));
  expect_ok(runtime->start(true));
  // one handler each: the question is on its way
  expect_ok(runtime->send((*clients)[0], Begin{0}));
  expect_ok(runtime->step(1));
  const std::uint32_t at = *runtime->worker_of((*clients)[0].id);
  expect_ok(runtime->move_actor((*clients)[0].id, (at + 1) % GetParam().workers));
  EXPECT_EQ(runtime->stats().timers, 1u);
  // this one is never answered
  expect_ok(runtime->send((*clients)[1], Begin{1}));
  expect_ok(runtime->step(1));
  const std::uint32_t other = *runtime->worker_of((*clients)[1].id);
  expect_ok(runtime->move_actor((*clients)[1].id, (other + 1) % GetParam().workers));
  expect_run(*runtime);
  const auto answered = runtime->read((*clients)[0]);
  EXPECT_EQ(answered->answered, 1u);
  EXPECT_EQ(answered->expired + answered->wrong, 0u);
  const auto expired = runtime->read((*clients)[1]);
  EXPECT_EQ(expired->expired, 1u);
  EXPECT_EQ(expired->answered + expired->wrong, 0u);
  expect_ok(runtime->stop());
  EXPECT_EQ(runtime->stats().in_flight, 0u);
  EXPECT_EQ(runtime->stats().dead, 0u);
}

struct Work {
  static constexpr std::uint8_t tag = 50;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t number;
  std::uint32_t failures;
};
struct Attach {
  static constexpr std::uint8_t tag = 51;
  static constexpr std::uint32_t max_sends = 1;
  ActorId peer;
};
struct Hand {
  using messages = handles<Work, Attach, Down>;
  static constexpr const char* name = "test.hand";
  static constexpr bool supervised = true;
  static constexpr std::uint32_t max_links = 2;
  std::uint32_t order = 1;
  std::uint32_t downs = 0;

  template <class Ctx>
  RK_FN void on(const Work& work, Ctx& ctx) {
    if (ctx.leader()) order = order * 10 + work.number;
    if (ctx.tries() < work.failures) ctx.fail(work.number);
  }
  template <class Ctx>
  RK_FN void on(const Attach& attach, Ctx& ctx) {
    ctx.monitor(attach.peer);
  }
  template <class Ctx>
  RK_FN void on(const Down&, Ctx& ctx) {
    if (ctx.leader()) ++downs;
  }
};
/// Answers only when it is told to.
struct Slow {
  using messages = handles<Failed, Work>;
  static constexpr const char* name = "test.slow";
  ActorId child = kNoActor;
  template <class Ctx>
  RK_FN void on(const Failed& failed, Ctx& ctx) {
    if (ctx.leader()) child = failed.child;
  }
  template <class Ctx>
  RK_FN void on(const Work&, Ctx& ctx) {
    ctx.command(CommandTag::resume, child, Command{});
  }
};

TEST_P(Move, ASuspendedActorMovesWithWhatWaitsForItAndItsLinksStay) {
  auto runtime = make_runtime<Slow, Hand>(GetParam(), movable());
  auto boss = runtime->spawn<Slow>(1, [](std::uint32_t, Slow&) {});
  auto hands = runtime->spawn<Hand>(
      4, [](std::uint32_t, Hand&) {},
      {.field_bytes = 0, .policy = {.supervisor = (*boss)[0].id, .max_tries = 5}});
  expect_ok(runtime->reserve<Hand>(4 + 2 * GetParam().workers));
  expect_ok(runtime->start());
  const auto hand = (*hands)[0];
  const auto watcher = (*hands)[3];
  expect_ok(runtime->send(watcher, Attach{hand.id}));
  expect_ok(runtime->send(hand, Work{1, 0}));
  expect_ok(runtime->send(hand, Work{2, 1}));
  expect_ok(runtime->send(hand, Work{3, 0}));
  expect_ok(runtime->send(hand, Work{4, 0}));
  while (runtime->read((*boss)[0])->child == kNoActor) std::this_thread::yield();
  const std::uint32_t at = *runtime->worker_of(hand.id);
  expect_ok(runtime->move_actor(hand.id, (at + 1) % GetParam().workers));
  expect_ok(runtime->send(hand, Work{5, 0}));
  EXPECT_EQ(runtime->read(hand)->order, 1u);  // the copy from its spawn
  expect_ok(runtime->send((*boss)[0], Work{0, 0}));
  expect_run(*runtime);
  EXPECT_EQ(runtime->read(hand)->order, 12345u);
  // both ends of the link may move
  const std::uint32_t other = *runtime->worker_of(watcher.id);
  expect_ok(runtime->move_actor(watcher.id, (other + 1) % GetParam().workers));
  expect_ok(runtime->resume());
  expect_ok(runtime->kill(hand.id));
  expect_run(*runtime);
  EXPECT_EQ(runtime->read(watcher)->downs, 1u);
  expect_ok(runtime->stop());
  EXPECT_EQ(runtime->stats().in_flight, 0u);
}

TEST_P(Move, SpawnsAndKillsBetweenMovesLoseNobodyAndReuseThePlaces) {
  const std::uint32_t workers = GetParam().workers;
  auto runtime = make_runtime<Spot>(GetParam(), movable());
  std::atomic<std::uint64_t> outputs = 0;
  runtime->on_output<Where>([&](const Where&, const OutputInfo&) { ++outputs; });
  auto first = runtime->spawn<Spot>(1, [](std::uint32_t, Spot&) {}, {.field_bytes = 64});
  expect_ok(runtime->reserve<Spot>(8 * workers, 64));
  expect_ok(runtime->start());
  std::vector<ref<Spot>> living{(*first)[0]};
  std::uint64_t random = 12345;
  const auto below = [&](std::uint64_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>((random >> 33) % n);
  };
  std::uint64_t sent = 0;
  std::uint64_t to_the_dead = 0;
  const std::uint32_t rounds = GetParam().lanes == 1 ? 300 : 60;
  std::vector<ref<Spot>> dead;
  for (std::uint32_t n = 0; n < rounds; ++n) {
    const std::uint32_t what = below(4);
    if (what == 0 || living.size() < 2) {
      auto born = runtime->spawn_with<Spot>(Add{1}, {.worker = below(workers)}).get();
      if (born) {
        living.push_back(*born);
        ++sent;
      } else {
        EXPECT_EQ(born.error().code, ErrorCode::no_space);
        ++to_the_dead;  // the command is a dead letter
      }
    } else if (what == 1 && living.size() > 2) {
      const std::uint32_t i = below(living.size());
      expect_ok(runtime->kill(living[i].id));
      dead.push_back(living[i]);
      living.erase(living.begin() + i);
    } else {
      const auto actor = living[below(living.size())];
      const auto moved = runtime->move_actor(actor.id, below(workers));
      if (!moved) {
        EXPECT_EQ(moved.error().code, ErrorCode::no_space) << moved.error().message;
      }
      if (runtime->send(actor, Add{1})) ++sent;
      if (!dead.empty() && runtime->send(dead[below(dead.size())], Add{1})) ++to_the_dead;
    }
  }
  expect_run(*runtime);
  for (const auto actor : living) EXPECT_TRUE(runtime->read(actor)) << actor.id.word;
  for (const auto actor : dead) EXPECT_FALSE(runtime->read(actor)) << actor.id.word;
  EXPECT_EQ(runtime->stats().live, living.size());
  expect_ok(runtime->stop());
  EXPECT_GT(runtime->stats().moves, 10u);
  EXPECT_EQ(runtime->stats().in_flight, 0u);
  EXPECT_EQ(outputs + runtime->stats().dead, sent + to_the_dead);
}

TEST_P(Move, MailForTheDeadGoesWithThePlaceGivenInExchange) {
  auto it = make_spots(GetParam(), movable(), 0);
  Runtime& runtime = *it->runtime;
  expect_ok(runtime.start());
  // the one free place of worker 1
  const auto dead = it->spots[5];
  const auto spot = it->spots[0];
  expect_ok(runtime.kill(dead.id));
  expect_run(runtime);
  expect_ok(runtime.pause());
  for (std::uint32_t i = 1; i <= 3; ++i) expect_ok(runtime.send(dead, Add{i}));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // most lie in its inbox then
  expect_ok(runtime.send(dead, Add{4}));
  expect_ok(runtime.move_actor(spot.id, 1));
  EXPECT_EQ(*runtime.worker_of(dead.id), 0u);
  expect_ok(runtime.send(dead, Add{5}));
  expect_ok(runtime.send(spot, Add{6}));
  expect_run(runtime);
  EXPECT_EQ(runtime.read(spot)->order, 16u);
  // the worker that owns the place answers for all of them
  const auto telemetry = runtime.telemetry();
  ASSERT_TRUE(telemetry);
  for (std::uint32_t w = 0; w < GetParam().workers; ++w)
    EXPECT_EQ(telemetry->workers[w].dead, w == 0 ? 5u : 0u) << "worker " << w;
  // and back into the place where they were
  expect_ok(runtime.move_actor(spot.id, 0));
  EXPECT_EQ(runtime.read(spot)->order, 16u);
  expect_ok(runtime.stop());
  EXPECT_EQ(runtime.stats().in_flight, 0u);
}

TEST_P(Move, ACheckpointBetweenMovesRestoresTheSameActorsWithAndWithoutIncrements) {
  for (const std::uint32_t full_every : {1u, 8u}) {
    for (const std::uint32_t field : {64u, 12'000u}) {
      auto storage = std::make_shared<checkpoint::MemoryStorage>();
      const auto make = [&](std::uint32_t workers) {
        RuntimeOptions options = movable();
        options.checkpoint.storage = storage;
        options.checkpoint.full_every = full_every;
        auto runtime = make_runtime<Spot>(Shape{workers, GetParam().lanes}, options);
        runtime->on_output<Where>([](const Where&, const OutputInfo&) {});
        expect_ok(runtime->reserve<Spot>(6 * workers, field));
        return runtime;
      };
      const std::uint32_t workers = GetParam().workers;
      auto runtime = make(workers);
      auto spots =
          runtime->spawn<Spot>(4 * workers, [](std::uint32_t, Spot&) {}, {.field_bytes = field});
      expect_ok(runtime->start());
      for (std::uint32_t round = 0; round < 5; ++round) {
        for (std::uint32_t n = 0; n < 3; ++n) {
          const auto spot = (*spots)[(round * 5 + n * 3) % (4 * workers)];
          (void)runtime->send(spot, Add{round + n});
          const auto moved = runtime->move_actor(spot.id, (round + n) % workers);
          if (!moved) {
            EXPECT_EQ(moved.error().code, ErrorCode::no_space);
          }
          (void)runtime->send(spot, Add{1});
        }
        if (round == 2) expect_ok(runtime->kill((*spots)[1].id));
        const auto cost = runtime->checkpoint_now();
        ASSERT_TRUE(cost) << cost.error().message;
        EXPECT_EQ(cost->parent != 0, full_every != 1 && round != 0);
      }
      expect_run(*runtime);
      EXPECT_GE(runtime->stats().moves, 3u);
      expect_ok(runtime->stop());
      const auto digest = runtime->state_digest();
      runtime.reset();
      auto restored = make(1 + workers % 3);
      const auto report = restored->restore_latest();
      ASSERT_TRUE(report && report->restored);
      expect_run(*restored);
      expect_ok(restored->stop());
      EXPECT_EQ(restored->stats().live, 4 * workers - 1);
      EXPECT_EQ(*restored->state_digest(), *digest)
          << "full_every " << full_every << " field " << field;
    }
  }
}

TEST_P(Move, ReadsGoOnWhileActorsMoveAndPausedStaysPaused) {
  auto it = make_spots(GetParam());
  Runtime& runtime = *it->runtime;
  expect_ok(runtime.start());
  const auto spot = it->spots[0];
  std::atomic<bool> is_over = false;
  std::thread reader([&] {
    while (!is_over) {
      const auto state = runtime.read(spot);
      EXPECT_TRUE(state) << state.error().message;
    }
  });
  const std::uint32_t moves = GetParam().lanes == 1 ? 100 : 20;
  for (std::uint32_t n = 0; n < moves; ++n)
    expect_ok(runtime.move_actor(spot.id, (n + 1) % GetParam().workers, std::chrono::seconds(20)));
  is_over = true;
  reader.join();
  expect_ok(runtime.pause());
  expect_ok(runtime.send(spot, Add{1}));
  const std::uint32_t at = *runtime.worker_of(spot.id);
  expect_ok(runtime.move_actor(spot.id, (at + 1) % GetParam().workers));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(runtime.read(spot)->order, 1u);
  expect_run(runtime);
  EXPECT_EQ(runtime.read(spot)->order, 11u);
  expect_ok(runtime.stop());
}

}  // namespace
}  // namespace rk::test
