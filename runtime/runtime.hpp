// The facade: one Runtime drives one device program on one executor.
//
//   auto runtime = rk::Runtime::create(rk::make_host_executor<Cell>(), options);
//   if (!(*runtime)->restore_latest()->restored) (*runtime)->spawn<Cell>(n, init);
//   auto report = (*runtime)->run({.max_walltime = 1h});
//
// Life: create; register on_output / on_cut / on_feed; restore_latest or spawn; run (starts the
// workers) any number of times, with pause, step, resume in between; stop, or destroy.
//
// Threads: one thread controls (create to stop). send, read, request_* may be called from any
// thread. Callbacks run on the runtime's service thread, under the host lane's lock: they must not
// call the Runtime, except through the Feed they get.
#pragma once

#include <ringkernel/checkpoint/codec.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/dead_letter.hpp>
#include <ringkernel/runtime/executor.hpp>
#include <ringkernel/runtime/library_message.hpp>
#include <ringkernel/runtime/metrics.hpp>
#include <ringkernel/runtime/polling.hpp>
#include <ringkernel/runtime/result.hpp>
#include <ringkernel/runtime/slot.hpp>
#include <ringkernel/runtime/subscription.hpp>
#include <ringkernel/runtime/telemetry.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace rk {

namespace checkpoint {
class Storage;
}

/// How spawned actors are spread over workers.
enum class Placement {
  block,   ///< neighbours in spawn order share a worker
  spread,  ///< round robin: equal shares, no neighbours together
  hashed,  ///< by a hash of the id: whatever the pattern of who talks to whom, 1 of n pairs
           ///< together
};

/// One more place that checkpoints are copied to while the run goes on; see checkpoint/tiers.hpp.
struct CheckpointTier {
  std::string location;    ///< as CheckpointOptions::dir
  std::uint32_t keep = 0;  ///< newest checkpoints to keep there; 0: as many as in `dir`
  std::shared_ptr<checkpoint::Storage> storage{};  ///< instead of `location`: for tests
};

struct CheckpointOptions {
  /// A location as checkpoint/location.hpp describes: a path, or a store such as `shm:NAME`.
  std::string dir;  ///< empty: no checkpoints
  std::string prefix =
      "checkpoint";  ///< [A-Za-z0-9._-], names this application's checkpoints in `dir`
  /// When to save; several may be set, none: on demand only. The rules, with back-off and retries,
  /// are in checkpoint/policy.hpp and docs/checkpointing.md.
  std::chrono::nanoseconds every{0};  ///< between the beginnings of two
  std::uint64_t every_messages = 0;   ///< handled by actors or consumed by the host
  std::uint64_t every_steps = 0;      ///< of the application: needs on_steps()
  std::chrono::nanoseconds mtbf{0};   ///< mean time between failures: the interval that loses least
  std::uint32_t keep = 3;             ///< newest checkpoints to keep, at least 1
  /// One checkpoint in so many is a full one; those between are increments of the one before them.
  /// 1: all are full. A restart begins with a full one.
  std::uint32_t full_every = 1;
  bool fresh = false;  ///< do not restore; start a new run id, delete nothing
  /// A cut whose records are not all in by then is abandoned; the run goes on.
  std::chrono::nanoseconds deadline = std::chrono::seconds(60);
  std::uint32_t writers = 1;
  /// Of the shards, by the writers' threads. A checkpoint restores whatever it was written with.
  checkpoint::Compression compression{};
  std::vector<CheckpointTier> tiers{};  ///< after `dir`, nearest first
  /// Where a checkpoint must be before it counts as durable: `dir` or a tier's location. Empty:
  /// `dir`. One that is not there within `deadline` counts as failed; copying goes on.
  std::string ack{};
  /// Settings that a checkpoint must agree with to be restored; a difference is
  /// ErrorCode::incompatible and named.
  std::map<std::string, std::string> identity;
  /// Where checkpoints go instead of the file system at `dir`: for tests.
  std::shared_ptr<checkpoint::Storage> storage;
};

/// Actors that change their worker while the program runs; docs/actors.md says what it costs.
struct RebalanceOptions {
  bool enabled = false;  ///< move_actor() works; workers get the memory for it
  /// How often the most loaded worker gives one to the least loaded one; needs `enabled`. 0: never.
  std::chrono::nanoseconds every{0};
  /// Only when the one handled so many times as many messages as the other since the last time, at
  /// least 1.
  double threshold = 1.25;
};

struct RuntimeOptions {
  std::uint32_t workers = 0;  ///< 0: the executor's default
  Capacities capacity{};
  std::uint64_t seed = 1;  ///< of ctx.rng(); a restored run keeps its own
  Placement placement = Placement::block;
  std::uint32_t background_percent =
      25;  ///< share of worker time for saving while a cut is open, 1..90
  /// No message handled for this long while some are in flight: run() returns deadline_exceeded and
  /// says who waits. 0: never.
  std::chrono::nanoseconds stall_deadline = std::chrono::seconds(60);
  bool telemetry = true;  ///< workers count what telemetry() tells; see docs/telemetry.md
  Polling polling{};      ///< of the host's threads while nothing comes
  RebalanceOptions rebalance{};
  CheckpointOptions checkpoint{};
};

/// Contiguous actors of one type.
template <class A>
struct ActorRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  [[nodiscard]] ref<A> operator[](std::uint32_t i) const { return {ActorId::make(first + i, 0)}; }
};

struct SpawnOptions {
  std::uint32_t field_bytes = 0;  ///< trailing field of every actor
  SpawnPolicy policy{};           ///< of types with `supervised = true`
  std::function<std::uint32_t(std::uint32_t)>
      field_bytes_of{};  ///< or of each, by index in the range
};

struct RestoreReport {
  bool restored = false;
  std::uint64_t epoch = 0;
  std::string directory;
  std::vector<std::string> skipped;   ///< newer checkpoints passed over: "name: why"
  std::vector<std::string> migrated;  ///< "'cell': 20 actors from version 1 to 2"
};

enum class StopReason { quiescent, requested, walltime };

struct RunOptions {
  std::chrono::nanoseconds max_walltime{0};  ///< 0: none
  bool until_quiescent = true;  ///< return when nothing is in flight and the feed has ended
  bool checkpoint_on_stop =
      true;  ///< requested or walltime: save before returning (with a checkpoint dir)
  /// How long before max_walltime to stop, so that the last checkpoint is durable by then: never
  /// less than the longest checkpoint took so far. Unset: twice that. Ignored without a checkpoint
  /// to make. See stop_margin() in checkpoint/policy.hpp.
  std::optional<std::chrono::nanoseconds> save_margin{};
};

struct RunReport {
  StopReason reason = StopReason::quiescent;
  bool saved = false;  ///< a checkpoint was made durable on the way out
};

/// What one checkpoint cost.
struct CheckpointCost {
  std::uint32_t epoch = 0;
  std::uint32_t parent = 0;  ///< epoch that it is an increment of; 0: a full one
  std::string directory;
  std::uint64_t slots = 0;
  std::uint64_t messages = 0;
  std::uint64_t drained_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::chrono::nanoseconds stream_time{};   ///< cut to all records out of the rings
  std::chrono::nanoseconds durable_time{};  ///< cut to acknowledged
  std::string content_digest;               ///< 32 hex digits, time stamps excluded
  std::string acknowledged_at{};            ///< location of the tier that has it
  /// Not `epoch` if a newer checkpoint reached that tier first, which serves as well.
  std::uint64_t acknowledged_epoch = 0;
};

/// What one place for checkpoints holds and did since start().
struct TierStats {
  std::string location;
  std::string newest;  ///< directory of the newest checkpoint it holds; empty: none
  std::uint64_t promoted = 0;
  std::uint64_t promoted_bytes = 0;
  std::uint64_t passed_over = 0;  ///< never copied here, because a newer one came first
  std::uint64_t failures = 0;     ///< each is tried again
  std::string last_failure;
};

/// Counters of a run since start().
struct RuntimeStats {
  std::uint64_t sent = 0;                  ///< by actors and host
  std::uint64_t received = 0;              ///< handled by actors, dead, or consumed by the host
  std::uint64_t dead = 0;                  ///< dead letters, and outputs that nobody listens to
  std::uint64_t in_flight = 0;             ///< sent and not received; exact after stop()
  std::uint64_t live = 0;                  ///< actors
  std::uint64_t timers = 0;                ///< pending timers and asks, which are in flight
  std::uint64_t dead_letters_dropped = 0;  ///< by the host's list, which keeps the newest
  std::uint64_t host_sent = 0;             ///< of `sent`: by the host
  std::uint64_t host_received = 0;         ///< of `received`: consumed by the host
  std::uint64_t stashed_total = 0;
  std::uint64_t full_inbox_total = 0;
  std::uint64_t moves = 0;                  ///< actors that changed their worker
  std::uint64_t moves_refused = 0;          ///< tries that were refused; some were tried again
  std::chrono::nanoseconds moving{};        ///< all workers stood still for it
  std::chrono::nanoseconds longest_move{};  ///< of these, the longest time at once
  std::uint64_t stalls = 0;                 ///< waits for room in a snapshot ring
  std::uint64_t stalled_ticks = 0;  ///< their length in worker ticks (CPU: time stamp counter)
  std::uint32_t checkpoints = 0;    ///< durable ones
  std::uint32_t increments = 0;     ///< of these
  std::uint32_t checkpoint_failures = 0;
  std::uint32_t failures_in_a_row = 0;   ///< since the last durable one
  std::uint32_t checkpoint_backoff = 1;  ///< intervals are this many times what was asked for
  std::chrono::nanoseconds checkpoint_interval{};  ///< as things stand; 0: none by time
  std::chrono::nanoseconds longest_checkpoint{};   ///< from the cut until durable
  std::uint64_t drained_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::string last_checkpoint;
  std::uint64_t last_checkpoint_us = 0;  ///< when it was durable, since 1970; 0: none yet
  std::string last_failure;
  std::string acknowledged_at;   ///< location whose checkpoints count as durable
  std::vector<TierStats> tiers;  ///< `dir` first; empty without tiers
};

/// Where an actor that is spawned while the runtime runs should live.
struct SpawnWhere {
  std::optional<std::uint32_t> worker{};  ///< on this one
  ActorId near = kNoActor;                ///< on this actor's worker; with neither: spread
};

/// The host's sending end inside on_feed.
class Feed {
 public:
  /// would_block when the ring is full: return from the callback and go on in the next call.
  template <class A, class M>
  Result<void> send(ref<A> to, const M& message) {
    static_assert(Message<M> && handles_v<A, M>,
                  "the actor type does not list this message in `messages`");
    return send_bytes(to.id, M::tag, reinterpret_cast<const std::byte*>(&message), sizeof(M));
  }
  virtual bool has_room() = 0;

 protected:
  ~Feed() = default;
  virtual Result<void> send_bytes(ActorId to, std::uint8_t tag, const std::byte* payload,
                                  std::uint32_t bytes) = 0;
};

/// What on_feed tells: more input will come, or this was all.
enum class FeedState { more, ended };

class Runtime {
 public:
  /// `executor` from make_host_executor or make_cuda_executor. invalid_argument, locked or io when
  /// the checkpoint directory cannot be used.
  static Result<std::unique_ptr<Runtime>> create(std::unique_ptr<Executor> executor,
                                                 RuntimeOptions options = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // --- before the start
  // -------------------------------------------------------------------------------------------

  /// Adds `count` actors. `init(i, actor, field)` runs once for each, at the latest in start(), on
  /// the calling thread of start(); what it captures must live until then. The field is zeroed
  /// before.
  template <Actor A, class Init>
  Result<ActorRange<A>> spawn(std::uint32_t count, Init init, SpawnOptions options = {}) {
    auto first = spawn_actors(
        detail::name_hash(detail::actor_name<A>()), count, std::move(options),
        [init = std::move(init)](std::uint32_t i, std::byte* state,
                                 std::span<std::byte> field) mutable {
          A actor{};
          if constexpr (std::is_invocable_v<Init&, std::uint32_t, A&, std::span<std::byte>>) {
            init(i, actor, field);
          } else {
            init(i, actor);
          }
          std::memcpy(state, &actor, sizeof(A));
        });
    if (!first) return unexpected(first.error());
    return ActorRange<A>{*first, count};
  }

  /// Makes places for at least `count` actors of this type, those that are spawned or restored
  /// included, so that handlers and spawn_with() find free ones. All spare places of a type have
  /// the same field. Before start().
  template <Actor A>
  Result<void> reserve(std::uint32_t count, std::uint32_t field_bytes = 0) {
    return reserve_places(detail::name_hash(detail::actor_name<A>()), count, field_bytes);
  }

  /// Receives outputs of type M. One callback per tag.
  template <class M, class F>
  void on_output(F callback) {
    static_assert(Message<M>);
    on_output_bytes(M::tag, [callback = std::move(callback)](const std::byte* payload,
                                                             const OutputInfo& info) mutable {
      M message;
      std::memcpy(&message, payload, sizeof(M));
      callback(message, info);
    });
  }
  /// Outputs of type M in a queue, for threads of the application's; see subscription.hpp. Several
  /// may subscribe, beside a callback, too. Before start().
  template <class M>
  [[nodiscard]] Subscription<M> subscribe(std::size_t capacity = 4096) {
    static_assert(Message<M>);
    return Subscription<M>(subscribe_bytes(M::tag, capacity));
  }
  /// The application's part of a checkpoint. `save` runs at the host's cut; what it writes
  /// elsewhere (a file sink) it must sync itself before it returns. If it fails, so does the
  /// checkpoint; the run goes on. `load` runs in restore_latest.
  void on_cut(std::function<Result<std::vector<std::byte>>()> save,
              std::function<Result<void>(std::span<const std::byte>)> load);
  /// The application's own count of steps, for CheckpointOptions::every_steps; never decreases.
  /// Called on the service thread, without the lane's lock.
  void on_steps(std::function<std::uint64_t()> steps);
  /// Streams input: called again and again; sends what fits and returns. What it remembers about
  /// its position is consistent with the cut, because both run under the lane's lock.
  void on_feed(std::function<FeedState(Feed&)> feed);

  /// Restores the newest valid checkpoint, if there is one; spawn nothing then. Passes over corrupt
  /// ones and says so.
  Result<RestoreReport> restore_latest();

  // --- running
  // --------------------------------------------------------------------------------------------------------

  /// Starts the workers; run() does it when needed. `paused`: they handle nothing until resume(),
  /// step() or run().
  Result<void> start(bool paused = false);
  Result<RunReport> run(RunOptions options = {});
  Result<void> pause();
  Result<void> resume();
  /// While paused: lets every worker handle up to `messages` messages, and returns when they did or
  /// nothing is left to do.
  Result<void> step(std::uint64_t messages);
  /// Stops the workers. Messages in flight are lost unless a checkpoint holds them. Then only read
  /// and stats work.
  Result<void> stop();

  template <class A, class M>
  Result<void> send(ref<A> to, const M& message) {
    static_assert(Message<M> && handles_v<A, M>,
                  "the actor type does not list this message in `messages`");
    return send_bytes(to.id, M::tag, reinterpret_cast<const std::byte*>(&message), sizeof(M));
  }
  /// Sends a question; the future gets what the actor answers with Ctx::reply. not_found: it is
  /// dead or never lived; deadline_exceeded; closed: the runtime stopped before. Any thread.
  template <class Reply, class A, class M>
  std::future<Result<Reply>> ask(ref<A> to, const M& message, std::chrono::nanoseconds deadline) {
    static_assert(Message<M> && handles_v<A, M> && Message<Reply>);
    auto promise = std::make_shared<std::promise<Result<Reply>>>();
    ask_bytes(to.id, M::tag, reinterpret_cast<const std::byte*>(&message), sizeof(M), deadline,
              [promise](Result<std::vector<std::byte>> answer) {
                if (!answer) return promise->set_value(unexpected(answer.error()));
                Reply reply;
                std::memcpy(&reply, answer->data(), sizeof(Reply));
                promise->set_value(reply);
              });
    return promise->get_future();
  }
  /// A new A{} while the runtime runs, which handles `first` as its first message. no_space: no
  /// place is free there (reserve). Any thread.
  template <Actor A, class M>
  std::future<Result<ref<A>>> spawn_with(const M& first, SpawnWhere where = {}) {
    static_assert(Message<M> && handles_v<A, M> && std::is_default_constructible_v<A>);
    auto promise = std::make_shared<std::promise<Result<ref<A>>>>();
    spawn_bytes(detail::name_hash(detail::actor_name<A>()), M::tag,
                reinterpret_cast<const std::byte*>(&first), sizeof(M), where,
                [promise](Result<ActorId> born) {
                  if (!born) return promise->set_value(unexpected(born.error()));
                  promise->set_value(ref<A>{*born});
                });
    return promise->get_future();
  }
  /// Ends an actor: messages to it are dead letters from then on. Its links and watchers learn
  /// `code`. Any thread.
  Result<void> kill(ActorId actor, std::uint32_t code = kCodeKilled);

  /// Makes an actor live on `worker` from now on: its id stays, its messages, timers, asks and
  /// links follow, in their order. All workers stand still meanwhile: until the longest running
  /// handler has returned, and for a few round trips; no checkpoint is being taken, or it waits.
  /// What passes is tried again until `deadline`; then, or at once, the move is refused and nothing
  /// has changed: no_space (no free place of its type and field there: reserve), not_found,
  /// would_block (says what was full). closed, invalid_argument (RebalanceOptions::enabled, no such
  /// worker). Any thread, not from a callback.
  Result<void> move_actor(ActorId actor, std::uint32_t worker,
                          std::chrono::nanoseconds deadline = std::chrono::seconds(1));
  /// Where an actor lives. not_found for ids that no place has; the actor may be dead.
  [[nodiscard]] Result<std::uint32_t> worker_of(ActorId actor) const;

  /// Messages that could not be handled, oldest first; the newest few thousand are kept. They are
  /// part of a checkpoint. Any thread.
  [[nodiscard]] std::vector<DeadLetter> dead_letters() const;
  /// The same, and forgets them.
  std::vector<DeadLetter> take_dead_letters();
  /// Called for each as it comes, on the service thread under the lane's lock. Before start().
  void on_dead_letter(std::function<void(const DeadLetter&)> callback);
  /// Sends a dead letter again, as a message of the host. Any thread.
  Result<void> replay(const DeadLetter& letter);

  /// Runs f(Feed&) as one atomic step with respect to the cut: what it sends and what it changes in
  /// the application's own part (on_cut) is before the cut or after it, never half. For producers
  /// on threads of their own; send() alone is such a step too, but leaves no way to note in the
  /// same step that it happened. f must be short and must not call the Runtime. closed: the workers
  /// do not run. What f returns otherwise.
  Result<void> atomically(const std::function<Result<void>(Feed&)>& f);
  /// A copy of an actor's state at a handler boundary, while it runs or after stop().
  template <Actor A>
  Result<A> read(ref<A> actor) {
    auto slot = read_typed(actor.id, detail::name_hash(detail::actor_name<A>()));
    if (!slot) return unexpected(slot.error());
    A state;
    std::memcpy(&state, slot->data() + sizeof(SlotHeader), sizeof(A));
    return state;
  }
  /// The type of an actor that was spawned or restored.
  Result<ActorTypeInfo> type_of(ActorId actor) const;
  /// The whole slot: SlotHeader, state, field (see slot.hpp).
  Result<std::vector<std::byte>> read_slot(ActorId actor);

  /// Takes a checkpoint and waits until it is durable.
  Result<CheckpointCost> checkpoint_now();
  /// Asks for one; run() goes on. Async-signal-safe.
  void request_checkpoint();
  /// Makes run() return. Async-signal-safe.
  void request_stop();

  [[nodiscard]] RuntimeStats stats() const;
  /// What the workers do, from any thread, while they run or after stop(). Stops and slows nothing;
  /// takes no lock of the lane. closed or device_lost: the workers cannot be read any more.
  [[nodiscard]] Result<Telemetry> telemetry() const;
  /// Serves telemetry() until this Runtime is destroyed; see metrics.hpp. Once, by the controlling
  /// thread.
  Result<void> serve_metrics(MetricsOptions options);
  [[nodiscard]] std::uint32_t workers() const;
  [[nodiscard]] std::string executor_name() const;
  /// Costs of all durable checkpoints of this Runtime, oldest first.
  [[nodiscard]] std::vector<CheckpointCost> checkpoint_costs() const;
  /// Digest of all slots after stop(): equal for equal final states, whatever the workers, executor
  /// and order of messages.
  Result<std::string> state_digest();
  /// Visits every slot (header, state, field) by id, after stop().
  Result<void> for_each_slot(
      const std::function<void(const SlotHeader&, std::span<const std::byte> state,
                               std::span<const std::byte> field)>& visit);

 private:
  struct Impl;
  explicit Runtime(std::unique_ptr<Impl> impl);

  using InitSlot = std::function<void(std::uint32_t, std::byte*, std::span<std::byte>)>;
  using OutputCallback = std::function<void(const std::byte*, const OutputInfo&)>;
  Result<std::uint32_t> spawn_actors(std::uint64_t type_hash, std::uint32_t count,
                                     SpawnOptions options, InitSlot init);
  Result<void> reserve_places(std::uint64_t type_hash, std::uint32_t count,
                              std::uint32_t field_bytes);
  void ask_bytes(ActorId to, std::uint8_t tag, const std::byte* payload, std::uint32_t bytes,
                 std::chrono::nanoseconds deadline,
                 std::function<void(Result<std::vector<std::byte>>)> answer);
  void spawn_bytes(std::uint64_t type_hash, std::uint8_t tag, const std::byte* payload,
                   std::uint32_t bytes, const SpawnWhere& where,
                   std::function<void(Result<ActorId>)> born);
  Result<std::vector<std::byte>> read_typed(ActorId actor, std::uint64_t type_hash);
  void on_output_bytes(std::uint8_t tag, OutputCallback callback);
  std::shared_ptr<detail::OutputQueue> subscribe_bytes(std::uint8_t tag, std::size_t capacity);
  Result<void> send_bytes(ActorId to, std::uint8_t tag, const std::byte* payload,
                          std::uint32_t bytes);

  std::unique_ptr<Impl> impl_;
};

}  // namespace rk
