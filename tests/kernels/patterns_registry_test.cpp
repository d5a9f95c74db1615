// Registry: against a sorted map, through chunks, on running systems and from the host.
#include "actor_bench.hpp"
#include "patterns.hpp"

#include <rapidcheck/gtest.h>

#include <map>

namespace rk::test {
namespace {

std::string text_of(const RegistryName& name) { return {name.bytes, name.length()}; }

/// Few letters, so that names and prefixes meet.
rc::Gen<std::string> short_name() {
  return rc::gen::mapcat(rc::gen::inRange(0, 5), [](int length) {
    return rc::gen::container<std::string>(static_cast<std::size_t>(length),
                                           rc::gen::element('a', 'b', '\xe9'));
  });
}
/// As bytes, like the registry.
struct ByteLess {
  bool operator()(const std::string& a, const std::string& b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
      return static_cast<unsigned char>(x) < static_cast<unsigned char>(y);
    });
  }
};

RC_GTEST_PROP(RegistryProperty, AnswersLikeASortedMap, ()) {
  constexpr std::uint32_t kCapacity = 40;
  const ActorId asker{77};
  ActorBench<Registry> bench(registry_field_bytes(kCapacity));
  std::map<std::string, std::uint32_t, ByteLess> model;
  const auto ops = *rc::gen::container<std::vector<std::tuple<int, std::string, std::uint32_t>>>(
      150, rc::gen::tuple(rc::gen::inRange(0, 9), short_name(), rc::gen::inRange(0u, 4u)));
  std::uint32_t request = 0;
  for (const auto& [kind, text, id] : ops) {
    const RegistryName name = registry_name(text);
    const auto at = model.find(text);
    ++request;
    if (kind < 4) {
      bench.handle(RegisterName{name, ActorId{id}, request}, asker);
      const auto answer = bench.take().at(0).as<NameAnswer>();
      RC_ASSERT(answer.request == request);
      if (text.empty()) {
        RC_ASSERT(answer.status == NameStatus::bad_name);
      } else if (at != model.end()) {
        RC_ASSERT(answer.status == NameStatus::taken && answer.id.word == at->second);
      } else if (model.size() == kCapacity) {
        RC_ASSERT(answer.status == NameStatus::full);
      } else {
        RC_ASSERT(answer.status == NameStatus::ok);
        model[text] = id;
      }
    } else if (kind < 6) {
      bench.handle(UnregisterName{name, ActorId{id}, request}, asker);
      const auto answer = bench.take().at(0).as<NameAnswer>();
      const bool owned = at != model.end() && at->second == id;
      RC_ASSERT((answer.status == NameStatus::ok) == owned);
      if (owned) model.erase(at);
    } else if (kind < 7) {
      bench.handle(LookUp{name, request}, asker);
      const auto found = bench.take().at(0).as<Found>();
      RC_ASSERT(found.id == (at == model.end() ? kNoActor : ActorId{at->second}));
    } else {
      bench.handle(LookUpPrefix{name, request}, asker);
      bench.drain();
      const auto sent = bench.take();
      std::size_t n = 0;
      for (const auto& [key, value] : model) {
        if (key.compare(0, text.size(), text) != 0) continue;
        const auto found = sent.at(n).as<Found>();
        RC_ASSERT(text_of(found.name) == key && found.id.word == value && found.index == n);
        ++n;
      }
      const auto done = sent.at(n).as<LookUpDone>();
      RC_ASSERT(sent.size() == n + 1 && done.matches == n && done.request == request);
    }
    RC_ASSERT(bench.actor.count == model.size());
  }
}

TEST(RegistryBench, APrefixLookUpGoesOnBehindANameThatWasTakenOutMeanwhile) {
  ActorBench<Registry> bench(registry_field_bytes(30));
  for (char c = 'a'; c <= 'z'; ++c)
    bench.handle(RegisterName{registry_name(std::string("x") + c), ActorId{1}, 0}, ActorId{7});
  bench.take();
  bench.handle(LookUpPrefix{registry_name("x"), 5}, kHostId);
  ASSERT_EQ(bench.to_self.size(), 1u);
  bench.handle(UnregisterName{registry_name("xg"), ActorId{1}, 0}, ActorId{7});  // told last
  bench.handle(UnregisterName{registry_name("xm"), ActorId{1}, 0}, ActorId{7});  // not told yet
  bench.drain();
  std::string told;
  std::uint32_t matches = 0;
  for (const Sent& sent : bench.take()) {
    if (sent.tag == Found::tag) told += sent.as<Found>().name.bytes[1];
    if (sent.tag == LookUpDone::tag) matches = sent.as<LookUpDone>().matches;
  }
  EXPECT_EQ(told, "abcdefghijklnopqrstuvwxyz");
  EXPECT_EQ(matches, 25u);
}

TEST(RegistryNames, OfFortyBytesFitAndOthersAreRefused) {
  const std::string longest(kMaxNameBytes, 'n');
  EXPECT_EQ(registry_name(longest).length(), kMaxNameBytes);
  EXPECT_TRUE(registry_name(longest).valid());
  EXPECT_FALSE(registry_name(longest + "n").valid());
  EXPECT_FALSE(registry_name("").valid());
  EXPECT_FALSE(registry_name(std::string_view("a\0b", 3)).valid());
  EXPECT_TRUE(registry_name(longest).starts_with(registry_name(longest), kMaxNameBytes));
}

// --- a running system

/// Registers itself under its own name, then under one that all want, then looks what there is.
struct Start {
  static constexpr std::uint8_t tag = 1;
  std::uint32_t unused;
};
struct Client {
  using messages = handles<Start, NameAnswer, Found, LookUpDone>;
  static constexpr const char* name = "test.registry.client";
  ref<Registry> registry;
  RegistryName own;
  std::uint32_t wins;    ///< of the name that all want
  std::uint32_t losses;  ///< of it, told whose it is
  std::uint32_t found;
  std::uint32_t violations;
  std::uint32_t done;

  template <class Ctx>
  RK_FN void on(const Start&, Ctx& ctx) {
    ctx.send(registry, RegisterName{own, ctx.self(), 1});
  }
  template <class Ctx>
  RK_FN void on(const NameAnswer& answer, Ctx& ctx) {
    if (answer.request == 1) {
      if (answer.status != NameStatus::ok && ctx.leader()) ++violations;
      ctx.send(registry, RegisterName{registry_name("boss"), ctx.self(), 2});
      return;
    }
    if (ctx.leader()) {
      if (answer.status == NameStatus::ok) ++wins;
      if (answer.status == NameStatus::taken && !(answer.id == ctx.self())) ++losses;
    }
    ctx.send(registry, LookUpPrefix{registry_name("client."), 3});
  }
  template <class Ctx>
  RK_FN void on(const Found& one, Ctx& ctx) {
    if (!ctx.leader()) return;
    if (one.index != found || one.request != 3) ++violations;
    ++found;
  }
  template <class Ctx>
  RK_FN void on(const LookUpDone& end, Ctx& ctx) {
    if (!ctx.leader()) return;
    if (end.matches != found) ++violations;
    ++done;
  }
};

constexpr std::uint32_t kClients = 30;
std::string client_name(std::uint32_t i) { return "client." + std::to_string(100 + i); }

struct Names {
  std::unique_ptr<Runtime> runtime;
  ref<Registry> registry{ActorId::make(0, 0)};
  ActorRange<Client> clients{1, kClients};

  Names(const Shape& shape, const std::string& dir)
      : runtime(make_runtime<Client, Registry>(shape, spread_options(dir))) {}
  void spawn() {
    auto spawned = spawn_registry(*runtime, kClients + 1);
    auto range = runtime->spawn<Client>(kClients, [r = registry](std::uint32_t i, Client& client) {
      client.registry = r;
      client.own = registry_name(client_name(i));
    });
    ASSERT_TRUE(spawned && range);
    ASSERT_EQ(*spawned, registry);
  }
  void go() {
    for (std::uint32_t i = 0; i < kClients; ++i) expect_ok(runtime->send(clients[i], Start{}));
  }
  void check() {
    std::uint32_t wins = 0;
    ActorId winner{};
    for (std::uint32_t i = 0; i < kClients; ++i) {
      auto client = runtime->read(clients[i]);
      ASSERT_TRUE(client) << client.error().message;
      EXPECT_EQ(client->violations, 0u);
      EXPECT_EQ(client->wins + client->losses, 1u);
      EXPECT_EQ(client->done, 1u);
      EXPECT_GE(client->found, 1u);
      wins += client->wins;
      if (client->wins == 1) winner = clients[i].id;
      auto found = find_name(*runtime, registry, client_name(i));
      ASSERT_TRUE(found) << found.error().message;
      EXPECT_EQ(*found, clients[i].id);
    }
    EXPECT_EQ(wins, 1u);
    auto all = find_prefix(*runtime, registry, "");
    ASSERT_TRUE(all) << all.error().message;
    ASSERT_EQ(all->size(), kClients + 1);
    EXPECT_EQ(all->front(), (NamedActor{"boss", winner}));
    for (std::uint32_t i = 0; i < kClients; ++i)
      EXPECT_EQ((*all)[i + 1], (NamedActor{client_name(i), clients[i].id}));
    auto some = find_prefix(*runtime, registry, "client.12");
    ASSERT_TRUE(some);
    EXPECT_EQ(some->size(), 10u);
    EXPECT_EQ(find_prefix(*runtime, registry, std::string(41, 'x'))->size(), 0u);
    EXPECT_EQ(find_name(*runtime, registry, "client").error().code, ErrorCode::not_found);
    EXPECT_EQ(find_name(*runtime, registry, "").error().code, ErrorCode::not_found);
    EXPECT_EQ(runtime->stats().dead, 0u);
  }
};

class Registries : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Registries, kPatternShapes, shape_name);

TEST_P(Registries, ServeManyClientsAndTheHost) {
  Names names(GetParam(), "");
  names.spawn();
  std::vector<std::string> told;
  std::uint32_t matches = 0;
  names.runtime->on_output<Found>(
      [&](const Found& found, const OutputInfo&) { told.push_back(text_of(found.name)); });
  names.runtime->on_output<LookUpDone>(
      [&](const LookUpDone& done, const OutputInfo&) { matches = done.matches; });
  expect_ok(names.runtime->start());
  names.go();
  run_to_the_end(*names.runtime);
  names.check();
  // the host may ask by message, too
  expect_ok(names.runtime->send(names.registry, LookUpPrefix{registry_name("client.11"), 9}));
  run_to_the_end(*names.runtime);
  ASSERT_EQ(told.size(), 10u);
  EXPECT_EQ(matches, 10u);
  for (std::uint32_t i = 0; i < 10; ++i) EXPECT_EQ(told[i], client_name(10 + i));
  expect_ok(names.runtime->stop());
  names.check();
}

TEST_P(Registries, GoOnFromACheckpointOnOtherWorkers) {
  TempDir dir;
  {
    Names first(GetParam(), dir.path());
    first.spawn();
    expect_ok(first.runtime->start(true));
    first.go();
    save_in_the_middle(std::move(first.runtime), 55);
  }
  Names second(other_than(GetParam()), dir.path());
  ASSERT_TRUE(second.runtime->restore_latest());
  run_to_the_end(*second.runtime);
  second.check();
}

}  // namespace
}  // namespace rk::test
