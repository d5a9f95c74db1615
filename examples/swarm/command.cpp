// `rk run swarm`: a million actors and messages among them, to see what one costs.
#include <CLI/CLI.hpp>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/tools/example.hpp>

#include <sys/resource.h>

#include "swarm.hpp"

namespace rk::swarm {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Settings {
  std::uint32_t actors = 100'000;
  std::uint64_t messages = 10'000'000;
  std::uint32_t tokens = 10'000;
  std::uint64_t seed = 1;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

class SwarmCommand final : public tools::Example {
 public:
  [[nodiscard]] std::string name() const override { return "swarm"; }
  [[nodiscard]] std::string description() const override {
    return "small actors in great number, among which tokens wander at random";
  }
  void add_options(CLI::App& app) override {
    app.add_option("--actors", settings_.actors, "members of the swarm")
        ->check(CLI::Range(1u, 1'000'000u))
        ->capture_default_str();
    app.add_option("--messages", settings_.messages, "of all tokens together")
        ->capture_default_str();
    app.add_option("--tokens", settings_.tokens, "messages in flight at a time")
        ->check(CLI::Range(1u, 1u << 22))
        ->capture_default_str();
    app.add_option("--seed", settings_.seed, "of the tokens' ways")->capture_default_str();
  }
  int run(const tools::RunOptions& options) override {
    const auto result = try_run(options);
    return result ? *result : tools::report(result.error());
  }

 private:
  [[nodiscard]] std::uint64_t journey(std::uint32_t token) const {
    return settings_.messages / settings_.tokens +
           (token < settings_.messages % settings_.tokens ? 1 : 0);
  }

  Result<int> try_run(const tools::RunOptions& options) {
    if (options.backend == "cuda")
      return fail(ErrorCode::invalid_argument, "the swarm runs on the host: --backend host");
    if (settings_.messages / settings_.tokens >= 0xFFFFFFFFu ||
        settings_.messages < settings_.tokens) {
      return fail(ErrorCode::invalid_argument,
                  "a token makes 1 to 2^32 - 2 hops: --messages divided by --tokens");
    }
    RuntimeOptions runtime_options =
        tools::runtime_options(options, "swarm",
                               {{"actors", std::to_string(settings_.actors)},
                                {"messages", std::to_string(settings_.messages)},
                                {"tokens", std::to_string(settings_.tokens)},
                                {"seed", std::to_string(settings_.seed)}});
    Capacities& capacity = runtime_options.capacity;
    capacity.local_slots = std::bit_ceil(settings_.tokens + 1);
    capacity.inbox_slots = 2 * capacity.local_slots;
    capacity.outbox_slots = capacity.local_slots;
    capacity.slab_blocks = 1;
    RK_TRY_ASSIGN(runtime_,
                  Runtime::create(make_host_executor<Member>(), std::move(runtime_options)));
    std::uint32_t launched = 0;  // tokens; part of the checkpoint
    runtime_->on_cut(
        [&launched] {
          std::vector<std::byte> bytes(sizeof(launched));
          std::memcpy(bytes.data(), &launched, sizeof(launched));
          return bytes;
        },
        [&launched](std::span<const std::byte> bytes) -> Result<void> {
          if (bytes.size() != sizeof(launched))
            return fail(ErrorCode::incompatible, "the checkpoint holds another swarm");
          std::memcpy(&launched, bytes.data(), sizeof(launched));
          return {};
        });
    runtime_->on_feed([this, &launched](Feed& out) {
      for (; launched < settings_.tokens; ++launched) {
        const std::uint64_t random = (settings_.seed + launched) * 0xD6E8FEB86659FD93ull;
        const Token token{random, launched, static_cast<std::uint32_t>(journey(launched) - 1)};
        const auto member = static_cast<std::uint32_t>(random >> 32) % settings_.actors;
        if (!out.send(ref<Member>{ActorId::make(member, 0)}, token)) return FeedState::more;
      }
      return FeedState::ended;
    });
    RK_TRY_ASSIGN(const RestoreReport restored, tools::restore_loudly(*runtime_));
    const auto spawn_begin = Clock::now();
    if (!restored.restored) {
      RK_TRY(runtime_->spawn<Member>(settings_.actors, [this](std::uint32_t, Member& member) {
        member.population = settings_.actors;
      }));
    }
    RK_TRY(runtime_->start(true));
    const double spawn_seconds = seconds_since(spawn_begin);
    const auto begin = Clock::now();
    RK_TRY_ASSIGN(const RunReport report, tools::run_with_signals(*runtime_, options, [this] {
                    return "swarm: " + std::to_string(runtime_->stats().received) + " messages";
                  }));
    const double seconds = seconds_since(begin);
    RK_TRY(runtime_->stop());
    return finish(options, restored, report, spawn_seconds, seconds);
  }

  Result<int> finish(const tools::RunOptions& options, const RestoreReport& restored,
                     const RunReport& report, double spawn_seconds, double seconds) {
    const RuntimeStats stats = runtime_->stats();
    const bool complete = report.reason == StopReason::quiescent;
    std::uint64_t visits = 0;
    std::uint64_t ended = 0;
    RK_TRY(runtime_->for_each_slot(
        [&](const SlotHeader&, std::span<const std::byte> state, std::span<const std::byte>) {
          Member member;
          std::memcpy(&member, state.data(), sizeof(member));
          visits += member.visits;
          ended += member.ended;
        }));
    ordered_json result{
        {"example", "swarm"},
        {"actors", settings_.actors},
        {"tokens", settings_.tokens},
        {"complete", complete},
        {"visits", visits},
        {"digest", nullptr},
        {"restored_epoch", restored.restored ? ordered_json(restored.epoch) : ordered_json()},
        {"workers", runtime_->workers()},
        {"spawn_seconds", spawn_seconds},
        {"seconds", seconds},
        {"messages", stats.received},
        {"messages_per_s", static_cast<double>(stats.received) / seconds},
        {"checkpoints", stats.checkpoints},
        {"checkpoint_failures", stats.checkpoint_failures},
        {"peak_rss_bytes", peak_rss_bytes()}};
    if (complete) {
      RK_TRY_ASSIGN(const std::string digest, runtime_->state_digest());
      result["digest"] = digest;
    }
    if (options.json) {
      std::printf("%s\n", result.dump().c_str());
    } else {
      std::printf("%u actors spawned in %.2f s; %llu messages in %.2f s (%.1f million per s)\n",
                  settings_.actors, spawn_seconds, static_cast<unsigned long long>(stats.received),
                  seconds, static_cast<double>(stats.received) / seconds / 1e6);
      if (complete) std::printf("digest %s\n", result["digest"].get<std::string>().c_str());
    }
    if (complete && (visits != settings_.messages || ended != settings_.tokens)) {
      std::fprintf(stderr, "rk: the swarm is wrong: %llu visits instead of %llu\n",
                   static_cast<unsigned long long>(visits),
                   static_cast<unsigned long long>(settings_.messages));
      return 1;
    }
    return tools::stopped_exit_code(report);
  }

  Settings settings_;
  std::unique_ptr<Runtime> runtime_;
};

const tools::Registration registration{std::make_unique<SwarmCommand>()};

}  // namespace
}  // namespace rk::swarm
