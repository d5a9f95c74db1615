// A deterministic scheduler: runs real code, one atomic access at a time, in an order that a seed
// decides.
//
// Each thread of the code under test is a fiber; all of them run on one thread. At a schedule point
// (before each access through runtime/atomic.hpp) the scheduler may switch by force, at most
// `preemptions` times in a run and at points drawn from the seed; where the code waits or ends it
// switches for free. Most protocol errors need very few forced switches: Musuvathi & Qadeer,
// "Iterative context bounding for systematic testing of multithreaded programs", PLDI 2007 (CHESS);
// drawing the points at random instead of enumerating them follows Burckhardt et al., "A randomized
// scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010 (PCT).
//
// What it explores are interleavings of sequentially consistent steps. A memory order that is too
// weak does not show here: that is ThreadSanitizer's part.
//
// Threads: one. A run that fails leaves its fibers where they are, and what they own is not freed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace rk::testing {

/// SplitMix64 (Steele, Lea, Flood 2014), one word of state.
class SeedStream {
 public:
  explicit SeedStream(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  std::uint64_t state_;
};

struct RunLimits {
  std::uint32_t preemptions = 3;       ///< forced switches in a run, at most
  std::uint64_t max_steps = 200'000;   ///< schedule points; more are a failure: nothing ends
  std::uint64_t expected_steps = 200;  ///< forced switches fall below this number of points
};

struct RunOutcome {
  std::string failure;         ///< empty: none
  std::uint64_t steps = 0;     ///< schedule points passed
  std::uint64_t switches = 0;  ///< forced and free
  std::uint64_t trace = 0;     ///< hash of which fiber made which step
  [[nodiscard]] bool failed() const { return !failure.empty(); }
  friend bool operator==(const RunOutcome&, const RunOutcome&) = default;
};

using Body = std::function<void()>;

/// Runs the bodies, one fiber each, until all have returned or one has called fail().
[[nodiscard]] RunOutcome run_schedule(std::uint64_t seed, const RunLimits& limits,
                                      const std::vector<Body>& bodies);

/// Called by a body: ends the run with this message. Does not return.
[[noreturn]] void fail(std::string message);
inline void require(bool condition, const char* message) {
  if (!condition) fail(message);
}
/// Called by a body: a number that the run's seed decides.
[[nodiscard]] std::uint64_t choose(std::uint64_t bound);

/// What is explored: `prepare` resets the system and returns the bodies of the next run.
struct Subject {
  std::string name;
  std::function<std::vector<Body>()> prepare;
  RunLimits limits{};
};

struct Exploration {
  std::uint64_t schedules = 0;
  std::uint64_t steps = 0;
  std::optional<std::uint64_t> failing_seed;
  RunOutcome outcome;  ///< of the failing run
};

/// Runs up to `schedules` schedules from fixed seeds, or the one of RK_SCHEDULE_SEED, and stops at
/// the first failure. Prints one line with what was done, and for a failure the line that replays
/// it.
[[nodiscard]] Exploration explore(const Subject& subject, std::uint64_t schedules);

/// One run from `seed`.
[[nodiscard]] RunOutcome replay(const Subject& subject, std::uint64_t seed);

}  // namespace rk::testing
