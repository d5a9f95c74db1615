// Everything survives the cut: timers, asks, the dead, links, suspensions, dead letters, commands.
#include "survival_programs.hpp"

#include <ringkernel/checkpoint/memory_storage.hpp>
#include <ringkernel/checkpoint/restore.hpp>

#include <set>
#include <thread>

namespace rk::test {
namespace {

using namespace survival;

constexpr std::uint32_t kBatons = 14;
constexpr std::uint32_t kHops = 25;
constexpr std::uint32_t kVictims = 4;  ///< hands that no token visits
constexpr std::uint32_t kTickers = 3;
constexpr std::uint32_t kAskers = 3;
constexpr std::uint32_t kNurseries = 2;

// what spawn() gives: ids in the order of the calls
constexpr std::uint32_t kBoss = kHands + kVictims;
constexpr std::uint32_t kFirstTicker = kBoss + 1;
constexpr std::uint32_t kServer = kFirstTicker + kTickers;
constexpr std::uint32_t kFirstAsker = kServer + 1;
constexpr std::uint32_t kFirstNursery = kFirstAsker + kAskers;

template <class A>
ref<A> at(std::uint32_t index) {
  return {ActorId::make(index, 0)};
}

using Storage = std::shared_ptr<checkpoint::MemoryStorage>;

std::unique_ptr<Runtime> open(std::uint32_t workers, const Storage& storage, Ledger& ledger) {
  RuntimeOptions options;
  // so small that outboxes and stashes are used, large enough for all that is ever in flight
  options.capacity = {.inbox_slots = 4,
                      .local_slots = 256,
                      .control_slots = 4,
                      .outbox_slots = 256,
                      .stash_slots = 256,
                      .timer_slots = 32,
                      .slab_blocks = 2,
                      .slab_block_bytes = 64,
                      .h2k_slots = 128,
                      .k2h_slots = 16,
                      .snapshot_ring_bytes = 1 << 20};
  options.placement = Placement::spread;
  options.stall_deadline = std::chrono::seconds(5);
  if (storage) {
    options.checkpoint.dir = "memory";
    options.checkpoint.storage = storage;
    options.checkpoint.keep = 1000;
    options.checkpoint.full_every = 3;
  }
  auto runtime =
      make_runtime<Hand, Boss, Ticker, Server, Asker, Nursery, Child>({workers, 1}, options);
  expect_ok(runtime->reserve<Child>(60));
  ledger.listen(*runtime);
  return runtime;
}

/// All actors, and all that the host ever sends but for the kills at the end.
void populate(Runtime& runtime) {
  const auto none = [](std::uint32_t, auto&) {};
  const SpawnPolicy policy{
      .supervisor = ActorId::make(kBoss, 0), .restart = Restart::fresh, .max_tries = 0};
  SpawnPolicy saved = policy;
  saved.restart = Restart::saved;
  ASSERT_TRUE(runtime.spawn<Hand>(kHands / 2, none, {.field_bytes = 40, .policy = policy}));
  ASSERT_TRUE(runtime.spawn<Hand>(kHands / 2, none, {.field_bytes = 40, .policy = saved}));
  ASSERT_TRUE(runtime.spawn<Hand>(kVictims, none));
  ASSERT_TRUE(runtime.spawn<Boss>(1, none));
  ASSERT_TRUE(runtime.spawn<Ticker>(kTickers, none));
  ASSERT_TRUE(runtime.spawn<Server>(1, none));
  ASSERT_TRUE(runtime.spawn<Asker>(
      kAskers, [](std::uint32_t, Asker& asker) { asker.server = at<Server>(kServer); }));
  ASSERT_TRUE(runtime.spawn<Nursery>(kNurseries, none));
  expect_ok(runtime.start(true));
  for (std::uint32_t v = 0; v < kVictims; ++v) {
    expect_ok(runtime.send(at<Hand>(v), Meet{ActorId::make(kHands + v, 0), 1}));
    expect_ok(runtime.send(at<Hand>(v + kVictims), Meet{ActorId::make(kHands + v, 0), 0}));
  }
  for (std::uint32_t i = 0; i < kTickers; ++i)
    expect_ok(runtime.send(at<Ticker>(kFirstTicker + i),
                           Wind{ActorId::make(kFirstTicker + (i + 1) % kTickers, 0)}));
  for (std::uint32_t i = 0; i < kAskers; ++i)
    expect_ok(runtime.send(at<Asker>(kFirstAsker + i), Inquire{0}));
  for (std::uint32_t i = 0; i < kNurseries; ++i)
    expect_ok(runtime.send(at<Nursery>(kFirstNursery + i), Raise{0}));
  for (std::uint32_t t = 0; t < kBatons; ++t)
    expect_ok(runtime.send(at<Hand>(t % kHands), Baton{t, kHops}));
}

/// Runs to the end, kills those that others watch, and judges.
void finish(Runtime& runtime, const Ledger& ledger) {
  expect_run(runtime);
  EXPECT_EQ(ledger.count(Event::baton), kBatons * (kHops + 1));
  EXPECT_EQ(ledger.count(Event::tick), kTickers * kTicks);
  EXPECT_EQ(ledger.count(Event::step), kTickers * kTicks);
  EXPECT_EQ(ledger.count(Event::early), 0u);
  EXPECT_EQ(ledger.count(Event::answered), kAskers * kQuestions / 2);
  EXPECT_EQ(ledger.count(Event::expired), kAskers * kQuestions / 2);
  EXPECT_EQ(ledger.count(Event::muddled), 0u);
  EXPECT_EQ(ledger.count(Event::refused), 0u);
  EXPECT_EQ(ledger.count(Event::born), kNurseries * kRounds * 2) << "an id came back, or was lost";

  std::set<std::uint32_t> letters;
  for (const DeadLetter& letter : runtime.dead_letters()) {
    EXPECT_EQ(letter.tag, Letter::tag);
    EXPECT_EQ(letter.reason, DeadReason::dead);
    Letter content;
    std::memcpy(&content, letter.payload.data(), sizeof(content));
    EXPECT_TRUE(letters.insert(content.number).second) << "listed twice: " << content.number;
    EXPECT_TRUE(ledger.has(Event::born, letter.to.word, 0));
    EXPECT_FALSE(runtime.read(ref<Child>{letter.to})) << "the dead came back";
  }
  EXPECT_EQ(letters.size(), kNurseries * kRounds * 2);

  const std::uint64_t failures = runtime.read(at<Boss>(kBoss))->failures;
  for (std::uint32_t v = 0; v < kVictims; ++v)
    expect_ok(runtime.kill(ActorId::make(kHands + v, 0), 7));
  expect_run(runtime);
  EXPECT_EQ(ledger.count(Event::down), kVictims);
  EXPECT_EQ(runtime.read(at<Boss>(kBoss))->failures, failures + kVictims)
      << "a linked actor did not fail";
  EXPECT_EQ(runtime.stats().live, kFirstNursery + kNurseries - kVictims);
  expect_ok(runtime.stop());
  EXPECT_EQ(runtime.stats().in_flight, 0u);
  expect_ok(runtime.for_each_slot([](const SlotHeader& slot, auto, auto) {
    EXPECT_EQ(slot.stashed, 0u) << "actor " << slot.id.index();
    EXPECT_EQ(slot.flags & kSlotSuspended, 0);
  }));
}

/// What was in flight or at rest in the cuts of a storage.
struct Seen {
  std::uint32_t cuts = 0, increments = 0;
  std::uint32_t timers = 0, step_timers = 0, deadlines = 0, asks = 0, replies = 0;
  std::uint32_t commands = 0, notices = 0, control = 0, letters = 0, outputs = 0;
  std::uint32_t graves = 0, suspended = 0;
};
void look(const Storage& storage, Seen& seen) {
  auto directory = checkpoint::CheckpointDirectory::open(storage, "checkpoint");
  ASSERT_TRUE(directory) << directory.error().message;
  auto names = storage->list("");
  ASSERT_TRUE(names);
  for (const auto& entry : *names) {
    const auto name = checkpoint::parse_checkpoint_name(entry.name);
    if (!name) continue;
    auto loaded = checkpoint::load_checkpoint(*directory, {.name = *name, .directory = entry.name});
    if (!loaded) continue;
    ++seen.cuts;
    for (const auto& message : loaded->messages) {
      const MessageView view{const_cast<std::byte*>(message.slot.data()),
                             static_cast<std::uint32_t>(message.slot.size())};
      const MessageKind kind = view.route().message_kind();
      seen.timers += kind == MessageKind::timer_us;
      seen.step_timers += kind == MessageKind::timer_steps;
      seen.deadlines += kind == MessageKind::ask_deadline;
      seen.asks += kind == MessageKind::ask;
      seen.replies += kind == MessageKind::reply;
      seen.control += (view.header().flags & kFlagControl) != 0;
      const bool is_command = (view.header().flags & kFlagSystem) != 0;
      seen.commands += is_command;
      seen.notices += !is_command && view.header().tag == Failed::tag;
    }
    for (const auto& output : loaded->outputs) {
      const auto& header = *reinterpret_cast<const MessageHeader*>(output.slot.data());
      ++((header.flags & kFlagDead) != 0 ? seen.letters : seen.outputs);
    }
    seen.graves += static_cast<std::uint32_t>(loaded->graves.size());
    for (const auto& slot : loaded->slots) seen.suspended += (slot.row.flags & kSlotSuspended) != 0;
  }
}

struct Cuts {
  std::uint32_t before;  ///< workers
  std::uint32_t after;
  std::uint32_t cuts;
  std::uint32_t steps;  ///< messages that a worker handles between two cuts; 0: it runs on
};
std::string cuts_name(const testing::TestParamInfo<Cuts>& info) {
  const Cuts& c = info.param;
  return "from" + std::to_string(c.before) + "to" + std::to_string(c.after) + "_cuts" +
         std::to_string(c.cuts) + "_steps" + std::to_string(c.steps);
}
class Survival : public testing::TestWithParam<Cuts> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Survival,
                         testing::Values(Cuts{2, 1, 6, 0}, Cuts{1, 2, 8, 0}, Cuts{3, 5, 5, 0},
                                         Cuts{2, 1, 3, 2}, Cuts{2, 2, 12, 3}, Cuts{3, 1, 20, 3},
                                         Cuts{1, 3, 25, 8}, Cuts{4, 5, 30, 2}, Cuts{5, 2, 16, 5}),
                         cuts_name);

TEST_P(Survival, NothingIsLostAndNothingHappensTwice) {
  const Cuts& cuts = GetParam();
  const auto storage = std::make_shared<checkpoint::MemoryStorage>();
  {
    Ledger lost;
    auto runtime = open(cuts.before, storage, lost);
    populate(*runtime);
    if (cuts.steps == 0) expect_ok(runtime->resume());
    for (std::uint32_t cut = 0; cut < cuts.cuts; ++cut) {
      if (cuts.steps != 0) expect_ok(runtime->step(cuts.steps));
      const auto cost = runtime->checkpoint_now();
      ASSERT_TRUE(cost) << cost.error().message;
    }
    // what happens from here on never happened
    if (cuts.steps != 0) expect_ok(runtime->resume());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  // twice, so that what was restored is saved and restored again
  {
    Ledger lost;
    auto runtime = open(cuts.after, storage, lost);
    const auto restored = runtime->restore_latest();
    ASSERT_TRUE(restored && restored->restored);
    EXPECT_TRUE(restored->skipped.empty());
    expect_ok(runtime->start(true));
    for (std::uint32_t cut = 0; cut < 3; ++cut) {
      expect_ok(runtime->step(2));
      const auto cost = runtime->checkpoint_now();
      ASSERT_TRUE(cost) << cost.error().message;
    }
  }
  Ledger ledger;
  auto runtime = open(cuts.before, storage, ledger);
  const auto restored = runtime->restore_latest();
  ASSERT_TRUE(restored && restored->restored);
  EXPECT_TRUE(restored->skipped.empty());
  finish(*runtime, ledger);
}

TEST(SurvivalUndisturbed, EndsTheSame) {
  for (const std::uint32_t workers : {1u, 3u}) {
    Ledger ledger;
    auto runtime = open(workers, nullptr, ledger);
    populate(*runtime);
    finish(*runtime, ledger);
  }
}

/// An answer waits for its suspended receiver until its ask is over. Then it is a dead letter, and
/// nothing of it must stay behind, on the worker it came to or on one it was restored to.
struct Halt {
  static constexpr std::uint8_t tag = 20;
  static constexpr std::uint32_t max_sends = 1;
  std::uint32_t command;
};
struct Halter {
  using messages = handles<Halt>;
  static constexpr const char* name = "survival.halter";
  ref<Asker> asker;
  template <class Ctx>
  RK_FN void on(const Halt& halt, Ctx& ctx) {
    ctx.command(static_cast<CommandTag>(halt.command), asker.id, Command{});
  }
};
TEST(SurvivalAnswers, OneThatComesTooLateLeavesNothingBehind) {
  for (const bool restores : {false, true}) {
    const auto storage = std::make_shared<checkpoint::MemoryStorage>();
    RuntimeOptions options;
    options.checkpoint.dir = "memory";
    options.checkpoint.storage = storage;
    Ledger ledger;
    const auto make = [&](std::uint32_t workers) {
      auto runtime = make_runtime<Server, Asker, Halter>({workers, 1}, options);
      ledger.listen(*runtime);
      return runtime;
    };
    auto runtime = make(1);
    ASSERT_TRUE(runtime->spawn<Server>(1, [](std::uint32_t, Server&) {}));
    ASSERT_TRUE(runtime->spawn<Asker>(1, [](std::uint32_t, Asker& a) {
      a.server = at<Server>(0);
      a.deadline_us = 100'000;
      a.is_brief = 1;
    }));
    ASSERT_TRUE(
        runtime->spawn<Halter>(1, [](std::uint32_t, Halter& h) { h.asker = at<Asker>(1); }));
    expect_ok(runtime->start(true));
    // asked, then suspended, before the answer comes
    expect_ok(runtime->send(at<Asker>(1), Inquire{0}));
    expect_ok(runtime->send(at<Halter>(2), Halt{static_cast<std::uint32_t>(CommandTag::suspend)}));
    expect_ok(runtime->resume());
    // the answer, and the deadline's notice behind it
    for (int i = 0; i < 20'000 && runtime->stats().stashed_total < 2; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_EQ(runtime->stats().stashed_total, 2u);
    if (restores) {
      ASSERT_TRUE(runtime->checkpoint_now());
      runtime.reset();
      runtime = make(2);
      ASSERT_TRUE(runtime->restore_latest());
      expect_ok(runtime->start());
    }
    expect_ok(runtime->send(at<Halter>(2), Halt{static_cast<std::uint32_t>(CommandTag::resume)}));
    expect_run(*runtime);
    expect_ok(runtime->stop());
    EXPECT_EQ(ledger.count(Event::expired), 1u);
    EXPECT_EQ(ledger.count(Event::answered), 0u);
    ASSERT_EQ(runtime->dead_letters().size(), 1u);
    EXPECT_EQ(runtime->dead_letters()[0].reason, DeadReason::expired);
    expect_ok(runtime->for_each_slot([](const SlotHeader& slot, auto, auto) {
      EXPECT_EQ(slot.stashed, 0u) << "actor " << slot.id.index();
    }));
  }
}

/// The cuts of the tests above mean something only if things were on their way in them.
TEST(SurvivalCuts, CatchEveryKindOfThingInFlight) {
  Seen seen;
  for (const std::uint32_t workers : {1u, 3u}) {
    const auto storage = std::make_shared<checkpoint::MemoryStorage>();
    {
      Ledger ledger;
      auto runtime = open(workers, storage, ledger);
      populate(*runtime);
      for (std::uint32_t cut = 0; cut < 30; ++cut) {
        expect_ok(runtime->step(cut % 2 == 0 ? 1 : 25));
        const auto cost = runtime->checkpoint_now();
        ASSERT_TRUE(cost) << cost.error().message;
        seen.increments += cost->parent != 0;
      }
      EXPECT_FALSE(runtime->dead_letters().empty());
    }
    look(storage, seen);
  }
  EXPECT_GE(seen.cuts, 60u);
  EXPECT_GT(seen.increments, 0u);
  EXPECT_GT(seen.timers, 0u);
  EXPECT_GT(seen.step_timers, 0u);
  EXPECT_GT(seen.deadlines, 0u);
  EXPECT_GT(seen.asks, 0u);
  EXPECT_GT(seen.replies, 0u);
  EXPECT_GT(seen.commands, 0u);
  EXPECT_GT(seen.notices, 0u) << "no Failed on its way";
  EXPECT_GT(seen.control, seen.commands);
  EXPECT_GT(seen.graves, 0u);
  EXPECT_GT(seen.suspended, 0u);
}

}  // namespace
}  // namespace rk::test
