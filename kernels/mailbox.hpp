// The receiving half of a worker: control inbox, stash, replay list, local FIFO with its express
// places, inbox and the host's inbox, and which message comes next.
//
// Invariants:
//  1. Per (sender, receiver) pair and lane, messages are handled in the order in which they were
//  sent: such a pair always takes the same way, and the stash keeps the order per actor. A local
//  message goes before the FIFO (express) only if nothing of its sender waits there.
//  2. Control messages come first; the replay list (messages restored from a checkpoint, and those
//  that a move of an actor put before all others: the elders) is drained before FIFO, inbox and the
//  host's inbox, which take turns. After kExpressLimit express messages one of the FIFO goes, and
//  before it the inboxes have their turns.
//  3. A message stays where it lies until its handler has returned; finish() then frees its place.
//  4. Messages of pair cells count as the inbox's: each is handled where it would lie if it had
//  been put there (pair_cell.hpp).
#pragma once

#include <ringkernel/kernels/local_queue.hpp>
#include <ringkernel/kernels/stash.hpp>
#include <ringkernel/runtime/mutant.hpp>

namespace rk {

enum class Source : std::uint32_t {
  none,
  control,
  stash,
  replay,
  express,
  local,
  inbox,
  cell,
  host
};

/// Lane 0 only. `IsSingle`, for workers of one lane: the newest local message may be handled next
/// (express), while it is in the nearest cache, as Go's scheduler does with its `runnext` and Tokio
/// with its LIFO slot; and there may be pair cells.
template <std::uint32_t SlotBytes, bool IsSingle>
class Mailbox {
 public:
  using Ring = SpscConsumer<StridedSlots, Scope::device>;

  Mailbox() = default;
  RK_FN Mailbox(const SystemView& system, const WorkerView& self)
      : local(self.local, system.capacity.local_slots),
        stash(self.stash, system.capacity.stash_slots, SlotBytes),
        is_near_(self.slot_bytes <= kNearBytes),
        express_limit_(is_near_ ? kExpressLimit : 0),
        express_left_(express_limit_),
        express_(self.express, kExpressSlots),
        local_newest_(self.local_newest),
        inbox_(self.inbox, self.inbox_words),
        host_(self.host_inbox, self.host_inbox_words),
        control_(self.control, self.control_words),
        cells_(IsSingle ? self.cells : nullptr),
        cell_count_(cells_ == nullptr ? 0 : system.worker_count),
        replay_(self.replay),
        replay_count_(self.replay_count),
        replay_slots_(self.replay_slots) {}

  LocalQueue<SlotBytes> local;
  Stash stash;

  RK_FN RK_HOT MessageView control_front() const { return view(control_.front()); }
  /// The inbox's next message, or that of a cell in its place.
  RK_FN RK_HOT MessageView next_of_inbox(Source& source) {
    std::byte* const slot = inbox_.front();
    if constexpr (IsSingle) {
      // with messages in the inbox all the time, cells are looked at once in a turn
      if (cell_count_ != 0 && (slot == nullptr || turns_left_ == kTurns)) {
        const MessageView message = next_of_cells(source);
        if (message) return message;
      }
    }
    return source = Source::inbox, view(slot);
  }

  /// The handler of the newest message from a cell begins.
  RK_FN void take_in_hand() { cells_[handled_cell_].state = PairCellEnd::Box::in_hand; }

  /// Place of a message between actors of this worker, before push_local().
  struct LocalClaim {
    std::byte* slot;
    bool is_express;
  };
  /// Where the actor with this index writes its next message to one of this worker. Precondition:
  /// local.has_room(1). It counts as sent with push_local().
  RK_FN RK_HOT LocalClaim claim_local(std::uint32_t sender) const {
    if constexpr (IsSingle) {
      if (express_left_ != 0 && express_.has_room(1) && !waits_in_local(sender))
        return {express_.claim(), true};
    }
    return {local.claim(), false};
  }
  RK_FN RK_HOT void push_local(const LocalClaim& claim, std::uint32_t sender) {
    if constexpr (IsSingle) {
      if (claim.is_express) {
        express_.push();
        if (--express_left_ == 0) turns_left_ = 0;
        return;
      }
    }
    append_local(sender);
  }
  /// Makes the message at local.claim() the last of the FIFO.
  RK_FN void append_local(std::uint32_t sender) {
    local.push();
    if constexpr (IsSingle) newest_of(sender) = static_cast<std::uint32_t>(local.tail());
  }
  /// Messages between actors of this worker that wait, and replayed ones.
  [[nodiscard]] RK_FN std::uint64_t local_size() const {
    return express_.size() + local.size() + replays_left();
  }

  /// The express message, whoever's turn it is: for bursts, in which there is room for everything.
  /// Precondition: no replays_left().
  [[nodiscard]] RK_FN RK_HOT MessageView express_front() const {
    return IsSingle && !express_.empty() ? view(express_.front()) : MessageView{};
  }

  /// Whether a message of another worker or the host is there.
  [[nodiscard]] RK_FN bool has_arrival() const {
    if (inbox_.front() != nullptr || has_other_arrival()) return true;
    for (std::uint32_t n = 0; n < cell_count_; ++n) {
      if (cells_[n].has_message()) return true;
    }
    return cell_count_ != 0 && inbox_.marked_front() != nullptr;
  }
  /// The same for what next_of_inbox() does not give.
  [[nodiscard]] RK_FN bool has_other_arrival() const {
    return control_.front() != nullptr || host_.front() != nullptr;
  }
  /// The next message that arrived, without taking it.
  RK_FN RK_HOT MessageView arrival(Source& source) {
    if (replayed_ < replay_count_) {
      source = Source::replay;
      return view(replay_ + replayed_ * SlotBytes);
    }
    for (std::uint32_t look = 0; look <= kQueues; ++look) {
      if (turns_left_ != 0) {
        if (turn_ == Source::local) {
          if (IsSingle && !express_.empty())
            return source = Source::express, view(express_.front());
          if (!local.empty()) {
            if (express_left_ == 0) express_left_ = express_limit_;
            return source = Source::local, view(local.front());
          }
        } else if (turn_ == Source::inbox) {
          if (const MessageView message = next_of_inbox(source)) return message;
        } else if (std::byte* slot = host_.front()) {
          return source = Source::host, view(slot);
        }
      }
      take_turns();
    }
    turn_ = Source::inbox;  // what ends a wait comes from another worker, most of the time
    return {};
  }

  /// Queues whose messages take turns.
  static constexpr std::uint32_t kQueues = 3;
  /// The next arrival comes from the next queue, if there is one there.
  RK_FN void take_turns() {
    turn_ = turn_ == Source::local   ? Source::inbox
            : turn_ == Source::inbox ? Source::host
                                     : Source::local;
    turns_left_ = kTurns;
  }

  /// The message `ahead` places behind the front of the local FIFO or the inbox; none if there is
  /// none yet.
  RK_FN MessageView peek(Source source, std::uint32_t ahead) const {
    if (source == Source::inbox) return view(inbox_.peek(inbox_.position() + ahead));
    if (source == Source::host) return view(host_.peek(host_.position() + ahead));
    if (source == Source::express || source == Source::cell) return {};
    return ahead < local.size() ? view(local.at(local.head() + ahead)) : MessageView{};
  }

  /// Whether all actors of this worker fit into its core's near cache.
  [[nodiscard]] RK_FN bool has_near_actors() const { return is_near_; }

  /// Asks for the message `ahead` places behind the front of the inbox, whether it is there yet or
  /// not.
  RK_FN void prefetch_inbox(std::uint32_t ahead) const { inbox_.prefetch(ahead); }

  /// Gives the places of handled messages back to their senders; between bursts, so that none stays
  /// here while the worker does something else.
  RK_FN void return_credits() {
    if (owed_ == 0) return;
    inbox_.return_credits();
    owed_ = 0;
  }

  /// Frees the place of a message that was handled or set aside. Not for the stash.
  RK_FN RK_HOT void finish(Source source) {
    if (IsSingle && source == Source::express) return express_.pop();
    if (source == Source::replay) return void(++replayed_);
    if (source == Source::control) return control_.pop();
    turns_left_ -= turns_left_ != 0;
    if (source == Source::local) return local.pop();
    if (source == Source::host) return host_.pop();
    if (IsSingle && source == Source::cell) {
      cells_[handled_cell_].state = PairCellEnd::Box::empty;
      return;
    }
    inbox_.take();
    if (++owed_ == kCredits) return_credits();
  }

  /// Replayed messages that wait.
  [[nodiscard]] RK_FN std::uint64_t replays_left() const { return replay_count_ - replayed_; }

  /// A message that waits, to tell of it.
  [[nodiscard]] RK_FN MessageView waiting() const {
    if (replays_left() != 0) return elder(replayed_);
    if (IsSingle && !express_.empty()) return view(express_.front());
    if (!local.empty()) return view(local.front());
    std::byte* const slot = inbox_.front();
    return view(slot != nullptr ? slot : host_.front());
  }

  // --- moves of actors, while all workers stand still and no cut is open; then nobody has cells

  /// Visits what waits in a queue, in its order. Not for the stash.
  template <class Visit>
  RK_FN void visit(Source source, Visit visit) const {
    std::uint64_t end = 0;
    for (std::uint64_t at = ends(source, end); at != end; ++at) visit(place(source, at));
  }
  /// Takes out of a queue what `take` copied and returned true for. What is left moves up.
  template <class Take>
  RK_FN void extract(Source source, Take take) {
    std::uint64_t end = 0;
    const std::uint64_t begin = ends(source, end);
    for (std::uint64_t at = begin; at != end; ++at) {
      const MessageView message = place(source, at);
      if (take(message)) message.header().flags |= kFlagDelivered;
    }
    std::uint64_t to = end;
    for (std::uint64_t from = end; from != begin; --from) {
      const MessageView message = place(source, from - 1);
      if ((message.header().flags & kFlagDelivered) != 0) continue;
      if (--to != from - 1) copy_message(place(source, to).slot, message.slot, SlotBytes);
    }
    if constexpr (IsSingle) {
      // those that moved up wait for longer than was noted
      for (std::uint64_t at = to; source == Source::local && at != end; ++at)
        newest_of(place(source, at).header().src.index()) = static_cast<std::uint32_t>(at + 1);
    }
    const std::uint32_t turns = turns_left_;
    for (; to != begin; --to) finish(source);
    turns_left_ = turns;
  }
  /// Where the elder messages end, as a position for elder().
  [[nodiscard]] RK_FN std::uint64_t elders_end() const { return replay_count_; }
  [[nodiscard]] RK_FN std::uint64_t elder_room() const { return replay_slots_ - replay_count_; }
  RK_FN MessageView elder(std::uint64_t position) const {
    return view(replay_ + position * SlotBytes);
  }
  /// Messages that were written behind the end are elders now.
  RK_FN void add_elders(std::uint64_t count) { replay_count_ += count; }
  /// Makes the room of those that were handled free.
  RK_FN void close_up_elders() {
    std::uint64_t to = 0;
    for (std::uint64_t from = replayed_; from != replay_count_; ++from, ++to) {
      if (to != from) copy_message(elder(to).slot, elder(from).slot, SlotBytes);
    }
    replayed_ = 0;
    replay_count_ = to;
  }

  // --- the cut's sweep

  RK_FN void begin_sweep() {
    cursor_[0] = replayed_;
    cursor_[1] = stash.head();
    cursor_[2] = local.head();
    cursor_[3] = control_.position();
    cursor_[4] = inbox_.position();
    cursor_[5] = express_.head();
    cursor_[6] = host_.position();
  }
  /// A waiting message of an older colour, or none among the next `kSweepSteps`. Once recorded and
  /// recoloured the same call passes over it. Messages that arrive later are found when they do.
  RK_FN MessageView next_old(std::uint16_t colour) {
    std::uint32_t steps = 0;
    MessageView found{};
    const auto is_old = [&](const MessageView& message) {
      return (message.header().flags & kFlagDelivered) == 0 &&
             epoch_newer(colour, message.header().epoch);
    };
    const auto sweep = [&](std::uint64_t& cursor, std::uint64_t from, std::uint64_t to, auto at) {
      if (cursor < from) cursor = from;
      for (; cursor < to && steps < kSweepSteps; ++cursor, ++steps) {
        const MessageView message = at(cursor);
        if (!message) return false;
        if (!is_old(message)) continue;
        found = message;
        return true;
      }
      return false;
    };
    for (std::uint32_t n = 0; n < cell_count_; ++n) {
      PairCellEnd& cell = cells_[n];
      if (!cell.has_message()) continue;
      cell.read(SlotBytes);
      if (is_old(view(cell.box))) return view(cell.box);
    }
    constexpr std::uint64_t kOpenEnd = ~std::uint64_t{0};
    (void)(sweep(cursor_[0], replayed_, replay_count_,
                 [&](std::uint64_t at) { return view(replay_ + at * SlotBytes); }) ||
           sweep(cursor_[1], stash.head(), stash.tail(),
                 [&](std::uint64_t at) { return stash.at(at); }) ||
           sweep(cursor_[2], local.head(), local.tail(),
                 [&](std::uint64_t at) { return view(local.at(at)); }) ||
           sweep(cursor_[3], control_.position(), kOpenEnd,
                 [&](std::uint64_t at) { return view(control_.peek(at)); }) ||
           sweep(cursor_[4], inbox_.position(), kOpenEnd,
                 [&](std::uint64_t at) { return view(inbox_.peek(at)); }) ||
           sweep(cursor_[5], express_.head(), express_.tail(),
                 [&](std::uint64_t at) { return view(express_.at(at)); }) ||
           sweep(cursor_[6], host_.position(), kOpenEnd,
                 [&](std::uint64_t at) { return view(host_.peek(at)); }));
    return found;
  }

 private:
  /// What comes next of the cells and of an inbox whose front is marked; none if that front is not.
  RK_FN RK_APART MessageView next_of_cells(Source& source) {
    // first: whoever marked it had written into the cell before
    std::byte* const marked = inbox_.marked_front();
    for (std::uint32_t n = 0; n < cell_count_; ++n) {
      PairCellEnd& cell = cells_[n];
      if (planted(Mutant::cell_overtaken) && marked != nullptr) break;
      if (!cell.has_message()) continue;
      cell.read(SlotBytes);
      if (!cell.is_due(inbox_.position()) && !planted(Mutant::cell_overtakes)) continue;
      handled_cell_ = n;
      return source = Source::cell, view(cell.box);
    }
    if (marked != nullptr) inbox_.unmark_front();
    return source = Source::inbox, view(marked);
  }

  static constexpr std::uint32_t kSweepSteps = 64;
  static constexpr std::uint32_t kTurns = 16;
  /// Places of the inbox are given back so many at a time: senders that wait for one read the word
  /// again and again.
  static constexpr std::uint32_t kCredits = 16;
  static constexpr std::uint32_t kExpressLimit = 512;
  /// Actors that fit into a core's near cache. Those of a larger worker are far away when their
  /// message has just been sent; in the FIFO they are asked for ahead (Intake::look_ahead).
  static constexpr std::uint64_t kNearBytes = 1 << 20;

  /// Whether a message of this actor may wait in the FIFO: actors share the words of local_newest.
  [[nodiscard]] RK_FN bool waits_in_local(std::uint32_t sender) const {
    const std::uint32_t ahead = newest_of(sender) - static_cast<std::uint32_t>(local.head());
    return static_cast<std::int32_t>(ahead) > 0;
  }
  [[nodiscard]] RK_FN std::uint32_t& newest_of(std::uint32_t sender) const {
    return local_newest_[sender % kNewestWords];
  }

  RK_FN static MessageView view(std::byte* slot) { return {slot, SlotBytes}; }
  RK_FN MessageView place(Source source, std::uint64_t at) const {
    switch (source) {
      case Source::express: return view(express_.at(at));
      case Source::local: return view(local.at(at));
      case Source::inbox: return view(inbox_.peek(at));
      case Source::host: return view(host_.peek(at));
      case Source::control: return view(control_.peek(at));
      default: return elder(at);
    }
  }
  /// The position of a queue's front; `end`: behind its last message.
  RK_FN std::uint64_t ends(Source source, std::uint64_t& end) const {
    if (source == Source::express) return end = express_.tail(), express_.head();
    if (source == Source::local) return end = local.tail(), local.head();
    if (source == Source::replay) return end = replay_count_, replayed_;
    const Ring& ring = source == Source::inbox ? inbox_ : source == Source::host ? host_ : control_;
    end = ring.position();
    while (ring.peek(end) != nullptr) ++end;
    return ring.position();
  }

  bool is_near_ = false;
  Source turn_ = Source::local;
  std::uint32_t express_limit_ = 0;
  std::uint32_t express_left_ = 0;
  LocalQueue<SlotBytes, kExpressSlots> express_;  ///< one that is being handled and the next one
  std::uint32_t* local_newest_ = nullptr;  ///< by sender: where its newest message in `local` ends
  Ring inbox_;
  Ring host_;
  Ring control_;
  PairCellEnd* cells_ = nullptr;  ///< by worker
  std::uint32_t cell_count_ = 0;
  std::uint32_t handled_cell_ = 0;  ///< of the newest message from a cell
  std::byte* replay_ = nullptr;
  std::uint64_t replay_count_ = 0;
  std::uint64_t replay_slots_ = 0;
  std::uint64_t replayed_ = 0;
  std::uint64_t cursor_[7] = {};
  std::uint32_t owed_ = 0;  ///< credits of the inbox
  std::uint32_t turns_left_ = kTurns;
};

}  // namespace rk
