// Handlers that run side by side: nothing lost, order per pair kept, grains mixed in one system.
#include "programs.hpp"

namespace rk::test {
namespace {

struct Hop {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_host_sends = 1;
  std::uint32_t hops;
  std::uint32_t number;  ///< of its sender's messages to this receiver
};
struct Trace {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
};
constexpr std::uint32_t kSmalls = 24;

struct Recorder;

/// One lane each: sends on, and a numbered trace to the recorder of its parity.
template <Grain G>
struct Small {
  using messages = handles<Hop>;
  static constexpr const char* name = G == Grain::thread ? "test.small" : "test.warped";
  static constexpr Grain grain = G;
  ref<Recorder> recorder;
  std::uint64_t visits;
  std::uint32_t traces;
  std::uint32_t ended;

  template <class Ctx>
  RK_FN void on(const Hop& hop, Ctx& ctx) {
    const std::uint32_t trace = ctx.leader() ? traces : 0;
    if (ctx.leader()) {
      ++visits;
      ++traces;
    }
    ctx.send(recorder, Trace{trace});
    if (hop.hops == 0) {
      if (ctx.leader()) ++ended;
      ctx.send_to_host(Trace{trace});
      return;
    }
    const std::uint32_t to = ctx.rng().below(2 * kSmalls);
    // both halves handle Hop: who is who does not matter to the sender
    ctx.send(ref<Small>{ActorId::make(to, 0)}, Hop{hop.hops - 1, 0});
  }
};
struct Recorder {
  using messages = handles<Trace>;
  static constexpr const char* name = "test.recorder";
  std::uint32_t next[2 * kSmalls];
  std::uint64_t traces;
  std::uint64_t violations;

  template <class Ctx>
  RK_FN void on(const Trace& trace, Ctx& ctx) {
    if (!ctx.leader()) return;
    ++traces;
    if (trace.number != next[ctx.sender().index()]++) ++violations;
  }
};
using Thready = Small<Grain::thread>;
using Warpy = Small<Grain::warp>;

class Grains : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Grains,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{1, 4}, Shape{2, 4},
                                         Shape{2, 3}),
                         shape_name);

TEST_P(Grains, MixedInOneSystemLoseNothingAndKeepTheOrderPerPair) {
  auto runtime = make_runtime<Thready, Warpy, Recorder>(GetParam());
  std::uint32_t ended = 0;
  runtime->on_output<Trace>([&](const Trace&, const OutputInfo&) { ++ended; });
  const ref<Recorder> recorder{ActorId::make(2 * kSmalls, 0)};
  auto thready = runtime->spawn<Thready>(
      kSmalls, [recorder](std::uint32_t, Thready& small) { small.recorder = recorder; });
  auto warpy = runtime->spawn<Warpy>(
      kSmalls, [recorder](std::uint32_t, Warpy& small) { small.recorder = recorder; });
  auto recorders = runtime->spawn<Recorder>(1, [](std::uint32_t, Recorder&) {});
  ASSERT_TRUE(thready && warpy && recorders);
  expect_ok(runtime->start(true));
  const std::uint32_t hops = GetParam().lanes == 1 ? 2000 : 20;
  for (std::uint32_t i = 0; i < kSmalls; ++i) {
    expect_ok(runtime->send((*thready)[i], Hop{hops, 0}));
    expect_ok(runtime->send((*warpy)[i], Hop{hops, 0}));
  }
  expect_run(*runtime);
  const auto record = runtime->read((*recorders)[0]);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->violations, 0u);
  EXPECT_EQ(record->traces, std::uint64_t{2 * kSmalls} * (hops + 1));
  EXPECT_EQ(ended, 2 * kSmalls);
  expect_ok(runtime->stop());
  std::uint64_t visits = 0;
  expect_ok(runtime->for_each_slot([&](const SlotHeader& slot, auto state, auto) {
    if (slot.type == 2) return;
    visits += reinterpret_cast<const Thready*>(state.data())->visits;
  }));
  EXPECT_EQ(visits, std::uint64_t{2 * kSmalls} * (hops + 1));
  EXPECT_EQ(runtime->stats().in_flight, 0u);
}

}  // namespace
}  // namespace rk::test
