// Layout of the counters that one worker writes and the host reads while it runs.
//
//   device memory, per worker:  TelemetryHead | TelemetryRow of each actor type | row of no type
//
// The blocks of all workers lie behind each other, so that one copy fetches them. Where the host
// addresses device memory it reads the words themselves; on CUDA it copies them on a stream of its
// own (Executor::fetch): publishing costs the worker nothing.
//
// Invariants:
//  1. Every word has one writer, its worker, which stores it relaxed: a reader sees each word
//  whole.
//  2. Counters and buckets only grow. They are not a snapshot: words are read one after the other,
//  so sums of different words may disagree by what happened meanwhile. After the run's end they are
//  exact.
//  3. Nothing waits for a reader, and no reader changes a word.
#pragma once

#include <ringkernel/runtime/histogram.hpp>
#include <ringkernel/runtime/message.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rk {

/// A message in one word: receiver, row of its type, tag. 0: none.
struct TelemetryMessage {
  RK_FN static constexpr std::uint64_t pack(ActorId actor, std::uint32_t row, std::uint8_t tag) {
    return static_cast<std::uint64_t>(actor.word) << 32 | (row & 0xFFFFu) << 16 |
           static_cast<std::uint64_t>(tag) << 8 | 1u;
  }
  static constexpr ActorId actor(std::uint64_t word) {
    return ActorId{static_cast<std::uint32_t>(word >> 32)};
  }
  static constexpr std::uint32_t row(std::uint64_t word) {
    return static_cast<std::uint32_t>(word >> 16) & 0xFFFFu;
  }
  static constexpr std::uint8_t tag(std::uint64_t word) {
    return static_cast<std::uint8_t>(word >> 8);
  }
};

struct alignas(64) TelemetryHead {
  // of the message whose handler runs
  std::uint64_t running;           ///< TelemetryMessage; 0 between bursts of them
  std::uint64_t running_hlc;       ///< its stamp
  std::uint64_t running_since_us;  ///< the worker's clock when the handler began
  // when the worker last looked: with one status in some
  std::uint64_t clock_us;    ///< its clock
  std::uint64_t stash;       ///< TelemetryMessage at the front of its stash
  std::uint64_t stash_hlc;   ///< its stamp
  std::uint64_t inbox;       ///< TelemetryMessage at the front of what arrived
  std::uint64_t inbox_hlc;   ///< its stamp
  std::uint64_t inbox_used;  ///< messages in the inbox
  std::uint64_t pad[7];
};
static_assert(sizeof(TelemetryHead) == 128 && offsetof(TelemetryHead, clock_us) == 24 &&
              offsetof(TelemetryHead, inbox_used) == 64);

/// Counters of one actor type on one worker. The last row counts what has no type: dead letters to
/// ids that nobody has.
struct alignas(64) TelemetryRow {
  std::uint64_t handled;
  std::uint64_t failures;  ///< of these: the handler failed
  std::uint64_t sends;     ///< messages and outputs that its handlers sent
  std::uint64_t dead_letters;
  std::uint64_t spawns;
  std::uint64_t kills;
  std::uint64_t handler_ns;  ///< in handlers: estimated from samples
  std::uint64_t latency_us;  ///< sum of what `latency` counts
  // Samples: each counts as often as the messages it stands for; see kernels/telemetry.hpp.
  /// Worker's clock minus the message's stamp when its handler begins, in microseconds. Messages
  /// that a checkpoint brought back do not count: they waited for the restart.
  std::uint64_t latency[kHistogramBuckets];
  /// How long handlers ran, in nanoseconds.
  std::uint64_t duration[kHistogramBuckets];
};
static_assert(sizeof(TelemetryRow) == 64 + 2 * 8 * kHistogramBuckets &&
              sizeof(TelemetryRow) == 4928);
static_assert(offsetof(TelemetryRow, latency) == 64 && offsetof(TelemetryRow, duration) == 2496);
static_assert(std::is_trivially_copyable_v<TelemetryHead> &&
              std::is_trivially_copyable_v<TelemetryRow>);

/// Bytes of one worker's block. `rows`: actor types and one.
constexpr std::uint64_t telemetry_block_bytes(std::uint64_t rows) {
  return sizeof(TelemetryHead) + rows * sizeof(TelemetryRow);
}

}  // namespace rk
