// What a running system tells about itself: Runtime::telemetry() reads it without stopping or
// slowing anything. Rates are the reader's: take two readings and divide by the difference of their
// times. docs/telemetry.md says what each figure means and how far it can be trusted.
//
// Readings are not a snapshot: counters are read one after the other while they grow, so that sums
// of different ones may disagree by what happened meanwhile. After stop() they are exact.
//
// Threads: values.
#pragma once

#include <ringkernel/runtime/histogram.hpp>
#include <ringkernel/runtime/message.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rk {

/// Of the actors of one type, on one worker or on all.
struct TypeTelemetry {
  std::uint64_t handled = 0;
  std::uint64_t failures = 0;  ///< of these: the handler failed
  std::uint64_t sends = 0;     ///< messages and outputs that handlers sent
  std::uint64_t dead_letters = 0;
  std::uint64_t spawns = 0;
  std::uint64_t kills = 0;
  std::uint64_t handler_ns = 0;  ///< spent in handlers, estimated from samples
  std::uint64_t latency_us = 0;  ///< sum over `latency`: estimated likewise
  Histogram latency{};           ///< microseconds from a message's stamp until its handler began
  Histogram duration{};  ///< nanoseconds in handlers; a sample counts for those it stands for

  void merge(const TypeTelemetry& other);
};

/// A message that is handled or waits.
struct MessageTelemetry {
  ActorId receiver;
  std::uint32_t type = 0;  ///< index into Telemetry::types
  std::uint8_t tag = 0;
  double age_s = 0;  ///< since it was sent
};

struct WorkerTelemetry {
  std::vector<TypeTelemetry> types;  ///< as Telemetry::types
  std::uint64_t sent = 0;            ///< messages stamped, to workers and to the host
  std::uint64_t received = 0;        ///< handled or dead
  std::uint64_t dead = 0;            ///< of these
  std::uint64_t inbox = 0;           ///< messages that arrived and wait, as the worker last looked
  std::uint64_t outbox = 0;          ///< messages that wait for room in an inbox
  std::uint64_t stash = 0;           ///< messages set aside until their handler has room
  std::uint64_t stash_total = 0;
  std::uint64_t full_inbox_total = 0;  ///< times a send found the receiver's inbox full
  std::uint64_t ring_stalls = 0;       ///< waits for room in the snapshot ring
  std::uint64_t turns = 0;
  std::optional<MessageTelemetry> running;  ///< the message whose handler runs
  double running_s = 0;                     ///< how long it has
  std::optional<MessageTelemetry> stashed;  ///< front of the stash
  std::optional<MessageTelemetry> arrived;  ///< front of the inbox
};

struct CheckpointTelemetry {
  std::uint32_t checkpoints = 0;  ///< durable ones
  std::uint32_t increments = 0;   ///< of these
  std::uint32_t failures = 0;
  std::uint32_t failures_in_a_row = 0;
  std::uint64_t drained_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::chrono::nanoseconds longest{};   ///< from the cut until durable
  std::chrono::nanoseconds interval{};  ///< as things stand; 0: none by time
  std::optional<double> age_s;          ///< of the newest one of this process, since it was durable
  std::string newest;                   ///< directory
};

struct Telemetry {
  std::uint64_t time_us = 0;  ///< of this reading, since 1970
  double uptime_s = 0;        ///< since the workers started; 0: they have not
  bool running = false;
  std::string job;        ///< name of the application; set by who serves it
  std::uint64_t pid = 0;  ///< its process; likewise
  std::string executor;
  std::vector<std::string> types;  ///< of actors; the last, "(unknown)", is no type: dead letters
  std::vector<WorkerTelemetry> workers;  ///< none before the start
  std::uint64_t host_sent = 0;           ///< messages from the host
  std::uint64_t host_received = 0;       ///< outputs that the host consumed
  CheckpointTelemetry checkpoint;

  /// Of one type on all workers.
  [[nodiscard]] TypeTelemetry of_type(std::size_t type) const;
};

}  // namespace rk
