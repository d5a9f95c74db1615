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
#include <ringkernel/kernels/context.hpp>
#include <ringkernel/kernels/group.hpp>
#include <ringkernel/kernels/increment.hpp>
#include <ringkernel/kernels/lifecycle.hpp>
#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/kernels/outbox.hpp>
#include <ringkernel/kernels/serializer.hpp>
#include <ringkernel/kernels/slab.hpp>
#include <ringkernel/kernels/telemetry.hpp>
#include <ringkernel/kernels/timers.hpp>
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
        if (action.kind != Action::Kind::handle || n > kBurst) break;
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
      return load_relaxed<Scope::device>(system_.actors[id.index()].worker);
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
    if (draft.to == kHostId) {
      std::byte* place = outbox_.claim_host();
      write(place, from, draft, payload, bytes, kHostChannel);
      count_sent(system_.worker_count);
      return outbox_.publish_host();
    }
    std::uint32_t to = worker_of(draft.to);
    // nobody's: it dies here, where there is room for it
    if (to == kNoWorker) to = index_;
    const bool is_control = (draft.flags & kFlagControl) != 0;
    if (to == index_ && !is_control) {
      write(mailbox_.local.claim(), from, draft, payload, bytes, to);
      count_sent(to);
      return mailbox_.local.push();
    }
    const auto claim = outbox_.claim(to, is_control);
    write(claim.slot, from, draft, payload, bytes, to);
    count_sent(to);
    outbox_.publish(claim);
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
  using Types = Program;
  friend Life;

  static constexpr std::uint32_t kNoWorker = 0xFFFFFFFFu;

  struct Action {
    enum class Kind : std::uint32_t { none, stop, handle, command, save, record, read };
    Kind kind = Kind::none;
    Source source = Source::none;
    MessageView message{};       ///< handle, command, record
    SlotHeader* slot = nullptr;  ///< handle, command, read
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
    telemetry_.rests();
    mailbox_.return_credits();
    if (++turn_ % kClockTurns == 0) refresh_wall_clock();
    observe_control();
    if (run_state_ == RunState::stopping) {
      publish_status();
      action_.kind = Action::Kind::stop;
      return;
    }
    if (read_request_ != read_done_ && decide_read()) return;
    outbox_.flush();
    if (may_handle() && !timers_.empty()) fire_timers();
    if (open() && credit_ > 0 && background(action_)) return;
    if (may_handle() && next_message(action_)) {
      backoff_.reset();
      return;
    }
    if (open() && background(action_)) return;
    if (worth_publishing()) publish_status();
    telemetry_.idle();
    if (worked) return;
    if (!timers_.empty()) refresh_wall_clock();
    if (!may_handle()) return backoff_.wait();
    backoff_.wait([this] { return mailbox_.has_arrival(); });
  }

  /// The next message of a burst.
  RK_FN void decide_next() {
    action_.kind = Action::Kind::none;
    if (received_ - published_received_ >= kStatusMessages) publish_status();
    if (open() || !may_handle()) return;
    (void)next_message(action_);
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
    closed_epoch_ = load_relaxed<Scope::device>(control.closed_epoch);
    const std::uint32_t cut = load_relaxed<Scope::device>(control.cut_epoch);
    if (static_cast<std::int32_t>(cut - epoch_) > 0) take_cut(cut);
    publish_status();
  }

  [[nodiscard]] RK_FN bool open() const { return open_epoch_ > closed_epoch_; }
  [[nodiscard]] RK_FN bool may_handle() const {
    return fault_ == Fault::none && (run_state_ == RunState::running || steps_left_ > 0);
  }

  RK_FN RK_COLD void take_cut(std::uint32_t epoch) {
    epoch_ = epoch;
    serializer_.begin(epoch);
    refresh_wall_clock();
    // abandoned before we saw it, or our state is broken and must not become a checkpoint: its
    // colour still counts, and without our cut record it cannot complete
    if (epoch <= closed_epoch_ || fault_ != Fault::none) return;
    open_epoch_ = epoch;
    // relaxed: who told us of the cut, the control word or a message, had seen this
    parent_ = load_relaxed<Scope::device>(system_.device_control->cut_parent);
    unchanged_ = 0;
    unit_cursor_ = 0;
    unsaved_ = self_.unit_count;
    outbox_.begin_sweep();
    mailbox_.begin_sweep();
    timers_.begin_sweep();
    credit_ = 0;
    const std::uint32_t channels = system_.worker_count + 1;
    serializer_.write_small(
        RecordKind::cut, channels, clock_.tick(wall_).word,
        sizeof(CutPayload) + channels * sizeof(CutChannel), [&](std::byte* payload) {
          *reinterpret_cast<CutPayload*>(payload) =
              CutPayload{live_, self_.slot_count, self_.slot_bytes, received_};
          auto* out = reinterpret_cast<CutChannel*>(payload + sizeof(CutPayload));
          for (std::uint32_t i = 0; i < channels; ++i) out[i] = self_.channels[i];
        });
    if (unsaved_ == 0) write_end();
    publish_status();
  }
  RK_FN void write_end() {
    serializer_.write_small(RecordKind::end, unchanged_, clock_.last.word, 0, [](std::byte*) {});
  }

  /// True if the open cut does not need the unit, because its parent holds it: then it counts as
  /// saved.
  RK_FN bool pass_over(SaveUnit& unit) {
    if (parent_ == 0 || touched_since(unit, parent_).slots != 0) return false;
    count_saved(unit, unit.slots);
    return true;
  }
  RK_FN void count_saved(SaveUnit& unit, std::uint32_t unchanged) {
    unit.saved_epoch = epoch_;
    unchanged_ += unchanged;
    if (--unsaved_ == 0 && open()) write_end();
  }
  /// The unit of a slot if the open cut still needs it, else null.
  RK_FN SaveUnit* unit_to_save(const SlotHeader& slot) {
    if (!open()) return nullptr;
    SaveUnit& unit = self_.units[slot.unit];
    return unit.saved_epoch == epoch_ || pass_over(unit) ? nullptr : &unit;
  }
  /// Before lane 0 alone changes a slot other than its handler's.
  RK_FN void ensure_saved(const SlotHeader& slot) {
    SaveUnit* unit = unit_to_save(slot);
    if (unit == nullptr) return;
    SingleGroup alone;
    save(alone, *unit);
  }

  RK_FN MessageView next_old() {
    const auto colour = static_cast<std::uint16_t>(epoch_);
    if (const MessageView message = mailbox_.next_old(colour)) return message;
    if (const MessageView message = outbox_.next_old(colour)) return message;
    return timers_.next_old(colour);
  }

  /// The next piece of work for the open cut that fits into the ring now.
  RK_FN bool background(Action& action) {
    if (const MessageView old = next_old()) {
      if (!serializer_.ring().has_room(kSlotBytes + system_.capacity.slab_block_bytes))
        return false;
      action.kind = Action::Kind::record;
      action.message = old;
      return true;
    }
    for (std::uint32_t passed = 0;; ++unit_cursor_) {
      if (unsaved_ == 0) return false;
      SaveUnit& candidate = self_.units[unit_cursor_];
      if (candidate.saved_epoch == epoch_) continue;
      if (!pass_over(candidate)) break;
      if (++passed == kPassedPerTurn) return backoff_.reset(), false;
    }
    SaveUnit& unit = self_.units[unit_cursor_];
    if (!serializer_.has_background_room(unit.bytes < kMaxRecordPayload ? unit.bytes
                                                                        : kMaxRecordPayload))
      return false;
    action.kind = Action::Kind::save;
    action.unit = &unit;
    return true;
  }

  // --- which message comes next; lane 0

  /// Slot of a live actor of this worker, or null. Precondition: what came for it came here.
  [[nodiscard]] RK_FN RK_HOT SlotHeader* find_own(ActorId id) const {
    if (id.index() >= system_.actor_count) return nullptr;
    const ActorEntry& entry = system_.actors[id.index()];
    return entry.generation == id.generation() ? entry.slot : nullptr;
  }

  /// Room for any `handlers` handlers of this program, so that nobody needs to look their messages
  /// up.
  RK_FN RK_HOT bool has_room_for(std::uint32_t handlers) {
    constexpr Budget most = Program::kMost;
    constexpr std::uint32_t sends = most.sends + kOwnSends;
    return outbox_.has_room(handlers * sends) && mailbox_.local.has_room(handlers * sends) &&
           outbox_.has_host_room(handlers * (most.host_sends + 1)) &&
           (most.timers == 0 || timers_.has_room(handlers * most.timers)) &&
           (most.blocks == 0 || slab_.has_free(handlers * most.blocks));
  }
  RK_FN RK_HOT bool has_room(const SlotHeader& slot, const MessageView& message) {
    return has_room_for(1) || has_exact_room(slot, message);
  }
  RK_FN RK_COLD bool has_exact_room(const SlotHeader& slot, const MessageView& message) {
    bool known = false;
    const Budget budget = Program::budget(slot.type, message.header().tag, known);
    const std::uint32_t sends = budget.sends + own_sends(slot);
    return enough(outbox_.has_room(sends), Shortage::outbox) &&
           enough(mailbox_.local.has_room(sends), Shortage::local) &&
           enough(outbox_.has_host_room(budget.host_sends + 1), Shortage::k2h) &&
           enough(timers_.has_room(budget.timers), Shortage::timers) &&
           enough(budget.blocks == 0 || slab_.has_free(budget.blocks), Shortage::slab);
  }
  RK_FN bool enough(bool has, Shortage what) {
    if (!has) shortage_ = shortage_ | what;
    return has;
  }
  /// Messages that the worker itself may send for the actor.
  RK_FN static std::uint32_t own_sends(const SlotHeader& slot) {
    if constexpr (!Program::kAnyLifeline) return 0;
    return Program::trail(slot.type).has_lifeline() ? kOwnSends : 0;
  }

  /// Places of the stash kept for others. Mail leaves them to the messages that handlers fail on,
  /// and both to the control lane: else mail for those who failed would keep a supervisor from
  /// answering.
  [[nodiscard]] RK_FN std::uint64_t stash_reserve(Source source) const {
    if (!Program::kAnySupervised || source == Source::control) return 0;
    const std::uint64_t slots = mailbox_.stash.slots();
    return slots < 4 ? 0 : (slots + 7) / 8;
  }
  /// Whether the actor can take the message now.
  RK_FN RK_HOT bool can_go(SlotHeader& slot, const MessageView& message, Source source) {
    if ((slot.flags & kSlotSuspended) != 0) return enough(false, Shortage::suspended);
    // a supervised actor's message is set aside if its handler fails, unless it lies there already
    if constexpr (Program::kAnySupervised) {
      if (source != Source::stash && Life::is_supervised(slot) &&
          !enough(mailbox_.stash.room() > stash_reserve(source), Shortage::stash))
        return false;
    }
    return has_room(slot, message);
  }

  /// Picks the next message whose handler has room, setting others aside.
  RK_FN RK_HOT bool next_message(Action& action) {
    // what a look at a long stash found short stays known until the next look
    if (mailbox_.stash.is_at_start()) shortage_ = Shortage::none;
    if (const MessageView message = mailbox_.control_front()) {
      if (judge(action, Source::control, message, find_own(message.header().dst))) return true;
    }
    if (!mailbox_.stash.empty() && next_stashed(action)) return true;
    bool has_changed_queue = false;
    for (std::uint32_t n = 0; n < kLooksPerTurn; ++n) {
      Source source = Source::none;
      const MessageView message = mailbox_.arrival(source);
      if (!message) return false;
      look_ahead(source);
      SlotHeader* slot = find_own(message.header().dst);
      if (slot != nullptr && !is_special(message)) {
        if (slot->stashed == 0 && can_go(*slot, message, source))
          return prepare(action, source, message, *slot), true;
        moved_ = set_aside(source, message, *slot);
      } else if (judge(action, source, message, slot)) {
        return true;
      }
      if (moved_) continue;
      // what is first in one queue cannot go: what is first in the other perhaps can
      if (has_changed_queue) return false;
      has_changed_queue = true;
      mailbox_.take_turns();
    }
    return false;
  }
  /// Brings what comes soon nearer. A message of another worker lies in that worker's cache, and
  /// with many actors finding a receiver is two cache misses.
  RK_FN RK_HOT void look_ahead(Source source) const {
#if !defined(__CUDA_ARCH__)
    if (source == Source::inbox) mailbox_.prefetch_inbox(kAhead);
    const MessageView message = mailbox_.peek(source, kAhead / 2);
    if (!message) return;
    const std::uint32_t index = message.header().dst.index();
    if (index >= system_.actor_count) return;
    const SlotHeader* slot = system_.actors[index].slot;
    __builtin_prefetch(slot, 1);
    __builtin_prefetch(reinterpret_cast<const std::byte*>(slot) + 64, 1);
#endif
  }
  RK_FN RK_COLD bool next_stashed(Action& action) {
    std::uint64_t position = 0;
    for (std::uint32_t n = 0; n < kLooksPerTurn && mailbox_.stash.next(position); ++n) {
      const MessageView message = mailbox_.stash.at(position);
      SlotHeader* slot = find_own(message.header().dst);
      action.stash_position = position;
      if (slot == nullptr || is_special(message)) {
        if (judge(action, Source::stash, message, slot)) return true;
        if (!moved_ && slot != nullptr) mailbox_.stash.pass_over(*slot);
        continue;
      }
      if (mailbox_.stash.is_passed_over(*slot)) continue;
      if (can_go(*slot, message, Source::stash))
        return prepare(action, Source::stash, message, *slot), true;
      mailbox_.stash.pass_over(*slot);
    }
    return false;
  }
  RK_FN RK_COLD bool set_aside(Source source, const MessageView& message, SlotHeader& slot) {
    if (!enough(mailbox_.stash.room() > 2 * stash_reserve(source), Shortage::stash)) return false;
    mailbox_.stash.push(message, slot);
    mailbox_.finish(source);
    return true;
  }

  /// Commands, timers, answers: what not just any handler may take.
  RK_FN RK_HOT static bool is_special(const MessageView& message) {
    return (message.header().flags & kFlagSystem) != 0 ||
           message.route().message_kind() > MessageKind::ask;
  }

  /// A message that is special, or whose receiver is no live actor of this worker. True if `action`
  /// deals with it; if not, `moved_` tells whether it went elsewhere or waits where it is.
  RK_FN RK_COLD bool judge(Action& action, Source source, const MessageView& message,
                           SlotHeader* slot) {
    moved_ = false;
    if (!enough(outbox_.has_host_room(1), Shortage::k2h)) return false;
    const MessageHeader& header = message.header();
    if ((header.flags & kFlagSystem) != 0) {
      if (!enough(outbox_.has_room(kOwnSends), Shortage::outbox) ||
          !enough(mailbox_.local.has_room(kOwnSends), Shortage::local))
        return false;
      return prepare_command(action, source, message, slot), true;
    }
    const MessageKind kind = message.route().message_kind();
    if (kind >= MessageKind::timer_us) {  // replayed: back to the store
      if (!enough(timers_.has_room(1), Shortage::timers)) return false;
      copy_message(timers_.claim(), message.slot, kSlotBytes);
      timers_.add();
      // one in steps was restored to where its setter lives, whose messages it counts
      if (kind == MessageKind::timer_steps && worker_of(header.src) == index_) {
        if (SlotHeader* setter = find_own(header.src)) setter->flags |= kSlotStepTimers;
      }
      leave(source, action.stash_position, slot);
      return false;
    }
    if (slot == nullptr) return prepare_command(action, source, message, nullptr), true;
    if (kind == MessageKind::reply) {
      const MessageView deadline = timers_.find_ask(header.dst, message.envelope().correlation);
      if (!deadline) return prepare_command(action, source, message, slot), true;
      if (slot->stashed == 0 || source == Source::stash) {
        if (source == Source::stash && mailbox_.stash.is_passed_over(*slot)) return false;
        if (can_go(*slot, message, source)) {
          drop(deadline);
          return prepare(action, source, message, *slot), true;
        }
      }
    } else if (source == Source::control && slot->stashed == 0 && can_go(*slot, message, source)) {
      return prepare(action, source, message, *slot), true;
    }
    if (source == Source::stash) {
      mailbox_.stash.pass_over(*slot);
      return false;
    }
    moved_ = set_aside(source, message, *slot);
    return false;
  }
  /// Counts a timer that will never fire as received.
  RK_FN void drop(const MessageView& timer) {
    // it was in flight at the cut, whatever its answer did since
    if (open() && epoch_newer(static_cast<std::uint16_t>(epoch_), timer.header().epoch)) {
      SingleGroup alone;
      record(alone, timer);
    }
    ++self_.channels[channel_of(timer)].received;
    ++received_;
    timers_.remove(timer);
  }
  /// Frees the place of a message that is dealt with, or moved.
  RK_FN void leave(Source source, std::uint64_t stash_position, SlotHeader* slot) {
    moved_ = true;
    if (source == Source::stash) {
      mailbox_.stash.remove(stash_position, slot);
    } else {
      mailbox_.finish(source);
    }
  }

  /// Timers whose time has come leave the store for their receivers, as far as there is room.
  RK_FN void fire_timers() {
    const std::uint64_t now = now_us();
    timer_waits_for_ = Shortage::none;
    for (std::uint32_t n = 0; n < kTimersPerTurn && timers_.first_due() <= now; ++n) {
      if (!fire(timers_.first())) return;
    }
  }
  RK_FN RK_COLD bool fire(const MessageView& timer) {
    std::uint32_t to = timer.route().to;
    if ((timer.header().flags & kFlagReplayed) != 0) to = worker_of(timer.header().dst);
    if (to == kNoWorker) to = index_;
    if (!(to == index_ ? mailbox_.local.has_room(1) : outbox_.has_room(1))) {
      timer_waits_for_ = to == index_ ? Shortage::local : Shortage::outbox;
      return false;
    }
    if (to != timer.route().to) hand_on(timer, to);
    timer.route().kind = static_cast<std::uint8_t>(MessageKind::plain);
    timer.envelope().due = 0;
    if (to == index_) {
      copy_message(mailbox_.local.claim(), timer.slot, kSlotBytes);
      mailbox_.local.push();
    } else {
      const auto claim = outbox_.claim(to, false);
      copy_message(claim.slot, timer.slot, kSlotBytes);
      outbox_.publish(claim);
    }
    timers_.remove(timer);
    return true;
  }
  /// A restored timer in steps lies with its setter, but goes to another worker: it counts as
  /// received here and sent anew.
  RK_FN RK_COLD void hand_on(const MessageView& timer, std::uint32_t to) {
    MessageHeader& header = timer.header();
    if (open() && epoch_newer(static_cast<std::uint16_t>(epoch_), header.epoch)) {
      SingleGroup alone;
      record(alone, timer);
    }
    ++self_.channels[channel_of(timer)].received;
    ++received_;
    header.flags &= static_cast<std::uint8_t>(~kFlagReplayed);
    header.epoch = static_cast<std::uint16_t>(epoch_);
    timer.route().from = static_cast<std::uint8_t>(index_);
    timer.route().to = static_cast<std::uint8_t>(to);
    count_sent(to);
  }
  RK_FN RK_COLD void fire_step_timers(SlotHeader& slot) {
    for (;;) {
      bool is_last = true;
      const MessageView timer = timers_.due_in_steps(slot.id, slot.handled, is_last);
      if (!timer) return;
      // the actor may handle nothing more: without room now, time brings it
      if (!fire(timer)) timers_.make_due(timer, now_us());
      if (is_last) slot.flags &= static_cast<std::uint16_t>(~kSlotStepTimers);
    }
  }

  RK_FN RK_HOT void see_colour(const MessageView& message) {
    const MessageHeader& header = message.header();
    if (header.epoch == static_cast<std::uint16_t>(epoch_)) return;
    if (epoch_newer(header.epoch, static_cast<std::uint16_t>(epoch_)))
      take_cut(widen_epoch(header.epoch, epoch_));
  }
  RK_FN RK_HOT void prepare(Action& action, Source source, const MessageView& message,
                            SlotHeader& slot) {
    see_colour(message);
    Program::Probe::popped(open());
    action.kind = Action::Kind::handle;
    action.source = source;
    action.message = message;
    action.slot = &slot;
    action.unit = nullptr;
    action.batch = 1;
    action.crossed = false;
    if (open()) {
      action.crossed = epoch_newer(static_cast<std::uint16_t>(epoch_), message.header().epoch);
      action.unit = unit_to_save(slot);
    }
    if (telemetry_.due()) refresh_wall_clock();
    clock_.merge(hlc::Timestamp{message.header().hlc}, wall_);
    if constexpr (!Group::kIsSingle) {
      if (!open()) extend_batch(action);
    }
  }
  RK_FN RK_COLD void prepare_command(Action& action, Source source, const MessageView& message,
                                     SlotHeader* slot) {
    see_colour(message);
    action.kind = Action::Kind::command;
    action.source = source;
    action.message = message;
    action.slot = slot;
    action.crossed =
        open() && epoch_newer(static_cast<std::uint16_t>(epoch_), message.header().epoch);
    clock_.merge(hlc::Timestamp{message.header().hlc}, wall_);
  }

  /// Adds what follows in the same queue, as long as it goes to other actors of the same type whose
  /// grain lets them run side by side. Lanes do not diverge, and FIFO per pair holds, because the
  /// batch is a prefix of the queue.
  RK_FN void extend_batch(Action& action) {
    std::uint32_t most = lanes_ / Group::lanes_of(Program::grain(action.slot->type), lanes_);
    if (most > Group::kMaxBatch) most = Group::kMaxBatch;
    if constexpr (Program::kAnySupervised) {
      // all of them may fail
      const std::uint64_t room = mailbox_.stash.room() - stash_reserve(action.source);
      if (most > room) most = static_cast<std::uint32_t>(room);
    }
    if (most == 1 || run_state_ != RunState::running ||
        (action.source != Source::local && action.source != Source::inbox))
      return;
    Budget used{};
    if (!add_to_batch(action, 0, action.message, used)) return;
    for (; action.batch < most; ++action.batch) {
      const MessageView message = mailbox_.peek(action.source, action.batch);
      if (!message || is_special(message) ||
          message.header().epoch != static_cast<std::uint16_t>(epoch_))
        break;
      SlotHeader* slot = find_own(message.header().dst);
      if (slot == nullptr || slot->type != action.slot->type || slot->stashed != 0 ||
          (slot->flags & (kSlotSuspended | kSlotInBatch)) != 0 ||
          !add_to_batch(action, action.batch, message, used))
        break;
      clock_.merge(hlc::Timestamp{message.header().hlc}, wall_);
    }
    if (action.batch == 1) action.slot->flags &= static_cast<std::uint16_t>(~kSlotInBatch);
  }
  RK_FN bool add_to_batch(const Action& action, std::uint32_t at, const MessageView& message,
                          Budget& used) {
    bool known = false;
    const Budget budget = Program::budget(action.slot->type, message.header().tag, known);
    if (budget.blocks + budget.timers + budget.spawns != 0) return false;
    used.sends += budget.sends + kOwnSends;
    used.host_sends += budget.host_sends + 1;
    if (!outbox_.has_room(used.sends) || !mailbox_.local.has_room(used.sends) ||
        !outbox_.has_host_room(used.host_sends))
      return false;
    SlotHeader* slot = find_own(message.header().dst);
    slot->flags |= kSlotInBatch;
    batch_[at] = Task{message, slot, {}, 0};
    return true;
  }

  // --- perform: every lane

  /// `n`: actions of this burst so far; returns how many it is then.
  RK_FN RK_HOT std::uint32_t perform(Group& group, const Action& action, std::uint32_t n) {
    if (action.kind != Action::Kind::handle) return perform_rare(group, action), n + 1;
    if (Group::kIsSingle || action.batch == 1) return handle(group, action, n);
    handle_batch(group, action);
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
        save(group, *action.unit);
        if (group.rank() == 0) spend(ticks() - start);
        break;
      case Action::Kind::record:
        record(group, action.message);
        if (group.rank() == 0) {
          action.message.header().epoch = static_cast<std::uint16_t>(epoch_);
          spend(ticks() - start);
        }
        break;
      case Action::Kind::read:
        serializer_.write_bytes(group, RecordKind::read, read_request_, action.slot->id.word, 1,
                                reinterpret_cast<const std::byte*>(action.slot),
                                slot_stride(action.slot->state_bytes, action.slot->field_bytes));
        break;
      default: break;
    }
  }

  /// Runs the handler of the action's message and then, on a group of one, of those after it as far
  /// as they need nothing but their handlers. Returns how many of the burst are handled then: one
  /// more than `n`, or more.
  RK_FN RK_HOT std::uint32_t handle(Group& group, const Action& action, std::uint32_t n) {
    const bool is_leader = group.rank() == 0;
    if (action.crossed && !planted(Mutant::skip_message_record)) {
      record(group, action.message);
      // if the handler fails the message stays, and is not to be recorded twice
      if (is_leader) action.message.header().epoch = static_cast<std::uint16_t>(epoch_);
    }
    if (action.unit != nullptr && !planted(Mutant::handle_before_save)) save(group, *action.unit);
    const std::uint64_t start = is_leader && open() ? ticks() : 0;
    if (is_leader) {
      Program::Probe::entered();
      telemetry_.begin(action.message.header(), action.slot, clock_.last);
      telemetry_.entered();
    }
    MessageView message = action.message;
    SlotHeader* slot = action.slot;
    Source source = action.source;
    bool is_roomy = false;
    for (std::uint32_t end = 0;;) {  // of the plain ones; 0: the action's own
      Context<Worker, Group> context(*this, group, *slot, message);
      const bool known = Program::dispatch(slot->type, message.header().tag, slot_state(slot),
                                           message.payload(), context);
      group.sync();
      ++n;
      if (end == 0) {
        if (action.unit != nullptr && planted(Mutant::handle_before_save))
          save(group, *action.unit);
        if (!is_leader) return n;
        telemetry_.left();
        if (start != 0) earn(ticks() - start);
      }
      const bool is_done =
          finish(source, action.stash_position, message, *slot, context.outcome(), known);
      if constexpr (!Group::kIsSingle) return n;
      if (end == 0) {
        if (!may_go_on(source)) return n;
        end = kBurst;
        is_roomy = has_room_for(kBurst) && (!Program::kAnySupervised || mailbox_.stash.empty());
      }
      if (n >= end || !is_done) return n;
      message = next_plain(source, slot, is_roomy);
      if (!message) return n;
    }
  }
  /// Whether a burst that handled a message from `source` may go on with plain ones: then nothing
  /// comes before them but control messages. What lies in the stash had its look.
  RK_FN RK_HOT bool may_go_on(Source source) const {
    return !open() && run_state_ == RunState::running && fault_ == Fault::none &&
           source != Source::stash && mailbox_.replays_left() == 0;
  }
  /// The next message, if it needs nothing but its handler; else none, and decide_next() takes it.
  /// `is_roomy`: whatever handlers come, there is room.
  RK_FN RK_HOT MessageView next_plain(Source& source, SlotHeader*& slot, bool is_roomy) {
    if (mailbox_.control_front() || telemetry_.due()) return {};
    const MessageView message = mailbox_.arrival(source);
    if (!message) return {};
    look_ahead(source);
    slot = find_own(message.header().dst);
    if (slot == nullptr || slot->stashed != 0 || (slot->flags & kSlotSuspended) != 0 ||
        is_special(message) || message.header().epoch != static_cast<std::uint16_t>(epoch_) ||
        !(is_roomy || can_go(*slot, message, source)))
      return {};
    Program::Probe::popped(false);
    clock_.merge(hlc::Timestamp{message.header().hlc}, wall_);
    Program::Probe::entered();
    telemetry_.note(message.header(), slot->type, clock_.last);
    return message;
  }

  struct Task {
    MessageView message;
    SlotHeader* slot;
    HandlerOutcome outcome;
    std::uint32_t staged;  ///< messages; kUnknown: the type does not handle the tag
  };
  static constexpr std::uint32_t kUnknown = 0xFFFFFFFFu;

  RK_FN void handle_batch(Group& group, const Action& action) {
    const std::uint32_t lanes = Group::lanes_of(Program::grain(action.slot->type), group.size());
    const std::uint32_t task = group.rank() / lanes;
    if (group.rank() == 0) {
      telemetry_.begin(action.message.header(), action.slot, clock_.last);
      telemetry_.entered();
    }
    if (task < action.batch) {
      if (lanes == 1) {
        SingleGroup alone;
        run_task<Grain::thread>(alone, batch_[task], task);
      } else {
        auto&& warp = group.warp();
        run_task<Grain::warp>(warp, batch_[task], task);
      }
    }
    group.sync();
    if (group.rank() != 0) return;
    telemetry_.left();
    for (std::uint32_t i = 0; i < action.batch; ++i) {
      Task& done = batch_[i];
      const bool known = done.staged != kUnknown;
      if (i > 0) telemetry_.note(done.message.header(), done.slot->type, clock_.last);
      for (std::uint32_t n = 0; known && n < done.staged; ++n)
        send_staged(*done.slot, stage_of(i) + n * kSlotBytes);
      done.slot->flags &= static_cast<std::uint16_t>(~kSlotInBatch);
      (void)finish(action.source, 0, done.message, *done.slot, done.outcome, known);
    }
  }
  template <Grain Of, class Lanes>
  RK_FN void run_task(Lanes& lanes, Task& task, std::uint32_t number) {
    Context<Worker, Lanes, true> context(*this, lanes, *task.slot, task.message, stage_of(number));
    const bool known =
        Program::template dispatch<Of>(task.slot->type, task.message.header().tag,
                                       slot_state(task.slot), task.message.payload(), context);
    if (lanes.rank() != 0) return;
    task.outcome = context.outcome();
    task.staged = known ? context.staged() : kUnknown;
  }
  RK_FN std::byte* stage_of(std::uint32_t task) const {
    return self_.stage + std::uint64_t{task} * Program::kLaneSends * kSlotBytes;
  }
  RK_FN void send_staged(SlotHeader& from, std::byte* staged) {
    const MessageView view{staged, kSlotBytes};
    const MessageHeader& header = view.header();
    send(from,
         Draft{.to = header.dst,
               .tag = header.tag,
               .flags = header.flags,
               .kind = view.route().message_kind(),
               .correlation = view.envelope().correlation,
               .due = view.envelope().due},
         view.payload(), header.dst == kHostId ? kInlineBytes : kInlineBytes - sizeof(Envelope));
  }

  /// Lane 0, when a handler has returned. False if it failed.
  RK_FN RK_HOT bool finish(Source source, std::uint64_t stash_position, MessageView message,
                           SlotHeader& slot, const HandlerOutcome& outcome, bool known) {
    slot.touched_epoch = epoch_;
    telemetry_.handled(static_cast<std::uint32_t>(sent_ - sent_before_),
                       outcome.fault != Fault::none);
    sent_before_ = sent_;
    if (unsent_count_ > 0) give_back_unsent();
    if (outcome.fault != Fault::none || !known) {
      if (Life::conclude(*this, source, stash_position, message, slot, outcome, known))
        return false;
    }
    ++slot.handled;
    slot.hlc = clock_.last.word;
    if (source == Source::stash) {
      mailbox_.stash.remove(stash_position, &slot);
    }
    count_received(message);
    if (source != Source::stash) mailbox_.finish(source);
    if ((slot.flags & kSlotStepTimers) != 0) fire_step_timers(slot);
    if (outcome.stops) Life::end(*this, slot, kCodeStopped);
    return outcome.fault == Fault::none;
  }
  RK_FN RK_HOT void count_received(const MessageView& message) {
    ++self_.channels[channel_of(message)].received;
    ++received_;
    if (message.has_block()) slab_.give_back(message.block());
    if (run_state_ == RunState::paused && steps_left_ > 0 && --steps_left_ == 0) publish_status();
  }
  RK_FN void give_back_unsent() {
    while (unsent_count_ > 0) slab_.give_back(BlockRef{index_, unsent_[--unsent_count_], 0, {}});
  }

  /// Any group: the worker's own, or lane 0 alone.
  template <class Lanes>
  RK_FN void save(Lanes& lanes, SaveUnit& unit) {
    if constexpr (Program::kAnySupervised) {
      if (lanes.rank() == 0) Life::refresh_copies(unit);
      lanes.sync();
    }
    std::uint32_t unchanged = 0;
    IncrementWriter(serializer_)
        .write(lanes, unit, static_cast<std::uint32_t>(&unit - self_.units), parent_, unchanged);
    if (lanes.rank() == 0) count_saved(unit, unchanged);
    lanes.sync();
  }
  template <class Lanes>
  RK_FN void record(Lanes& lanes, const MessageView& message) {
    serializer_.write_message(lanes, system_, message,
                              message.has_block() ? block_address(message.block()) : nullptr);
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
    header.epoch = static_cast<std::uint16_t>(epoch_);
    write_unstamped(place, from.id, draft, payload, bytes, to);
  }
  RK_FN RK_HOT void write_unstamped(std::byte* place, ActorId from, const Draft& draft,
                                    const std::byte* payload, std::uint32_t bytes,
                                    std::uint32_t to) const {
    auto& header = *reinterpret_cast<MessageHeader*>(place);
    header.dst = draft.to;
    header.src = from;
    header.tag = draft.tag;
    header.flags =
        static_cast<std::uint8_t>(draft.flags | (draft.block != nullptr ? kFlagBlock : 0));
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
    publish_status();
  }

  /// The background share: handlers earn time for it, saving spends it. Capped, so that time earned
  /// while the ring was full is not spent in one long gap, and time spent while idle is not held
  /// against it.
  RK_FN void earn(std::uint64_t elapsed) {
    const std::uint64_t share = system_.background_percent;
    credit_ += static_cast<std::int64_t>(elapsed * share / (100 - share));
    if (credit_ > kMaxCreditTicks) credit_ = kMaxCreditTicks;
  }
  RK_FN void spend(std::uint64_t elapsed) {
    credit_ -= static_cast<std::int64_t>(elapsed);
    if (credit_ < -kMaxCreditTicks) credit_ = -kMaxCreditTicks;
  }

  RK_FN void refresh_wall_clock() {
    wall_ = hlc::at_wall(wall_clock_us() + static_cast<std::uint64_t>(clock_offset_us_));
  }

  /// While idle: something changed, or the heartbeat is due. Each store crosses the bus on a GPU.
  /// Not at once: what an answer is being waited for may come in the next turn.
  [[nodiscard]] RK_FN bool worth_publishing() {
    if (received_ == published_received_ && sent_ == published_sent_)
      return ticks() - published_at_ > kHeartbeatTicks;
    return ++idle_turns_ > kIdleTurns;
  }
  /// What waits, for the telemetry's reader.
  RK_FN void publish_telemetry() {
    refresh_wall_clock();
    Source source = Source::none;
    MessageView stashed{};
    for (std::uint64_t at = mailbox_.stash.head(); at != mailbox_.stash.tail(); ++at) {
      if (mailbox_.stash.is_gone(at)) continue;
      stashed = mailbox_.stash.at(at);
      break;
    }
    const MessageView arrived = mailbox_.arrival(source);
    telemetry_.waiting(stashed, stashed ? find_own(stashed.header().dst) : nullptr, true);
    telemetry_.waiting(arrived, arrived ? find_own(arrived.header().dst) : nullptr, false);
    telemetry_.publish(wall_.physical_us());
  }
  /// What the worker waits for. Timers that are late wait for room themselves.
  [[nodiscard]] RK_FN Shortage told_shortage() const {
    if (timers_.first_due() == Timers<kSlotBytes>::kNever) return shortage_;
    return shortage_ |
           (timer_waits_for_ == Shortage::none ? Shortage::until_due : timer_waits_for_);
  }
  RK_FN RK_COLD void publish_status() {
    if (telemetry_.publish_due() || run_state_ == RunState::stopping) {
      if (telemetry_.on()) publish_telemetry();
    }
    idle_turns_ = 0;
    published_received_ = received_;
    published_sent_ = sent_;
    published_at_ = ticks();
    WorkerStatus& status = *self_.status;
    store_relaxed<Scope::system>(status.epoch, epoch_);
    store_relaxed<Scope::system>(status.stashed, mailbox_.stash.size());
    store_relaxed<Scope::system>(status.outbox, static_cast<std::uint64_t>(outbox_.size()));
    store_relaxed<Scope::system>(status.stash_total, mailbox_.stash.total());
    store_relaxed<Scope::system>(status.full_inbox_total, outbox_.full_inbox_total());
    store_relaxed<Scope::system>(status.hlc, clock_.last.word);
    store_relaxed<Scope::system>(status.dead, dead_);
    store_relaxed<Scope::system>(status.live, live_);
    store_relaxed<Scope::system>(status.timers, static_cast<std::uint64_t>(timers_.size()));
    // set aside, handled, or moved out of the outbox or the timer store: a worker that can do any
    // of these is not stuck
    store_relaxed<Scope::system>(status.moved, mailbox_.stash.total() + received_ +
                                                   outbox_.left_total() + timers_.left_total());
    store_relaxed<Scope::system>(status.local, mailbox_.local.size() + mailbox_.replays_left());
    store_relaxed<Scope::system>(status.waits_for, outbox_.waits_for());
    // release: who acquires it sees a `moved` at least as new; pairs with describe_deadlock
    store_release<Scope::system>(status.shortage, static_cast<std::uint32_t>(told_shortage()));
    store_relaxed<Scope::system>(status.fault_code, fault_code_);
    store_relaxed<Scope::system>(status.fault_actor, fault_actor_);
    store_relaxed<Scope::system>(status.fault_tag, fault_tag_);
    // release, in this order: a reader that acquires `received` also sees the sends made before it
    store_release<Scope::system>(status.sent, sent_);
    store_release<Scope::system>(status.received, received_);
    store_release<Scope::system>(status.fault, static_cast<std::uint32_t>(fault_));
    if (steps_left_ == 0) store_release<Scope::system>(status.step_done, step_request_);
    store_release<Scope::system>(status.state, static_cast<std::uint32_t>(run_state_));
    // release: every handler of an older control version has returned; pairs with Runtime::pause
    store_release<Scope::system>(status.control_version, control_version_);
    // release: publishes the counters of this turn; pairs with the acquire in Runtime::Impl::watch
    store_release<Scope::system>(status.heartbeat, turn_);
  }

  static constexpr std::uint32_t kBurst = 64;
  static constexpr std::uint32_t kAhead = 8;  ///< messages
  static constexpr std::uint32_t kLooksPerTurn = 16;
  static constexpr std::uint32_t kTimersPerTurn = 16;
  static constexpr std::uint32_t kPassedPerTurn = 64;
  static constexpr std::uint32_t kClockTurns = 16;
  static constexpr std::uint32_t kStatusMessages = 64;
  static constexpr std::uint32_t kMaxUnsent = 64;
  static constexpr std::uint32_t kIdleTurns = 32;
  static constexpr std::int64_t kMaxCreditTicks = 200'000;
  static constexpr std::uint64_t kHeartbeatTicks = 50'000;
  /// What the worker itself may send when an actor with a Lifeline fails or dies: its supervisor
  /// and every link, the answer to a command.
  static constexpr std::uint32_t kOwnSends = Program::kAnyLifeline ? Program::kMaxLinks + 2 : 1;

  const SystemView system_;
  const WorkerView self_;
  std::uint32_t index_;
  std::uint32_t lanes_ = 1;
  Mailbox<kSlotBytes> mailbox_;
  Outbox<kSlotBytes> outbox_;
  Timers<kSlotBytes> timers_;
  SlabPool slab_;
  Serializer serializer_;
  TelemetryWriter telemetry_;
  hlc::WorkerClock clock_{};
  Backoff backoff_;
  Action action_{};
  Task batch_[Group::kMaxBatch] = {};

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

  std::uint64_t turn_ = 0;
  std::uint32_t idle_turns_ = 0;
  std::uint64_t published_received_ = 0;
  std::uint64_t published_sent_ = 0;
  std::uint64_t published_at_ = 0;
  hlc::Timestamp wall_{};
  std::uint64_t sent_ = 0;
  std::uint64_t sent_before_ = 0;  ///< the newest handler
  std::uint64_t received_ = 0;
  std::uint64_t dead_ = 0;
  std::uint64_t live_ = 0;
  Shortage shortage_ = Shortage::none;         ///< found by the newest look for a message
  Shortage timer_waits_for_ = Shortage::none;  ///< of the newest fire_timers()
  bool moved_ = false;                         ///< by the newest judge()
  Fault fault_ = Fault::none;
  std::uint32_t fault_code_ = 0;
  std::uint32_t fault_actor_ = 0;
  std::uint32_t fault_tag_ = 0;
  std::uint32_t unsent_[kMaxUnsent] = {};
  std::uint32_t unsent_count_ = 0;
};

}  // namespace rk
