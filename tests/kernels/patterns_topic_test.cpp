// Topic: who gets which publications, in which order, whatever is under way.
#include "actor_bench.hpp"
#include "patterns.hpp"

#include <rapidcheck/gtest.h>

#include <map>
#include <set>

namespace rk::test {
namespace {

struct News {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t from;
  std::uint32_t number;
};

RC_GTEST_PROP(TopicProperty, MembersGetExactlyWhatWasHandledWhileTheyWere, ()) {
  constexpr std::uint32_t kActors = 70;
  const std::uint32_t capacity = *rc::gen::inRange(1u, 4u) * kMembersPerChunk;
  ActorBench<Topic> bench(topic_field_bytes(capacity));
  std::set<std::uint32_t> members;
  std::map<std::uint32_t, std::vector<std::uint32_t>> expected;
  std::map<std::uint32_t, std::vector<std::uint32_t>> delivered;
  std::uint32_t published = 0;
  const auto collect = [&] {
    for (const Sent& sent : bench.take()) {
      if (sent.tag == SubscribeRefused::tag) {
        RC_ASSERT(sent.to == ActorId{5000});
        continue;
      }
      RC_ASSERT(sent.tag == News::tag);
      delivered[sent.to.word].push_back(sent.as<News>().number);
    }
  };
  const auto ops = *rc::gen::container<std::vector<std::pair<int, std::uint32_t>>>(
      300, rc::gen::pair(rc::gen::inRange(0, 10), rc::gen::inRange(0u, kActors)));
  for (const auto& [kind, actor] : ops) {
    if (kind < 4) {
      const std::uint64_t refused = bench.actor.refused;
      bench.handle(Subscribe{ActorId{actor}}, ActorId{5000});
      if (bench.actor.refused == refused) {
        members.insert(actor);
      } else {
        // only a full table refuses, where those who left hold their places until all is delivered
        RC_ASSERT(members.count(actor) == 0);
        RC_ASSERT(!bench.to_self.empty() || members.size() == capacity);
      }
    } else if (kind < 6) {
      bench.handle(Unsubscribe{ActorId{actor}}, ActorId{5000});
      members.erase(actor);
    } else if (kind < 8) {
      for (const std::uint32_t member : members) expected[member].push_back(published);
      bench.handle(publication(News{0, published}), ActorId{5001});
      ++published;
    } else {
      for (std::uint32_t i = 0; i < actor % 4; ++i) RC_ASSERT(bench.turn() == std::nullopt);
    }
    RC_ASSERT(bench.actor.members == members.size());
    collect();
  }
  bench.drain();
  collect();
  RC_ASSERT(delivered == expected);
  // with nothing under way every place of those who left is free again
  for (const std::uint32_t member : members)
    bench.handle(Unsubscribe{ActorId{member}}, ActorId{5000});
  RC_ASSERT(bench.actor.chunks == 0u);
  for (std::uint32_t i = 0; i < capacity; ++i) {
    const std::uint64_t refused = bench.actor.refused;
    bench.handle(Subscribe{ActorId{i}}, ActorId{5000});
    RC_ASSERT(bench.actor.refused == refused);
  }
}

TEST(TopicBench, ComingBackWhilePublicationsAreUnderWayKeepsTheirOrder) {
  ActorBench<Topic> bench(topic_field_bytes(45));
  for (std::uint32_t i = 0; i < 31; ++i) bench.handle(Subscribe{ActorId{i}}, ActorId{1});
  bench.handle(publication(News{0, 1}), ActorId{1});
  bench.handle(Unsubscribe{ActorId{0}}, ActorId{1});   // frees a place in the first chunk
  bench.handle(Unsubscribe{ActorId{20}}, ActorId{1});  // its publication is still under way
  bench.handle(Subscribe{ActorId{20}}, ActorId{1});
  bench.handle(publication(News{0, 2}), ActorId{1});
  bench.drain();
  std::vector<std::uint32_t> numbers;
  for (const Sent& sent : bench.take()) {
    if (sent.to == ActorId{20}) numbers.push_back(sent.as<News>().number);
  }
  EXPECT_EQ(numbers, (std::vector<std::uint32_t>{1, 2}));
}

TEST(TopicBench, AFullTopicRefusesAnActorAndTheHostEachInItsWay) {
  ActorBench<Topic> bench(topic_field_bytes(15));
  for (std::uint32_t i = 0; i < 15; ++i) bench.handle(Subscribe{ActorId{i}}, ActorId{1});
  bench.handle(Subscribe{ActorId{3}}, ActorId{1});  // a member already: no answer
  EXPECT_TRUE(bench.take().empty());
  bench.handle(Subscribe{ActorId{15}}, ActorId{1});
  bench.handle(Subscribe{ActorId{16}}, kHostId);
  const auto out = bench.take();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].to, ActorId{1});
  EXPECT_EQ(out[0].as<SubscribeRefused>().member, ActorId{15});
  EXPECT_EQ(out[1].to, kHostId);
  bench.handle(Down{ActorId{4}, 0}, ActorId{4});  // a death makes room, too
  bench.handle(Subscribe{ActorId{15}}, ActorId{1});
  EXPECT_TRUE(bench.take().empty());
  EXPECT_EQ(bench.actor.members, 15u);
}

TEST(TopicBench, ForgedMessagesFail) {
  ActorBench<Topic> bench(topic_field_bytes(15));
  EXPECT_EQ(bench.handle(NextChunk{News::tag, 8, 0, {}}, ActorId{1}), kCodeNotAMessage);
  EXPECT_EQ(bench.handle(Publication{News::tag, 13, 0, {}}, ActorId{1}), kCodeNotAMessage);
}

// --- a running system

struct Tell {
  static constexpr std::uint8_t tag = 5;
  std::uint32_t left;
};
struct Join {
  static constexpr std::uint8_t tag = 6;
  std::uint32_t in;
};
struct Listener {
  using messages = handles<Join, News>;
  static constexpr const char* name = "test.topic.listener";
  ref<Topic> topic;
  std::uint32_t next[3];
  std::uint32_t begun[3];
  std::uint32_t violations;
  std::uint32_t gaps;
  std::uint64_t digest;

  template <class Ctx>
  RK_FN void on(const Join& join, Ctx& ctx) {
    if (join.in != 0) {
      ctx.send(topic, Subscribe{ctx.self()});
    } else {
      ctx.send(topic, Unsubscribe{ctx.self()});
    }
  }
  template <class Ctx>
  RK_FN void on(const News& news, Ctx& ctx) {
    if (!ctx.leader()) return;
    if (news.number < next[news.from]) ++violations;
    if (begun[news.from] != 0 && news.number > next[news.from]) ++gaps;
    begun[news.from] = 1;
    next[news.from] = news.number + 1;
    digest = digest * 0x100000001b3ull ^ (std::uint64_t{news.from} << 32 | news.number);
  }
};
struct Speaker {
  using messages = handles<Tell>;
  static constexpr const char* name = "test.topic.speaker";
  ref<Topic> topic;
  std::uint32_t index;
  std::uint32_t said;

  template <class Ctx>
  RK_FN void on(const Tell& tell, Ctx& ctx) {
    ctx.sync();
    publish(ctx, topic, News{index, said});
    ctx.sync();
    if (ctx.leader()) ++said;
    if (tell.left > 1) ctx.send(ref<Speaker>{ctx.self()}, Tell{tell.left - 1});
  }
};

constexpr std::uint32_t kListeners = 50;  // four chunks
constexpr std::uint32_t kComers = 8;      // of them, the last: they come and go meanwhile
constexpr std::uint32_t kSpeakers = 3;
constexpr std::uint32_t kNews = 60;

struct Broadcast {
  std::unique_ptr<Runtime> runtime;
  ActorRange<Listener> listeners{0, kListeners};
  ActorRange<Speaker> speakers{kListeners, kSpeakers};
  ref<Topic> topic{ActorId::make(kListeners + kSpeakers, 0)};

  Broadcast(const Shape& shape, RuntimeOptions options)
      : runtime(make_runtime<Listener, Speaker, Topic>(shape, std::move(options))) {}
  void spawn() {
    auto a = runtime->spawn<Listener>(
        kListeners, [t = topic](std::uint32_t, Listener& listener) { listener.topic = t; });
    auto b = runtime->spawn<Speaker>(kSpeakers, [t = topic](std::uint32_t i, Speaker& speaker) {
      speaker.topic = t;
      speaker.index = i;
    });
    auto c = spawn_topic(*runtime, kListeners);
    ASSERT_TRUE(a && b && c);
    ASSERT_EQ(*c, topic);
  }
  /// Starts, and returns when all members that stay are in.
  void subscribe() {
    expect_ok(runtime->start());
    for (std::uint32_t i = 0; i < kListeners - kComers; ++i)
      expect_ok(runtime->send(topic, Subscribe{listeners[i].id}));
    run_to_the_end(*runtime);
  }
  void tell() {
    for (std::uint32_t i = 0; i < kSpeakers; ++i)
      expect_ok(runtime->send(speakers[i], Tell{kNews}));
  }
  void comers(std::uint32_t in) {
    for (std::uint32_t i = kListeners - kComers; i < kListeners; ++i)
      expect_ok(runtime->send(listeners[i], Join{in}));
  }
  /// `absences`: how often each comer left and came back.
  void check(std::uint32_t absences) {
    std::uint64_t digest = 0;
    for (std::uint32_t i = 0; i < kListeners; ++i) {
      auto listener = runtime->read(listeners[i]);
      ASSERT_TRUE(listener) << listener.error().message;
      EXPECT_EQ(listener->violations, 0u);
      const bool comer = i >= kListeners - kComers;
      EXPECT_LE(listener->gaps, comer ? absences * kSpeakers : 0) << "listener " << i;
      if (comer) continue;
      for (const std::uint32_t next : listener->next) EXPECT_EQ(next, kNews);
      if (i == 0) digest = listener->digest;
      EXPECT_EQ(listener->digest, digest) << "listener " << i << " saw another order";
    }
    auto state = runtime->read(topic);
    ASSERT_TRUE(state) << state.error().message;
    EXPECT_EQ(state->published, kNews * kSpeakers);
    EXPECT_EQ(runtime->stats().dead, 0u);
  }
};

class Topics : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Topics, kPatternShapes, shape_name);

TEST_P(Topics, EveryoneSeesOneOrderWhileMembersComeAndGo) {
  RuntimeOptions options = spread_options();
  options.capacity = tiny_capacities();
  options.capacity.h2k_slots = 256;
  // nobody holds the speakers back: all that wait for room to send must find a place
  options.capacity.stash_slots = 256;
  Broadcast broadcast(GetParam(), options);
  broadcast.spawn();
  broadcast.subscribe();
  broadcast.tell();
  broadcast.comers(1);
  broadcast.comers(0);
  broadcast.comers(1);
  run_to_the_end(*broadcast.runtime);
  broadcast.check(1);
  EXPECT_EQ(broadcast.runtime->read(broadcast.topic)->members, kListeners);
}

TEST_P(Topics, GoesOnFromACheckpointOnOtherWorkers) {
  TempDir dir;
  {
    Broadcast first(GetParam(), spread_options(dir.path()));
    first.spawn();
    first.subscribe();
    expect_ok(first.runtime->pause());
    first.tell();
    first.comers(1);
    save_in_the_middle(std::move(first.runtime), 200);
  }
  Broadcast second(other_than(GetParam()), spread_options(dir.path()));
  ASSERT_TRUE(second.runtime->restore_latest());
  expect_ok(second.runtime->start());
  second.comers(0);
  run_to_the_end(*second.runtime);
  second.check(0);
  EXPECT_EQ(second.runtime->read(second.topic)->members, kListeners - kComers);
}

}  // namespace
}  // namespace rk::test
