// `rk run bank`.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include <ringkernel/tools/backend.hpp>
#include <ringkernel/tools/example.hpp>
#include "simulation.hpp"

namespace rk::bank {
namespace {

using nlohmann::ordered_json;

class BankCommand final : public tools::Example {
 public:
  [[nodiscard]] std::string name() const override { return "bank"; }
  [[nodiscard]] std::string description() const override {
    return "accounts that pay each other at full speed; money in flight is part of every "
           "checkpoint";
  }

  void add_options(CLI::App& app) override {
    app.add_option("--accounts", settings_.accounts, "number of accounts, 9 to 1000000")
        ->capture_default_str();
    app.add_option("--transfers", settings_.transfers, "transfers of all accounts together")
        ->capture_default_str();
    app.add_option("--deposits", settings_.deposits, "payments from the host's treasury")
        ->capture_default_str();
    app.add_option("--seed", settings_.seed, "of targets and amounts")->capture_default_str();
    app.add_option("--variant", variant_,
                   "random: any account pays any; peers: 8 fixed peers, pairs are numbered")
        ->check(CLI::IsMember({"random", "peers"}))
        ->capture_default_str();
  }

  int run(const tools::RunOptions& options) override {
    settings_.variant = variant_ == "random" ? Variant::random : Variant::peers;
    const auto result = try_run(options);
    return result ? *result : tools::report(result.error());
  }

 private:
  Result<int> try_run(const tools::RunOptions& options) {
    RK_TRY_ASSIGN(auto executor,
                  tools::make_executor(options.backend, name(), [] { return make_host_bank(); }));
    RK_TRY_ASSIGN(auto bank, Bank::create(settings_, std::move(executor),
                                          tools::runtime_options(options, Bank::kPrefix,
                                                                 identity(settings_))));
    Runtime& runtime = bank->runtime();
    RK_TRY_ASSIGN(const RestoreReport restored, tools::restore_loudly(runtime));
    if (!restored.restored) RK_TRY(bank->begin());
    const auto began = std::chrono::steady_clock::now();
    RK_TRY(bank->open_teller());
    RK_TRY_ASSIGN(const RunReport report, tools::run_with_signals(runtime, options, [&] {
                    const RuntimeStats stats = runtime.stats();
                    return "bank: " + std::to_string(stats.received) + " messages, " +
                           std::to_string(stats.checkpoints) + " checkpoints";
                  }));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
    bank->close_teller();
    RK_TRY(runtime.stop());
    return finish(*bank, options, restored, report, elapsed.count());
  }

  Result<int> finish(Bank& bank, const tools::RunOptions& options, const RestoreReport& restored,
                     const RunReport& report, double seconds) {
    Runtime& runtime = bank.runtime();
    const RuntimeStats stats = runtime.stats();
    const bool complete = report.reason == StopReason::quiescent;
    RK_TRY_ASSIGN(const Totals totals, bank.totals());
    const std::int64_t expected = initial_total(settings_);
    const bool right = totals.money == expected && totals.made == settings_.transfers &&
                       totals.received == settings_.transfers &&
                       totals.deposits == settings_.deposits;
    ordered_json result{
        {"example", "bank"},
        {"variant", variant_},
        {"accounts", settings_.accounts},
        {"transfers", settings_.transfers},
        {"deposits", settings_.deposits},
        {"seed", settings_.seed},
        {"complete", complete},
        {"total", nullptr},
        {"expected_total", expected},
        {"digest", nullptr},
        {"backend", runtime.executor_name()},
        {"workers", runtime.workers()},
        {"restored_epoch", restored.restored ? ordered_json(restored.epoch) : ordered_json()},
        {"seconds", seconds},
        {"messages", stats.received},
        {"messages_per_s", static_cast<double>(stats.received) / seconds},
        {"checkpoints", stats.checkpoints},
        {"checkpoint_failures", stats.checkpoint_failures},
        {"last_checkpoint_failure",
         stats.last_failure.empty() ? ordered_json() : ordered_json(stats.last_failure)},
        {"checkpoint_interval_s", std::chrono::duration<double>(stats.checkpoint_interval).count()},
        {"checkpoint_backoff", stats.checkpoint_backoff},
        {"longest_checkpoint_ms",
         std::chrono::duration<double, std::milli>(stats.longest_checkpoint).count()},
        {"last_checkpoint", stats.last_checkpoint},
        {"checkpoint_bytes", stats.file_bytes}};
    if (complete) {
      // money in flight is in no account, so only a finished run has a total
      RK_TRY_ASSIGN(const std::string digest, runtime.state_digest());
      result["total"] = totals.money;
      result["digest"] = digest;
    }
    if (options.json) {
      std::printf("%s\n", result.dump().c_str());
    } else {
      std::printf(
          "%llu messages in %.2f s (%.0f per s) on %s, %u workers; %u checkpoints, %u "
          "failed\n",
          static_cast<unsigned long long>(stats.received), seconds,
          static_cast<double>(stats.received) / seconds, runtime.executor_name().c_str(),
          runtime.workers(), stats.checkpoints, stats.checkpoint_failures);
      if (complete) {
        std::printf("total %lld (expected %lld)\ndigest %s\n", static_cast<long long>(totals.money),
                    static_cast<long long>(expected), result["digest"].get<std::string>().c_str());
      }
    }
    if (complete && !right) {
      std::fprintf(
          stderr,
          "rk: the bank is wrong: total %lld instead of %lld, %llu of %llu transfers received\n",
          static_cast<long long>(totals.money), static_cast<long long>(expected),
          static_cast<unsigned long long>(totals.received),
          static_cast<unsigned long long>(settings_.transfers));
      return 1;
    }
    return tools::stopped_exit_code(report);
  }

  Settings settings_;
  std::string variant_ = "random";
};

const tools::Registration registration{std::make_unique<BankCommand>()};

}  // namespace
}  // namespace rk::bank
