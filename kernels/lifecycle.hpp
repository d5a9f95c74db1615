// Life and death of a worker's actors: spawn, kill, failure and restart, links, dead letters and
// the commands that ask for them. All of it is rare beside messages and runs on lane 0.
//
// Invariants:
//  1. A slot's save unit is saved before anything here changes it (CutShare::ensure_saved).
//  2. A failed actor is suspended with the state it restarts from, before its supervisor is told.
//  So a cut never holds a half-changed state.
//  3. Every Failed is answered: by its supervisor's command or, if there is none any more or it
//  cannot handle a Failed, by a kill.
//  4. What a death or failure sends was reserved when the message that caused it was taken
//  (Worker::kOwnSends).
#pragma once

#include <ringkernel/kernels/context.hpp>
#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/runtime/lifeline.hpp>
#include <ringkernel/runtime/page_hash.hpp>

namespace rk {

template <class Worker>
class Lifecycle {
 public:
  using Action = typename Worker::Action;
  using Program = typename Worker::Types;
  using Cut = typename Worker::Cut;

  /// A free place of the type, emptied and alive, but for its state; null if there is none.
  RK_FN static SlotHeader* take_place(Worker& w, std::uint32_t type) {
    PlacePool& pool = w.self_.pools[type];
    if (pool.count == 0) return nullptr;
    const std::uint32_t index = pool.free[--pool.count];
    ActorEntry& entry = w.system_.actors[index];
    SlotHeader& slot = *entry.slot;
    Cut::ensure_saved(w, slot);
    const std::uint32_t generation =
        slot.id.generation() + ((slot.flags & kSlotGrave) != 0 ? 1 : 0);
    slot.id = ActorId::make(index, generation);
    slot.flags = 0;
    // the dead one's pages are no baseline for the new one's
    if (PageHashes* hashes = w.self_.units[slot.unit].hashes)
      hashes->epoch[0] = hashes->epoch[1] = 0;
    // the place's counter goes on: what the dead one sent may still be on its way
    slot.stashed = 0;
    slot.stash_pass = 0;
    slot.handled = 0;
    slot.hlc = w.clock_.last.word;
    slot.touched_epoch = w.epoch_;
    if (slot.field_bytes != 0) {
      auto* words = reinterpret_cast<RawWord*>(slot_field(&slot));
      for (std::uint64_t i = 0; i < align_up(slot.field_bytes, kSlotAlignment) / 8; ++i)
        words[i].value = 0;
    }
    entry.generation = generation;
    ++w.live_;
    w.telemetry_.spawned(slot.type);
    return &slot;
  }
  /// The state is there: the actor begins.
  RK_FN static void begin(Worker&, SlotHeader& slot, const SpawnPolicy& policy) {
    if constexpr (Program::kAnyLifeline) {
      const TrailLayout layout = Program::trail(slot.type);
      if (layout.has_lifeline()) Trail(slot, layout).begin(policy);
    }
  }

  /// The actor is no more: its links and watchers hear of it, its place becomes a grave.
  RK_FN RK_COLD static void end(Worker& w, SlotHeader& slot, std::uint32_t code) {
    Cut::ensure_saved(w, slot);
    if constexpr (Program::kAnyLifeline) tell_links(w, slot, code);
    slot.flags = kSlotFree | kSlotGrave;
    slot.stashed = 0;
    slot.touched_epoch = w.epoch_;
    w.system_.actors[slot.id.index()].generation = kNoGeneration;
    --w.live_;
    w.telemetry_.killed(slot.type);
    if (is_used_up(slot.id, slot.flags)) return;
    PlacePool& pool = w.self_.pools[slot.type];
    pool.free[pool.count++] = slot.id.index();
  }

  RK_FN static bool add_link(SlotHeader& slot, const Link& link) {
    if constexpr (!Program::kAnyLifeline) return false;
    const TrailLayout layout = Program::trail(slot.type);
    return layout.has_lifeline() && Trail(slot, layout).add(link);
  }
  RK_FN static void remove_link(SlotHeader& slot, const Link& link) {
    if constexpr (!Program::kAnyLifeline) return;
    const TrailLayout layout = Program::trail(slot.type);
    if (layout.has_lifeline()) Trail(slot, layout).remove(link);
  }

  /// Whether the actor has a supervisor, so that it survives its failures.
  RK_FN static bool is_supervised(SlotHeader& slot) {
    if constexpr (!Program::kAnySupervised) return false;
    const TrailLayout layout = Program::trail(slot.type);
    return layout.supervised && Trail(slot, layout).is_supervised();
  }

  /// A handler did not simply succeed. True if its message is dealt with.
  RK_FN RK_COLD static bool conclude(Worker& w, Source source, std::uint64_t stash_position,
                                     MessageView message, SlotHeader& slot, HandlerOutcome outcome,
                                     bool known) {
    if (!known) {
      // notices are for those who want them, but for one that is waited for
      if (message.header().tag == Failed::tag) kill_unanswered(w, message);
      if (message.header().tag >= kFirstLibraryTag && is_notice(message.header().tag)) return false;
      bury(w, message, DeadReason::refused);
      w.count_received(message);
      Worker::Mail::leave(w, source, stash_position, &slot);
      return true;
    }
    if (outcome.fault == Fault::none) return false;
    if (outcome.fault == Fault::failed && is_supervised(slot)) {
      fail_message(w, source, stash_position, message, slot, outcome.code);
      return true;
    }
    w.raise(outcome.fault, outcome.code, message.header());
    return false;
  }

  /// Obeys a command, or buries a message that nobody can take.
  RK_FN RK_COLD static void obey(Worker& w, const Action& action) {
    const MessageView message = action.message;
    SingleGroup alone;
    if (action.crossed && !planted(Mutant::skip_message_record)) Cut::record(w, alone, message);
    const MessageHeader& header = message.header();
    const auto tag = static_cast<CommandTag>(header.tag);
    if ((header.flags & kFlagSystem) == 0) {
      bury_or_bounce(w, message, action.slot);
    } else if (tag == CommandTag::spawn) {
      spawn(w, message);
    } else if (action.slot == nullptr) {
      answer_for_the_dead(w, message);
    } else {
      obey(w, tag, message, *action.slot);
    }
    w.count_received(message);
    // an answer that waited until its ask was over: its receiver may live, and counts what waits
    Worker::Mail::leave(w, action.source, action.stash_position, action.slot);
  }

  /// `saved` copies follow their slots when these are saved. Actors that failed already lie there
  /// with what they restart from.
  RK_FN static void refresh_copies(SaveUnit& unit) {
    for_each_slot(unit, [](SlotHeader& slot, std::uint64_t) {
      if ((slot.flags & (kSlotFree | kSlotSuspended)) != 0) return;
      const TrailLayout layout = Program::trail(slot.type);
      if (!layout.supervised) return;
      const Trail trail(slot, layout);
      if (trail.lifeline().restart == Restart::saved) trail.keep_copy();
    });
  }

 private:
  RK_FN static constexpr bool is_notice(std::uint8_t tag) {
    return tag == Failed::tag || tag == Down::tag || tag == Spawned::tag ||
           tag == AskExpired::tag || tag == Restarted::tag;
  }
  RK_FN static Command& command_of(const MessageView& message) {
    return *reinterpret_cast<Command*>(message.payload());
  }

  template <class M>
  RK_FN static void notify(Worker& w, SlotHeader& from, ActorId to, std::uint8_t tag,
                           std::uint8_t flags, const M& payload, std::uint32_t correlation = 0) {
    w.send(from,
           Draft{.to = to,
                 .tag = tag,
                 .flags = static_cast<std::uint8_t>(kFlagControl | flags),
                 .correlation = correlation},
           reinterpret_cast<const std::byte*>(&payload), sizeof(M));
  }
  RK_FN static void tell_links(Worker& w, SlotHeader& slot, std::uint32_t code) {
    const TrailLayout layout = Program::trail(slot.type);
    if (!layout.has_lifeline()) return;
    const Trail trail(slot, layout);
    for (std::uint32_t i = 0; i < trail.max_links(); ++i) {
      const Link link = trail.links()[i];
      if (link.kind == LinkKind::none) continue;
      if (link.kind == LinkKind::watches) {
        notify(
            w, slot, link.peer, static_cast<std::uint8_t>(CommandTag::unlink), kFlagSystem,
            Command{.actor = slot.id, .value = static_cast<std::uint32_t>(LinkKind::watched_by)});
      } else {
        const LinkKind theirs = link.kind == LinkKind::link ? LinkKind::link : LinkKind::watches;
        notify(
            w, slot, link.peer, static_cast<std::uint8_t>(CommandTag::down), kFlagSystem,
            Command{.actor = slot.id, .code = code, .value = static_cast<std::uint32_t>(theirs)});
      }
    }
  }

  /// The failed message waits first in the stash, or is dead when it failed too often.
  RK_FN static void fail_message(Worker& w, Source source, std::uint64_t stash_position,
                                 const MessageView& message, SlotHeader& slot, std::uint32_t code) {
    const Trail trail(slot, Program::trail(slot.type));
    Route& route = message.route();
    if (route.tries < 255) ++route.tries;
    const std::uint8_t most = trail.lifeline().max_tries;
    if (most != 0 && route.tries >= most) {
      if (message.header().tag == Failed::tag) {
        kill_unanswered(w, message);
      } else {
        bury(w, message, DeadReason::poisoned);
      }
      w.count_received(message);
      Worker::Mail::leave(w, source, stash_position, &slot);
    } else if (source == Source::stash) {
      w.mailbox_.stash.start_over();
    } else {
      w.mailbox_.stash.push(message, slot);
      w.mailbox_.finish(source);
    }
    suspend(w, slot, code);
  }
  RK_FN static void suspend(Worker& w, SlotHeader& slot, std::uint32_t code) {
    const Trail trail(slot, Program::trail(slot.type));
    trail.restore_copy();
    trail.lifeline().code = code;
    slot.flags |= kSlotSuspended;
    slot.touched_epoch = w.epoch_;
    notify(w, slot, trail.lifeline().supervisor, Failed::tag, 0, Failed{slot.id, code});
  }

  RK_FN static void obey(Worker& w, CommandTag tag, const MessageView& message, SlotHeader& slot) {
    const Command command = command_of(message);
    switch (tag) {
      case CommandTag::kill: return end(w, slot, command.code);
      case CommandTag::restart:
      case CommandTag::resume:
      case CommandTag::suspend: return set_suspended(w, slot, tag);
      case CommandTag::link: {
        Cut::ensure_saved(w, slot);
        slot.touched_epoch = w.epoch_;
        // a full table is as good as a dead peer: the other side must not wait for news for ever
        if (!add_link(slot, Link{command.actor, static_cast<LinkKind>(command.value)}))
          answer_for_the_dead(w, message);
        return;
      }
      case CommandTag::unlink:
        Cut::ensure_saved(w, slot);
        slot.touched_epoch = w.epoch_;
        return remove_link(slot, Link{command.actor, static_cast<LinkKind>(command.value)});
      case CommandTag::down: return hear_of_death(w, message, slot);
      default: return bury(w, message, DeadReason::refused);
    }
  }
  RK_FN static void set_suspended(Worker& w, SlotHeader& slot, CommandTag tag) {
    Cut::ensure_saved(w, slot);
    slot.touched_epoch = w.epoch_;
    if (tag == CommandTag::suspend) {
      slot.flags |= kSlotSuspended;
      return;
    }
    slot.flags &= static_cast<std::uint16_t>(~kSlotSuspended);
    if constexpr (Program::kAnySupervised) {
      const TrailLayout layout = Program::trail(slot.type);
      if (tag != CommandTag::restart || !layout.supervised) return;
      const Trail trail(slot, layout);
      trail.restore_copy();
      ++trail.lifeline().restarts;
      bool known = false;
      (void)Program::budget(slot.type, Restarted::tag, known);
      if (known) notify(w, slot, slot.id, Restarted::tag, 0, Restarted{trail.lifeline().restarts});
    }
  }
  /// A peer of `slot` died. A link fails the actor, unless the peer came to a normal end; a watcher
  /// gets its notice, behind what waits for it already.
  RK_FN static void hear_of_death(Worker& w, const MessageView& message, SlotHeader& slot) {
    const Command command = command_of(message);
    const auto kind = static_cast<LinkKind>(command.value);
    Cut::ensure_saved(w, slot);
    slot.touched_epoch = w.epoch_;
    remove_link(slot, Link{command.actor, kind});
    if (kind == LinkKind::link) {
      if (command.code == kCodeStopped) return;
      if (is_supervised(slot)) {
        if ((slot.flags & kSlotSuspended) == 0) suspend(w, slot, command.code);
      } else {
        end(w, slot, command.code);
      }
      return;
    }
    bool known = false;
    (void)Program::budget(slot.type, Down::tag, known);
    if (known) bounce(w, message, slot.id, Down::tag, 0, Down{command.actor, command.code});
  }

  RK_FN static void spawn(Worker& w, const MessageView& message) {
    const Envelope envelope = message.envelope();
    const auto type = static_cast<std::uint32_t>(envelope.due);
    const ActorId parent = message.header().src;
    SlotHeader* slot = type < Program::kTypes ? take_place(w, type) : nullptr;
    if (slot == nullptr) {
      if (parent == kHostId) return bury(w, message, DeadReason::refused);
      return bounce(w, message, parent, Spawned::tag, 0, Spawned{kNoActor, envelope.correlation});
    }
    Program::make(type, slot_state(slot));
    begin(w, *slot, SpawnPolicy{});
    // the first message, in the name of the parent, before anybody can know the new id
    auto first = w.mailbox_.local.claim();
    copy_message(first, message.slot, Worker::kSlotBytes);
    const MessageView view{first, Worker::kSlotBytes};
    view.header().dst = slot->id;
    view.header().tag = static_cast<std::uint8_t>(envelope.due >> 32);
    view.header().flags = 0;
    view.header().epoch = static_cast<std::uint16_t>(w.epoch_);
    view.envelope() = Envelope{
        0, 0,
        Route{0, 0, static_cast<std::uint8_t>(w.index_), static_cast<std::uint8_t>(w.index_)}};
    w.count_sent(w.index_);
    w.mailbox_.append_local(parent.index());
    const Spawned born{slot->id, envelope.correlation};
    if (parent == kHostId) {
      w.send(*slot,
             Draft{.to = kHostId,
                   .tag = Spawned::tag,
                   .flags = kFlagTrailer,
                   .kind = MessageKind::reply,
                   .correlation = envelope.correlation},
             reinterpret_cast<const std::byte*>(&born), sizeof(born));
    } else {
      notify(w, *slot, parent, Spawned::tag, 0, born);
    }
  }

  /// Sends a message that cannot be obeyed to `to` as another one. It keeps its source and
  /// sequence, which only its old destination had seen.
  template <class M>
  RK_FN static void bounce(Worker& w, const MessageView& message, ActorId to, std::uint8_t tag,
                           std::uint8_t flags, const M& payload) {
    SlotHeader source{};
    source.id = message.header().src;
    source.source_sequence = message.header().source_sequence - 1;
    notify(w, source, to, tag, flags, payload);
  }
  RK_FN static void answer_for_the_dead(Worker& w, const MessageView& message) {
    const Command command = command_of(message);
    if (static_cast<CommandTag>(message.header().tag) != CommandTag::link) {
      // to kill, restart or unlink the dead is no news; a host that asks wants to know
      if (message.header().src == kHostId) bury(w, message, reason_of(w, message.header().dst));
      return;
    }
    const auto theirs = static_cast<LinkKind>(command.value);
    const LinkKind mine = theirs == LinkKind::watched_by ? LinkKind::watches : LinkKind::link;
    bounce(w, message, command.actor, static_cast<std::uint8_t>(CommandTag::down), kFlagSystem,
           Command{.actor = message.header().dst,
                   .code = kCodeNoActor,
                   .value = static_cast<std::uint32_t>(mine)});
  }

  RK_FN static DeadReason reason_of(const Worker& w, ActorId id) {
    if (id.index() >= w.system_.actor_count) return DeadReason::unknown;
    const SlotHeader* slot = w.system_.actors[id.index()].slot;
    if (slot == nullptr) return DeadReason::unknown;
    const bool lived =
        (slot->flags & kSlotFree) == 0
            ? id.generation() < slot->id.generation()
            : (slot->flags & kSlotGrave) != 0 && id.generation() <= slot->id.generation();
    return lived ? DeadReason::dead : DeadReason::unknown;
  }
  /// Nobody will answer for the child that failed.
  RK_FN static void kill_unanswered(Worker& w, const MessageView& message) {
    const auto& failed = *reinterpret_cast<const Failed*>(message.payload());
    bounce(w, message, failed.child, static_cast<std::uint8_t>(CommandTag::kill), kFlagSystem,
           Command{.code = failed.code});
  }
  RK_FN static void bury_or_bounce(Worker& w, const MessageView& message, SlotHeader* slot) {
    const MessageHeader& header = message.header();
    if (slot != nullptr) return bury(w, message, DeadReason::expired);
    if (header.tag == Failed::tag) return kill_unanswered(w, message);
    if (is_notice(header.tag)) return;
    bury(w, message, reason_of(w, header.dst));
  }
  /// A copy of the message goes to the host as a dead letter. The message itself is the caller's to
  /// count and to take away.
  RK_FN static void bury(Worker& w, const MessageView& message, DeadReason reason) {
    std::byte* place = w.outbox_.claim_host();
    copy_message(place, message.slot, Worker::kSlotBytes);
    const MessageView letter{place, Worker::kSlotBytes};
    MessageHeader& header = letter.header();
    if ((header.flags & kFlagBlock) != 0) {
      const Route route = letter.route();
      letter.envelope() = Envelope{0, 0, route};
    }
    header.flags = static_cast<std::uint8_t>((header.flags & (kFlagControl | kFlagSystem)) |
                                             kFlagDead | kFlagTrailer);
    header.epoch = static_cast<std::uint16_t>(w.epoch_);
    Route& route = letter.route();
    route.set_reason(reason);
    route.from = static_cast<std::uint8_t>(w.index_);
    route.to = kHostChannel;
    ++w.dead_;
    w.telemetry_.dead_letter(nullptr);
    w.count_sent(w.system_.worker_count);
    w.outbox_.publish_host();
  }
};

}  // namespace rk
