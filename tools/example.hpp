// What an example gives to `rk run NAME`, and what every example shares: options, signals, exit
// codes.
#pragma once

#include <ringkernel/runtime/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace rk::tools {

/// Options that every `rk run` takes.
struct RunOptions {
  std::string backend = "auto";  ///< auto, host, cuda
  std::uint32_t workers = 0;
  std::string checkpoint_dir;      ///< a location
  std::vector<std::string> tiers;  ///< further locations
  std::uint32_t tier_keep = 0;     ///< 0: as `keep`
  std::string ack;                 ///< empty: checkpoint_dir
  std::chrono::nanoseconds checkpoint_every{0};
  checkpoint::Compression checkpoint_compress{};
  std::uint64_t checkpoint_every_messages = 0;
  std::uint64_t checkpoint_every_steps = 0;
  std::chrono::nanoseconds mtbf{0};
  std::uint32_t keep = 3;
  std::uint32_t full_every = 1;
  bool fresh = false;
  bool json = false;
  std::chrono::nanoseconds max_walltime{0};
  std::optional<std::chrono::nanoseconds> save_margin;
  std::string example;             ///< its name
  std::string telemetry = "auto";  ///< path of a socket for `rk top`; auto; none
  std::string metrics;             ///< ADDRESS:PORT
  std::string metrics_file;
  bool counting = true;  ///< false: workers count nothing
  /// The walltime counts from here: what was spent on input and restoring is gone, too.
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
};

/// One example. `add_options` binds its own options; `run` returns the process exit code.
class Example {
 public:
  virtual ~Example() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string description() const = 0;
  virtual void add_options(CLI::App& app) = 0;
  virtual int run(const RunOptions& options) = 0;
};

/// Examples register themselves with a static Registration in their command.cpp.
struct Registration {
  explicit Registration(std::unique_ptr<Example> example);
};
[[nodiscard]] const std::vector<std::unique_ptr<Example>>& examples();

/// Fills the checkpoint part and the workers of RuntimeOptions. `identity` must agree on resume.
[[nodiscard]] RuntimeOptions runtime_options(const RunOptions& options, const std::string& prefix,
                                             std::map<std::string, std::string> identity);

/// restore_latest, with what was restored and what was skipped told on stderr.
[[nodiscard]] Result<RestoreReport> restore_loudly(Runtime& runtime);

/// run() with SIGUSR1 = checkpoint and go on, SIGTERM/SIGINT = checkpoint and stop, and a progress
/// line on stderr if that is a terminal: `progress` returns its text; it is called on a thread of
/// its own.
[[nodiscard]] Result<RunReport> run_with_signals(Runtime& runtime, const RunOptions& options,
                                                 const std::function<std::string()>& progress);

/// Keeps signals that arrive before run_with_signals for it, instead of dying of them.
void catch_signals();

/// Prints "rk: <message>" on stderr and returns the exit code of the error.
int report(const Error& error);

inline constexpr int kExitRequeue = 85;  ///< saved and stopped

/// 0 at the end of the job, kExitRequeue when it was saved and stopped, 1 when it was stopped
/// without a checkpoint.
[[nodiscard]] int stopped_exit_code(const RunReport& report);

}  // namespace rk::tools
