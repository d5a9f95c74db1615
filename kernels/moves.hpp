// An actor changes its worker while the program runs, between two handlers; its id stays.
//
// The actor i takes a free place j of its type on the new worker B, and the old worker A gets the
// place in exchange. All workers and the dispatcher stand still meanwhile (RunState::moving): no
// handler, no flush of an outbox, no timer, no forwarded message. So every message to i or j lies
// in a known queue, and each step is a walk through queues that nobody else touches. The host asks
// for one step after the other and each time waits until all workers did it, which is also what
// makes the writes of one step visible to the next:
//
//   stand still   everybody        ends its handler; the host takes all outputs of A
//   offer         B                chooses j and tells its room
//   hand over     A                refuses, or: state and header to B's place, i's mail behind B's
//                                  elders, what i sent to actors of A in front of A's queues,
//                                  entries of i and j swapped
//   adopt         B                takes the mail, puts what i sent to actors of B in front
//                 everybody        outbox and timers: messages to i go to B, those to j to A
//   give up       B, if needed     hands the mail for the dead of j over to A
//   settle        A                takes it
//   the host      turns messages to i in its ring to B; everybody goes on
//
// Invariants:
//  1. Until A hands over, nothing has changed: a move that is refused leaves no trace.
//  2. A message counts as if it had been sent to the new worker: its sender's counter for the old
//  one goes down, that for the new one up (readdress). Nothing is received or sent anew, so that
//  sums stay.
//  3. Order per pair and lane. Ordinary messages to i: what A had goes behind B's elders, which B
//  handles before its FIFO and its inbox; what lay in outboxes and in the host's ring comes to B's
//  inbox, as do all later ones. B's own, which waited in its outbox for A, become elders behind
//  A's, because later ones take B's FIFO. Control messages go through B's control inbox, the old
//  ones first. What A had set aside, B sets aside. Messages of i: those to other workers and, on
//  the control lane, to A and B have their tickets. Those in A's FIFO, or before it, and in B's
//  inbox become elders there, because later ones come another way. A move waits while some lie in
//  A's outbox or in its ring to the host.
//  4. No cut is open while an actor moves. Both places count as touched, so that increments hold
//  them.
#pragma once

#include <ringkernel/kernels/load_survey.hpp>
#include <ringkernel/kernels/move_mail.hpp>

namespace rk {

/// What the host asked a worker to do, and what the worker says to it.
struct MoveDuty {
  std::uint32_t request = 0;  ///< number of the step
  std::uint32_t done = 0;
  MoveStep step = MoveStep::none;
  ActorId actor{};
  std::uint32_t to = 0;
  std::uint64_t gap = 0;
  MoveOutcome outcome = MoveOutcome::done;
  std::uint32_t place = kNoPlace;
  std::int32_t host_messages = 0;
  std::uint64_t load = 0;
  bool is_due = false;  ///< a step to do, or to stand still
};

template <class Worker>
class Moves {
 public:
  using Action = typename Worker::Action;
  using Mail = MoveMail<Worker>;
  using Load = LoadSurvey<Worker>;

  /// With each control version, after its run state.
  RK_FN static void observe(Worker& w, DeviceControl& control) {
    MoveDuty& duty = w.move_;
    // acquire: the operands read next are at least as new; pairs with the dispatcher's release
    const std::uint32_t request = load_acquire<Scope::device>(control.move_request);
    duty.is_due = request != duty.done || w.run_state_ == RunState::moving;
    if (request == duty.request) return;
    duty.request = request;
    duty.step = static_cast<MoveStep>(load_relaxed<Scope::device>(control.move_step));
    duty.actor = ActorId{load_relaxed<Scope::device>(control.move_actor)};
    duty.to = load_relaxed<Scope::device>(control.move_to);
    duty.gap = load_relaxed<Scope::device>(control.move_gap);
  }
  RK_FN static void publish(const MoveDuty& duty, WorkerStatus& status) {
    store_relaxed<Scope::system>(status.move_outcome, static_cast<std::uint32_t>(duty.outcome));
    store_relaxed<Scope::system>(status.move_place, duty.place);
    store_relaxed<Scope::system>(status.move_host_messages, duty.host_messages);
    store_relaxed<Scope::system>(status.move_load, duty.load);
    // release: what the step wrote, for the host and, through it, for the other workers; pairs with
    // the acquire in Runtime::Impl::move_step
    store_release<Scope::system>(status.move_done, duty.done);
  }

  /// Between two handlers, when MoveDuty::is_due. True: the turn is over.
  RK_FN RK_COLD static bool turn(Worker& w) {
    MoveDuty& duty = w.move_;
    if (duty.request != duty.done) {
      if (begin(w)) {
        w.action_.kind = Action::Kind::move;
        w.action_.slot = w.system_.actors[duty.actor.index()].slot;
        return true;
      }
      done(w);
    }
    if (w.run_state_ != RunState::moving) return false;
    if (Worker::Report::is_due(w)) Worker::Report::publish(w);
    w.backoff_.wait();
    return true;
  }

  /// Collective: the hand-over of `from`, the slot of the actor.
  template <class Group>
  RK_FN RK_COLD static void perform(Worker& w, Group& group, SlotHeader& from) {
    SlotHeader& to = *w.system_.actors[w.system_.move->place].slot;
    auto* out = reinterpret_cast<RawWord*>(slot_state(&to));
    auto* in = reinterpret_cast<const RawWord*>(slot_state(&from));
    const std::uint64_t words =
        (slot_stride(from.state_bytes, from.field_bytes) - sizeof(SlotHeader)) / 8;
    for (std::uint64_t i = group.rank(); i < words; i += group.size()) out[i] = in[i];
    group.sync();
    if (group.rank() != 0) return;
    Mail::hand_over(w, from, to);
    done(w);
  }

 private:
  /// True: there is a state to copy, which perform() does.
  RK_FN static bool begin(Worker& w) {
    MoveDuty& duty = w.move_;
    duty.outcome = MoveOutcome::done;
    switch (duty.step) {
      case MoveStep::survey: Load::survey(w); return false;
      case MoveStep::nominate:
        if (duty.to == w.index_) Load::nominate(w);
        return false;
      case MoveStep::offer:
        duty.host_messages = 0;
        duty.place = kNoPlace;
        if (duty.to == w.index_) offer(w);
        return false;
      case MoveStep::hand_over:
        // not by the entry, which the old worker changes in this very step
        if (w.system_.move->from != w.index_) return false;
        duty.outcome = judge(w);
        return duty.outcome == MoveOutcome::done;
      case MoveStep::adopt: Mail::adopt(w); return false;
      case MoveStep::give_up:
        if (duty.to == w.index_) Mail::give_up_place(w);
        return false;
      case MoveStep::settle:
        if (w.system_.move->from == w.index_) w.mailbox_.add_elders(w.system_.move->place_mail);
        return false;
      default: return false;
    }
  }
  RK_FN static void done(Worker& w) {
    w.move_.done = w.move_.request;
    w.move_.is_due = w.run_state_ == RunState::moving;
    Worker::Report::publish(w);
  }

  /// B: what it could take.
  RK_FN static void offer(Worker& w) {
    MoveBlock& block = *w.system_.move;
    const ActorId actor = w.move_.actor;
    const ActorEntry& entry = w.system_.actors[actor.index()];
    block = MoveBlock{};
    block.place = kNoPlace;
    block.from = w.worker_of(actor);
    if (entry.generation != actor.generation()) return;  // A says so
    const PlacePool& pool = w.self_.pools[entry.slot->type];
    for (std::uint32_t n = pool.count; n > 0 && block.place == kNoPlace; --n) {
      const std::uint32_t index = pool.free[n - 1];
      if (w.system_.actors[index].slot->field_bytes == entry.slot->field_bytes) block.place = index;
    }
    w.move_.place = block.place;
    if (block.place == kNoPlace) return;

    auto& mailbox = w.mailbox_;
    mailbox.close_up_elders();
    std::uint64_t own = 0;
    mailbox.visit(Source::inbox, [&](const MessageView& m) { own += Mail::is_of(m, actor); });
    w.outbox_.visit([&](const MessageView& m) { own += Mail::is_to(m, actor.index()); });
    Mail::for_each_place(
        w, [&](const MessageView& m) { block.place_mail += Mail::is_to(m, block.place); });
    block.elders = mailbox.elders_end();
    block.elder_room = mailbox.elder_room() > own ? mailbox.elder_room() - own : 0;
    const std::uint64_t kept = 2 * Worker::Mail::stash_reserve(w, Source::inbox);
    block.stash_room = mailbox.stash.room() > kept ? mailbox.stash.room() - kept : 0;
    block.control_room = w.outbox_.control_room(w.index_);
    block.timer_room = w.system_.capacity.timer_slots - w.timers_.size();
  }

  /// A: whether the move can be.
  RK_FN static MoveOutcome judge(Worker& w) {
    MoveBlock& block = *w.system_.move;
    const ActorId actor = w.move_.actor;
    const std::uint32_t index = actor.index();
    auto& mailbox = w.mailbox_;
    if (w.find_own(actor) == nullptr) return MoveOutcome::not_found;
    if (block.place == kNoPlace) return MoveOutcome::no_place;
    std::uint64_t sent = 0;  // by the actor, and not on its way yet
    w.outbox_.visit([&](const MessageView& m) { sent += Mail::is_of(m, actor); });
    mailbox.visit(Source::replay, [&](const MessageView& m) {
      sent += m.route().message_kind() >= MessageKind::timer_us && Mail::is_bound(m, actor);
    });
    if (sent != 0) return MoveOutcome::waits;

    std::uint64_t mail = 0;
    std::uint64_t stashed = 0;
    std::uint64_t controls = 0;
    std::uint64_t timers = 0;
    std::uint64_t local = 0;
    Mail::for_each_place(w, [&](const MessageView& m) { mail += Mail::is_to(m, index); });
    Mail::for_each_stashed(
        w, [&](std::uint64_t, const MessageView& m) { stashed += Mail::is_to(m, index); });
    mailbox.visit(Source::control,
                  [&](const MessageView& m) { controls += Mail::is_to(m, index); });
    for (const Source source : {Source::express, Source::local})
      mailbox.visit(source, [&](const MessageView& m) { local += Mail::is_of(m, actor); });
    (void)w.timers_.find_if([&](const MessageView& timer) {
      timers += Mail::is_bound(timer, actor);
      return false;
    });
    mailbox.close_up_elders();
    if (mail + timers > block.elder_room || local + block.place_mail > mailbox.elder_room())
      return MoveOutcome::no_room;
    if (stashed > block.stash_room) return MoveOutcome::no_stash;
    if (controls > block.control_room) return MoveOutcome::no_control;
    return timers > block.timer_room ? MoveOutcome::no_timers : MoveOutcome::done;
  }
};

}  // namespace rk
