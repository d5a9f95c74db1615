// Actors that are born and die while the runtime runs: places, generations, dead letters.
#include <ringkernel/checkpoint/memory_storage.hpp>
#include "fabric_programs.hpp"

#include <map>
#include <set>

namespace rk::test {
namespace {

class Spawning : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Spawning,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{3, 1}, Shape{2, 4}),
                         shape_name);

TEST_P(Spawning, HandlersMakeFamiliesAndDeathMakesRoomForMore) {
  auto runtime = make_runtime<Tree>(GetParam());
  expect_ok(runtime->reserve<Tree>(200));
  std::set<std::uint32_t> seen;
  std::uint32_t repeated = 0;
  runtime->on_output<Born>([&](const Born& born, const OutputInfo& info) {
    if (!seen.insert(born.id.word).second) ++repeated;
    EXPECT_EQ(born.id, info.source);
  });
  auto roots = runtime->spawn<Tree>(1, [](std::uint32_t, Tree&) {});
  ASSERT_TRUE(roots);
  expect_ok(runtime->start());
  const auto workers = GetParam().workers;
  for (std::uint32_t round = 1; round <= 5; ++round) {
    // children live on their parent's worker, which has its share of the places
    auto root =
        runtime->spawn_with<Tree>(Grow{workers == 1 ? 5u : 4u}, {.worker = round % workers});
    expect_run(*runtime);
    const auto born = root.get();
    ASSERT_TRUE(born) << born.error().message;
    const std::uint32_t family = workers == 1 ? 63 : 31;
    EXPECT_EQ(seen.size(), round * family);
    EXPECT_EQ(runtime->stats().live, 1u + family);
    expect_ok(runtime->send(*born, Shrink{}));
    expect_run(*runtime);
    EXPECT_EQ(runtime->stats().live, 1u);
    EXPECT_FALSE(runtime->read(*born));
  }
  EXPECT_EQ(repeated, 0u) << "an id was given out twice";
  expect_ok(runtime->stop());
}

TEST_P(Spawning, WithoutAFreePlaceTheReferenceIsInvalidAndNothingElseHappens) {
  auto runtime = make_runtime<Tree>(GetParam());
  runtime->on_output<Born>([](const Born&, const OutputInfo&) {});
  auto roots = runtime->spawn<Tree>(1, [](std::uint32_t, Tree&) {});
  ASSERT_TRUE(roots);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*roots)[0], Grow{3}));
  auto elsewhere = runtime->spawn_with<Tree>(Grow{0});
  expect_run(*runtime);
  EXPECT_EQ(runtime->read((*roots)[0])->refused, 2u);
  const auto refused = elsewhere.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::no_space);
  expect_ok(runtime->stop());
}

TEST_P(Spawning, AMessageToADeadActorIsADeadLetterAndNeverReachesItsSuccessor) {
  auto runtime = make_runtime<Tree>(GetParam());
  runtime->on_output<Born>([](const Born&, const OutputInfo&) {});
  expect_ok(runtime->reserve<Tree>(GetParam().workers));
  expect_ok(runtime->start());
  auto first = runtime->spawn_with<Tree>(Grow{0}, {.worker = 0}).get();
  ASSERT_TRUE(first) << first.error().message;
  expect_run(*runtime);  // a kill passes by its first message
  expect_ok(runtime->kill(first->id));
  expect_run(*runtime);
  auto second = runtime->spawn_with<Tree>(Grow{0}, {.worker = 0}).get();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->id.index(), first->id.index());
  EXPECT_EQ(second->id.generation(), first->id.generation() + 1);
  expect_ok(runtime->send(*first, Shrink{}));
  expect_run(*runtime);
  EXPECT_TRUE(runtime->read(*second)) << "the successor got the dead one's message";
  auto letters = runtime->take_dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].reason, DeadReason::dead);
  EXPECT_EQ(letters[0].to, first->id);
  EXPECT_EQ(letters[0].from, kHostId);
  // sent again to somebody who lives, it arrives
  letters[0].to = second->id;
  expect_ok(runtime->replay(letters[0]));
  expect_run(*runtime);
  EXPECT_FALSE(runtime->read(*second));
  expect_ok(runtime->stop());
}

TEST_P(Spawning, CutsBetweenBirthsHoldEveryMessage) {
  auto storage = std::make_shared<checkpoint::MemoryStorage>();
  auto runtime = make_runtime<Tree>(GetParam(), {.checkpoint = {.storage = storage}});
  std::uint32_t born = 0;
  runtime->on_output<Born>([&](const Born&, const OutputInfo&) { ++born; });
  expect_ok(runtime->reserve<Tree>(4000));
  expect_ok(runtime->start());
  const std::uint32_t rounds = GetParam().lanes == 1 ? 40 : 5;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    auto first = runtime->spawn_with<Tree>(Grow{3});
    auto second = runtime->spawn_with<Tree>(Grow{3});
    const auto cost = runtime->checkpoint_now();
    ASSERT_TRUE(cost) << cost.error().message;
    ASSERT_TRUE(first.get());
    ASSERT_TRUE(second.get());
  }
  expect_run(*runtime);
  EXPECT_EQ(born, rounds * 2 * 15);
  expect_ok(runtime->stop());
}

/// Thousands of lives take too long for groups of threads.
class ManyLives : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, ManyLives, testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{3, 1}),
                         shape_name);

TEST_P(ManyLives, RetireAPlaceWhoseGenerationsAreUsedUp) {
  auto runtime = make_runtime<Tree>(GetParam());
  runtime->on_output<Born>([](const Born&, const OutputInfo&) {});
  expect_ok(runtime->reserve<Tree>(GetParam().workers));
  expect_ok(runtime->start());
  std::uint32_t lives = 0;
  for (;; ++lives) {
    auto born = runtime->spawn_with<Tree>(Grow{0}, {.worker = 0}).get();
    if (!born) {
      EXPECT_EQ(born.error().code, ErrorCode::no_space);
      break;
    }
    ASSERT_EQ(born->id.generation(), lives);
    expect_ok(runtime->kill(born->id));
  }
  EXPECT_EQ(lives, 0xFFFu);
  expect_ok(runtime->stop());
}

}  // namespace
}  // namespace rk::test
