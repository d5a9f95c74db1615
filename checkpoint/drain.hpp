// The drain: turns the snapshot streams of a live system into a durable checkpoint.
//
//   stream 0 ring --.                      .-- spsc_queue --> writer 0: verify, encode, write its
//   shards --. stream 1 ring ---+-- drain thread ----+ +--> commit
//   ...              |   (copies out,      '-- spsc_queue --> writer 1 ... --/   MANIFEST host
//   records ----/    counts, returns credits)
//
// Invariants:
//  1. Completeness is decided from the records alone: a cut record of every worker, places written
//  and places called unchanged = sum of places announced,
//     messages recorded = sum(sent) - sum(received) over every channel. Nothing is guessed from
//     time. A message's trailer says which channel it counts on.
//  2. One cut at a time. Records of another epoch than the open one are dropped (left over from an
//  abandoned cut).
//  3. Credits return as soon as the bytes were copied out, so that a worker waits for the drain's
//  copy, not for storage, as
//     long as staging buffers are free. Memory is bounded by `staging_buffers` x `staging_bytes`,
//     one assembled unit per stream, and one batch per writer and kind of row.
//  4. A checkpoint counts as durable only when CheckpointWriter::commit returned.
//
// Threads: one service thread calls everything here except where noted; the drain owns its own
// threads. No exception leaves them: a failure becomes the outcome of the open cut.
#pragma once

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/runtime/executor.hpp>
#include <ringkernel/runtime/polling.hpp>
#include <ringkernel/runtime/system.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rk::checkpoint {

struct DrainOptions {
  std::uint32_t writers = 1;
  /// Of one buffer; at least a record of the largest size. The default holds four of them without
  /// waste.
  std::uint64_t staging_bytes = 4 * record_bytes(kMaxRecordPayload);
  std::uint32_t staging_buffers = 16;
  Compression compression{};  ///< of the shards; the writers' threads do the work
  /// While no cut is open and no read expected: what comes then nobody waits for.
  Polling polling{.longest = std::chrono::milliseconds(20)};
};

/// The host's part of a cut, taken under every host lane's lock.
struct HostCut {
  std::uint32_t epoch = 0;
  std::uint32_t parent = 0;  ///< durable cut of this run that it is an increment of; 0: a full one
  std::uint64_t hlc = 0;
  std::uint64_t created_at_us = 0;
  /// Per worker w: sent = messages the host stamped for w (restored ones included), received =
  /// outputs of w the host had consumed.
  std::vector<CutChannel> channels;
  std::vector<std::byte> app_state;        ///< what on_cut's save produced
  std::map<std::string, std::string> app;  ///< small text for the manifest
};

/// Facts that do not change while the system runs.
struct DrainFacts {
  std::string executor;
  std::string run_id;
  std::uint64_t seed = 0;
};

/// What one finished cut cost and holds.
struct CutReport {
  std::uint32_t epoch = 0;
  std::uint32_t parent = 0;         ///< 0: a full checkpoint
  std::string directory;            ///< empty if it failed
  std::uint64_t slots = 0;          ///< that an actor lives in
  std::uint64_t messages = 0;       ///< in flight across the cut
  std::uint64_t drained_bytes = 0;  ///< taken out of the rings
  std::uint64_t file_bytes = 0;
  std::chrono::nanoseconds stream_time{};   ///< opened to all records in
  std::chrono::nanoseconds durable_time{};  ///< opened to durable
  Hash128 content_digest{};  ///< equal runs have equal digests; see content_digest.hpp
};

class Drain {
 public:
  /// Reply to a host read: the bytes of one slot, header first; empty if they did not verify.
  /// Called on the drain thread.
  using ReadSink = std::function<void(std::uint32_t request, std::span<const std::byte> slot)>;

  /// Starts the threads. `system` is the host's view (its worker array can be read here);
  /// `executor` and `directory` outlive the drain. `directory` null: reads only, and an opened cut
  /// fails. invalid_argument: an option is out of range. What Executor::allocate_staging returns.
  [[nodiscard]] static Result<std::unique_ptr<Drain>> create(Executor& executor,
                                                             const SystemView& system,
                                                             CheckpointDirectory* directory,
                                                             DrainFacts facts, DrainOptions options,
                                                             ReadSink read_sink);
  virtual ~Drain() = default;

  /// A cut was published. Precondition: idle(), and an epoch above every earlier one. Records of
  /// the epoch wait in their rings until then. Creates the checkpoint's directory; errors become
  /// the outcome.
  virtual void open(HostCut cut) = 0;
  /// A message that crossed the open cut in `worker`'s K2H ring, `message_slot_bytes` long.
  virtual void add_output(std::uint32_t worker, std::span<const std::byte> message) = 0;
  /// A host read was asked for: the drain looks for its reply without long pauses. Any thread.
  virtual void expect_read() = 0;
  /// True once every record of the open cut arrived: the host may close it. Cheap.
  [[nodiscard]] virtual bool streamed() const = 0;
  /// Gives the open cut up, whatever its state short of durable; its outcome becomes `error`. A
  /// MANIFEST that is being written may still win: then the checkpoint is durable and the outcome
  /// says so.
  virtual void abandon(Error error) = 0;
  /// The outcome of the cut, once, after it became durable, failed or was abandoned; then idle() is
  /// true.
  [[nodiscard]] virtual std::optional<Result<CutReport>> take_outcome() = 0;
  [[nodiscard]] virtual bool idle() const = 0;
  /// Why a cut is not complete yet: which stream misses what. For error messages.
  [[nodiscard]] virtual std::string describe_missing() const = 0;
  /// Ends the threads. Called after the workers stopped.
  virtual void stop() = 0;
};

}  // namespace rk::checkpoint
