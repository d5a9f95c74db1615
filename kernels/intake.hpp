// Which message a worker takes next, and what it waits for where none can go.
//
// Control messages come first, then the stash, then what arrived. A message goes when there is room
// for everything its handler declares; if not, it is set aside and others pass it. Invariants:
// worker.hpp, 4 and 5.
#pragma once

#include <ringkernel/kernels/batch.hpp>
#include <ringkernel/kernels/cut_share.hpp>
#include <ringkernel/kernels/lifecycle.hpp>
#include <ringkernel/kernels/mailbox.hpp>
#include <ringkernel/kernels/timer_duty.hpp>

namespace rk {

/// Lane 0 only.
template <class Worker>
class Intake {
 public:
  using Action = typename Worker::Action;
  using Program = typename Worker::Types;
  using Cut = CutShare<Worker>;
  static constexpr std::uint32_t kSlotBytes = Worker::kSlotBytes;

  /// Picks the next message whose handler has room, setting others aside. `stash_looks`: messages
  /// of the stash to look at before what arrived.
  RK_FN RK_HOT static bool next_message(Worker& w, Action& action, std::uint32_t stash_looks) {
    // what a look at a long stash found short stays known until the next look
    if (w.mailbox_.stash.is_at_start()) w.shortage_ = Shortage::none;
    if (const MessageView message = w.mailbox_.control_front()) {
      if (judge(w, action, Source::control, message, w.find_own(message.header().dst))) return true;
    }
    if (!w.mailbox_.stash.empty() && next_stashed(w, action, stash_looks)) return true;
    std::uint32_t blocked_queues = 0;
    for (std::uint32_t n = 0; n < kLooks; ++n) {
      Source source = Source::none;
      const MessageView message = w.mailbox_.arrival(source);
      if (!message) return false;
      look_ahead(w, source);
      SlotHeader* slot = w.find_own(message.header().dst);
      if (slot != nullptr && !is_special(message)) {
        if (slot->stashed == 0 && can_go(w, *slot, message, source))
          return prepare(w, action, source, message, *slot), true;
        w.moved_ = set_aside(w, source, message, *slot);
      } else if (judge(w, action, source, message, slot)) {
        return true;
      }
      if (w.moved_) continue;
      // what is first in one queue cannot go: what is first in another perhaps can
      if (++blocked_queues == w.mailbox_.kQueues) return false;
      w.mailbox_.take_turns();
    }
    return false;
  }

  /// Whether a burst that handled a message from `source` may go on with plain ones: then nothing
  /// comes before them but control messages. What lies in the stash had its look.
  RK_FN RK_HOT static bool may_go_on(Worker& w, Source source) {
    return !w.open() && w.run_state_ == RunState::running && w.fault_ == Fault::none &&
           source != Source::stash && w.mailbox_.replays_left() == 0;
  }

  /// The next message, if it needs nothing but its handler; else none, and decide_next() takes it.
  /// `is_roomy`: whatever handlers come, there is room. Precondition: may_go_on(), and no message
  /// is due() to be measured.
  RK_FN RK_HOT static std::byte* next_plain(Worker& w, Source& source, SlotHeader*& slot,
                                            bool is_roomy) {
    if (w.mailbox_.control_front()) return nullptr;
    MessageView message = w.mailbox_.express_front();
    if (message) {
      source = Source::express;
    } else {
      message = w.mailbox_.arrival(source);
      if (!message) return nullptr;
      look_ahead(w, source);
    }
    return take_plain(w, source, message, slot, is_roomy);
  }

  /// The same for what comes within a short while, where nothing at all waits now. `must_wait`:
  /// what is there at once is left to decide_next().
  RK_FN RK_HOT static std::byte* await_plain(Worker& w, Source& source, SlotHeader*& slot,
                                             bool is_roomy, bool must_wait) {
    if (w.mailbox_.local_size() != 0 || !w.mailbox_.stash.empty() || !w.timers_.empty() ||
        w.outbox_.size() != 0)
      return nullptr;
    auto& mailbox = w.mailbox_;
    mailbox.return_credits();
    if (must_wait && mailbox.has_arrival()) return nullptr;
    MessageView message{};
    const auto is_there = [&] {
      message = mailbox.next_of_inbox(source);
      return message || mailbox.has_other_arrival();
    };
    const std::uint32_t pauses = w.outbox_.take_asked() ? Backoff::kAnswerPauses : 1;
    if (!Backoff::look(is_there, pauses) || !message || mailbox.control_front()) return nullptr;
    return take_plain(w, source, message, slot, is_roomy);
  }

  /// Room for any `handlers` handlers of this program, so that nobody needs to look their messages
  /// up.
  RK_FN RK_HOT static bool has_room_for(Worker& w, std::uint32_t handlers) {
    constexpr Budget most = Program::kMost;
    constexpr std::uint32_t sends = most.sends + Worker::kOwnSends;
    return w.outbox_.has_room(handlers * sends) && w.mailbox_.local.has_room(handlers * sends) &&
           w.outbox_.has_host_room(handlers * (most.host_sends + 1)) &&
           (most.timers == 0 || w.timers_.has_room(handlers * most.timers)) &&
           (most.blocks == 0 || w.slab_.has_free(handlers * most.blocks));
  }

  /// Places of the stash kept for others. Mail leaves them to the messages that handlers fail on,
  /// and both to the control lane: else mail for those who failed would keep a supervisor from
  /// answering.
  [[nodiscard]] RK_FN static std::uint64_t stash_reserve(Worker& w, Source source) {
    if (!Program::kAnySupervised || source == Source::control) return 0;
    const std::uint64_t slots = w.mailbox_.stash.slots();
    return slots < 4 ? 0 : (slots + 7) / 8;
  }

  /// Commands, timers, answers: what not just any handler may take.
  RK_FN RK_HOT static bool is_special(const MessageView& message) {
    return (message.header().flags & kFlagSystem) != 0 ||
           message.route().message_kind() > MessageKind::ask;
  }

  /// Frees the place of a message that is dealt with, or moved.
  RK_FN static void leave(Worker& w, Source source, std::uint64_t stash_position,
                          SlotHeader* slot) {
    w.moved_ = true;
    if (source == Source::stash) {
      w.mailbox_.stash.remove(stash_position, slot);
    } else {
      w.mailbox_.finish(source);
    }
  }

 private:
  RK_FN RK_HOT static std::byte* take_plain(Worker& w, Source source, MessageView message,
                                            SlotHeader*& slot, bool is_roomy) {
    slot = w.find_own(message.header().dst);
    constexpr std::uint32_t decisive =
        MessageHeader::make_marks(0xFFFFu, 0, kFlagSystem);  // of the marks: colour and command
    if (slot == nullptr || slot->stashed != 0 || (slot->flags & kSlotSuspended) != 0 ||
        (message.header().marks() & decisive) != MessageHeader::make_marks(w.epoch_, 0, 0) ||
        message.route().message_kind() > MessageKind::ask ||
        !(is_roomy || can_go(w, *slot, message, source)))
      return nullptr;
    Program::Probe::popped(false);
    w.clock_.merge(hlc::Timestamp{message.header().hlc}, w.wall_);
    Program::Probe::entered();
    w.telemetry_.note(message.header(), slot->type, w.clock_.last);
    return message.slot;
  }

  RK_FN RK_HOT static bool has_room(Worker& w, const SlotHeader& slot, const MessageView& message) {
    return has_room_for(w, 1) || has_room_for_frugal(w, slot, message) ||
           has_exact_room(w, slot, message);
  }

  /// The quick answer while queues are full: what does not send can go all the same.
  RK_FN static bool has_room_for_frugal(Worker& w, const SlotHeader& slot,
                                        const MessageView& message) {
    return Program::is_frugal(slot.type, message.header().tag) && own_sends(slot) == 0 &&
           w.outbox_.has_host_room(1);
  }

  RK_FN RK_COLD static bool has_exact_room(Worker& w, const SlotHeader& slot,
                                           const MessageView& message) {
    bool known = false;
    const Budget budget = Program::budget(slot.type, message.header().tag, known);
    const std::uint32_t sends = budget.sends + own_sends(slot);
    return enough(w, w.outbox_.has_room(sends), Shortage::outbox) &&
           enough(w, w.mailbox_.local.has_room(sends), Shortage::local) &&
           enough(w, w.outbox_.has_host_room(budget.host_sends + 1), Shortage::k2h) &&
           enough(w, w.timers_.has_room(budget.timers), Shortage::timers) &&
           enough(w, budget.blocks == 0 || w.slab_.has_free(budget.blocks), Shortage::slab);
  }

  RK_FN static bool enough(Worker& w, bool has, Shortage what) {
    if (!has) w.shortage_ = w.shortage_ | what;
    return has;
  }

  /// Messages that the worker itself may send for the actor.
  RK_FN static std::uint32_t own_sends(const SlotHeader& slot) {
    if constexpr (!Program::kAnyLifeline) return 0;
    return Program::trail(slot.type).has_lifeline() ? Worker::kOwnSends : 0;
  }

  /// Whether the actor can take the message now.
  RK_FN RK_HOT static bool can_go(Worker& w, SlotHeader& slot, const MessageView& message,
                                  Source source) {
    if ((slot.flags & kSlotSuspended) != 0) return enough(w, false, Shortage::suspended);
    // a supervised actor's message is set aside if its handler fails, unless it lies there already
    if constexpr (Program::kAnySupervised) {
      if (source != Source::stash && Lifecycle<Worker>::is_supervised(slot) &&
          !enough(w, w.mailbox_.stash.room() > stash_reserve(w, source), Shortage::stash))
        return false;
    }
    return has_room(w, slot, message);
  }

  /// Brings what comes soon nearer. A message of another worker lies in that worker's cache, and
  /// with many actors finding a receiver is two cache misses: its entry is asked for first, its
  /// slot when the entry is there.
  RK_FN RK_HOT static void look_ahead(Worker& w, Source source) {
#if !defined(__CUDA_ARCH__)
    if (source == Source::inbox) w.mailbox_.prefetch_inbox(kAhead);
    if (w.mailbox_.has_near_actors()) return;
    const ActorEntry* const actors = w.system_.actors;
    // an index that no place has asks for a wrong line, no more
    if (const MessageView far = w.mailbox_.peek(source, kAhead))
      __builtin_prefetch(actors + far.header().dst.index());
    const MessageView message = w.mailbox_.peek(source, kAhead / 2);
    if (!message) return;
    const std::uint32_t index = message.header().dst.index();
    if (index >= w.system_.actor_count) return;
    const SlotHeader* slot = actors[index].slot;
    __builtin_prefetch(slot, 1);
    __builtin_prefetch(reinterpret_cast<const std::byte*>(slot) + 64, 1);
#endif
  }

  RK_FN RK_COLD static bool next_stashed(Worker& w, Action& action, std::uint32_t looks) {
    std::uint64_t position = 0;
    for (std::uint32_t n = 0; n < looks && w.mailbox_.stash.next(position); ++n) {
      const MessageView message = w.mailbox_.stash.at(position);
      SlotHeader* slot = w.find_own(message.header().dst);
      action.stash_position = position;
      if (slot == nullptr || is_special(message)) {
        if (judge(w, action, Source::stash, message, slot)) return true;
        if (!w.moved_ && slot != nullptr) w.mailbox_.stash.pass_over(*slot);
        continue;
      }
      if (w.mailbox_.stash.is_passed_over(*slot)) continue;
      if (can_go(w, *slot, message, Source::stash))
        return prepare(w, action, Source::stash, message, *slot), true;
      w.mailbox_.stash.pass_over(*slot);
    }
    return false;
  }

  RK_FN RK_COLD static bool set_aside(Worker& w, Source source, const MessageView& message,
                                      SlotHeader& slot) {
    if (!enough(w, w.mailbox_.stash.room() > 2 * stash_reserve(w, source), Shortage::stash))
      return false;
    w.mailbox_.stash.push(message, slot);
    w.mailbox_.finish(source);
    return true;
  }

  /// A message that is special, or whose receiver is no live actor of this worker. True if `action`
  /// deals with it; if not, `moved_` tells whether it went elsewhere or waits where it is.
  RK_FN RK_COLD static bool judge(Worker& w, Action& action, Source source,
                                  const MessageView& message, SlotHeader* slot) {
    w.moved_ = false;
    if (!enough(w, w.outbox_.has_host_room(1), Shortage::k2h)) return false;
    const MessageHeader& header = message.header();
    if ((header.flags & kFlagSystem) != 0) {
      if (!enough(w, w.outbox_.has_room(Worker::kOwnSends), Shortage::outbox) ||
          !enough(w, w.mailbox_.local.has_room(Worker::kOwnSends), Shortage::local))
        return false;
      return prepare_command(w, action, source, message, slot), true;
    }
    const MessageKind kind = message.route().message_kind();
    if (kind >= MessageKind::timer_us) {  // replayed: back to the store
      if (!enough(w, w.timers_.has_room(1), Shortage::timers)) return false;
      copy_message(w.timers_.claim(), message.slot, kSlotBytes);
      w.timers_.add();
      // one in steps was restored to where its setter lives, whose messages it counts
      if (kind == MessageKind::timer_steps && w.worker_of(header.src) == w.index_) {
        if (SlotHeader* setter = w.find_own(header.src)) setter->flags |= kSlotStepTimers;
      }
      leave(w, source, action.stash_position, slot);
      return false;
    }
    if (slot == nullptr) return prepare_command(w, action, source, message, nullptr), true;
    if (kind == MessageKind::reply) {
      const MessageView deadline = w.timers_.find_ask(header.dst, message.envelope().correlation);
      if (!deadline) return prepare_command(w, action, source, message, slot), true;
      if (slot->stashed == 0 || source == Source::stash) {
        if (source == Source::stash && w.mailbox_.stash.is_passed_over(*slot)) return false;
        if (can_go(w, *slot, message, source)) {
          // first: before a cut that the answer belongs behind, its ask is not over
          if (!planted(Mutant::answered_before_cut)) see_colour(w, message);
          TimerDuty<Worker>::drop(w, deadline);
          return prepare(w, action, source, message, *slot), true;
        }
      }
    } else if (source == Source::control && slot->stashed == 0 &&
               can_go(w, *slot, message, source)) {
      return prepare(w, action, source, message, *slot), true;
    }
    if (source == Source::stash) {
      w.mailbox_.stash.pass_over(*slot);
      return false;
    }
    w.moved_ = set_aside(w, source, message, *slot);
    return false;
  }

  RK_FN RK_HOT static void see_colour(Worker& w, const MessageView& message) {
    const MessageHeader& header = message.header();
    if (header.epoch == static_cast<std::uint16_t>(w.epoch_)) return;
    if (epoch_newer(header.epoch, static_cast<std::uint16_t>(w.epoch_)))
      Cut::take(w, widen_epoch(header.epoch, w.epoch_));
  }

  RK_FN RK_HOT static void prepare(Worker& w, Action& action, Source source,
                                   const MessageView& message, SlotHeader& slot) {
    see_colour(w, message);
    Program::Probe::popped(w.open());
    action.kind = Action::Kind::handle;
    action.source = source;
    action.message = message;
    action.slot = &slot;
    action.unit = nullptr;
    action.batch = 1;
    action.crossed = false;
    if (w.open()) {
      action.crossed = epoch_newer(static_cast<std::uint16_t>(w.epoch_), message.header().epoch);
      action.unit = Cut::unit_to_save(w, slot);
    }
    if (w.telemetry_.due()) w.refresh_wall_clock();
    w.clock_.merge(hlc::Timestamp{message.header().hlc}, w.wall_);
    if constexpr (!Worker::Lanes::kIsSingle) {
      if (!w.open()) Batch<Worker>::extend(w, action);
      w.handler_us_ = w.now_us();
    }
  }

  RK_FN RK_COLD static void prepare_command(Worker& w, Action& action, Source source,
                                            const MessageView& message, SlotHeader* slot) {
    see_colour(w, message);
    action.kind = Action::Kind::command;
    action.source = source;
    action.message = message;
    action.slot = slot;
    action.crossed =
        w.open() && epoch_newer(static_cast<std::uint16_t>(w.epoch_), message.header().epoch);
    w.clock_.merge(hlc::Timestamp{message.header().hlc}, w.wall_);
  }

  static constexpr std::uint32_t kAhead = 8;  ///< messages
  static constexpr std::uint32_t kLooks = 16;
};

}  // namespace rk
