// Control lane: words that the host, the H2K dispatcher and the workers share. Data cannot starve
// it: it is no queue.
//
//   host --(HostControl, host memory)--> dispatcher --(DeviceControl, device memory)--> workers
//   workers --(WorkerStatus, host memory)--> host
//
// `version` is the commit word of each block: the writer changes other words, then stores a new
// version with release; a reader that acquires a version it has not seen reads them all. It may see
// newer words than its version stands for. That is harmless for a word that stands alone; words
// with an operand (cut_epoch with cut_position and cut_parent, read_request and read_actor,
// step_request and step_budget, move_request and what follows it) are stored after it with release
// and loaded before it with acquire, so that a request is never seen with an older operand. A newer
// operand with an older request changes nothing: that request was served before the host made the
// next.
#pragma once

#include <ringkernel/runtime/message.hpp>

#include <cstdint>

namespace rk {

/// `moving`: all workers and the dispatcher stand still between two handlers, while an actor
/// changes its worker (kernels/moves.hpp).
enum class RunState : std::uint32_t { running = 0, paused = 1, stopping = 2, moving = 3 };

/// What workers do next for a move; kernels/moves.hpp says who does what.
enum class MoveStep : std::uint32_t {
  none = 0,
  survey,     ///< while it runs: tell what the worker's actors handled since the last survey
  nominate,   ///< while it runs: name the actor that should leave, by that survey
  offer,      ///< the new worker chooses a place and tells what it has room for
  hand_over,  ///< the old worker copies the actor and its mail there, or refuses
  adopt,      ///< the new worker takes them; all correct the ways of what they still hold
  give_up,    ///< the new worker hands over the mail of the place that it gave in exchange
  settle,     ///< the old worker takes it
};

/// What became of a step.
enum class MoveOutcome : std::uint32_t {
  done = 0,
  has_mail,    ///< done, but the place given in exchange still has mail
  not_found,   ///< the actor lives no more
  no_place,    ///< no free place of its type and field there
  waits,       ///< what it sent waits for a full inbox, or its restored timers are not set yet
  no_room,     ///< more messages wait for it than the new worker has room for
  no_stash,    ///< the same, of those that are set aside
  no_control,  ///< the same, on the control lane
  no_timers,   ///< its asks and timers in steps do not fit there
};

/// Of the host's messages: ordinary ones; control messages and commands. Neither waits for the
/// other.
inline constexpr std::uint32_t kHostLanes = 2;

/// Written by the host under its lane lock, read by the dispatcher.
struct alignas(64) HostControl {
  std::uint32_t version;         ///< commit word
  std::uint32_t run_state;       ///< RunState
  std::uint32_t cut_epoch;       ///< newest cut asked for
  std::uint32_t closed_epoch;    ///< newest cut that needs no more records: complete or abandoned
  std::uint32_t read_request;    ///< number of the newest read
  std::uint32_t read_actor;      ///< ActorId::word
  std::uint32_t step_request;    ///< number of the newest step command
  std::uint32_t cut_parent;      ///< durable cut that cut_epoch is an increment of; 0: a full one
  std::uint64_t step_budget;     ///< messages each worker may handle for it
  std::int64_t clock_offset_us;  ///< host time minus device time
  std::uint64_t
      cut_position[kHostLanes];  ///< by lane: H2K messages below it were sent before the cut
  std::uint32_t move_request;    ///< number of the newest step of a move
  std::uint32_t move_step;       ///< MoveStep
  std::uint32_t move_actor;      ///< ActorId::word
  std::uint32_t move_to;         ///< worker; nominate: the one that should give an actor away
  std::uint64_t move_gap;        ///< nominate: messages that it handled more than another
  std::uint64_t pad[5];
};
static_assert(sizeof(HostControl) == 128);

/// The dispatcher's copy, read by every worker on every turn.
struct alignas(64) DeviceControl {
  std::uint32_t version;  ///< commit word
  std::uint32_t run_state;
  std::uint32_t cut_epoch;
  std::uint32_t closed_epoch;
  std::uint32_t read_request;
  std::uint32_t read_actor;
  std::uint32_t step_request;
  std::uint32_t cut_parent;
  std::uint64_t step_budget;
  std::int64_t clock_offset_us;
  std::uint64_t reserved[2];
  std::uint32_t move_request;
  std::uint32_t move_step;
  std::uint32_t move_actor;
  std::uint32_t move_to;
  std::uint64_t move_gap;
  std::uint64_t pad[5];
};
static_assert(sizeof(DeviceControl) == 128);

/// Why a handler ended the run.
enum class Fault : std::uint32_t {
  none = 0,
  failed,             ///< ctx.fail(code)
  too_many_sends,     ///< more sends than the message type declares
  too_many_blocks,    ///< more slab blocks than the message type declares
  block_too_large,    ///< a block larger than Capacities::slab_block_bytes
  too_many_outputs,   ///< more host sends than the message type declares
  unknown_message,    ///< a tag the actor does not handle
  block_not_owned,    ///< a block was sent twice, or was not taken by this handler
  too_many_timers,    ///< more asks and timers than the message type declares
  too_many_links,     ///< more links and monitors than the actor type declares
  message_too_large,  ///< an untyped message that does not fit the program's slots
};

inline constexpr std::uint32_t kWaitsForNobody = 0xFFFFFFFFu;

/// What keeps a worker from handling the messages at the fronts of its queues: a set of bits,
/// because each front has its own reason, and the worker goes on as soon as any of them can.
enum class Shortage : std::uint32_t {
  none = 0,
  outbox = 1,  ///< waits_for's inbox is full, and so is the outbox
  local = 2,   ///< its own FIFO is full
  k2h = 4,     ///< the host does not take outputs
  timers = 8,  ///< no place in the timer store
  slab = 16,
  stash = 32,
  suspended = 64,   ///< a message to an actor whose supervisor has not answered
  until_due = 128,  ///< not a shortage: a timer is still to come and may change all of it
};
[[nodiscard]] RK_FN constexpr Shortage operator|(Shortage a, Shortage b) {
  return static_cast<Shortage>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
[[nodiscard]] RK_FN constexpr bool includes(Shortage set, Shortage what) {
  return (static_cast<std::uint32_t>(set) & static_cast<std::uint32_t>(what)) != 0;
}

/// Written by one worker, read by the host. Counters lag behind what the worker did: it publishes
/// them now and then, so receivers may report a message before its sender does. They are exact
/// where two readings agree and `heartbeat`, which is stored last, moved in between: then the
/// worker neither sent nor received until it published again.
struct alignas(64) WorkerStatus {
  std::uint64_t sent;         ///< messages stamped, to workers and to the host
  std::uint64_t received;     ///< messages handled or dead-lettered
  std::uint64_t dead;         ///< of these: dead letters
  std::uint64_t heartbeat;    ///< turns
  std::uint32_t state;        ///< RunState reached
  std::uint32_t step_done;    ///< newest finished step command
  std::uint32_t fault;        ///< Fault
  std::uint32_t fault_code;   ///< of ctx.fail
  std::uint32_t fault_actor;  ///< ActorId::word
  std::uint32_t fault_tag;
  std::uint32_t epoch;             ///< newest cut taken
  std::uint32_t control_version;   ///< newest DeviceControl::version that was obeyed
  std::uint64_t stashed;           ///< messages in the stash now
  std::uint64_t outbox;            ///< messages in the outbox now
  std::uint64_t stash_total;       ///< messages ever set aside
  std::uint64_t full_inbox_total;  ///< times a send found the receiver's inbox full
  std::uint64_t hlc;               ///< newest stamp
  std::uint64_t live;              ///< actors
  std::uint32_t waits_for;         ///< worker whose inbox is full, or kWaitsForNobody
  std::uint32_t shortage;          ///< Shortage bits
  std::uint64_t timers;            ///< pending timers and asks
  std::uint64_t local;             ///< local messages and replayed ones that wait now
  std::uint64_t moved;             ///< messages that left a queue, were set aside or came due, ever
  std::uint32_t move_done;         ///< newest finished step of a move
  std::uint32_t move_outcome;      ///< MoveOutcome of it
  std::uint32_t move_place;        ///< offer: index of the place chosen; nominate: ActorId::word
  /// Messages of the host, or replayed ones, that this worker sent to the actor's new worker
  /// instead of the old one, less those that went the other way.
  std::int32_t move_host_messages;
  std::uint64_t move_load;  ///< survey
  std::uint64_t pad[3];
};
static_assert(sizeof(WorkerStatus) == 192);

}  // namespace rk
