// The worker loop: one group that owns a set of slots.
//
// Lane 0 decides, every lane performs: decide() looks at control, queues and the open cut and picks
// one Action; the lanes learn it through one broadcast and perform it together. So all queue and
// protocol state has a single writer, and barriers stand in one place. On a group of one thread the
// whole thing folds into a plain loop.
//
// Invariants (the cut; Lai & Yang 1987 with message counting after Mattern 1993):
//  1. A worker takes the cut when it sees the control word, or before it handles a message of a
//  newer colour.
//  2. Taking the cut writes counters only. After it a save unit is copied before its next handler
//  runs, or in the
//     background share of the worker's time.
//  3. A message handled with an older colour than the worker's crossed the cut: it is recorded,
//  then handled. Waiting ones
//     are recorded by the background share and take the new colour, so that each is recorded once
//     and completion never depends on the application's progress.
//  4. No handler starts without room for everything its message type declares, so no handler ever
//  waits.
#pragma once

#include <ringkernel/hlc/clock.hpp>
#include <ringkernel/kernels/context.hpp>
#include <ringkernel/kernels/increment.hpp>
#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/kernels/outbox.hpp>
#include <ringkernel/kernels/serializer.hpp>
#include <ringkernel/kernels/slab.hpp>
#include <ringkernel/kernels/telemetry.hpp>
#include <ringkernel/runtime/wait.hpp>

namespace rk {

template <class Program, class Group>
class Worker {
 public:
  static constexpr std::size_t kInlineBytes = Program::kMessageSlotBytes - sizeof(MessageHeader);

  RK_FN Worker(const SystemView& system, std::uint32_t index)
      : system_(system),
        self_(system.workers[index]),
        index_(index),
        mailbox_(system, index),
        outbox_(system, index),
        slab_(system, index),
        serializer_(system, index, self_.snapshot_ring, self_.stream_words),
        telemetry_(self_, index),
        epoch_(system.base_epoch) {
    clock_.restore(hlc::Timestamp{system.base_hlc});
    refresh_wall_clock();
  }

  /// Runs until the host stops the system. Every lane calls it. `per_turn(lane 0)` is called
  /// between actions and returns whether it did something.
  template <class PerTurn>
  RK_FN void run(Group& group, PerTurn per_turn) {
    for (;;) {
      if (group.rank() == 0) {
        const bool worked = per_turn();
        action_ = decide(worked);
      }
      group.sync();
      const Action action = action_;
      group.sync();
      if (action.kind == Action::Kind::stop) return;
      perform(group, action);
    }
  }

  // --- used by Context; lane 0
  // ---------------------------------------------------------------------------------------

  [[nodiscard]] RK_FN std::uint32_t index() const { return index_; }
  [[nodiscard]] RK_FN std::uint64_t seed() const { return system_.seed; }
  RK_FN std::byte* block_address(const BlockRef& ref) const {
    return SlabPool::address(system_, ref);
  }

  RK_FN bool take_block(std::uint64_t bytes, BlockRef& ref) {
    if (bytes > system_.capacity.slab_block_bytes)
      return raise(Fault::block_too_large, static_cast<std::uint32_t>(bytes)), false;
    if (left_.blocks == 0 || unsent_count_ == kMaxUnsent)
      return raise(Fault::too_many_blocks, 0), false;
    --left_.blocks;
    ref = slab_.take(static_cast<std::uint32_t>(bytes));
    unsent_[unsent_count_++] = ref.block;
    return true;
  }
  RK_FN void send(SlotHeader& from, ActorId to, std::uint8_t tag, const std::byte* payload,
                  std::uint32_t bytes, const BlockRef* block) {
    if (left_.sends == 0) return raise(Fault::too_many_sends, 0);
    --left_.sends;
    const ActorEntry* entry = Outbox::find(system_, to);
    if (block != nullptr && entry != nullptr && !hand_over(*block)) {
      return raise(Fault::block_not_owned, block->block);
    }
    if (entry == nullptr) {
      outbox_.count_dead(index_);
      ++received_;
      ++dead_;
      telemetry_.dead_on_sending();
      return;
    }
    outbox_.send(entry->worker, stamp(from, to, tag), payload, bytes, block);
  }
  RK_FN void send_to_host(SlotHeader& from, std::uint8_t tag, const std::byte* payload,
                          std::uint32_t bytes) {
    if (left_.host_sends == 0) return raise(Fault::too_many_outputs, 0);
    --left_.host_sends;
    outbox_.send_to_host(stamp(from, kHostId, tag), payload, bytes);
  }
  RK_FN void fail(ActorId, std::uint8_t, std::uint32_t code) { raise(Fault::failed, code); }

 private:
  struct Action {
    enum class Kind : std::uint32_t { none, stop, handle, save, record, read };
    Kind kind = Kind::none;
    Source source = Source::none;
    MessageView message{};       ///< handle, record
    SlotHeader* slot = nullptr;  ///< handle, read
    SaveUnit* unit = nullptr;    ///< save; handle: to be copied first
    std::uint64_t* cursor = nullptr;
    bool crossed = false;  ///< handle: record the message first
  };

  // --- decide: lane 0
  // --------------------------------------------------------------------------------------------

  RK_FN Action decide(bool worked) {
    if (++turn_ % kClockTurns == 0) refresh_wall_clock();
    observe_control();
    if (run_state_ == RunState::stopping) return publish_status(), Action{Action::Kind::stop};
    if (read_request_ != read_done_) {
      read_done_ = read_request_;
      const ActorEntry* entry = Outbox::find(system_, ActorId{read_actor_});
      if (entry != nullptr && entry->worker == index_) {
        Action action{Action::Kind::read};
        action.slot = entry->slot;
        return action;
      }
    }
    outbox_.flush();
    Action action;
    if (open() && credit_ > 0 && background(action)) return action;
    if (may_handle() && next_message(action)) {
      backoff_.reset();
      if (++since_status_ >= kStatusMessages) publish_status();
      return action;
    }
    if (open() && background(action)) return action;
    if (worth_publishing()) publish_status();
    telemetry_.idle();
    if (!worked) backoff_.wait();
    return action;
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

  RK_FN void take_cut(std::uint32_t epoch) {
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
    outbox_cursor_ = outbox_.head();
    mailbox_.begin_sweep();
    credit_ = 0;
    const std::uint32_t channels = system_.worker_count + 1;
    serializer_.write_small(
        RecordKind::cut, channels, clock_.tick(wall_us_).word,
        sizeof(CutPayload) + channels * sizeof(CutChannel), [&](std::byte* payload) {
          *reinterpret_cast<CutPayload*>(payload) =
              CutPayload{self_.unit_count, self_.slot_count, self_.slot_bytes, received_};
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

  /// The next piece of work for the open cut that fits into the ring now.
  RK_FN bool background(Action& action) {
    const auto colour = static_cast<std::uint16_t>(epoch_);
    MessageView old = mailbox_.next_old(colour);
    if (!old) old = next_old_in_outbox(colour);
    if (old) {
      if (!serializer_.ring().has_room(system_.message_slot_bytes +
                                       system_.capacity.slab_block_bytes))
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
  RK_FN MessageView next_old_in_outbox(std::uint16_t colour) {
    if (outbox_cursor_ < outbox_.head()) outbox_cursor_ = outbox_.head();
    for (; outbox_cursor_ < outbox_.tail(); ++outbox_cursor_) {
      const MessageView message = outbox_.at(outbox_cursor_);
      const MessageHeader& header = message.header();
      if ((header.flags & kFlagDelivered) == 0 && epoch_newer(colour, header.epoch)) return message;
    }
    return {};
  }

  /// Picks the next message whose handler has room, setting others aside.
  RK_FN bool next_message(Action& action) {
    if (const MessageView message = mailbox_.stash_front()) {
      SlotHeader* slot = live_slot(message);
      if (slot == nullptr || has_room(*slot, message))
        return prepare(action, Source::stash, message, slot);
    }
    for (std::uint32_t n = 0; n < kLooksPerTurn; ++n) {
      Source source = Source::none;
      const MessageView message = mailbox_.arrival(source);
      if (!message) return false;
      SlotHeader* slot = live_slot(message);
      if (slot == nullptr || (slot->stashed == 0 && has_room(*slot, message))) {
        return prepare(action, source, message, slot);
      }
      if (mailbox_.stash_full()) return false;
      mailbox_.set_aside(source, message, *slot);
    }
    return false;
  }
  RK_FN SlotHeader* live_slot(const MessageView& message) const {
    const ActorEntry* entry = Outbox::find(system_, message.header().dst);
    return entry == nullptr ? nullptr : entry->slot;
  }
  RK_FN bool has_room(const SlotHeader& slot, const MessageView& message) {
    bool known = false;
    budget_ = Program::budget(slot.type, message.header().tag, known);
    return outbox_.has_room(budget_) && (budget_.blocks == 0 || slab_.has_free(budget_.blocks));
  }

  RK_FN bool prepare(Action& action, Source source, const MessageView& message, SlotHeader* slot) {
    const MessageHeader& header = message.header();
    if (epoch_newer(header.epoch, static_cast<std::uint16_t>(epoch_)))
      take_cut(widen_epoch(header.epoch, epoch_));
    Program::Probe::popped(open());
    action.kind = Action::Kind::handle;
    action.source = source;
    action.message = message;
    action.slot = slot;
    action.crossed = open() && epoch_newer(static_cast<std::uint16_t>(epoch_), header.epoch);
    if (open() && slot != nullptr) {
      SaveUnit& unit = self_.units[slot->unit];
      if (unit.saved_epoch != epoch_ && !pass_over(unit)) action.unit = &unit;
    }
    left_ = budget_;
    if (telemetry_.due()) refresh_wall_clock();
    clock_.merge(hlc::Timestamp{header.hlc}, wall_us_);
    telemetry_.begin(header, slot, clock_.last);
    return true;
  }

  // --- perform: every lane
  // -----------------------------------------------------------------------------------------

  RK_FN void perform(Group& group, const Action& action) {
    // cut state belongs to lane 0, which may be a turn ahead of the others here
    const std::uint64_t start = group.rank() == 0 && open() ? ticks() : 0;
    switch (action.kind) {
      case Action::Kind::handle: handle(group, action); break;
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

  RK_FN void handle(Group& group, const Action& action) {
    if (action.crossed && !planted(Mutant::skip_message_record)) record(group, action.message);
    if (action.unit != nullptr && !planted(Mutant::handle_before_save)) save(group, *action.unit);
    const std::uint64_t start = group.rank() == 0 && open() ? ticks() : 0;
    if (group.rank() == 0) {
      Program::Probe::entered();
      telemetry_.entered();
    }
    bool known = true;
    if (action.slot != nullptr) {
      Context<Worker, Group> context(*this, group, *action.slot, action.message);
      const MessageHeader& header = action.message.header();
      known = Program::dispatch(action.slot->type, header.tag, slot_state(action.slot),
                                action.message.payload(), context);
    }
    group.sync();
    if (group.rank() == 0) telemetry_.left();
    if (action.unit != nullptr && planted(Mutant::handle_before_save)) save(group, *action.unit);
    if (group.rank() == 0) {
      if (start != 0) earn(ticks() - start);
      finish(action, known);
    }
  }

  RK_FN void finish(const Action& action, bool known) {
    const MessageView& message = action.message;
    const MessageHeader& header = message.header();
    if (!known) raise(Fault::unknown_message, header.tag);
    if (action.slot != nullptr) {
      ++action.slot->handled;
      action.slot->hlc = clock_.last.word;
      action.slot->touched_epoch = epoch_;
      if (action.source == Source::stash) --action.slot->stashed;
      telemetry_.handled(budget_.sends - left_.sends + budget_.host_sends - left_.host_sends,
                         fault_ != Fault::none);
    } else {
      ++dead_;
      telemetry_.dead_letter(nullptr);
    }
    if (fault_ != Fault::none && fault_actor_ == 0) {
      fault_actor_ = header.dst.word;
      fault_tag_ = header.tag;
    }
    ++self_.channels[source_channel(header)].received;
    ++received_;
    if (message.has_block()) slab_.give_back(message.block());
    while (unsent_count_ > 0) slab_.give_back(BlockRef{index_, unsent_[--unsent_count_], 0, 0});
    mailbox_.finish(action.source);
    if (run_state_ == RunState::paused && steps_left_ > 0 && --steps_left_ == 0) publish_status();
    if (fault_ != Fault::none) publish_status();
  }

  RK_FN void save(Group& group, SaveUnit& unit) {
    std::uint32_t unchanged = 0;
    IncrementWriter(serializer_)
        .write(group, unit, static_cast<std::uint32_t>(&unit - self_.units), parent_, unchanged);
    if (group.rank() == 0) count_saved(unit, unchanged);
    group.sync();
  }
  RK_FN void record(Group& group, const MessageView& message) {
    serializer_.write_message(group, system_, message,
                              message.has_block() ? block_address(message.block()) : nullptr);
  }

  // --- small things; lane 0
  // -------------------------------------------------------------------------------------------

  RK_FN MessageHeader stamp(SlotHeader& from, ActorId to, std::uint8_t tag) {
    return MessageHeader{0,
                         clock_.tick(wall_us_).word,
                         to,
                         from.id,
                         ++from.source_sequence,
                         static_cast<std::uint16_t>(epoch_),
                         tag,
                         0};
  }
  RK_FN std::uint32_t source_channel(const MessageHeader& header) const {
    if (header.src == kHostId || (header.flags & kFlagReplayed) != 0) return system_.worker_count;
    return system_.actors[header.src.index()].worker;
  }
  RK_FN void raise(Fault fault, std::uint32_t code) {
    if (fault_ != Fault::none) return;
    fault_ = fault;
    fault_code_ = code;
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
    wall_us_ = wall_clock_us() + static_cast<std::uint64_t>(clock_offset_us_);
  }

  /// While idle: something changed, or the heartbeat is due. Each store crosses the bus on a GPU.
  [[nodiscard]] RK_FN bool worth_publishing() const {
    return received_ != published_received_ || outbox_.sent() != published_sent_ ||
           ticks() - published_at_ > kHeartbeatTicks;
  }
  /// What waits, for the telemetry's reader.
  RK_FN void publish_telemetry() {
    if (!telemetry_.on()) return;
    refresh_wall_clock();
    Source source = Source::none;
    const MessageView stashed = mailbox_.stash_front();
    const MessageView arrived = mailbox_.arrival(source);
    telemetry_.waiting(stashed, stashed ? live_slot(stashed) : nullptr, true);
    telemetry_.waiting(arrived, arrived ? live_slot(arrived) : nullptr, false);
    telemetry_.publish(wall_us_);
  }
  RK_FN void publish_status() {
    if (telemetry_.publish_due() || run_state_ == RunState::stopping) publish_telemetry();
    since_status_ = 0;
    published_received_ = received_;
    published_sent_ = outbox_.sent();
    published_at_ = ticks();
    WorkerStatus& status = *self_.status;
    store_relaxed<Scope::system>(status.epoch, epoch_);
    store_relaxed<Scope::system>(status.stashed, mailbox_.stash_size());
    store_relaxed<Scope::system>(status.outbox, static_cast<std::uint64_t>(outbox_.size()));
    store_relaxed<Scope::system>(status.stash_total, mailbox_.stash_total());
    store_relaxed<Scope::system>(status.full_inbox_total, outbox_.full_inbox_total());
    store_relaxed<Scope::system>(status.hlc, clock_.last.word);
    store_relaxed<Scope::system>(status.dead, dead_);
    store_relaxed<Scope::system>(status.fault_code, fault_code_);
    store_relaxed<Scope::system>(status.fault_actor, fault_actor_);
    store_relaxed<Scope::system>(status.fault_tag, fault_tag_);
    // release, in this order: a reader that acquires `received` also sees the sends made before it
    store_release<Scope::system>(status.sent, outbox_.sent());
    store_release<Scope::system>(status.received, received_);
    store_release<Scope::system>(status.fault, static_cast<std::uint32_t>(fault_));
    if (steps_left_ == 0) store_release<Scope::system>(status.step_done, step_request_);
    store_release<Scope::system>(status.state, static_cast<std::uint32_t>(run_state_));
    // release: every handler of an older control version has returned; pairs with Runtime::pause
    store_release<Scope::system>(status.control_version, control_version_);
    // release: publishes the counters of this turn; pairs with the acquire in Runtime::Impl::watch
    store_release<Scope::system>(status.heartbeat, turn_);
  }

  static constexpr std::uint32_t kLooksPerTurn = 16;
  static constexpr std::uint32_t kPassedPerTurn = 64;
  static constexpr std::uint32_t kClockTurns = 64;
  static constexpr std::uint32_t kStatusMessages = 64;
  static constexpr std::uint32_t kMaxUnsent = 64;
  static constexpr std::int64_t kMaxCreditTicks = 200'000;
  static constexpr std::uint64_t kHeartbeatTicks = 50'000;

  const SystemView system_;
  const WorkerView self_;
  std::uint32_t index_;
  Mailbox mailbox_;
  Outbox outbox_;
  SlabPool slab_;
  Serializer serializer_;
  TelemetryWriter telemetry_;
  hlc::WorkerClock clock_{};
  Backoff backoff_;
  Action action_{};
  Budget budget_{};  ///< of the message looked at last
  Budget left_{};    ///< of the running handler

  std::uint32_t epoch_;
  std::uint32_t open_epoch_ = 0;
  std::uint32_t closed_epoch_ = 0;
  std::uint32_t parent_ = 0;     ///< durable cut that the open one is an increment of; 0: none
  std::uint32_t unchanged_ = 0;  ///< slots that the parent holds as they are
  std::uint64_t unit_cursor_ = 0;
  std::uint64_t unsaved_ = 0;
  std::uint64_t outbox_cursor_ = 0;
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
  std::uint32_t since_status_ = 0;
  std::uint64_t published_received_ = 0;
  std::uint64_t published_sent_ = 0;
  std::uint64_t published_at_ = 0;
  std::uint64_t wall_us_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t dead_ = 0;
  Fault fault_ = Fault::none;
  std::uint32_t fault_code_ = 0;
  std::uint32_t fault_actor_ = 0;
  std::uint32_t fault_tag_ = 0;
  std::uint32_t unsent_[kMaxUnsent] = {};
  std::uint32_t unsent_count_ = 0;
};

}  // namespace rk
