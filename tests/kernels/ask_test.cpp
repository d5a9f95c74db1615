// Questions, deadlines and timers.
#include "fabric_programs.hpp"

namespace rk::test {
namespace {

using namespace std::chrono_literals;

class Asking : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Asking,
                         testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{4, 1}, Shape{2, 4}),
                         shape_name);

struct Pair {
  ref<Server> server;
  ref<Client> client;
};
Pair spawn_pair(Runtime& runtime, std::uint64_t deadline_us) {
  auto servers = runtime.spawn<Server>(1, [](std::uint32_t, Server&) {});
  EXPECT_TRUE(servers);
  auto clients = runtime.spawn<Client>(
      4, [server = (*servers)[0], deadline_us](std::uint32_t, Client& client) {
        client.server = server;
        client.deadline_us = deadline_us;
      });
  EXPECT_TRUE(clients);
  return {(*servers)[0], (*clients)[3]};
}

TEST_P(Asking, AnAnswerComesWithItsQuestionsNumberAndEndsTheDeadline) {
  auto runtime = make_runtime<Server, Client>(GetParam());
  // were the deadline not ended, the run would last until it
  const Pair pair = spawn_pair(*runtime, 3'600'000'000ull);
  expect_ok(runtime->start());
  expect_ok(runtime->send(pair.client, Begin{0}));
  expect_run(*runtime);
  const auto client = runtime->read(pair.client);
  ASSERT_TRUE(client);
  EXPECT_EQ(client->answered, 1u);
  EXPECT_EQ(client->expired, 0u);
  EXPECT_EQ(client->wrong, 0u);
  expect_ok(runtime->stop());
  EXPECT_EQ(runtime->stats().in_flight, 0u);
}

TEST_P(Asking, WithoutAnAnswerTheDeadlineComes) {
  auto runtime = make_runtime<Server, Client>(GetParam());
  const Pair pair = spawn_pair(*runtime, 2000);
  expect_ok(runtime->start());
  expect_ok(runtime->send(pair.client, Begin{1}));
  expect_run(*runtime);
  const auto client = runtime->read(pair.client);
  ASSERT_TRUE(client);
  EXPECT_EQ(client->answered, 0u);
  EXPECT_EQ(client->expired, 1u);
  EXPECT_EQ(client->wrong, 0u);
  expect_ok(runtime->stop());
}

TEST_P(Asking, TheHostGetsItsAnswerInAFuture) {
  auto runtime = make_runtime<Server, Client>(GetParam());
  const Pair pair = spawn_pair(*runtime, 1000);
  expect_ok(runtime->start());
  auto answer = runtime->ask<Answer>(pair.server, Question{0, 21}, 60s).get();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->value, 42u);
  auto never = runtime->ask<Answer>(pair.server, Question{1, 0}, 20ms).get();
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, ErrorCode::deadline_exceeded);
  auto nobody = runtime->ask<Answer>(ref<Server>{ActorId::make(0, 7)}, Question{0, 1}, 60s).get();
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, ErrorCode::not_found);
  auto open = runtime->ask<Answer>(pair.server, Question{1, 0}, 3600s);
  expect_run(*runtime);
  expect_ok(runtime->stop());
  EXPECT_EQ(open.get().error().code, ErrorCode::closed);
}

TEST_P(Asking, TimersInTimeAreNeverEarlyAndAllCome) {
  auto runtime = make_runtime<Clockwork>(GetParam());
  auto clocks = runtime->spawn<Clockwork>(8, [](std::uint32_t, Clockwork&) {});
  ASSERT_TRUE(clocks);
  expect_ok(runtime->start());
  for (std::uint32_t i = 0; i < 8; ++i) expect_ok(runtime->send((*clocks)[i], Wind{5, 0}));
  expect_run(*runtime);
  for (std::uint32_t i = 0; i < 8; ++i) {
    const auto clock = runtime->read((*clocks)[i]);
    ASSERT_TRUE(clock);
    EXPECT_EQ(clock->ticks, 5u);
    EXPECT_EQ(clock->early, 0u);
  }
  expect_ok(runtime->stop());
}

TEST_P(Asking, TimersInStepsComeAfterThatManyMessages) {
  auto runtime = make_runtime<Clockwork>(GetParam());
  auto clocks = runtime->spawn<Clockwork>(2, [](std::uint32_t, Clockwork&) {});
  ASSERT_TRUE(clocks);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*clocks)[1], Wind{0, 1}));
  expect_run(*runtime);
  const auto clock = runtime->read((*clocks)[1]);
  ASSERT_TRUE(clock);
  EXPECT_EQ(clock->ticks, 1u);
  // set off behind the third nudge, which was in the queue when the second had been handled
  EXPECT_EQ(clock->order, 1239u);
  expect_ok(runtime->stop());
}

}  // namespace
}  // namespace rk::test
