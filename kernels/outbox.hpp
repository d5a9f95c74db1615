// The sending half of a worker: places for messages to other workers and to the host.
//
// Invariants:
//  1. A message counts as sent when it is stamped. From then on it is in exactly one place: an
//  outbox entry, an inbox slot, a pair cell, the local FIFO, the stash, the replay list or the
//  timer store of a worker, or a K2H slot.
//  2. Messages to one inbox leave in the order in which they were stamped. A full inbox holds back
//  only its own messages.
//  3. A handler starts only when what it may send fits: claim() never fails.
#pragma once

#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/mutant.hpp>
#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only.
template <std::uint32_t SlotBytes>
class Outbox {
 public:
  Outbox() = default;
  RK_FN Outbox(const SystemView& system, const WorkerView& self)
      : cells_(self.cells),
        peers_(self.peers),
        base_(self.outbox),
        mask_(system.capacity.outbox_slots - 1),
        workers_(system.worker_count),
        k2h_(self.k2h, self.k2h_words) {
    for (std::uint32_t peer = 0; peer < workers_; ++peer) {
      const WorkerView& to = system.workers[peer];
      peers_[peer] = InboxProducer(to.inbox, to.inbox_words, system.inbox_producers());
      peers_[workers_ + peer] = InboxProducer(to.control, to.control_words);
    }
  }

  /// Messages that wait.
  [[nodiscard]] RK_FN std::uint32_t size() const { return size_; }
  [[nodiscard]] RK_FN bool has_room(std::uint32_t sends) const {
    return tail_ - head_ + sends <= mask_ + 1;
  }
  RK_FN bool has_host_room(std::uint32_t sends) { return sends == 0 || k2h_.has_room(sends); }

  /// Whether the worker's inbox would take a message now; a hint: others send, too.
  RK_FN bool inbox_has_room(std::uint32_t worker) { return peers_[worker].has_room(); }

  /// Where a message is written before publish().
  struct Claim {
    std::byte* slot;
    InboxProducer* inbox;    ///< null: a cell or an outbox entry
    std::uint64_t position;  ///< ticket; else the inbox it is for, with kInCell for a cell
  };
  /// Place of the next message to another worker. Precondition: has_room(1).
  RK_FN RK_HOT Claim claim(std::uint32_t to_worker, bool is_control) {
    // where nothing waits, nothing can be overtaken
    const std::uint32_t to = inbox_index(to_worker, is_control);
    if (waiting_[to] == 0) {
      InboxProducer& peer = peers_[to];
      std::uint64_t position = 0;
      if (std::byte* slot = peer.try_claim(position, peer.capacity()))
        return {slot, &peer, position};
      ++full_inbox_total_;
    } else if (waiting_[to] == kAfterCell) {
      return claim_after_cell(to);
    }
    return {entry(tail_), nullptr, to};
  }
  /// The same for an ordinary message of a worker that has nothing else to do.
  RK_FN RK_APART Claim claim_calmly(std::uint32_t to_worker) {
    const bool is_free = cells_ != nullptr && cells_[to_worker].may_write() &&
                         (waiting_[inbox_index(to_worker, false)] & ~kAfterCell) == 0;
    if (!is_free) return claim(to_worker, false);
    return {cells_[to_worker].line, nullptr, kInCell | to_worker};
  }
  RK_FN RK_HOT void publish(const Claim& claim) {
    if (claim.inbox != nullptr) {
      claim.inbox->publish(claim.slot, claim.position);
    } else {
      publish_elsewhere(claim.position);
    }
  }
  /// Whether something was published in a cell since the last call.
  [[nodiscard]] RK_FN bool take_asked() {
    const bool asked = asked_;
    asked_ = false;
    return asked;
  }

  /// Place of the next message to the host. Precondition: has_host_room(1).
  RK_FN std::byte* claim_host() {
    k2h_.has_room(1);
    return k2h_.claim();
  }
  RK_FN void publish_host() { k2h_.publish(); }

  /// Moves what fits into the inboxes, in order per inbox.
  RK_FN void flush() {
    if (head_ == tail_) return;
    std::uint64_t blocked[(2 * kMaxWorkers + 63) / 64] = {};
    std::uint32_t blocked_count = 0;
    waits_for_ = kWaitsForNobody;
    for (std::uint64_t position = head_; position != tail_; ++position) {
      const MessageView message = at(position);
      MessageHeader& header = message.header();
      if ((header.flags & kFlagDelivered) == 0) {
        const bool is_control = (header.flags & kFlagControl) != 0;
        const std::uint32_t to = inbox_index(message.route().to, is_control);
        std::uint64_t& word = blocked[to / 64];
        const std::uint64_t bit = std::uint64_t{1} << (to % 64);
        if ((word & bit) == 0) {
          InboxProducer& peer = peers_[to];
          std::uint64_t ticket = 0;
          if (std::byte* slot = peer.try_claim(ticket, peer.capacity())) {
            copy_message(slot, message.slot, SlotBytes);
            peer.publish(slot, ticket | take_mark(to));
            header.flags |= kFlagDelivered;
            --size_;
            ++left_total_;
            leave_queue(to);
          } else {
            word |= bit;
            ++blocked_count;
            if (waits_for_ == kWaitsForNobody && !planted(Mutant::waits_unseen))
              waits_for_ = message.route().to;
            if constexpr (planted(Mutant::lost_when_full)) {
              header.flags |= kFlagDelivered;
              --size_;
              leave_queue(to);
            }
          }
        }
      }
      if (position == head_ && (header.flags & kFlagDelivered) != 0) ++head_;
      // all that is left waits for an inbox that is full
      if (blocked_count == inboxes_waited_for_ && size_ != 0) return;
    }
  }

  /// Worker whose full inbox held back the oldest message in the last flush(), or kWaitsForNobody.
  [[nodiscard]] RK_FN std::uint32_t waits_for() const {
    return head_ == tail_ ? kWaitsForNobody : waits_for_;
  }

  /// Sweep for the cut.
  RK_FN void begin_sweep() { cursor_ = head_; }
  /// A waiting message of an older colour, or none. See Mailbox::next_old.
  RK_FN MessageView next_old(std::uint16_t colour) {
    if (cursor_ < head_) cursor_ = head_;
    for (; cursor_ < tail_; ++cursor_) {
      const MessageView message = at(cursor_);
      const MessageHeader& header = message.header();
      if ((header.flags & kFlagDelivered) == 0 && epoch_newer(colour, header.epoch)) return message;
    }
    return {};
  }

  // --- moves of actors, while all workers stand still and no cut is open

  /// Visits what waits, in its order.
  template <class Visit>
  RK_FN void visit(Visit visit) const {
    for (std::uint64_t position = head_; position != tail_; ++position) {
      const MessageView message = at(position);
      if ((message.header().flags & kFlagDelivered) == 0) visit(message);
    }
  }
  /// The entry goes to another worker: before its route says so.
  RK_FN void turn_to(const MessageView& entry, std::uint32_t worker) {
    leave_queue(queue_of(entry));
    enter_queue(inbox_index(worker, (entry.header().flags & kFlagControl) != 0));
  }
  /// The entry was copied to another place.
  RK_FN void withdraw(const MessageView& entry) {
    leave_queue(queue_of(entry));
    entry.header().flags |= kFlagDelivered;
    --size_;
    ++left_total_;
  }
  /// Places in the worker's own control inbox.
  [[nodiscard]] RK_FN std::uint64_t control_room(std::uint32_t worker) const {
    return waiting_[inbox_index(worker, true)] != 0
               ? 0
               : peers_[inbox_index(worker, true)].free_slots();
  }

  /// Messages that waited here and left.
  [[nodiscard]] RK_FN std::uint64_t left_total() const { return left_total_; }
  [[nodiscard]] RK_FN std::uint64_t full_inbox_total() const { return full_inbox_total_; }

 private:
  /// In waiting_: a message went through the pair cell, and none after it into the inbox. The first
  /// that does is marked, so that it does not overtake.
  static constexpr std::uint32_t kAfterCell = std::uint32_t{1} << 31;

  RK_FN void enter_queue(std::uint32_t inbox) {
    if ((waiting_[inbox]++ & ~kAfterCell) == 0) ++inboxes_waited_for_;
  }
  RK_FN void leave_queue(std::uint32_t inbox) {
    if ((--waiting_[inbox] & ~kAfterCell) == 0) --inboxes_waited_for_;
  }
  [[nodiscard]] RK_FN std::uint32_t queue_of(const MessageView& entry) const {
    return inbox_index(entry.route().to, (entry.header().flags & kFlagControl) != 0);
  }
  /// kMarked for the first message into an inbox after one through a cell, unless an answer says
  /// that that one was read.
  RK_FN std::uint64_t take_mark(std::uint32_t inbox) {
    if ((waiting_[inbox] & kAfterCell) == 0) return 0;
    waiting_[inbox] &= ~kAfterCell;
    return cells_[inbox].awaits() ? kMarked : 0;
  }
  static constexpr std::uint64_t kInCell = std::uint64_t{1} << 32;

  RK_FN RK_APART void publish_elsewhere(std::uint64_t position) {
    const auto to = static_cast<std::uint32_t>(position);
    if ((position & kInCell) == 0) {
      ++tail_;
      ++size_;
      return enter_queue(to);
    }
    cells_[to].publish(peers_[to].claimed());
    waiting_[to] |= kAfterCell;
    asked_ = true;
  }
  RK_FN RK_APART Claim claim_after_cell(std::uint32_t to) {
    InboxProducer& peer = peers_[to];
    std::uint64_t position = 0;
    if (std::byte* slot = peer.try_claim(position, peer.capacity()))
      return {slot, &peer, position | take_mark(to)};
    ++full_inbox_total_;
    return {entry(tail_), nullptr, to};
  }
  RK_FN MessageView at(std::uint64_t position) const { return {entry(position), SlotBytes}; }
  RK_FN std::byte* entry(std::uint64_t position) const {
    return base_ + (position & mask_) * SlotBytes;
  }
  [[nodiscard]] RK_FN std::uint32_t inbox_index(std::uint32_t worker, bool is_control) const {
    return is_control ? workers_ + worker : worker;
  }

  PairCellEnd* cells_ = nullptr;  ///< by worker; null: no cells
  InboxProducer* peers_ = nullptr;
  std::byte* base_ = nullptr;
  std::uint64_t mask_ = 0;
  std::uint32_t workers_ = 0;
  std::uint32_t waits_for_ = kWaitsForNobody;
  bool asked_ = false;
  std::uint32_t size_ = 0;
  std::uint32_t inboxes_waited_for_ = 0;
  std::uint32_t waiting_[2 * kMaxWorkers] = {};  ///< entries by inbox, and kAfterCell
  SpscProducer<StridedSlots, Scope::system> k2h_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t cursor_ = 0;
  std::uint64_t left_total_ = 0;
  std::uint64_t full_inbox_total_ = 0;
};

}  // namespace rk
