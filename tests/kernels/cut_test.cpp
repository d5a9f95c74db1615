// The cut on a running system: every checkpoint is a state the system could have been in, and
// continues to the same end.
#include "programs.hpp"
#include "temp_dir.hpp"

#include <ringkernel/checkpoint/restore.hpp>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <set>
#include <thread>

namespace rk::test {
namespace {

constexpr std::uint32_t kPopulation = 3000;
constexpr std::uint32_t kTokens = 200;

RuntimeOptions saving_in(const TempDir& dir) {
  RuntimeOptions options;
  options.capacity.snapshot_ring_bytes = 1 << 20;
  options.checkpoint.dir = dir.path();
  options.checkpoint.keep = 100;
  return options;
}

/// Visits done plus visits that the tokens in flight still owe.
std::uint64_t visits_accounted(const checkpoint::LoadedCheckpoint& loaded) {
  std::uint64_t total = 0;
  for (const auto& slot : loaded.slots) {
    Hopper hopper;
    std::memcpy(&hopper, slot.state.data(), sizeof(hopper));
    EXPECT_EQ(hopper.visits, slot.row.handled);
    total += hopper.visits;
  }
  for (const auto& message : loaded.messages) {
    Token token;
    std::memcpy(&token, message.slot.data() + sizeof(MessageHeader), sizeof(token));
    total += token.hops + 1;
  }
  return total;
}

struct Ended {
  std::uint64_t visits = 0;
  std::uint32_t ended = 0;
};
Ended finish(Runtime& runtime) {
  auto report = runtime.run();
  EXPECT_TRUE(report) << (report ? "" : report.error().message);
  expect_ok(runtime.stop());
  Ended sum;
  expect_ok(runtime.for_each_slot([&](const SlotHeader&, auto state, auto) {
    sum.visits += reinterpret_cast<const Hopper*>(state.data())->visits;
    sum.ended += reinterpret_cast<const Hopper*>(state.data())->ended;
  }));
  return sum;
}

/// Host bookkeeping that joins the cut: outputs received so far and tokens fed so far.
struct Host {
  std::uint32_t received = 0;
  std::uint32_t fed = 0;

  void attach(Runtime& runtime, std::uint32_t hops) {
    runtime.on_output<Token>([this](const Token&, const OutputInfo&) { ++received; });
    runtime.on_feed([this, hops](Feed& feed) {
      for (std::uint32_t n = 0; n < 4 && fed < kTokens; ++n) {
        if (!feed.send(ref<Hopper>{ActorId::make(fed * 7 % kPopulation, 0)}, Token{hops})) break;
        ++fed;
      }
      return fed < kTokens ? FeedState::more : FeedState::ended;
    });
    runtime.on_cut(
        [this] {
          std::vector<std::byte> bytes(sizeof(Host));
          std::memcpy(bytes.data(), this, sizeof(Host));
          return bytes;
        },
        [this](std::span<const std::byte> bytes) -> Result<void> {
          if (bytes.size() != sizeof(Host)) return fail(ErrorCode::corrupt, "host state");
          std::memcpy(static_cast<void*>(this), bytes.data(), sizeof(Host));
          return {};
        });
  }
};

class Cuts : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Cuts,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{4, 1}, Shape{2, 4}),
                         shape_name);

TEST_P(Cuts, EveryCheckpointOfARunningSystemAccountsForEveryTokenAndContinues) {
  // groups of several threads on fewer cores are slow, and need fewer hops to keep messages in
  // flight
  const std::uint32_t hops = GetParam().lanes == 1 ? 4000 : 80;
  TempDir dir;
  Host host;
  auto runtime = make_runtime<Hopper>(GetParam(), saving_in(dir));
  host.attach(*runtime, hops);
  ASSERT_TRUE(runtime->spawn<Hopper>(kPopulation,
                                     [](std::uint32_t, Hopper& h) { h.population = kPopulation; }));
  expect_ok(runtime->start());
  std::uint64_t in_flight = 0;
  for (int i = 0; i < 10; ++i) {
    auto cost = runtime->checkpoint_now();
    ASSERT_TRUE(cost) << cost.error().message;
    EXPECT_EQ(cost->slots, kPopulation);
    in_flight += cost->messages;
  }
  EXPECT_GT(in_flight, 0u) << "no cut caught a message in flight: this proves nothing";
  const Ended whole = finish(*runtime);
  EXPECT_EQ(whole.ended, kTokens);
  EXPECT_EQ(whole.visits, std::uint64_t{kTokens} * (hops + 1));
  EXPECT_EQ(host.received, kTokens);
  runtime.reset();

  auto storage = std::make_shared<checkpoint::FileStorage>(dir.path());
  auto directory = checkpoint::CheckpointDirectory::open(storage, "checkpoint");
  ASSERT_TRUE(directory);
  auto entries = directory->list();
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 10u);
  for (const auto& entry : *entries) {
    auto loaded = checkpoint::load_checkpoint(*directory, entry);
    ASSERT_TRUE(loaded) << loaded.error().message;
    Host then;
    ASSERT_EQ(loaded->host_state.size(), sizeof(Host) + 24);
    std::memcpy(static_cast<void*>(&then), loaded->host_state.data() + 24, sizeof(Host));
    EXPECT_EQ(visits_accounted(*loaded), std::uint64_t{then.fed} * (hops + 1)) << entry.directory;
  }
  for (const Shape shape : {Shape{1, 1}, Shape{3, 1}}) {
    Host again;
    auto resumed = make_runtime<Hopper>(shape, saving_in(dir));
    again.attach(*resumed, hops);
    auto restored = resumed->restore_latest();
    ASSERT_TRUE(restored) << restored.error().message;
    ASSERT_TRUE(restored->restored);
    expect_ok(resumed->start());
    ASSERT_TRUE(resumed->checkpoint_now());  // what was replayed can cross a cut again
    const Ended rest = finish(*resumed);
    EXPECT_EQ(rest.ended, kTokens);
    EXPECT_EQ(rest.visits, std::uint64_t{kTokens} * (hops + 1));
    EXPECT_EQ(again.received, kTokens);
  }
}

TEST_P(Cuts, BlocksInFlightComeBackWhole) {
  constexpr std::uint32_t kCarriers = 16;
  constexpr std::uint32_t kRounds = 20'000;
  TempDir dir;
  auto runtime = make_runtime<Carrier>(GetParam(), saving_in(dir));
  auto carriers = runtime->spawn<Carrier>(kCarriers, [](std::uint32_t i, Carrier& c) {
    c.next = {ActorId::make((i + 1) % kCarriers, 0)};
    c.rounds = kRounds;
  });
  ASSERT_TRUE(carriers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < kCarriers; ++i) expect_ok(runtime->send((*carriers)[i], Parcel{0}));
  auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost) << cost.error().message;
  EXPECT_EQ(cost->messages, kCarriers);
  expect_ok(runtime->stop());
  runtime.reset();

  auto resumed = make_runtime<Carrier>({3, 1}, saving_in(dir));
  auto restored = resumed->restore_latest();
  ASSERT_TRUE(restored && restored->restored);
  auto report = resumed->run();
  ASSERT_TRUE(report) << report.error().message;
  expect_ok(resumed->stop());
  std::uint64_t handled = 0;
  expect_ok(resumed->for_each_slot([&](const SlotHeader& slot, auto state, auto) {
    handled += slot.handled;
    for (const std::uint32_t errors : reinterpret_cast<const Carrier*>(state.data())->errors)
      EXPECT_EQ(errors, 0u);
  }));
  EXPECT_EQ(handled, std::uint64_t{kCarriers} * (kRounds + 1));
}

TEST(CutProgress, CompletesWhileTheApplicationIsPaused) {
  TempDir dir;
  auto runtime = make_runtime<Hopper>({2, 1}, saving_in(dir));
  auto hoppers = runtime->spawn<Hopper>(
      kPopulation, [](std::uint32_t, Hopper& h) { h.population = kPopulation; });
  ASSERT_TRUE(hoppers);
  expect_ok(runtime->start(true));
  for (std::uint32_t i = 0; i < 100; ++i) expect_ok(runtime->send((*hoppers)[i], Token{3}));
  auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost) << cost.error().message;
  EXPECT_EQ(cost->messages, 100u);
}

TEST(CutProgress, CompletesWhileQueuesWaitForEachOther) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.capacity = tiny_capacities();
  options.capacity.h2k_slots = 256;
  options.stall_deadline = std::chrono::seconds(0);
  auto runtime = make_runtime<Doubler>({2, 1}, options);
  auto doublers = runtime->spawn<Doubler>(4, [](std::uint32_t, Doubler&) {});
  ASSERT_TRUE(doublers);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 16; ++i) expect_ok(runtime->send((*doublers)[i % 4], Split{}));
  std::uint64_t before = 0;
  for (int quiet = 0; quiet < 50;) {  // until nothing moves any more
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::uint64_t now = runtime->stats().received;
    quiet = now == before ? quiet + 1 : 0;
    before = now;
  }
  const RuntimeStats stats = runtime->stats();
  ASSERT_GT(stats.sent, stats.received) << "the application is not stuck";
  auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost) << cost.error().message;
  EXPECT_EQ(cost->messages, stats.sent - stats.received);
}

struct Wait {
  static constexpr std::uint8_t tag = 7;
  std::uint32_t unused;
};
std::atomic<bool> may_wake{false};
/// Its handler returns when the test says so.
struct Sleeper {
  using messages = handles<Wait>;
  static constexpr const char* name = "test.sleeper";
  std::uint64_t woken;
  template <class Ctx>
  void on(const Wait&, Ctx&) {
    while (!may_wake) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++woken;
  }
};

TEST(CutDeadline, IsAbandonedWithAnExplanationAndTheNextOneSucceeds) {
  TempDir dir;
  RuntimeOptions options = saving_in(dir);
  options.checkpoint.deadline = std::chrono::seconds(3);
  may_wake = false;
  auto runtime = make_runtime<Sleeper>({2, 1}, options);
  auto sleepers = runtime->spawn<Sleeper>(2, [](std::uint32_t, Sleeper&) {});
  ASSERT_TRUE(sleepers);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*sleepers)[1], Wait{}));
  // the message must be in its handler, not in a queue, for the worker to be unable to take the cut
  while (runtime->stats().sent == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  auto late = runtime->checkpoint_now();
  may_wake = true;
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::deadline_exceeded);
  EXPECT_NE(late.error().message.find("worker 1"), std::string::npos) << late.error().message;
  auto report = runtime->run();
  ASSERT_TRUE(report) << report.error().message;
  auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost) << cost.error().message;
  EXPECT_EQ(runtime->stats().checkpoints, 1u);
  EXPECT_EQ(runtime->stats().checkpoint_failures, 1u);
}

TEST(CutApplication, AFailedSaveFailsTheCheckpointAndNothingElse) {
  TempDir dir;
  auto runtime = make_runtime<Hopper>({2, 1}, saving_in(dir));
  bool broken = true;
  runtime->on_cut(
      [&]() -> Result<std::vector<std::byte>> {
        if (broken) return fail(ErrorCode::no_space, "the sink is full");
        return std::vector<std::byte>(4);
      },
      [](std::span<const std::byte>) -> Result<void> { return {}; });
  ASSERT_TRUE(runtime->spawn<Hopper>(10, [](std::uint32_t, Hopper& h) { h.population = 10; }));
  expect_ok(runtime->start());
  auto cost = runtime->checkpoint_now();
  ASSERT_FALSE(cost);
  EXPECT_EQ(cost.error().code, ErrorCode::no_space);
  EXPECT_EQ(cost.error().message, "the sink is full");
  broken = false;
  ASSERT_TRUE(runtime->checkpoint_now());
}

TEST(CutClock, StampsAfterARestoreExceedEveryStampBefore) {
  TempDir dir;
  std::uint64_t newest = 0;
  {
    auto runtime = make_runtime<Hopper>({2, 1}, saving_in(dir));
    runtime->on_output<Token>(
        [&](const Token&, const OutputInfo& info) { newest = std::max(newest, info.hlc); });
    auto hoppers = runtime->spawn<Hopper>(10, [](std::uint32_t, Hopper& h) { h.population = 10; });
    expect_ok(runtime->start());
    expect_ok(runtime->send((*hoppers)[0], Token{100}));
    ASSERT_TRUE(runtime->run());
    ASSERT_TRUE(runtime->checkpoint_now());
    expect_ok(runtime->stop());
  }
  ASSERT_GT(newest, 0u);
  auto resumed = make_runtime<Hopper>({1, 1}, saving_in(dir));
  std::uint64_t oldest_new = ~std::uint64_t{0};
  resumed->on_output<Token>(
      [&](const Token&, const OutputInfo& info) { oldest_new = std::min(oldest_new, info.hlc); });
  ASSERT_TRUE(resumed->restore_latest());
  expect_ok(resumed->start());
  expect_ok(resumed->send(ref<Hopper>{ActorId::make(0, 0)}, Token{0}));
  ASSERT_TRUE(resumed->run());
  EXPECT_GT(oldest_new, newest);
}

}  // namespace
}  // namespace rk::test
