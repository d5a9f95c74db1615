// Inside of Runtime. One mutex (`mutex`) guards what run() and the service thread tell each other;
// the lane has its own. Lock order: lane, then mutex.
#pragma once

#include <ringkernel/checkpoint/drain.hpp>
#include <ringkernel/checkpoint/policy.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/checkpoint/tiers.hpp>
#include <ringkernel/runtime/runtime.hpp>
#include <ringkernel/runtime/system_image.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "host_lane.hpp"
#include "idle_wait.hpp"
#include "mail.hpp"

namespace rk {

/// The lane as a Feed. Lives no longer than the lane's lock is held.
class LaneFeed final : public Feed {
 public:
  explicit LaneFeed(HostLane& lane)
      : lane_(lane), colour_(static_cast<std::uint16_t>(lane.epoch())) {}
  /// With a colour read before the lock was taken: the planted bug `no_lane_lock`.
  LaneFeed(HostLane& lane, std::uint16_t colour) : lane_(lane), colour_(colour) {}
  bool has_room() override { return lane_.has_room(); }

 protected:
  Result<void> send_bytes(ActorId to, std::uint8_t tag, const std::byte* payload,
                          std::uint32_t bytes) override {
    return lane_.send_coloured(colour_, {.to = to, .tag = tag}, payload, bytes);
  }

 private:
  HostLane& lane_;
  std::uint16_t colour_;
};

struct Runtime::Impl {
  using Clock = std::chrono::steady_clock;
  enum class Phase { created, running, stopped, failed };

  struct SpawnGroup {
    std::uint32_t first;
    std::uint32_t count;
    InitSlot init;
    SpawnPolicy policy{};
  };
  /// Places a type should have.
  struct Reserve {
    std::uint32_t count = 0;
    std::uint32_t field_bytes = 0;
  };

  ~Impl();

  // --- setup.cpp ---
  Result<void> open_checkpoints();
  Result<RestoreReport> restore_latest();
  Result<void> check_identity(const checkpoint::Manifest& manifest) const;
  Result<void> adopt(checkpoint::LoadedCheckpoint loaded);
  Result<void> start(bool paused);
  Result<void> bring_up(const SystemPlan& plan, bool paused);
  [[nodiscard]] Result<std::uint32_t> type_index(std::uint64_t type_hash) const;
  [[nodiscard]] Result<void> add_spare_places();
  void place_actors();
  [[nodiscard]] Result<std::uint32_t> first_epoch();
  void fill_slot(std::size_t i, SlotHeader& header, std::byte* state, std::byte* field);
  [[nodiscard]] Result<SystemPlan> make_plan();

  // --- service.cpp: the service thread ---
  void serve();
  void serve_until_stopped();
  bool pump();
  void rest(bool is_asked);
  void checkpoint_turn();
  [[nodiscard]] std::uint32_t choose_parent();
  Result<void> begin_checkpoint();
  void close_cut();
  void finish_checkpoint(Result<checkpoint::CutReport> outcome);
  [[nodiscard]] checkpoint::Progress progress() const;
  void judge_checkpoint(const Result<CheckpointCost>& result);
  void watch();
  [[nodiscard]] bool scan_counters();
  [[nodiscard]] std::optional<Error> find_fault() const;
  void deliver(const MessageView& message);
  void take_letter(const MessageView& message);
  /// Whether every subscriber to it has room.
  [[nodiscard]] bool can_deliver(const MessageView& message) const;
  void report_failure(Error error);

  // --- conservation.cpp ---
  /// After the workers have stopped: every message that was sent was received or lies in a queue.
  [[nodiscard]] Result<void> audit();
  [[nodiscard]] std::uint64_t waiting_in(const StridedSlots& ring, const RingWords* words) const;
  [[nodiscard]] std::uint64_t waiting_in_cells() const;
  /// Whether every worker has looked at its queues since `marks` and could move nothing.
  [[nodiscard]] bool is_stuck() const;
  /// Workers that wait for each other, as "worker 0 (...) -> worker 1 (...) -> worker 0"; none:
  /// empty.
  [[nodiscard]] std::string describe_deadlock() const;

  // --- moves.cpp: actors change their worker ---
  /// An order of move_actor().
  struct Move {
    ActorId actor;
    std::uint32_t to;
    Clock::time_point deadline;
    Clock::time_point next_try;
    std::promise<Result<void>> outcome;
    std::optional<Error> refusal;  ///< of the newest try before the last
    bool is_settled = false;
    ~Move() { settle(fail(ErrorCode::closed, "the runtime stopped before the move")); }
    /// Tells the caller, once.
    void settle(Result<void> how);
  };
  /// Between two checkpoints: the orders that wait, and the policy.
  void move_turn();
  /// Whether an order waits, or the policy for the workers.
  [[nodiscard]] bool has_moves() const;
  [[nodiscard]] std::unique_ptr<Move> next_move(bool none_can_go);
  [[nodiscard]] Result<void> move(ActorId actor, std::uint32_t to, Clock::time_point deadline);
  [[nodiscard]] Result<void> stand_still(std::uint32_t from, Clock::time_point deadline);
  void go_on();
  [[nodiscard]] Result<void> move_standing(ActorId actor, std::uint32_t from, std::uint32_t to);
  void hold_reads(bool hold);
  void close_moves();

  // --- rebalance.cpp: which actor moves by load ---
  enum class Rebalancing { resting, surveying, nominating };  ///< what the workers were asked for
  void rebalance();
  void begin_survey();
  void judge_survey();
  void move_nominee();
  void ask_workers(const MoveRequest& request, Rebalancing stage);

  // --- tiering.cpp ---
  Result<void> open_tiers();
  [[nodiscard]] std::string ack_location() const;
  /// What happens to a checkpoint that `dir` holds: reported now, or when its tier has it.
  void await_acknowledgement(CheckpointCost cost);
  void settle_acknowledgements();
  void tell_tier_failures();
  void report_checkpoint(Result<CheckpointCost> result, std::uint64_t covers);
  void report_unacknowledged(unexpected error, std::uint64_t covers);
  void stop_tiers();
  void add_tier_stats(RuntimeStats& stats) const;

  // --- telemetry.cpp ---
  [[nodiscard]] Result<Telemetry> telemetry() const;
  [[nodiscard]] Result<std::vector<std::uint64_t>> copy_telemetry_blocks() const;
  [[nodiscard]] Result<std::vector<WorkerTelemetry>> read_workers() const;
  void read_status(std::uint32_t w, WorkerTelemetry& out) const;
  [[nodiscard]] std::string describe_message(const MessageTelemetry& message) const;
  [[nodiscard]] std::string describe_stall() const;

  // --- runtime.cpp ---
  Result<void> stop();
  Result<CheckpointCost> checkpoint_now();
  Result<std::vector<std::byte>> read_running(ActorId actor);
  Result<std::vector<std::byte>> read_stopped(ActorId actor);
  Result<std::vector<std::byte>> read_place(const ActorEntry& entry);
  [[nodiscard]] static Result<void> check_alive(std::span<const std::byte> slot, ActorId actor);
  [[nodiscard]] std::uint32_t set_run_state(RunState state);
  Result<void> wait_for_control(std::uint32_t version) const;
  Result<void> pause();
  Result<void> step(std::uint64_t messages);
  Result<void> wait_until_settled(std::uint32_t step) const;
  [[nodiscard]] const ActorEntry* find(ActorId actor) const;

  std::unique_ptr<Executor> executor;
  RuntimeOptions options;
  std::atomic<Phase> phase{Phase::created};
  std::optional<Error> start_error;  ///< of Phase::failed
  std::uint32_t workers = 1;

  std::vector<ActorPlan> actors;
  std::vector<SpawnGroup> groups;
  std::vector<std::uint32_t> group_of;  ///< of each actor
  std::vector<Reserve> reserves;        ///< by type
  std::optional<checkpoint::LoadedCheckpoint> loaded;
  std::uint32_t host_source_sequence = 0;

  std::array<OutputCallback, 256> outputs;
  std::array<std::vector<std::shared_ptr<detail::OutputQueue>>, 256> subscribers;
  std::function<void(const DeadLetter&)> letter_callback;
  DeadLetters letters;       ///< guarded by the lane's lock, once there is a lane
  Asks asks;                 ///< guarded by the lane's lock
  std::uint32_t spread = 0;  ///< guarded by the lane's lock
  bool is_still = false;     ///< guarded by the lane's lock: workers stand still for a move
  std::function<Result<std::vector<std::byte>>()> save_app;
  std::function<Result<void>(std::span<const std::byte>)> load_app;
  std::function<std::uint64_t()> steps;
  std::function<FeedState(Feed&)> feed;
  FeedState feed_state = FeedState::ended;

  std::optional<checkpoint::CheckpointDirectory> directory;
  std::unique_ptr<checkpoint::StorageLock> directory_lock;
  std::unique_ptr<checkpoint::Tiers> tiers;  ///< null without any
  std::size_t ack_tier = 0;
  mutable std::uint32_t tier_news = 0;  ///< set by the hops
  std::vector<std::uint64_t> tier_failures_told;
  struct Unacknowledged {
    CheckpointCost cost;
    std::uint64_t covers;
    Clock::time_point opened;
  };
  std::deque<Unacknowledged> unacknowledged;  ///< the service thread's, oldest first
  std::string run_id;

  PlacedSystem placed;
  SystemView system{};  ///< the host's view
  std::unique_ptr<HostLane> lane;
  std::unique_ptr<checkpoint::Drain> drain;
  std::vector<std::vector<std::byte>> restored_outputs;
  std::thread service;
  std::unique_ptr<MetricsServer> metrics;
  std::byte* telemetry_staging = nullptr;  ///< null: the host addresses the blocks
  mutable std::mutex telemetry_mutex;      ///< one copy to the staging memory at a time
  std::uint64_t started_us = 0;

  // Words that signal handlers may set; atomic through the shim.
  mutable std::uint32_t checkpoint_request = 0;
  mutable std::uint32_t stop_request = 0;
  mutable std::uint32_t service_stop = 0;
  mutable std::uint32_t closing = 0;  ///< no new checkpoint begins

  mutable std::mutex mutex;
  std::condition_variable changed;
  // guarded by `mutex`
  RuntimeStats totals;
  std::vector<CheckpointCost> costs;
  std::optional<Error> failure;
  bool quiescent = false;
  bool settled = false;  ///< no counter moves any more, every worker confirmed it
  RunState wanted_state = RunState::running;
  std::uint64_t checkpoint_wanted = 0;  ///< tickets handed out by checkpoint_now
  std::uint64_t checkpoint_done = 0;    ///< tickets covered by a finished checkpoint
  std::optional<Result<CheckpointCost>> last_outcome;
  std::uint32_t last_step = 0;  ///< guarded by the lane's lock
  std::uint32_t read_request = 0;
  std::uint32_t read_reply = 0;
  std::vector<std::byte> read_bytes;
  std::mutex read_mutex;                    ///< one read at a time; none during a move
  std::deque<std::unique_ptr<Move>> moves;  ///< guarded by `mutex`
  bool moves_closed = false;                ///< guarded by `mutex`
  bool reads_held = false;                  ///< guarded by `mutex`: no new one while a move waits

  IdleWait idle;                           ///< the service thread's
  std::atomic<std::uint32_t> steppers{0};  ///< calls of step() that wait for `settled`

  // service thread only
  bool is_expecting = false;  ///< of the newest pump(): outputs, answers or room for the feed
  bool may_be_over = false;   ///< the counters balance, but not every worker confirmed it yet
  std::uint64_t checkpoint_covers = 0;  ///< tickets the open checkpoint will satisfy
  std::uint64_t checkpoint_begun = 0;   ///< tickets some checkpoint was begun for
  bool cut_open = false;
  bool cut_in_work = false;
  std::uint32_t durable_epoch = 0;  ///< newest checkpoint of this process; 0: none yet
  std::uint32_t increments = 0;     ///< since the newest full one
  Clock::time_point cut_opened{};
  bool is_surveyed = false;  ///< what actors handled before is known
  Clock::time_point next_rebalance{};
  Rebalancing rebalancing = Rebalancing::resting;
  std::uint32_t policy_step = 0;    ///< number of the step asked for
  std::uint32_t loaded_worker = 0;  ///< by the newest survey
  std::uint32_t idle_worker = 0;
  checkpoint::Policy policy;  ///< times count from the epoch of Clock
  struct Mark {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t heartbeat = 0;
    std::uint64_t moved = 0;
  };
  std::vector<Mark> marks;               ///< counters of each worker; last: the host's own
  std::vector<std::uint64_t> marked_at;  ///< heartbeat of each worker after `marks` were first seen
  /// Since `marks` were first seen: heartbeats of each worker. One confirms that it did nothing;
  /// the turn of the first may have begun before, so that a worker is stuck only after the second.
  std::vector<std::uint32_t> beats;
  std::vector<std::uint64_t> still_since;  ///< heartbeat of each worker when `beats` began
  std::uint64_t progress_mark = 0;
  Clock::time_point progress_time{};
};

}  // namespace rk
