// The patterns on the GPU: a reduction has there the bits that it has on the host, and everything
// else of the patterns compiles for the device.
#include <ringkernel/kernels/cuda_executor.cuh>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/patterns.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace {

using Op = rk::Sum<double>;
constexpr std::uint32_t kMembers = 300;  // three levels
constexpr std::uint32_t kRounds = 20;

struct News {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
};
/// Begins a member's rounds.
struct Go {
  static constexpr std::uint8_t tag = 2;
  std::uint32_t unused;
};
struct Member {
  using messages = rk::handles<Go, News, rk::Reduced>;
  rk::ReduceGroup<Op> group;
  rk::ref<rk::Topic> topic;
  std::uint32_t index;
  std::uint32_t news;
  std::uint64_t digest;

  template <class Ctx>
  RK_FN void on(const Go&, Ctx& ctx) {
    give(0, ctx);
  }
  template <class Ctx>
  RK_FN void on(const News& one, Ctx& ctx) {
    if (ctx.leader() && one.number == 7) ++news;
  }
  template <class Ctx>
  RK_FN void on(const rk::Reduced& reduced, Ctx& ctx) {
    if (ctx.leader()) digest = digest * 0x100000001b3ull ^ reduced.bits;
    if (reduced.round + 1 < kRounds) return give(reduced.round + 1, ctx);
    if (index == 0) rk::publish(ctx, topic, News{7});
  }

 private:
  template <class Ctx>
  RK_FN void give(std::uint32_t round, Ctx& ctx) const {
    const double sign = (index + round) % 2 == 0 ? 1.0 : -1.0;
    const double value = index % 3 == 0 ? 1e16 : static_cast<double>(index) / 10;
    rk::contribute(ctx, group, index, round, sign * value);
  }
};

struct End {
  std::vector<std::uint64_t> digests;
  std::uint32_t news = 0;
  std::vector<rk::NamedActor> names;
};

End run(std::unique_ptr<rk::Executor> executor, std::uint32_t workers) {
  End end;
  rk::RuntimeOptions options;
  options.workers = workers;
  options.placement = rk::Placement::spread;
  options.stall_deadline = std::chrono::seconds(10);
  auto created = rk::Runtime::create(std::move(executor), std::move(options));
  if (!created) return ADD_FAILURE() << created.error().message, end;
  rk::Runtime& runtime = **created;
  auto topic = rk::spawn_topic(runtime, kMembers);
  auto registry = rk::spawn_registry(runtime, 40);
  if (!topic || !registry) return ADD_FAILURE() << "spawn", end;
  auto members = runtime.spawn<Member>(kMembers, [&](std::uint32_t i, Member& member) {
    member.group = {registry->id.index() + 1 + kMembers, kMembers};
    member.topic = *topic;
    member.index = i;
  });
  if (!members || !rk::spawn_reduce_group<Op>(runtime, *members))
    return ADD_FAILURE() << "spawn", end;
  runtime.on_output<rk::NameAnswer>([](const rk::NameAnswer&, const rk::OutputInfo&) {});
  EXPECT_TRUE(runtime.start());
  const auto settle = [&] {
    auto report = runtime.run({.max_walltime = std::chrono::seconds(30)});
    if (!report) ADD_FAILURE() << report.error().message;
  };
  for (std::uint32_t i = 0; i < kMembers; ++i)
    EXPECT_TRUE(runtime.send(*topic, rk::Subscribe{(*members)[i].id}));
  for (std::uint32_t i = 0; i < 40; ++i) {
    // not in order, so that the table's tail is moved
    const rk::RegistryName name = rk::registry_name("m" + std::to_string(i * 7 % 40));
    EXPECT_TRUE(runtime.send(*registry, rk::RegisterName{name, (*members)[i].id, 0}));
  }
  settle();
  for (std::uint32_t i = 0; i < kMembers; ++i) EXPECT_TRUE(runtime.send((*members)[i], Go{}));
  settle();
  EXPECT_TRUE(runtime.stop());
  for (std::uint32_t i = 0; i < kMembers; ++i) {
    auto member = runtime.read((*members)[i]);
    if (!member) return ADD_FAILURE() << member.error().message, end;
    end.digests.push_back(member->digest);
    end.news += member->news;
  }
  auto names = rk::find_prefix(runtime, *registry, "m");
  if (names) end.names = *std::move(names);
  return end;
}

template <class... As>
std::unique_ptr<rk::Executor> on_device() {
  auto executor = rk::make_cuda_executor<As...>();
  if (executor) return std::move(executor).value();
  ADD_FAILURE() << executor.error().message;
  return nullptr;
}

TEST(DevicePatterns, ReduceTopicAndRegistryEndAsOnTheHost) {
  auto device = on_device<Member, rk::ReduceNode<Op>, rk::BroadcastNode<News>, rk::Topic,
                          rk::Registry, rk::Supervisor>();
  ASSERT_NE(device, nullptr);
  const End there = run(std::move(device), 4);
  const End here =
      run(rk::make_host_executor<Member, rk::ReduceNode<Op>, rk::Topic, rk::Registry>(), 1);
  EXPECT_EQ(there.digests, here.digests);
  EXPECT_EQ(there.news, kMembers);
  EXPECT_EQ(here.news, kMembers);
  EXPECT_EQ(there.names, here.names);
  EXPECT_EQ(there.names.size(), 40u);
}

}  // namespace
