// The clock of one worker, and the guard for stamps that arrive from outside.
//
// Invariants
//   1. Each stamp a clock issues is greater than every stamp it issued or merged before, whatever
//   the wall
//      clock does (it may stand still or step back).
//   2. tick(wall)        = max(last + 1, wall << 12)
//      merge(rx, wall)   = max(last, rx, wall << 12) + 1     so send < receive
//   3. A refused stamp leaves the clock as it was.
//
// Source: Kulkarni et al. 2014 (see timestamp.hpp). Physical time is passed in; nothing here reads
// a clock.
#pragma once

#include <ringkernel/hlc/host_device.hpp>
#include <ringkernel/hlc/timestamp.hpp>

#include <cstdint>

namespace rk::hlc {

/// How far a stamp from outside may be ahead of the local wall clock, in microseconds.
inline constexpr std::uint64_t kDefaultMaxDriftUs = 60'000'000;

/// Whether a stamp from outside is acceptable. Stamps between our own workers are not checked, and
/// neither is a restore: after one, the past of the run is the truth, whatever the wall clock says.
[[nodiscard]] RK_FN constexpr bool within_drift(Timestamp received, std::uint64_t wall_us,
                                                std::uint64_t max_drift_us = kDefaultMaxDriftUs) {
  return received.physical_us() <= wall_us || received.physical_us() - wall_us <= max_drift_us;
}

/// A clock with one writer: its worker. Trivially copyable, so it can live in device memory and be
/// checkpointed as it is. Other threads must not read it while it runs.
struct WorkerClock {
  Timestamp last;

  /// Stamp of a local or send event. `wall`: at_wall() of the physical time.
  RK_FN RK_HOT constexpr Timestamp tick(Timestamp wall) {
    last = later_of(Timestamp{last.word + 1}, wall);
    return last;
  }
  /// `wall_us`: microseconds since 1970.
  RK_FN RK_HOT constexpr Timestamp tick(std::uint64_t wall_us) { return tick(at_wall(wall_us)); }

  /// Stamp of the receipt of a message stamped `received`; greater than both.
  RK_FN RK_HOT constexpr Timestamp merge(Timestamp received, Timestamp wall) {
    last.word = later_of(later_of(last, received), wall).word + 1;
    return last;
  }
  RK_FN RK_HOT constexpr Timestamp merge(Timestamp received, std::uint64_t wall_us) {
    return merge(received, at_wall(wall_us));
  }

  /// Every later stamp will exceed `at_least`. Never moves the clock back.
  RK_FN constexpr void restore(Timestamp at_least) { last = later_of(last, at_least); }
};
static_assert(sizeof(WorkerClock) == 8);

}  // namespace rk::hlc
