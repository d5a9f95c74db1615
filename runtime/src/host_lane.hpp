// The host's lane: everything the host application stamps, counts, pushes and consumes, under one
// lock.
//
// Invariants:
//  1. {read epoch, stamp, count, push} and {pop, count, deliver} are atomic steps under `mutex`; so
//  is {advance epoch, read
//     counters, publish the control word}. Hence each message is clearly before or after the host's
//     cut.
//  2. The lock is never held while waiting for a worker.
//  3. Where an actor lives changes under the lock, while the workers stand still.
#pragma once

#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/runtime/result.hpp>
#include <ringkernel/runtime/system.hpp>

#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace rk {

/// A message of the host before it is stamped.
struct HostMessage {
  ActorId to{};
  std::uint8_t tag = 0;
  std::uint8_t flags = 0;  ///< kFlagControl, kFlagSystem
  MessageKind kind = MessageKind::plain;
  std::uint32_t correlation = 0;
  std::uint64_t due = 0;
};

/// A step of a move, as it is asked for; kernels/moves.hpp.
struct MoveRequest {
  MoveStep step = MoveStep::none;
  ActorId actor{};
  std::uint32_t to = 0;
  std::uint64_t gap = 0;
};

class HostLane {
 public:
  /// Called for every consumed output, under the lane's lock.
  using Deliver = std::function<void(const MessageView&)>;
  /// Whether an output can be delivered now; if not, it and what follows it in its ring stay there.
  using CanDeliver = std::function<bool(const MessageView&)>;
  /// Called for an output of `worker` of an older colour than the host's, before it is delivered.
  using Crossed = std::function<void(std::uint32_t worker, std::span<const std::byte>)>;

  /// `system` is the host's view. `replayed[w]` restored messages count as sent by the host to w.
  HostLane(const SystemView& system, const std::vector<std::uint64_t>& replayed,
           std::uint32_t source_sequence);

  mutable std::mutex mutex;

  // --- under the lock
  // -------------------------------------------------------------------------------------------

  /// would_block when the H2K ring of its lane is full; not_found when no such actor exists.
  Result<void> send(const HostMessage& message, const std::byte* payload,
                    std::uint32_t payload_bytes);
  /// As send, but with a colour read earlier: the planted bug `no_lane_lock`.
  Result<void> send_coloured(std::uint16_t colour, const HostMessage& message,
                             const std::byte* payload, std::uint32_t payload_bytes);
  /// For an ordinary message.
  [[nodiscard]] bool has_room() { return h2k_[0].has_room(); }

  /// Pops up to `limit` outputs per worker. Returns how many.
  std::uint64_t drain_outputs(std::uint32_t limit, const Crossed& crossed, const Deliver& deliver,
                              const CanDeliver& can_deliver = {});

  /// Starts epoch `epoch`: returns the counters at the cut. publish_cut() must follow under the
  /// same lock.
  std::vector<CutChannel> begin_cut(std::uint32_t epoch);
  /// `parent`: the durable cut that it is an increment of; 0 for a full one.
  void publish_cut(std::uint32_t parent);
  void close_cut(std::uint32_t epoch);
  void set_run_state(RunState state);
  void request_read(std::uint32_t request, ActorId actor);
  void request_step(std::uint32_t request, std::uint64_t messages);
  void set_clock_offset(std::int64_t offset_us);
  /// Number of the step.
  std::uint32_t request_move(const MoveRequest& request);
  /// The actor and the free place have changed their workers: what is sent to them, or waits in the
  /// host's ring, goes where they are. `host_messages`: messages of the host's channels, restored
  /// ones included, that workers sent to `to` instead of `from`. The workers stand still.
  void finish_move(ActorId actor, std::uint32_t place, std::uint32_t to,
                   std::int64_t host_messages);
  /// Whether `worker` has sent outputs that were not taken yet.
  [[nodiscard]] bool has_output(std::uint32_t worker) const {
    return k2h_[worker].front() != nullptr;
  }

  /// Worker that counts what is sent to `to`; none for ids that no place has.
  [[nodiscard]] std::optional<std::uint32_t> worker_of(ActorId to) const;
  [[nodiscard]] std::uint32_t epoch() const { return epoch_; }
  [[nodiscard]] std::uint32_t control_version() const { return control_version_; }
  [[nodiscard]] std::uint32_t source_sequence() const { return source_sequence_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] std::uint64_t hlc() const { return clock_.last.word; }
  [[nodiscard]] std::uint64_t refused_stamps() const { return refused_stamps_; }

 private:
  void publish_control();

  SystemView system_;
  SpscProducer<StridedSlots, Scope::system> h2k_[kHostLanes];
  std::vector<SpscConsumer<StridedSlots, Scope::system>> k2h_;
  std::vector<CutChannel> channels_;
  hlc::WorkerClock clock_{};
  std::uint32_t epoch_;
  std::uint32_t source_sequence_;
  std::uint32_t control_version_ = 0;
  std::uint32_t move_request_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t refused_stamps_ = 0;
};

}  // namespace rk
