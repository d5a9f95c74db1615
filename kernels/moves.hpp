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
//   settle        A, if needed     takes the mail for the dead of j
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
//  the control lane, to A and B have their tickets. Those in A's FIFO and in B's inbox become
//  elders there, because later ones come another way. A move waits while some lie in A's outbox or
//  in its ring to the host.
//  4. No cut is open while an actor moves. Both places count as touched, so that increments hold
//  them.
#pragma once

#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/runtime/mutant.hpp>
#include <ringkernel/runtime/page_hash.hpp>

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

  [[nodiscard]] RK_FN bool is_due(RunState state) const {
    return request != done || state == RunState::moving;
  }
};

template <class Worker>
class Moves {
 public:
  using Action = typename Worker::Action;

  RK_FN static void observe(MoveDuty& duty, DeviceControl& control) {
    // acquire: the operands read next are at least as new; pairs with the dispatcher's release
    const std::uint32_t request = load_acquire<Scope::device>(control.move_request);
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

  /// Between two handlers, when a step is asked for or the worker has to stand still. True: the
  /// turn is over.
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
    hand_over(w, from, to);
    done(w);
  }

 private:
  /// True: there is a state to copy, which perform() does.
  RK_FN static bool begin(Worker& w) {
    MoveDuty& duty = w.move_;
    duty.outcome = MoveOutcome::done;
    switch (duty.step) {
      case MoveStep::survey: survey(w); return false;
      case MoveStep::nominate:
        if (duty.to == w.index_) nominate(w);
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
      case MoveStep::adopt: adopt(w); return false;
      case MoveStep::settle:
        if (w.system_.move->from == w.index_) w.mailbox_.add_elders(w.system_.move->place_mail);
        return false;
      default: return false;
    }
  }
  RK_FN static void done(Worker& w) {
    w.move_.done = w.move_.request;
    Worker::Report::publish(w);
  }

  RK_FN static bool is_to(const MessageView& message, std::uint32_t index) {
    return message.header().dst.index() == index;
  }
  RK_FN static bool is_of(const MessageView& message, ActorId actor) {
    return message.header().src == actor;
  }
  /// A timer that counts with its actor: an ask's deadline, or one in steps. The others only name
  /// whom they go to.
  RK_FN static bool is_bound(const MessageView& timer, ActorId actor) {
    const MessageKind kind = timer.route().message_kind();
    return (kind == MessageKind::ask_deadline && is_to(timer, actor.index())) ||
           (kind == MessageKind::timer_steps && is_of(timer, actor));
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
    mailbox.visit(Source::inbox, [&](const MessageView& m) { own += is_of(m, actor); });
    w.outbox_.visit([&](const MessageView& m) { own += is_to(m, actor.index()); });
    for_each_place(w, [&](const MessageView& m) { block.place_mail += is_to(m, block.place); });
    block.elders = mailbox.elders_end();
    block.elder_room = mailbox.elder_room() > own ? mailbox.elder_room() - own : 0;
    const std::uint64_t kept = 2 * Worker::Mail::stash_reserve(w, Source::inbox);
    block.stash_room = mailbox.stash.room() > kept ? mailbox.stash.room() - kept : 0;
    block.control_room = w.outbox_.control_room(w.index_);
    block.timer_room = w.system_.capacity.timer_slots - w.timers_.size();
  }

  /// Visits all that waits in the worker's queues, the stash included.
  template <class Visit>
  RK_FN static void for_each_place(Worker& w, Visit visit) {
    for_each_stashed(w, [&](std::uint64_t, const MessageView& message) { visit(message); });
    constexpr Source kQueues[] = {Source::replay, Source::local, Source::inbox, Source::control};
    for (const Source source : kQueues) w.mailbox_.visit(source, visit);
  }
  template <class Visit>
  RK_FN static void for_each_stashed(Worker& w, Visit visit) {
    const Stash& stash = w.mailbox_.stash;
    for (std::uint64_t at = stash.head(), end = stash.tail(); at < end; ++at) {
      if (at >= stash.head() && !stash.is_gone(at)) visit(at, stash.at(at));
    }
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
    w.outbox_.visit([&](const MessageView& m) { sent += is_of(m, actor); });
    mailbox.visit(Source::replay, [&](const MessageView& m) {
      sent += m.route().message_kind() >= MessageKind::timer_us && is_bound(m, actor);
    });
    if (sent != 0) return MoveOutcome::waits;

    std::uint64_t mail = 0;
    std::uint64_t stashed = 0;
    std::uint64_t controls = 0;
    std::uint64_t timers = 0;
    std::uint64_t local = 0;
    for_each_place(w, [&](const MessageView& m) { mail += is_to(m, index); });
    for_each_stashed(w, [&](std::uint64_t, const MessageView& m) { stashed += is_to(m, index); });
    mailbox.visit(Source::control, [&](const MessageView& m) { controls += is_to(m, index); });
    mailbox.visit(Source::local, [&](const MessageView& m) { local += is_of(m, actor); });
    (void)w.timers_.find_if([&](const MessageView& timer) {
      timers += is_bound(timer, actor);
      return false;
    });
    mailbox.close_up_elders();
    if (mail + timers > block.elder_room || local + block.place_mail > mailbox.elder_room())
      return MoveOutcome::no_room;
    if (stashed > block.stash_room) return MoveOutcome::no_stash;
    if (controls > block.control_room) return MoveOutcome::no_control;
    return timers > block.timer_room ? MoveOutcome::no_timers : MoveOutcome::done;
  }

  /// The message's sender sent it to `to`.
  RK_FN static void readdress(Worker& w, const MessageView& message, std::uint32_t to) {
    Route& route = message.route();
    if ((message.header().flags & kFlagReplayed) != 0 || route.from == kHostChannel) {
      w.move_.host_messages += to == w.move_.to ? 1 : -1;
    } else if (!planted(Mutant::uncounted_move)) {
      CutChannel* channels = w.system_.workers[route.from].channels;
      --channels[route.to].sent;
      ++channels[to].sent;
    }
    route.to = static_cast<std::uint8_t>(to);
  }

  /// A, with the state copied: the actor's mail, then the exchange.
  RK_FN static void hand_over(Worker& w, SlotHeader& from, SlotHeader& to) {
    MoveBlock& block = *w.system_.move;
    const ActorId actor = w.move_.actor;
    auto& mailbox = w.mailbox_;
    std::byte* const list = w.system_.workers[w.move_.to].replay;
    std::uint64_t end = block.elders;
    const auto put = [&](const MessageView& message) {
      const MessageView copy{list + end++ * Worker::kSlotBytes, Worker::kSlotBytes};
      copy_message(copy.slot, message.slot, Worker::kSlotBytes);
      return copy;
    };
    const auto take = [&](const MessageView& message) {
      if (!is_to(message, actor.index())) return false;
      readdress(w, put(message), w.move_.to);
      return true;
    };
    const auto take_stashed = [&](bool of_the_living) {
      for_each_stashed(w, [&](std::uint64_t at, const MessageView& message) {
        const bool lives = message.header().dst == actor;
        if (lives != of_the_living || !take(message)) return;
        mailbox.stash.remove(at, lives ? &from : nullptr);
      });
    };
    const auto count = [&](std::uint64_t& counter, auto all) {
      const std::uint64_t begin = end;
      all();
      counter = end - begin;
    };
    count(block.ordinary, [&] {
      take_stashed(false);
      constexpr Source kQueues[] = {Source::replay, Source::local, Source::inbox};
      for (const Source source : kQueues) mailbox.extract(source, take);
    });
    count(block.stashed, [&] { take_stashed(true); });
    count(block.controls, [&] { mailbox.extract(Source::control, take); });
    count(block.timers, [&] {
      while (const MessageView timer = w.timers_.find_if(
                 [&](const MessageView& message) { return is_bound(message, actor); })) {
        hand_over_timer(w, put(timer));
        w.timers_.remove(timer);
      }
    });
    exchange(w, from, to);
    if (!planted(Mutant::overtaken_move)) put_first(w, Source::local, actor);
    block.from_elders = mailbox.elders_end();
  }
  /// From now on it waits on B, which counts it as its own.
  RK_FN static void hand_over_timer(Worker& w, const MessageView& timer) {
    Route& route = timer.route();
    const bool comes_along = is_to(timer, w.move_.actor.index());
    if ((timer.header().flags & kFlagReplayed) != 0)
      return readdress(w, timer, w.move_.to);  // restored timers count for where they wait
    const auto to = comes_along ? static_cast<std::uint8_t>(w.move_.to) : route.to;
    --w.system_.workers[route.from].channels[route.to].sent;
    ++w.system_.workers[w.move_.to].channels[to].sent;
    route.from = static_cast<std::uint8_t>(w.move_.to);
    route.to = to;
  }
  /// What the actor sent to others of this worker goes before what it will send.
  RK_FN static void put_first(Worker& w, Source source, ActorId actor) {
    auto& mailbox = w.mailbox_;
    mailbox.extract(source, [&](const MessageView& message) {
      if (!is_of(message, actor)) return false;
      copy_message(mailbox.elder(mailbox.elders_end()).slot, message.slot, Worker::kSlotBytes);
      mailbox.add_elders(1);
      return true;
    });
  }
  /// Slots and entries of the actor and the free place change their workers.
  RK_FN static void exchange(Worker& w, SlotHeader& from, SlotHeader& to) {
    const std::uint32_t there = w.move_.to;
    ActorEntry& actor = w.system_.actors[from.id.index()];
    ActorEntry& place = w.system_.actors[to.id.index()];
    const SlotHeader old_from = from;
    const SlotHeader old_to = to;
    from = old_to;
    to = old_from;
    from.unit = old_from.unit;
    to.unit = old_to.unit;
    from.stashed = to.stashed = 0;
    from.stash_pass = to.stash_pass = 0;
    from.touched_epoch = to.touched_epoch = w.epoch_;
    forget_pages(w.self_.units[from.unit]);
    forget_pages(w.system_.workers[there].units[to.unit]);
    SlotHeader* const slot = actor.slot;
    actor.slot = place.slot;
    place.slot = slot;
    // relaxed: the step's end publishes it, and nobody sends before
    store_relaxed<Scope::device>(actor.worker, there);
    store_relaxed<Scope::device>(place.worker, w.index_);
    --w.live_;
    PlacePool& pool = w.self_.pools[from.type];
    pool.free[pool.count++] = from.id.index();
  }
  /// Another actor's pages are no baseline.
  RK_FN static void forget_pages(const SaveUnit& unit) {
    if (unit.hashes != nullptr) unit.hashes->epoch[0] = unit.hashes->epoch[1] = 0;
  }

  /// Everybody: messages on their way follow.
  RK_FN static void adopt(Worker& w) {
    MoveBlock& block = *w.system_.move;
    const std::uint32_t there = w.move_.to;
    const bool is_new = there == w.index_;
    if (is_new) take_in(w);
    const auto turn = [&](const MessageView& message) {
      if (is_to(message, w.move_.actor.index())) return there;
      return is_to(message, block.place) ? block.from : std::uint32_t{message.route().to};
    };
    auto& mailbox = w.mailbox_;
    w.outbox_.visit([&](const MessageView& message) {
      const std::uint32_t to = turn(message);
      if (to == message.route().to || planted(Mutant::mail_left_behind)) return;
      const bool is_control = (message.header().flags & kFlagControl) != 0;
      if (is_new && to == there && !is_control) {
        // to itself: what it sends later takes the FIFO
        const MessageView elder = mailbox.elder(mailbox.elders_end());
        copy_message(elder.slot, message.slot, Worker::kSlotBytes);
        readdress(w, elder, to);
        mailbox.add_elders(1);
        w.outbox_.withdraw(message);
      } else {
        w.outbox_.turn_to(message, to);
        readdress(w, message, to);
      }
    });
    (void)w.timers_.find_if([&](const MessageView& timer) {
      // a restored one looks for its receiver when it fires
      if ((timer.header().flags & kFlagReplayed) == 0 && turn(timer) != timer.route().to)
        readdress(w, timer, turn(timer));
      return false;
    });
  }
  /// B: the actor is here; its mail takes its places.
  RK_FN static void take_in(Worker& w) {
    MoveBlock& block = *w.system_.move;
    const ActorId actor = w.move_.actor;
    SlotHeader& slot = *w.system_.actors[actor.index()].slot;
    auto& mailbox = w.mailbox_;
    std::uint64_t at = block.elders + block.ordinary;
    for (std::uint64_t n = 0; n < block.stashed; ++n) mailbox.stash.push(mailbox.elder(at++), slot);
    for (std::uint64_t n = 0; n < block.controls; ++n) {
      const auto claim = w.outbox_.claim(w.index_, true);
      copy_message(claim.slot, mailbox.elder(at++).slot, Worker::kSlotBytes);
      w.outbox_.publish(claim);
    }
    for (std::uint64_t n = 0; n < block.timers; ++n) {
      copy_message(w.timers_.claim(), mailbox.elder(at++).slot, Worker::kSlotBytes);
      w.timers_.add();
    }
    mailbox.add_elders(block.ordinary);
    if (!planted(Mutant::overtaken_move)) put_first(w, Source::inbox, actor);

    ++w.live_;
    PlacePool& pool = w.self_.pools[slot.type];
    std::uint32_t n = 0;
    while (pool.free[n] != block.place) ++n;
    for (--pool.count; n < pool.count; ++n) pool.free[n] = pool.free[n + 1];
    give_up_place(w);
  }
  /// B: who died in the place that A gets may still have mail, which A now answers for.
  RK_FN static void give_up_place(Worker& w) {
    MoveBlock& block = *w.system_.move;
    std::byte* const list = w.system_.workers[block.from].replay;
    block.place_mail = 0;
    const auto take = [&](const MessageView& message) {
      if (!is_to(message, block.place)) return false;
      const MessageView copy{list + (block.from_elders + block.place_mail++) * Worker::kSlotBytes,
                             Worker::kSlotBytes};
      copy_message(copy.slot, message.slot, Worker::kSlotBytes);
      readdress(w, copy, block.from);
      return true;
    };
    for_each_stashed(w, [&](std::uint64_t at, const MessageView& message) {
      if (take(message)) w.mailbox_.stash.remove(at, nullptr);
    });
    constexpr Source kQueues[] = {Source::replay, Source::local, Source::inbox, Source::control};
    for (const Source source : kQueues) w.mailbox_.extract(source, take);
    if (block.place_mail != 0) w.move_.outcome = MoveOutcome::has_mail;
  }

  template <class Visit>
  RK_FN static void for_each_living(Worker& w, Visit visit) {
    for (std::uint64_t u = 0; u < w.self_.unit_count; ++u) {
      for_each_slot(w.self_.units[u], [&](const SlotHeader& slot, std::uint64_t) {
        if ((slot.flags & kSlotFree) == 0) visit(slot, w.system_.surveys[slot.id.index()]);
      });
    }
  }
  RK_FN static void survey(Worker& w) {
    w.move_.load = 0;
    for_each_living(w, [&](const SlotHeader& slot, SurveyEntry& entry) {
      // fewer than before: another actor in the same place
      entry.load = slot.handled < entry.handled ? slot.handled : slot.handled - entry.handled;
      entry.handled = slot.handled;
      w.move_.load += entry.load;
    });
  }
  /// Names the actor whose leaving brings this worker and the other nearest to each other: the one
  /// with about half of what this one has more. None if that would leave most of the gap.
  RK_FN static void nominate(Worker& w) {
    MoveDuty& duty = w.move_;
    duty.place = kNoActor.word;
    const std::uint64_t half = duty.gap / 2;
    std::uint64_t best = half / 2 + 1;  // how far from the half
    for_each_living(w, [&](const SlotHeader& slot, const SurveyEntry& entry) {
      const std::uint64_t off = entry.load > half ? entry.load - half : half - entry.load;
      if (off >= best) return;
      best = off;
      duty.place = slot.id.word;
    });
    if (duty.place != kNoActor.word) return;
    // all are small: the largest
    std::uint64_t largest = 0;
    for_each_living(w, [&](const SlotHeader& slot, const SurveyEntry& entry) {
      if (entry.load <= largest || entry.load > half) return;
      largest = entry.load;
      duty.place = slot.id.word;
    });
  }
};

}  // namespace rk
