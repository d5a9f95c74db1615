// The actors of the factory: machines that fail on jobs, and the ledger that books what they made.
//
//   site ── areas ── lines ── machines            all supervisors but the machines
//
// Invariants:
//  1. Whether a machine fails on a job is a function of (seed, machine, job, try); a poison job
//  fails every machine, every time, any other one fails less often than a message may.
//  2. What must outlive a machine's restart is in the ledger, which has no supervisor: it books
//  each finished job under its number. So what is finished in the end does not depend on order,
//  workers, restarts of machines or of the process.
//  3. A machine changes itself before it fails, and fails before it sends: a restart must undo the
//  one, and nothing undoes the other.
#pragma once

#include <ringkernel/kernels/patterns/supervisor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace rk::factory {

struct Job {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t number;
};
struct Done {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 0;
  std::uint32_t number;
  std::uint32_t machine;
  std::uint64_t product;
};
/// Links the machine with its partner.
struct Pair {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  ActorId partner;
};
/// To the host: a job is in the ledger.
struct Booked {
  static constexpr std::uint8_t tag = 4;
  std::uint32_t number;
};

/// splitmix64's finalizer, G. Steele et al. 2014.
RK_FN constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// Which jobs fail, where and how often.
struct Faults {
  std::uint64_t seed = 1;
  std::uint32_t fail_percent = 0;
  std::uint32_t poison_every = 0;  ///< one job in so many; 0: none
  std::uint32_t poison_from = 0;   ///< the first that may be
  std::uint32_t most_tries = 2;    ///< of a job that is no poison, failed ones

  [[nodiscard]] RK_FN constexpr bool is_poison(std::uint32_t job) const {
    return poison_every != 0 && job >= poison_from &&
           mix(seed ^ 0x706F69u ^ mix(job)) % poison_every == 0;
  }
  [[nodiscard]] RK_FN constexpr bool fails(std::uint32_t machine, std::uint32_t job,
                                           std::uint32_t tries) const {
    if (is_poison(job)) return true;
    const std::uint64_t place = std::uint64_t{machine} << 32 | job;
    return tries < most_tries && mix(seed ^ mix(place) ^ tries) % 100 < fail_percent;
  }
};

RK_FN constexpr std::uint64_t product_of(std::uint64_t seed, std::uint32_t job) {
  return mix(seed + mix(job));
}

/// How often each job was booked, then how many jobs each machine finished: in its field.
struct Ledger {
  using messages = handles<Done>;
  static constexpr const char* name = "factory.ledger";
  std::uint32_t jobs = 0;
  std::uint32_t machines = 0;
  std::uint64_t booked = 0;
  std::uint64_t twice = 0;
  std::uint64_t products = 0;  ///< sum

  static constexpr std::uint32_t field_bytes(std::uint32_t jobs, std::uint32_t machines) {
    return (jobs + 3) / 4 * 4 + machines * 4;
  }

  template <class Ctx>
  RK_FN void on(const Done& done, Ctx& ctx) {
    const auto bytes = ctx.template field<std::uint8_t>();
    if (ctx.leader()) {
      if (bytes[done.number]++ != 0) ++twice;
      ++reinterpret_cast<std::uint32_t*>(bytes.data + (jobs + 3) / 4 * 4)[done.machine];
      ++booked;
      products += done.product;
    }
    ctx.send_to_host(Booked{done.number});
  }
};

/// One machine. `begun` is a job number + 1 while it is worked on: a restart must put it back to 0.
struct Machine {
  using messages = handles<Job, Pair>;
  static constexpr const char* name = "factory.machine";
  static constexpr bool supervised = true;
  static constexpr std::uint32_t max_links = 1;
  static constexpr std::uint32_t kCodeBroken = 7;
  static constexpr std::uint32_t kCodeTorn = 8;
  Faults faults{};
  ref<Ledger> ledger{};
  std::uint32_t number = 0;
  std::uint32_t begun = 0;
  std::uint32_t torn = 0;  ///< jobs that found it half changed
  std::uint64_t done = 0;  ///< jobs, as far as it remembers

  template <class Ctx>
  RK_FN void on(const Job& job, Ctx& ctx) {
    ctx.sync();
    if (ctx.leader()) {
      if (begun != 0) ++torn;
      begun = job.number + 1;
      ++done;
    }
    if (faults.fails(number, job.number, ctx.tries())) return ctx.fail(kCodeBroken);
    ctx.send(ledger, Done{job.number, number, product_of(faults.seed, job.number)});
    ctx.sync();
    if (ctx.leader()) begun = 0;
  }
  template <class Ctx>
  RK_FN void on(const Pair& pair, Ctx& ctx) {
    ctx.link(pair.partner);
  }

  static std::array<Region, 1> regions() {
    return {region("done", ElementType::u64, offsetof(Machine, done))};
  }
};

}  // namespace rk::factory
