// The worker loop: one group that owns a set of slots.
//
// Lane 0 decides, every lane performs: a turn looks at control, queues and the open cut and picks
// one Action; the lanes learn it through one broadcast and perform it together. So all queue and
// protocol state has a single writer, and barriers stand in one place. After a message come others
// in a burst, without looking at anything else in between. On a group of one thread the whole thing
// folds into a plain loop.
//
// Invariants (the cut; Lai & Yang 1987 with message counting after Mattern 1993):
//  1. A worker takes the cut when it sees the control word, or before it handles a message of a
//  newer colour.
//  2. Taking the cut writes counters only. After it a save unit is copied before its next change,
//  or in the background share of the worker's time.
//  3. A message handled with an older colour than the worker's crossed the cut: it is recorded,
//  then handled. Waiting ones are recorded by the background share and take the new colour, so that
//  each is recorded once and completion never depends on the application's progress.
//  4. No handler starts without room for everything its message type declares, so no handler ever
//  waits.
//  5. A message leaves its place exactly once: handled (received), dead (received, a copy goes to
//  the host) or set aside.
#pragma once

#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/kernels/burst.hpp>
#include <ringkernel/kernels/context.hpp>
#include <ringkernel/kernels/group.hpp>
#include <ringkernel/kernels/intake.hpp>
#include <ringkernel/kernels/lifecycle.hpp>
#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/kernels/moves.hpp>
#include <ringkernel/kernels/outbox.hpp>
#include <ringkernel/kernels/serializer.hpp>
#include <ringkernel/kernels/slab.hpp>
#include <ringkernel/kernels/status_report.hpp>
#include <ringkernel/kernels/telemetry.hpp>
#include <ringkernel/kernels/timer_duty.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <type_traits>

namespace rk {

template <class Program, class Group>
class Worker {
 public:
  static constexpr std::uint32_t kSlotBytes = Program::kMessageSlotBytes;
  static constexpr std::uint32_t kInlineBytes = kSlotBytes - sizeof(MessageHeader);

  RK_FN Worker(const SystemView& system, std::uint32_t index)
      : system_(system),
        self_(system.workers[index]),
        index_(index),
        mailbox_(system_, self_),
        outbox_(system_, self_),
        timers_(self_, system.capacity.timer_slots),
        slab_(system, index),
        serializer_(system, index, self_.snapshot_ring, self_.stream_words),
        telemetry_(self_, index),
        epoch_(system.base_epoch),
        live_(self_.live_count) {
    clock_.restore(hlc::Timestamp{system.base_hlc});
    refresh_wall_clock();
  }

  /// Runs until the host stops the system. Every lane calls it. `per_turn(lane 0)` is called
  /// between turns and returns whether it did something.
  template <class PerTurn>
  RK_FN void run(Group& group, PerTurn per_turn) {
    if (group.rank() == 0) lanes_ = group.size();
    for (;;) {
      if (group.rank() == 0) {
        const bool worked = per_turn();
        decide(worked);
      }
      for (std::uint32_t n = 0;;) {
        const auto& action = share_action(group);
        if (action.kind == Action::Kind::stop) return;
        n = perform(group, action, n);
        if (action.kind != Action::Kind::handle || n > Bursts::kMost) break;
        if (group.rank() == 0) decide_next();
      }
    }
  }

  // --- used by Context; lane 0

  [[nodiscard]] RK_FN std::uint32_t index() const { return index_; }
  [[nodiscard]] RK_FN std::uint32_t worker_count() const { return system_.worker_count; }
  [[nodiscard]] RK_FN std::uint64_t seed() const { return system_.seed; }
  [[nodiscard]] RK_FN std::uint64_t now_us() const {
    return hlc::later_of(clock_.last, wall_).physical_us();
  }
  /// Of the running handler. Where it has several lanes, the clock goes on under them with what
  /// lane 0 sends, so they read what it was when they began.
  [[nodiscard]] RK_FN std::uint64_t handler_now_us() const {
    if constexpr (Group::kIsSingle) {
      return now_us();
    } else {
      return handler_us_;
    }
  }
  RK_FN std::byte* block_address(const BlockRef& ref) const {
    return SlabPool::address(system_, ref);
  }
  [[nodiscard]] RK_FN static std::uint32_t field_bytes(const SlotHeader& slot) {
    if constexpr (!Program::kAnyLifeline) return slot.field_bytes;
    return Program::trail(slot.type).field_bytes(slot.field_bytes);
  }
  template <class A>
  RK_FN static constexpr std::uint32_t type_of() {
    return Program::template type_of<A>();
  }
  /// Worker of an actor, of a worker's address; kNoWorker for ids that no place has.
  [[nodiscard]] RK_FN RK_HOT std::uint32_t worker_of(ActorId id) const {
    if (id.index() < system_.actor_count)
      return load_relaxed<Scope::device>(system_.owners[id.index()]);
    return is_worker_address(id) && id.generation() < system_.worker_count ? id.generation()
                                                                           : kNoWorker;
  }

  RK_FN Fault take_block(std::uint64_t bytes, BlockRef& ref) {
    if (bytes > system_.capacity.slab_block_bytes) return Fault::block_too_large;
    if (unsent_count_ == kMaxUnsent) return Fault::too_many_blocks;
    ref = slab_.take(static_cast<std::uint32_t>(bytes));
    unsent_[unsent_count_++] = ref.block;
    return Fault::none;
  }
  /// Takes a block off the list of those this handler took and did not send. False: it is not
  /// there.
  RK_FN bool hand_over(const BlockRef& ref) {
    if (ref.pool != index_) return false;
    for (std::uint32_t i = 0; i < unsent_count_; ++i) {
      if (unsent_[i] != ref.block) continue;
      unsent_[i] = unsent_[--unsent_count_];
      return true;
    }
    return false;
  }

  /// Stamps a message of `from` and sends it. Precondition: room for it was there when the handler
  /// started.
  RK_FN RK_HOT void send(SlotHeader& from, const Draft& draft, const std::byte* payload,
                         std::uint32_t bytes) {
    if (draft.to == kHostId) return send_to_host(from, draft, payload, bytes);
    const std::uint32_t owner = worker_of(draft.to);
    // nobody's: it dies here, where there is room for it
    const std::uint32_t to = owner == kNoWorker ? index_ : owner;
    const bool is_control = (draft.flags & kFlagControl) != 0;
    if (to == index_ && !is_control) {
      const auto claim = mailbox_.claim_local(from.id.index());
      write(claim.slot, from, draft, payload, bytes, to);
      count_sent(to);
      return mailbox_.push_local(claim, from.id.index());
    }
    // who waited for a message, or got one through a cell, has somebody waiting for what it sends
    const auto claim = Group::kIsSingle && is_calm_ && !is_control ? outbox_.claim_calmly(to)
                                                                   : outbox_.claim(to, is_control);
    write(claim.slot, from, draft, payload, bytes, to);
    count_sent(to);
    outbox_.publish(claim);
  }
  RK_FN void send_to_host(SlotHeader& from, const Draft& draft, const std::byte* payload,
                          std::uint32_t bytes) {
    std::byte* place = outbox_.claim_host();
    write(place, from, draft, payload, bytes, kHostChannel);
    count_sent(system_.worker_count);
    outbox_.publish_host();
  }
  /// Whether one more message than `reserved` could leave now without waiting.
  RK_FN bool can_send(ActorId to, std::uint32_t reserved) {
    const std::uint32_t worker = worker_of(to);
    if (worker == index_ || worker == kNoWorker) return mailbox_.local.has_room(reserved + 1);
    return outbox_.size() == 0 && outbox_.has_room(reserved + 1) && outbox_.inbox_has_room(worker);
  }

  /// A lane's message, kept until lane 0 stamps it.
  RK_FN void stage(SlotHeader& from, const Draft& draft, const std::byte* payload,
                   std::uint32_t bytes, std::byte* stage, std::uint32_t number) const {
    write_unstamped(stage + number * kSlotBytes, from.id, draft, payload, bytes, 0);
  }

  RK_FN void set_timer(SlotHeader& from, const Draft& draft, const std::byte* payload,
                       std::uint32_t bytes) {
    std::uint32_t to = worker_of(draft.to);
    if (to == kNoWorker) to = index_;
    write(timers_.claim(), from, draft, payload, bytes, to);
    count_sent(to);
    timers_.add();
    if (draft.kind == MessageKind::timer_steps) from.flags |= kSlotStepTimers;
  }
  /// Correlation of a new ask of `from`, whose deadline waits from now on.
  RK_FN std::uint32_t set_ask_deadline(SlotHeader& from, std::uint64_t due) {
    // counted by the actor and not by the worker, so that it stays unique after a restore
    const std::uint32_t correlation = ((from.source_sequence + 1) << 16) | timers_.next_slot();
    const AskExpired expired{correlation};
    set_timer(from,
              Draft{.to = from.id,
                    .tag = AskExpired::tag,
                    .kind = MessageKind::ask_deadline,
                    .correlation = correlation,
                    .due = due},
              reinterpret_cast<const std::byte*>(&expired), sizeof(expired));
    return correlation;
  }

  template <class A>
  RK_FN ActorId spawn(const A& state, const SpawnPolicy& policy) {
    SlotHeader* slot = Life::take_place(*this, type_of<A>());
    if (slot == nullptr) return kNoActor;
    auto& to = *reinterpret_cast<A*>(slot_state(slot));
    to = state;
    Life::begin(*this, *slot, policy);
    return slot->id;
  }
  RK_FN bool add_link(SlotHeader& slot, const Link& link) { return Life::add_link(slot, link); }
  RK_FN void remove_link(SlotHeader& slot, const Link& link) { Life::remove_link(slot, link); }

 private:
  using Life = Lifecycle<Worker>;
  using Cut = CutShare<Worker>;
  using Duty = TimerDuty<Worker>;
  using Report = StatusReport<Worker>;
  using Batches = Batch<Worker>;
  using Bursts = Burst<Worker>;
  using Mail = Intake<Worker>;
  using Move = Moves<Worker>;
  using Types = Program;
  using Lanes = Group;
  friend Life;
  friend Cut;
  friend Duty;
  friend Report;
  friend Batches;
  friend Bursts;
  friend Mail;
  friend Move;
  friend MoveMail<Worker>;
  friend LoadSurvey<Worker>;

  static constexpr std::uint32_t kNoWorker = 0xFFFFFFFFu;

  struct Action {
    enum class Kind : std::uint32_t { none, stop, handle, command, save, record, read, move };
    Kind kind = Kind::none;
    Source source = Source::none;
    MessageView message{};       ///< handle, command, record
    SlotHeader* slot = nullptr;  ///< handle, command, read, move
    SaveUnit* unit = nullptr;    ///< save; handle: to be copied first
    std::uint64_t stash_position = 0;
    std::uint32_t batch = 1;  ///< handle: messages of source from here on, one handler each
    bool crossed = false;     ///< handle, command: record the message first
  };

  /// Makes lane 0's action known: a copy each, or the thing itself where there is one lane.
  using SharedAction = std::conditional_t<Group::kIsSingle, const Action&, Action>;
  RK_FN SharedAction share_action(Group& group) {
    if constexpr (Group::kIsSingle) {
      return action_;
    } else {
      group.sync();
      const Action action = action_;
      group.sync();
      return action;
    }
  }

  // --- decide: lane 0

  RK_FN void decide(bool worked) {
    action_.kind = Action::Kind::none;
    is_calm_ = false;
    telemetry_.rests();
    mailbox_.return_credits();
    if (++turn_ % kClockTurns == 0) refresh_wall_clock();
    observe_control();
    if (run_state_ == RunState::stopping) {
      Report::publish(*this);
      action_.kind = Action::Kind::stop;
      return;
    }
    if (read_request_ != read_done_ && decide_read()) return;
    if (move_.is_due && Move::turn(*this)) return;
    outbox_.flush();
    if (may_handle() && !timers_.empty()) Duty::fire_due(*this);
    if (open() && credit_ > 0 && Cut::background(*this, action_)) return;
    if (may_handle() && Mail::next_message(*this, action_, kStashLooks)) {
      backoff_.reset();
      return;
    }
    if (open() && Cut::background(*this, action_)) return;
    if (Report::is_due(*this)) Report::publish(*this);
    telemetry_.idle();
    if (worked) return;
    if (!timers_.empty()) refresh_wall_clock();
    if (!may_handle()) return backoff_.wait();
    // what comes while the worker looks for it is handled before anything else is looked at
    if (backoff_.wait([this] { return mailbox_.has_arrival(); }) &&
        Mail::next_message(*this, action_, kStashLooks)) {
      is_calm_ = true;
      backoff_.reset();
    }
  }

  /// The next message of a burst.
  RK_FN void decide_next() {
    action_.kind = Action::Kind::none;
    is_calm_ = false;
    if (received_ - published_received_ >= kStatusMessages) Report::publish(*this);
    if (open() || !may_handle()) return;
    (void)Mail::next_message(*this, action_,
                             mailbox_.local.size() < kManyLocal ? kStashLooksInBurst : 0);
  }

  RK_FN bool decide_read() {
    read_done_ = read_request_;
    const std::uint32_t index = ActorId{read_actor_}.index();
    if (worker_of(ActorId{read_actor_}) != index_ || index >= system_.actor_count) return false;
    // whoever lives there now: the host sees whether it is the one it asked for
    action_.kind = Action::Kind::read;
    action_.slot = system_.actors[index].slot;
    return true;
  }

  RK_FN void observe_control() {
    DeviceControl& control = *system_.device_control;
    // acquire: pairs with the dispatcher's release of the version
    const std::uint32_t version = load_acquire<Scope::device>(control.version);
    if (version == control_version_) return;
    control_version_ = version;
    backoff_.reset();
    run_state_ = static_cast<RunState>(load_relaxed<Scope::device>(control.run_state));
    clock_offset_us_ = load_relaxed<Scope::device>(control.clock_offset_us);
    // acquire: the operands read after these are at least as new; pairs with the dispatcher's
    // release
    read_request_ = load_acquire<Scope::device>(control.read_request);
    read_actor_ = load_relaxed<Scope::device>(control.read_actor);
    const std::uint32_t step = load_acquire<Scope::device>(control.step_request);
    if (step != step_request_) {
      step_request_ = step;
      steps_left_ = load_relaxed<Scope::device>(control.step_budget);
    }
    Move::observe(*this, control);
    closed_epoch_ = load_relaxed<Scope::device>(control.closed_epoch);
    const std::uint32_t cut = load_relaxed<Scope::device>(control.cut_epoch);
    if (static_cast<std::int32_t>(cut - epoch_) > 0) Cut::take(*this, cut);
    Report::publish(*this);
  }

  [[nodiscard]] RK_FN bool open() const { return open_epoch_ > closed_epoch_; }
  [[nodiscard]] RK_FN bool may_handle() const {
    return fault_ == Fault::none && (run_state_ == RunState::running || steps_left_ > 0);
  }

  /// Slot of a live actor of this worker, or null. Precondition: what came for it came here.
  [[nodiscard]] RK_FN RK_HOT SlotHeader* find_own(ActorId id) const {
    if (id.index() >= system_.actor_count) return nullptr;
    const ActorEntry& entry = system_.actors[id.index()];
    if (entry.generation != id.generation()) return nullptr;
    if (entry.slot == nullptr) __builtin_unreachable();
    return entry.slot;
  }

  // --- perform: every lane

  /// `n`: actions of this burst so far; returns how many it is then.
  RK_FN RK_HOT std::uint32_t perform(Group& group, const Action& action, std::uint32_t n) {
    if (action.kind != Action::Kind::handle) return perform_rare(group, action), n + 1;
    if (Group::kIsSingle || action.batch == 1) return Bursts::handle(*this, group, action, n);
    Batches::handle(*this, group, action);
    return n + 1;
  }
  RK_FN RK_COLD void perform_rare(Group& group, const Action& action) {
    // cut state belongs to lane 0, which may be a turn ahead of the others here
    const std::uint64_t start = group.rank() == 0 && open() ? ticks() : 0;
    switch (action.kind) {
      case Action::Kind::command:
        if (group.rank() == 0) Life::obey(*this, action);
        break;
      case Action::Kind::save:
        Cut::save(*this, group, *action.unit);
        if (group.rank() == 0) Cut::spend(*this, ticks() - start);
        break;
      case Action::Kind::record:
        Cut::record(*this, group, action.message);
        if (group.rank() == 0) {
          action.message.header().epoch = static_cast<std::uint16_t>(epoch_);
          Cut::spend(*this, ticks() - start);
        }
        break;
      case Action::Kind::read:
        serializer_.write_bytes(group, RecordKind::read, read_request_, action.slot->id.word, 1,
                                reinterpret_cast<const std::byte*>(action.slot),
                                slot_stride(action.slot->state_bytes, action.slot->field_bytes));
        break;
      case Action::Kind::move: Move::perform(*this, group, *action.slot); break;
      default: break;
    }
  }

  RK_FN void count_received(MessageView message) {
    ++received_;
    take_out(message);
    if (run_state_ == RunState::paused && steps_left_ > 0 && --steps_left_ == 0)
      Report::publish(*this);
  }
  /// The message leaves its channel, and its block goes home.
  RK_FN RK_HOT void take_out(MessageView message) {
    ++self_.channels[channel_of(message)].received;
    if (message.has_block()) slab_.give_back(message.block());
  }
  RK_FN void give_back_unsent() {
    while (unsent_count_ > 0) slab_.give_back(BlockRef{index_, unsent_[--unsent_count_], 0, {}});
  }

  // --- small things; lane 0

  RK_FN void count_sent(std::uint32_t channel) {
    ++self_.channels[channel].sent;
    ++sent_;
  }
  /// Straight into its place: a stamped temporary that is then copied stalls on its own stores.
  RK_FN RK_HOT void write(std::byte* place, SlotHeader& from, const Draft& draft,
                          const std::byte* payload, std::uint32_t bytes, std::uint32_t to) {
    auto& header = *reinterpret_cast<MessageHeader*>(place);
    header.hlc = clock_.tick(wall_).word;
    header.source_sequence = ++from.source_sequence;
    write_unstamped(place, from.id, draft, payload, bytes, to);
  }
  RK_FN RK_HOT void write_unstamped(std::byte* place, ActorId from, const Draft& draft,
                                    const std::byte* payload, std::uint32_t bytes,
                                    std::uint32_t to) const {
    auto& header = *reinterpret_cast<MessageHeader*>(place);
    header.dst = draft.to;
    header.src = from;
    header.set_marks(MessageHeader::make_marks(
        epoch_, draft.tag,
        static_cast<std::uint8_t>(draft.flags | (draft.block != nullptr ? kFlagBlock : 0))));
    // what the payload does not cover goes into checkpoints too, so it must not be left over from
    // an older message
    copy_payload(place + sizeof(MessageHeader), payload, bytes);
    if (bytes > kInlineBytes - sizeof(Envelope)) return;  // an output up to the end of its slot
    const MessageView view{place, kSlotBytes};
    const Route route{static_cast<std::uint8_t>(draft.kind), 0, static_cast<std::uint8_t>(index_),
                      static_cast<std::uint8_t>(to)};
    if (draft.block != nullptr) {
      view.block() = BlockRef{draft.block->pool, draft.block->block, draft.block->bytes, route};
    } else {
      view.envelope() = Envelope{draft.due, draft.correlation, route};
    }
  }
  RK_FN RK_HOT static void copy_payload(std::byte* to, const std::byte* from, std::uint32_t bytes) {
#if defined(__CUDA_ARCH__)
    for (std::uint32_t i = 0; i < bytes; ++i) to[i] = from[i];
    for (std::uint32_t i = bytes; i < kInlineBytes; ++i) to[i] = std::byte{0};
#else
    __builtin_memcpy(to, from, bytes);
    __builtin_memset(to + bytes, 0, kInlineBytes - bytes);
#endif
  }
  RK_FN std::uint32_t channel_of(const MessageView& message) const {
    if ((message.header().flags & kFlagReplayed) != 0) return system_.worker_count;
    const std::uint32_t from = message.route().from;
    return from == kHostChannel ? system_.worker_count : from;
  }
  RK_FN void raise(Fault fault, std::uint32_t code, const MessageHeader& header) {
    if (fault_ != Fault::none) return;
    fault_ = fault;
    fault_code_ = code;
    fault_actor_ = header.dst.word;
    fault_tag_ = header.tag;
    Report::publish(*this);
  }

  RK_FN void refresh_wall_clock() {
    wall_ = hlc::at_wall(wall_clock_us() + static_cast<std::uint64_t>(clock_offset_us_));
  }

  /// Messages of the stash looked at in a turn, and before each message of a burst: what found no
  /// room in this turn will hardly find it one message later.
  static constexpr std::uint32_t kStashLooks = 16;
  static constexpr std::uint32_t kStashLooksInBurst = 1;
  /// With so many messages in the local FIFO nothing leaves the stash within a burst: more of them
  /// would drive each other out of the near cache before they are handled.
  static constexpr std::uint64_t kManyLocal = 256;
  static constexpr std::uint32_t kClockTurns = 16;
  static constexpr std::uint32_t kStatusMessages = 64;
  static constexpr std::uint32_t kMaxUnsent = 64;
  /// What the worker itself may send when an actor with a Lifeline fails or dies: its supervisor
  /// and every link, the answer to a command.
  static constexpr std::uint32_t kOwnSends = Program::kAnyLifeline ? Program::kMaxLinks + 2 : 1;

  const SystemView system_;
  const WorkerView self_;
  std::uint32_t index_;
  std::uint32_t lanes_ = 1;
  Mailbox<kSlotBytes, Group::kIsSingle> mailbox_;
  Outbox<kSlotBytes> outbox_;
  Timers<kSlotBytes> timers_;
  SlabPool slab_;
  Serializer serializer_;
  TelemetryWriter telemetry_;
  hlc::WorkerClock clock_{};
  Backoff backoff_;
  Action action_{};
  BatchTask batch_[Group::kMaxBatch] = {};

  std::uint32_t epoch_;
  std::uint32_t open_epoch_ = 0;
  std::uint32_t closed_epoch_ = 0;
  std::uint32_t parent_ = 0;     ///< durable cut that the open one is an increment of; 0: none
  std::uint32_t unchanged_ = 0;  ///< places that the parent holds as they are
  std::uint64_t unit_cursor_ = 0;
  std::uint64_t unsaved_ = 0;
  std::int64_t credit_ = 0;

  std::uint32_t control_version_ = 0;
  RunState run_state_ = RunState::paused;  ///< until the first control version says otherwise
  std::uint32_t read_request_ = 0;
  std::uint32_t read_done_ = 0;
  std::uint32_t read_actor_ = 0;
  std::uint32_t step_request_ = 0;
  std::uint64_t steps_left_ = 0;
  std::int64_t clock_offset_us_ = 0;
  MoveDuty move_{};

  std::uint64_t turn_ = 0;
  std::uint32_t idle_turns_ = 0;
  bool is_calm_ = false;  ///< the newest message found nothing to do here, or came through a cell
  std::uint64_t published_received_ = 0;
  std::uint64_t published_sent_ = 0;
  std::uint64_t published_at_ = 0;
  hlc::Timestamp wall_{};
  std::uint64_t handler_us_ = 0;  ///< see handler_now_us(); groups of several lanes
  std::uint64_t sent_ = 0;
  std::uint64_t sent_before_ = 0;  ///< the newest handler
  std::uint64_t received_ = 0;
  std::uint64_t dead_ = 0;
  std::uint64_t live_ = 0;
  Shortage shortage_ = Shortage::none;         ///< found by the newest look for a message
  Shortage timer_waits_for_ = Shortage::none;  ///< of the newest Duty::fire_due(*this)
  bool moved_ = false;                         ///< by the newest judge()
  Fault fault_ = Fault::none;
  std::uint32_t fault_code_ = 0;
  std::uint32_t fault_actor_ = 0;
  std::uint32_t fault_tag_ = 0;
  std::uint32_t unsent_[kMaxUnsent] = {};
  std::uint32_t unsent_count_ = 0;
};

}  // namespace rk
