#include "example.hpp"

#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <thread>

#include "telemetry.hpp"

namespace rk::tools {
namespace {

// A signal handler gets no argument, so the runtime it speaks to has to be found through globals.
std::atomic<Runtime*> signalled_runtime{nullptr};
std::atomic<bool> early_checkpoint{false};
std::atomic<bool> early_stop{false};
static_assert(std::atomic<Runtime*>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);
constexpr std::array<int, 3> kSignals{SIGUSR1, SIGTERM, SIGINT};

extern "C" void on_signal(int signal) {
  Runtime* runtime = signalled_runtime.load();
  if (runtime == nullptr) {
    (signal == SIGUSR1 ? early_checkpoint : early_stop).store(true);
  } else if (signal == SIGUSR1) {
    runtime->request_checkpoint();
  } else {
    runtime->request_stop();
  }
}

/// Signals go to the runtime as long as it lives; those that came earlier are handed on. Afterwards
/// they end the process.
class SignalScope {
 public:
  explicit SignalScope(Runtime& runtime) {
    signalled_runtime.store(&runtime);
    catch_signals();
    if (early_checkpoint.exchange(false)) runtime.request_checkpoint();
    if (early_stop.exchange(false)) runtime.request_stop();
  }
  ~SignalScope() {
    for (const int number : kSignals) std::signal(number, SIG_DFL);
    signalled_runtime.store(nullptr);
  }
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;
};

/// Rewrites one line of a terminal a few times a second.
class ProgressLine {
 public:
  explicit ProgressLine(const std::function<std::string()>& text) {
    if (!text || ::isatty(STDERR_FILENO) == 0) return;
    thread_ = std::thread([this, &text] {
      std::unique_lock lock(mutex_);
      while (!changed_.wait_for(lock, std::chrono::milliseconds(200), [this] { return ended_; })) {
        std::fprintf(stderr, "\r\x1b[K%s", text().c_str());
      }
      std::fputs("\r\x1b[K", stderr);
    });
  }
  ~ProgressLine() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

std::vector<std::unique_ptr<Example>>& registry() {
  static std::vector<std::unique_ptr<Example>> all;
  return all;
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : kSignals) sigaction(number, &action, nullptr);
}

Registration::Registration(std::unique_ptr<Example> example) {
  auto& all = registry();
  all.push_back(std::move(example));
  // registration order is link order, which nobody should see
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a->name() < b->name(); });
}

const std::vector<std::unique_ptr<Example>>& examples() { return registry(); }

RuntimeOptions runtime_options(const RunOptions& options, const std::string& prefix,
                               std::map<std::string, std::string> identity) {
  RuntimeOptions runtime;
  runtime.workers = options.workers;
  runtime.checkpoint.dir = options.checkpoint_dir;
  runtime.checkpoint.prefix = prefix;
  runtime.checkpoint.every = options.checkpoint_every;
  runtime.checkpoint.compression = options.checkpoint_compress;
  runtime.checkpoint.every_messages = options.checkpoint_every_messages;
  runtime.checkpoint.every_steps = options.checkpoint_every_steps;
  runtime.checkpoint.mtbf = options.mtbf;
  runtime.checkpoint.keep = options.keep;
  runtime.checkpoint.full_every = options.full_every;
  for (const std::string& tier : options.tiers) {
    runtime.checkpoint.tiers.push_back({.location = tier, .keep = options.tier_keep});
  }
  runtime.checkpoint.ack = options.ack;
  runtime.checkpoint.fresh = options.fresh;
  runtime.checkpoint.identity = std::move(identity);
  runtime.telemetry = options.counting;
  return runtime;
}

Result<RestoreReport> restore_loudly(Runtime& runtime) {
  RK_TRY_ASSIGN(RestoreReport report, runtime.restore_latest());
  for (const std::string& skipped : report.skipped) {
    std::fprintf(stderr, "rk: WARNING: checkpoint passed over: %s\n", skipped.c_str());
  }
  if (report.restored) {
    std::fprintf(stderr, "rk: resumed from %s%s\n", report.directory.c_str(),
                 report.skipped.empty() ? "" : ", which is older than what was passed over");
    for (const std::string& migrated : report.migrated) {
      std::fprintf(stderr, "rk: migrated %s\n", migrated.c_str());
    }
  } else if (!report.skipped.empty()) {
    std::fprintf(stderr, "rk: WARNING: no checkpoint is usable; starting from the beginning\n");
  }
  return report;
}

Result<RunReport> run_with_signals(Runtime& runtime, const RunOptions& options,
                                   const std::function<std::string()>& progress) {
  RK_TRY(serve_telemetry(runtime, options));
  const SignalScope signals(runtime);
  RunReport report;
  {
    const ProgressLine line(progress);
    rk::RunOptions run{.max_walltime = options.max_walltime, .save_margin = options.save_margin};
    if (run.max_walltime.count() > 0) {
      const auto spent = std::chrono::steady_clock::now() - options.began;
      // an instant is left at least: 0 would mean no limit
      run.max_walltime =
          std::max<std::chrono::nanoseconds>(run.max_walltime - spent, std::chrono::nanoseconds(1));
      if (run.save_margin) {
        run.save_margin =
            std::min(*run.save_margin, run.max_walltime - std::chrono::nanoseconds(1));
      }
    }
    RK_TRY_ASSIGN(report, runtime.run(run));
  }
  const RuntimeStats stats = runtime.stats();
  if (stats.checkpoint_failures != 0) {
    std::fprintf(stderr, "rk: WARNING: %u of %u checkpoints failed; the last time: %s\n",
                 stats.checkpoint_failures, stats.checkpoint_failures + stats.checkpoints,
                 stats.last_failure.c_str());
  }
  if (report.reason != StopReason::quiescent) {
    const std::string saved =
        stats.last_checkpoint + (stats.tiers.empty() ? "" : ", held by " + stats.acknowledged_at);
    std::fprintf(
        stderr,
        report.saved
            ? "rk: saved to %s and stopped; the same command resumes\n"
            : "rk: stopped without a checkpoint; --checkpoint-dir makes a run resumable%s\n",
        report.saved ? saved.c_str() : "");
  }
  return report;
}

int report(const Error& error) {
  std::fprintf(stderr, "rk: %s\n", error.message.c_str());
  return exit_code(error.code);
}

int stopped_exit_code(const RunReport& report) {
  if (report.reason == StopReason::quiescent) return 0;
  return report.saved ? kExitRequeue : 1;
}

}  // namespace rk::tools
