// When to take a checkpoint. Pure logic: time and progress are passed in, so that tests need no
// clock and every decision can be repeated.
//
// Triggers, any of which makes a checkpoint due:
//   every           time since the last one began
//   every_messages  messages handled since then
//   every_steps     steps of the application since then
//   mtbf            Daly's optimum, from what checkpoints were measured to take; time since the
//                   last one ended
//
// Back-off: a checkpoint that was due again before it ended costs more than its interval allows.
// Then all intervals double, up to kMaxBackoff times what was asked for, and halve again as soon as
// a checkpoint would have fitted into the half. After a failure the triggers rest and a retry is
// due: after one second (or `every`, if that is shorter), then twice as long, up to a minute.
//
// Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <ringkernel/runtime/result.hpp>
#include <string>

namespace rk::checkpoint {

struct PolicyOptions {
  std::chrono::nanoseconds every{0};  ///< 0: not by time
  std::uint64_t every_messages = 0;   ///< 0: not by messages
  std::uint64_t every_steps = 0;      ///< 0: not by steps
  std::chrono::nanoseconds mtbf{0};   ///< mean time between failures; 0: unknown
};

/// `invalid_argument` for negative times, or `every` together with `mtbf`.
[[nodiscard]] Result<void> check(const PolicyOptions& options);

/// How far a run has come. `now` counts from any fixed instant; the counters never decrease.
struct Progress {
  std::chrono::nanoseconds now{0};
  std::uint64_t messages = 0;
  std::uint64_t steps = 0;
};

/// The computing time between two checkpoints that loses least, for checkpoints that take `cost`
/// and failures that come `mtbf` apart on average: the higher order estimate of J. T. Daly, "A
/// higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation
/// Computer Systems 22 (2006), 303-312. Its leading term is Young's sqrt(2 cost mtbf). `mtbf` when
/// `cost` is 2 mtbf or more.
[[nodiscard]] std::chrono::nanoseconds daly_interval(std::chrono::nanoseconds cost,
                                                     std::chrono::nanoseconds mtbf);

/// How long before the end of `walltime` a run has to stop, so that its last checkpoint is durable
/// in time. `longest`: the longest checkpoint so far, 0 if there was none.
///   given      at least `longest`, and never all of the walltime
///   automatic  twice `longest`, because one may be under way already; 5% of the walltime, at most
///              a minute, while nothing is measured; never more than half of the walltime
[[nodiscard]] std::chrono::nanoseconds stop_margin(std::chrono::nanoseconds walltime,
                                                   std::optional<std::chrono::nanoseconds> given,
                                                   std::chrono::nanoseconds longest);

class Policy {
 public:
  static constexpr std::uint32_t kMaxBackoff = 64;

  explicit Policy(const PolicyOptions& options = {}, const Progress& start = {});

  [[nodiscard]] bool due(const Progress& progress) const;
  /// Only by messages or steps: such a checkpoint is owed even when nothing is left to do.
  [[nodiscard]] bool due_by_count(const Progress& progress) const;

  /// A checkpoint begins, whoever asked for it.
  void begun(const Progress& progress);
  /// It is durable, and took `cost`. Returns what the user should be told: the first time that
  /// intervals grow, nothing otherwise.
  [[nodiscard]] std::optional<std::string> succeeded(const Progress& progress,
                                                     std::chrono::nanoseconds cost);
  /// It failed: a retry becomes due. Returns the time until then.
  std::chrono::nanoseconds failed(const Progress& progress);
  /// It came to nothing, and a retry would too: the triggers count from its beginning.
  void dropped();

  /// Whether anything but a request ever makes a checkpoint due.
  [[nodiscard]] bool has_triggers() const;
  /// Between checkpoints as things stand; 0: none by time.
  [[nodiscard]] std::chrono::nanoseconds interval() const;
  [[nodiscard]] std::uint32_t backoff() const { return backoff_; }
  [[nodiscard]] std::uint32_t failures_in_a_row() const { return failures_; }
  /// What a checkpoint takes: the mean of the newest and of what was expected before; 0: unknown.
  [[nodiscard]] std::chrono::nanoseconds expected_cost() const { return cost_; }

 private:
  [[nodiscard]] bool due_after(const Progress& progress, std::uint32_t backoff) const;

  PolicyOptions options_;
  Progress begun_;                     ///< where the last one began
  std::chrono::nanoseconds ended_{0};  ///< when the last one ended
  std::chrono::nanoseconds cost_{0};
  std::optional<std::chrono::nanoseconds> retry_at_;
  std::uint32_t backoff_ = 1;
  std::uint32_t failures_ = 0;
  bool is_open_ = false;
  bool has_said_ = false;
};

}  // namespace rk::checkpoint
