#include "scheduler.hpp"

#include <ringkernel/runtime/schedule_point.hpp>

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

namespace rk::testing {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr std::uint64_t kTicksPerStep = 200;
constexpr std::uint64_t kStartUs = 1'700'000'000'000'000;
constexpr std::uint64_t kBaseSeed = 0x5eed'0000'0000'0001ull;

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  bool done = true;
};

/// The run under way. One thread uses it, so plain words do.
struct Run {
  std::vector<Fiber> fibers;  // kept from run to run: stacks are reused
  ucontext_t home{};
  const std::vector<Body>* bodies = nullptr;
  RunLimits limits;
  SeedStream random{0};
  std::vector<std::uint64_t> forced;  // steps at which to switch, latest first
  std::size_t current = 0;
  std::size_t count = 0;
  bool active = false;
  RunOutcome outcome;

  void switch_to(std::size_t next) {
    const std::size_t from = std::exchange(current, next);
    ++outcome.switches;
    swapcontext(&fibers[from].context, &fibers[next].context);
  }
  /// Any other fiber that has not ended; the current one if there is none.
  std::size_t pick_other() {
    std::size_t others = 0;
    for (std::size_t i = 0; i < count; ++i) others += i != current && !fibers[i].done;
    if (others == 0) return current;
    std::uint64_t nth = random.below(others);
    for (std::size_t i = 0;; ++i) {
      if (i == current || fibers[i].done) continue;
      if (nth-- == 0) return i;
    }
  }
  void step() {
    ++outcome.steps;
    outcome.trace = (outcome.trace ^ (current + 1)) * 0x100000001b3ull;
    if (outcome.steps > limits.max_steps) fail("the run does not end");
  }
};

Run& run() {
  static Run instance;
  return instance;
}

void fiber_main() {
  Run& r = run();
  (*r.bodies)[r.current]();
  r.fibers[r.current].done = true;
  const std::size_t next = r.pick_other();
  if (next == r.current) setcontext(&r.home);
  r.current = next;
  ++r.outcome.switches;
  setcontext(&r.fibers[next].context);
}

}  // namespace

std::uint64_t SeedStream::next() {
  std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

void schedule_point() {
  Run& r = run();
  if (!r.active) return;
  r.step();
  if (r.forced.empty() || r.outcome.steps < r.forced.back()) return;
  r.forced.pop_back();
  if (const std::size_t next = r.pick_other(); next != r.current) r.switch_to(next);
}

void yield_point() {
  Run& r = run();
  if (!r.active) return;
  r.step();
  if (const std::size_t next = r.pick_other(); next != r.current) r.switch_to(next);
}

std::uint64_t virtual_ticks() { return run().outcome.steps * kTicksPerStep; }
std::uint64_t virtual_time_us() { return kStartUs + run().outcome.steps; }

void fail(std::string message) {
  Run& r = run();
  r.outcome.failure = std::move(message);
  r.active = false;
  setcontext(&r.home);
  std::abort();  // setcontext does not return
}

std::uint64_t choose(std::uint64_t bound) { return run().random.below(bound); }

RunOutcome run_schedule(std::uint64_t seed, const RunLimits& limits,
                        const std::vector<Body>& bodies) {
  Run& r = run();
  r.bodies = &bodies;
  r.limits = limits;
  r.random = SeedStream(seed);
  r.outcome = {};
  r.count = bodies.size();
  if (r.fibers.size() < r.count) r.fibers.resize(r.count);
  r.forced.clear();
  const std::uint64_t forced = r.random.below(limits.preemptions + 1);
  for (std::uint64_t i = 0; i < forced; ++i) {
    r.forced.push_back(1 + r.random.below(limits.expected_steps));
  }
  std::sort(r.forced.rbegin(), r.forced.rend());
  for (std::size_t i = 0; i < r.count; ++i) {
    Fiber& fiber = r.fibers[i];
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
  }
  r.current = r.random.below(r.count);
  r.active = true;
  swapcontext(&r.home, &r.fibers[r.current].context);
  r.active = false;
  return r.outcome;
}

RunOutcome replay(const Subject& subject, std::uint64_t seed) {
  return run_schedule(seed, subject.limits, subject.prepare());
}

Exploration explore(const Subject& subject, std::uint64_t schedules) {
  Exploration result;
  const char* wanted = std::getenv("RK_SCHEDULE_SEED");
  SeedStream seeds(kBaseSeed);
  for (std::uint64_t n = 0; n < (wanted != nullptr ? 1 : schedules); ++n) {
    const std::uint64_t seed = wanted != nullptr ? std::strtoull(wanted, nullptr, 0) : seeds.next();
    const RunOutcome outcome = replay(subject, seed);
    ++result.schedules;
    result.steps += outcome.steps;
    if (!outcome.failed()) continue;
    result.failing_seed = seed;
    result.outcome = outcome;
    break;
  }
  std::printf("schedules %s %llu schedules, %llu steps%s\n", subject.name.c_str(),
              static_cast<unsigned long long>(result.schedules),
              static_cast<unsigned long long>(result.steps),
              result.failing_seed ? ", FAILED" : ", no failure");
  if (result.failing_seed) {
    std::printf(
        "  %s: step %llu: %s\n  replay: RK_SCHEDULE_SEED=0x%llx with the same test filter\n",
        subject.name.c_str(), static_cast<unsigned long long>(result.outcome.steps),
        result.outcome.failure.c_str(), static_cast<unsigned long long>(*result.failing_seed));
  }
  return result;
}

}  // namespace rk::testing
