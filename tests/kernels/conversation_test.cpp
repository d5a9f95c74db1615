// Two actors on different workers that wait for each other's answers: pair cells, through the
// runtime. What else travels between their workers keeps its order.
#include "programs.hpp"
#include "temp_dir.hpp"

#include <chrono>
#include <thread>

namespace rk::test {
namespace {

using namespace std::chrono_literals;

struct Question {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 3;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t number;
};
/// Answers questions, at times with others behind the answer, and hears whether order holds.
struct Talker {
  using messages = handles<Question>;
  static constexpr const char* name = "test.talker";
  ref<Talker> other;
  std::uint64_t last;
  std::uint64_t heard;
  std::uint64_t violations;
  std::uint32_t sequence;

  template <class Ctx>
  RK_FN void on(const Question& question, Ctx& ctx) {
    ++heard;
    if (ctx.sender() != kHostId) {
      violations += ctx.source_sequence() <= sequence;
      sequence = ctx.source_sequence();
    }
    if (question.number == 0 || last == 0) return;
    --last;
    ctx.send(other, Question{question.number - 1});
    // ends there: it must not overtake the answer
    for (std::uint64_t n = ctx.rng().below(8); n < 2; ++n) ctx.send(other, Question{0});
  }
};

/// Pairs of talkers, each on two workers.
std::unique_ptr<Runtime> make_talkers(std::uint32_t workers, std::uint32_t pairs,
                                      std::uint64_t hops, RuntimeOptions options = {}) {
  options.placement = Placement::spread;
  auto runtime = make_runtime<Talker>({workers, 1}, std::move(options));
  EXPECT_TRUE(runtime->spawn<Talker>(2 * pairs, [hops](std::uint32_t i, Talker& talker) {
    talker.other = {ActorId::make(i ^ 1, 0)};
    talker.last = hops;
  }));
  return runtime;
}
void begin(Runtime& runtime, std::uint32_t pairs, std::uint64_t hops) {
  for (std::uint32_t i = 0; i < pairs; ++i) {
    for (const std::uint32_t who : {2 * i, 2 * i + 1})
      ASSERT_TRUE(runtime.send(ref<Talker>{ActorId::make(who, 0)}, Question{hops}));
  }
}
struct Sum {
  std::uint64_t heard = 0;
  std::uint64_t violations = 0;
};
Sum sum_of(Runtime& runtime) {
  Sum sum;
  expect_ok(runtime.for_each_slot([&](const SlotHeader&, auto state, auto) {
    const auto& talker = *reinterpret_cast<const Talker*>(state.data());
    sum.heard += talker.heard;
    sum.violations += talker.violations;
  }));
  return sum;
}

class Conversations : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Workers, Conversations, testing::Values(2u, 3u, 8u, 9u),
                         testing::PrintToStringParamName());

TEST_P(Conversations, KeepTheirOrderBesideEverythingElse) {
  for (const std::uint32_t pairs : {1u, 3u}) {
    const std::uint64_t hops = GetParam() > 3 ? 2000 : 20'000;
    auto runtime = make_talkers(GetParam(), pairs, hops);
    expect_ok(runtime->start());
    begin(*runtime, pairs, hops);
    expect_run(*runtime);
    expect_ok(runtime->stop());
    const Sum sum = sum_of(*runtime);
    EXPECT_EQ(sum.violations, 0u);
    EXPECT_GT(sum.heard, pairs * hops);
  }
}

TEST(Conversation, FullInboxesDoNotLetItOvertake) {
  RuntimeOptions options;
  options.capacity = tiny_capacities();
  options.capacity.inbox_slots = 2;
  options.capacity.outbox_slots = 1024;
  auto runtime = make_talkers(2, 4, 3000, options);
  expect_ok(runtime->start());
  begin(*runtime, 4, 3000);
  expect_run(*runtime);
  expect_ok(runtime->stop());
  EXPECT_EQ(sum_of(*runtime).violations, 0u);
  EXPECT_GT(runtime->stats().full_inbox_total, 0u) << "no inbox was full: this proves little";
}

TEST(Conversation, AStopInItsMiddleFindsEveryMessage) {
  constexpr std::uint64_t kForEver = ~std::uint64_t{0};
  for (std::uint32_t i = 0; i < 20; ++i) {
    auto runtime = make_talkers(2 + i % 2, 1 + i % 3, kForEver);
    expect_ok(runtime->start());
    begin(*runtime, 1 + i % 3, kForEver);
    std::this_thread::sleep_for(std::chrono::microseconds(300 * i));
    expect_ok(runtime->stop());  // fails if sent and received differ by what waits
    EXPECT_EQ(sum_of(*runtime).violations, 0u);
  }
}

TEST(Conversation, ACutInItsMiddleContinuesOnOtherWorkers) {
  constexpr std::uint64_t kHops = 60'000;
  std::uint64_t recorded = 0;
  for (const std::uint32_t workers : {2u, 3u}) {
    TempDir dir;
    RuntimeOptions options;
    options.checkpoint.dir = dir.path();
    options.checkpoint.keep = 100;
    auto runtime = make_talkers(workers, 2, kHops, options);
    expect_ok(runtime->start());
    begin(*runtime, 2, kHops);
    for (int i = 0; i < 4; ++i) {
      const auto cost = runtime->checkpoint_now();
      ASSERT_TRUE(cost) << cost.error().message;
      recorded += cost->messages;
    }
    expect_ok(runtime->stop());
    runtime.reset();
    for (const std::uint32_t restored_workers : {1u, 2u, 4u}) {
      auto again = make_runtime<Talker>({restored_workers, 1}, options);
      const auto report = again->restore_latest();
      ASSERT_TRUE(report) << report.error().message;
      ASSERT_TRUE(report->restored);
      expect_run(*again);
      expect_ok(again->stop());
      // each pair has two conversations; each ends when a talker has answered kHops times or the
      // number is used up
      const Sum sum = sum_of(*again);
      EXPECT_EQ(sum.violations, 0u);
      EXPECT_GT(sum.heard, 2 * kHops);
    }
  }
  EXPECT_GT(recorded, 0u) << "no cut caught a message in flight: this proves nothing";
}

}  // namespace
}  // namespace rk::test
