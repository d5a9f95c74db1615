// How the mail of an actor follows it to its new worker; moves.hpp says when, and why order and
// counts stay.
#pragma once

#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/runtime/mutant.hpp>
#include <ringkernel/runtime/page_hash.hpp>

namespace rk {

/// Lane 0 only, while all workers stand still. A is the old worker, B the new one.
template <class Worker>
class MoveMail {
 public:
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

  /// Visits all that waits in the worker's queues, the stash included.
  template <class Visit>
  RK_FN static void for_each_place(Worker& w, Visit visit) {
    for_each_stashed(w, [&](std::uint64_t, const MessageView& message) { visit(message); });
    for_each_ordinary([&](Source source) { w.mailbox_.visit(source, visit); });
    w.mailbox_.visit(Source::control, visit);
  }
  template <class Visit>
  RK_FN static void for_each_stashed(Worker& w, Visit visit) {
    const Stash& stash = w.mailbox_.stash;
    for (std::uint64_t at = stash.head(), end = stash.tail(); at < end; ++at) {
      if (at >= stash.head() && !stash.is_gone(at)) visit(at, stash.at(at));
    }
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
      for_each_ordinary([&](Source source) { mailbox.extract(source, take); });
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
    if (!planted(Mutant::overtaken_move)) {
      put_first(w, Source::express, actor);
      put_first(w, Source::local, actor);
    }
    block.from_elders = mailbox.elders_end();
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
    for_each_ordinary([&](Source source) { w.mailbox_.extract(source, take); });
    w.mailbox_.extract(Source::control, take);
  }

 private:
  /// Queues of ordinary messages, in the order in which they are emptied.
  template <class Visit>
  RK_FN static void for_each_ordinary(Visit visit) {
    constexpr Source kQueues[] = {Source::replay, Source::express, Source::local, Source::inbox,
                                  Source::host};
    for (const Source source : kQueues) visit(source);
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
    std::uint8_t* const owners = w.system_.owners;
    store_relaxed<Scope::device>(owners[from.id.index()], static_cast<std::uint8_t>(w.index_));
    store_relaxed<Scope::device>(owners[to.id.index()], static_cast<std::uint8_t>(there));
    --w.live_;
    PlacePool& pool = w.self_.pools[from.type];
    pool.free[pool.count++] = from.id.index();
  }
  /// Another actor's pages are no baseline.
  RK_FN static void forget_pages(const SaveUnit& unit) {
    if (unit.hashes != nullptr) unit.hashes->epoch[0] = unit.hashes->epoch[1] = 0;
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
    // not yet: its senders are about to correct their counters
    if (block.place_mail != 0) w.move_.outcome = MoveOutcome::has_mail;
  }
};

}  // namespace rk
