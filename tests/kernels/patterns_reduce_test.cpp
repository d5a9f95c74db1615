// Reduce and broadcast: the same bits whatever the workers, members a round ahead, misuse named.
#include "patterns.hpp"

#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>

namespace rk::test {
namespace {

using Op = Sum<double>;

/// Sums of these depend on the order of the terms.
double value_of(std::uint32_t member, std::uint32_t round) {
  const double sign = (member + round) % 2 == 0 ? 1 : -1;
  return sign * (member % 3 == 0 ? 1e16 : 0.1 * member + round) / (1 + round % 5);
}
/// The tree's result, found without it: sixteen by sixteen, level by level.
double expected_of(std::uint32_t members, std::uint32_t round) {
  std::vector<double> level;
  for (std::uint32_t i = 0; i < members; ++i) level.push_back(value_of(i, round));
  do {
    std::vector<double> next;
    for (std::size_t i = 0; i < level.size(); ++i) {
      if (i % 16 == 0) {
        next.push_back(level[i]);
      } else {
        next.back() += level[i];
      }
    }
    level = next;
  } while (level.size() > 1);
  return level[0];
}

struct Go {
  static constexpr std::uint8_t tag = 1;
  std::uint32_t rounds;
};
struct Cell {
  using messages = handles<Go, Reduced>;
  static constexpr const char* name = "test.reduce.cell";
  ReduceGroup<Op> group;
  std::uint32_t index;
  std::uint32_t rounds;
  std::uint32_t next;      ///< round to contribute to
  std::uint32_t got;       ///< results
  std::uint64_t digest;    ///< of their bits, in order
  std::uint64_t failures;  ///< results out of turn

  template <class Ctx>
  RK_FN void on(const Go& go, Ctx& ctx) {
    ctx.sync();
    if (ctx.leader()) rounds = go.rounds;
    give(ctx);
    if (index % 2 == 1) give(ctx);  // every other member is a round ahead
  }
  template <class Ctx>
  RK_FN void on(const Reduced& reduced, Ctx& ctx) {
    ctx.sync();
    if (ctx.leader()) {
      if (reduced.round != got || reduced.group != group.first) ++failures;
      ++got;
      digest = digest * 0x100000001b3ull ^ reduced.bits;
    }
    give(ctx);
  }

 private:
  template <class Ctx>
  RK_FN void give(Ctx& ctx) {
    ctx.sync();
    const std::uint32_t round = next;
    ctx.sync();
    if (round >= rounds) return;
    contribute(ctx, group, index, round, value_of(index, round));
    if (ctx.leader()) next = round + 1;
  }
};

std::uint64_t expected_digest(std::uint32_t members, std::uint32_t rounds) {
  std::uint64_t digest = 0;
  for (std::uint32_t r = 0; r < rounds; ++r)
    digest = digest * 0x100000001b3ull ^ std::bit_cast<std::uint64_t>(expected_of(members, r));
  return digest;
}

struct Reduction {
  std::unique_ptr<Runtime> runtime;
  ActorRange<Cell> cells;

  Reduction(const Shape& shape, std::uint32_t members, RuntimeOptions options = spread_options())
      : runtime(
            make_runtime<Cell, ReduceNode<Op>, ReduceNode<Min<float>>>(shape, std::move(options))) {
    cells.count = members;
  }
  void spawn() {
    const std::uint32_t members = cells.count;
    auto spawned = runtime->spawn<Cell>(members, [members](std::uint32_t i, Cell& cell) {
      cell.group = {members, members};  // the tree comes right behind the members
      cell.index = i;
    });
    auto group = spawn_reduce_group<Op>(*runtime, *spawned);
    ASSERT_TRUE(spawned && group);
    ASSERT_EQ(group->first, members);
    ASSERT_EQ(group->members, members);
  }
  void go(std::uint32_t rounds) {
    for (std::uint32_t i = 0; i < cells.count; ++i) expect_ok(runtime->send(cells[i], Go{rounds}));
  }
  void check(std::uint32_t rounds) {
    const std::uint64_t digest = expected_digest(cells.count, rounds);
    for (std::uint32_t i = 0; i < cells.count; ++i) {
      auto cell = runtime->read(cells[i]);
      ASSERT_TRUE(cell) << cell.error().message;
      EXPECT_EQ(cell->got, rounds);
      EXPECT_EQ(cell->failures, 0u);
      EXPECT_EQ(cell->digest, digest) << "member " << i;
    }
  }
};

class Reduces : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Reduces, kPatternShapes, shape_name);

TEST_P(Reduces, BitsDependOnTheGroupsSizeOnly) {
  double in_order = 0;
  for (std::uint32_t i = 0; i < 300; ++i) in_order += value_of(i, 1);
  ASSERT_NE(in_order, expected_of(300, 1)) << "these values would hide a wrong order";
  // groups of several threads on fewer cores are slow
  const auto sizes = GetParam().lanes == 1 ? std::vector<std::uint32_t>{1, 2, 16, 17, 100, 300}
                                           : std::vector<std::uint32_t>{1, 17, 260};
  for (const std::uint32_t members : sizes) {
    const std::uint32_t few = GetParam().lanes == 1 ? 6 : 2;
    const std::uint32_t rounds = members > 50 ? few : 5 * few;
    Reduction reduction(GetParam(), members);
    reduction.spawn();
    expect_ok(reduction.runtime->start());
    reduction.go(rounds);
    run_to_the_end(*reduction.runtime);
    reduction.check(rounds);
    EXPECT_EQ(reduction.runtime->stats().dead, 0u);
  }
}

TEST_P(Reduces, GoesOnFromACheckpointOnOtherWorkers) {
  constexpr std::uint32_t kMembers = 40;
  constexpr std::uint32_t kRounds = 25;
  TempDir dir;
  {
    Reduction first(GetParam(), kMembers, spread_options(dir.path()));
    first.spawn();
    expect_ok(first.runtime->start(true));
    first.go(kRounds);
    save_in_the_middle(std::move(first.runtime), 230);
  }
  Reduction second(other_than(GetParam()), kMembers, spread_options(dir.path()));
  auto restored = second.runtime->restore_latest();
  ASSERT_TRUE(restored && restored->restored);
  run_to_the_end(*second.runtime);
  second.check(kRounds);
}

/// Contributes as it is told.
struct Say {
  static constexpr std::uint8_t tag = 2;
  std::uint32_t index;
  std::uint32_t round;
};
struct Loose {
  using messages = handles<Say, Reduced>;
  static constexpr const char* name = "test.reduce.loose";
  ReduceGroup<Min<float>> group;
  float smallest;
  template <class Ctx>
  RK_FN void on(const Say& say, Ctx& ctx) {
    contribute(ctx, group, say.index, say.round, 1.5f);
  }
  template <class Ctx>
  RK_FN void on(const Reduced& reduced, Ctx& ctx) {
    if (ctx.leader()) smallest = reduced.value<float>();
  }
};
void expect_misuse(std::vector<Say> said, std::uint32_t code) {
  auto runtime = make_runtime<Loose, ReduceNode<Min<float>>>({2, 1});
  auto members = runtime->spawn<Loose>(3, [](std::uint32_t, Loose& member) {
    member.group = {3, 3};
  });
  ASSERT_TRUE(members && spawn_reduce_group<Min<float>>(*runtime, *members));
  expect_ok(runtime->start());
  for (const Say& say : said) expect_ok(runtime->send((*members)[1], say));
  expect_failure(*runtime, code);
}
TEST(ReduceMisuse, TwiceToARoundFails) { expect_misuse({{1, 0}, {1, 0}}, kCodeContributedTwice); }
TEST(ReduceMisuse, TwiceToTheRoundAheadFails) {
  expect_misuse({{1, 0}, {1, 1}, {1, 1}}, kCodeContributedTwice);
}
TEST(ReduceMisuse, TwoRoundsAheadFails) {
  expect_misuse({{1, 0}, {1, 1}, {1, 2}}, kCodeWrongRound);
}
TEST(ReduceMisuse, ARoundOutOfTurnFails) { expect_misuse({{1, 1}}, kCodeWrongRound); }
TEST(ReduceMisuse, ForAnotherMemberFails) { expect_misuse({{2, 0}}, kCodeNotAChild); }
TEST(ReduceMisuse, BeyondTheGroupFails) { expect_misuse({{3, 0}}, kCodeNotAChild); }
TEST(ReduceMisuse, AGroupOfNobodyIsRefused) {
  auto runtime = make_runtime<Loose, ReduceNode<Min<float>>>({1, 1});
  auto group = spawn_reduce_group<Min<float>>(*runtime, std::vector<ActorId>{});
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code, ErrorCode::invalid_argument);
}
TEST(ReduceMisuse, AProgramWithoutTheNodeIsRefused) {
  auto runtime = make_runtime<Loose>({1, 1});
  auto members = runtime->spawn<Loose>(1, [](std::uint32_t, Loose&) {});
  auto group = spawn_reduce_group<Min<float>>(*runtime, *members);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code, ErrorCode::not_found);
}

TEST(ReduceOperations, AreTheirNames) {
  EXPECT_STREQ(ReduceNode<Sum<double>>::name, "rk.reduce.sum.f64");
  EXPECT_STREQ(ReduceNode<Min<float>>::name, "rk.reduce.min.f32");
  EXPECT_STREQ(ReduceNode<Max<std::int64_t>>::name, "rk.reduce.max.i64");
  EXPECT_STREQ(ReduceNode<Sum<std::uint32_t>>::name, "rk.reduce.sum.u32");
  EXPECT_EQ(Min<int>::combine(3, -4), -4);
  EXPECT_EQ(Max<int>::combine(3, -4), 3);
  EXPECT_EQ(Sum<std::uint64_t>::combine(3, 4), 7u);
  EXPECT_TRUE(std::isnan(Max<double>::combine(NAN, 1)));
  EXPECT_EQ(Max<double>::combine(1, NAN), 1);
}

RC_GTEST_PROP(TreeShape, EveryMemberAndNodeHangsInExactlyOnePlace, ()) {
  const std::uint32_t members = *rc::gen::inRange(1u, 6000u);
  const std::uint32_t nodes = tree_nodes(members);
  std::vector<std::uint32_t> member_seen(members);
  std::vector<std::uint32_t> node_seen(nodes);
  for (std::uint32_t n = 0; n < nodes; ++n) {
    const TreePlace place = tree_place(members, n);
    RC_ASSERT(place.children >= 1 && place.children <= kTreeFanOut);
    for (std::uint32_t c = 0; c < place.children; ++c) {
      const std::uint32_t child = place.first_child + c;
      if (place.leaf) {
        RC_ASSERT(child / kTreeFanOut == n && child % kTreeFanOut == c);
        ++member_seen.at(child);
      } else {
        RC_ASSERT(tree_place(members, child).parent == n);
        RC_ASSERT(tree_place(members, child).child_index == c);
        ++node_seen.at(child);
      }
    }
  }
  RC_ASSERT(tree_place(members, nodes - 1).parent == nodes - 1);
  ++node_seen.at(nodes - 1);
  for (const std::uint32_t seen : member_seen) RC_ASSERT(seen == 1u);
  for (const std::uint32_t seen : node_seen) RC_ASSERT(seen == 1u);
}

// --- broadcast

struct News {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 0;
  std::uint64_t from;
  std::uint64_t number;
};
struct Alarm {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t code;
};
using Group = BroadcastGroup<News, Alarm>;
struct Tell {
  static constexpr std::uint8_t tag = 5;
  std::uint64_t left;
};
struct Listener {
  using messages = handles<News, Alarm>;
  static constexpr const char* name = "test.broadcast.listener";
  std::uint64_t next[3];
  std::uint64_t digest;
  std::uint32_t alarms;
  std::uint32_t violations;

  template <class Ctx>
  RK_FN void on(const News& news, Ctx& ctx) {
    if (!ctx.leader()) return;
    if (news.number != next[news.from]) ++violations;
    ++next[news.from];
    digest = digest * 0x100000001b3ull ^ (news.from << 32 | news.number);
  }
  template <class Ctx>
  RK_FN void on(const Alarm& alarm, Ctx& ctx) {
    if (ctx.leader()) alarms += alarm.code;
  }
};
struct Speaker {
  using messages = handles<Tell>;
  static constexpr const char* name = "test.broadcast.speaker";
  Group group;
  std::uint64_t index;
  std::uint64_t said;

  template <class Ctx>
  RK_FN void on(const Tell& tell, Ctx& ctx) {
    ctx.sync();
    broadcast(ctx, group, News{index, said});
    if (tell.left == 1) broadcast(ctx, group, Alarm{7});
    ctx.sync();
    if (ctx.leader()) ++said;
    if (tell.left > 1) ctx.send(ref<Speaker>{ctx.self()}, Tell{tell.left - 1});
  }
};
constexpr std::uint32_t kListeners = 50;
constexpr std::uint32_t kSpeakers = 3;
constexpr std::uint64_t kNews = 60;

void check_listeners(Runtime& runtime) {
  std::uint64_t digest = 0;
  for (std::uint32_t i = 0; i < kListeners; ++i) {
    auto listener = runtime.read(ref<Listener>{ActorId::make(i, 0)});
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(listener->violations, 0u);
    EXPECT_EQ(listener->alarms, 7 * kSpeakers);
    for (const std::uint64_t next : listener->next) EXPECT_EQ(next, kNews);
    if (i == 0) digest = listener->digest;
    EXPECT_EQ(listener->digest, digest) << "listener " << i << " saw another order";
  }
}

class Broadcasts : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Broadcasts, kPatternShapes, shape_name);

TEST_P(Broadcasts, ReachEveryMemberOnceInOneOrderAlsoAfterARestore) {
  TempDir dir;
  auto runtime = make_runtime<Listener, Speaker, BroadcastNode<News, Alarm>>(
      GetParam(), spread_options(dir.path()));
  auto listeners = runtime->spawn<Listener>(kListeners, [](std::uint32_t, Listener&) {});
  auto group = spawn_broadcast_group<News, Alarm>(*runtime, *listeners);
  ASSERT_TRUE(listeners && group);
  auto speakers = runtime->spawn<Speaker>(kSpeakers, [&](std::uint32_t i, Speaker& speaker) {
    speaker.group = *group;
    speaker.index = i;
  });
  ASSERT_TRUE(speakers);
  expect_ok(runtime->start(true));
  for (std::uint32_t i = 0; i < kSpeakers; ++i)
    expect_ok(runtime->send((*speakers)[i], Tell{kNews}));
  save_in_the_middle(std::move(runtime), 300);
  auto restored = make_runtime<Listener, Speaker, BroadcastNode<News, Alarm>>(
      other_than(GetParam()), spread_options(dir.path()));
  ASSERT_TRUE(restored->restore_latest());
  run_to_the_end(*restored);
  check_listeners(*restored);
}

}  // namespace
}  // namespace rk::test
