// The sending half of a worker: places for messages to other workers and to the host.
//
// Invariants:
//  1. A message counts as sent when it is stamped. From then on it is in exactly one place: an
//  outbox entry, an inbox slot, the local FIFO, the stash, the replay list or the timer store of a
//  worker, or a K2H slot.
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
      : peers_(self.peers),
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
    InboxProducer* inbox;    ///< null: an outbox entry
    std::uint64_t position;  ///< ticket; of an outbox entry, the inbox it is for
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
    }
    return {entry(tail_), nullptr, to};
  }
  RK_FN RK_HOT void publish(const Claim& claim) {
    if (claim.inbox != nullptr) {
      claim.inbox->publish(claim.slot, claim.position);
    } else {
      ++tail_;
      ++size_;
      if (waiting_[claim.position]++ == 0) ++inboxes_waited_for_;
    }
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
            peer.publish(slot, ticket);
            header.flags |= kFlagDelivered;
            --size_;
            ++left_total_;
            if (--waiting_[to] == 0) --inboxes_waited_for_;
          } else {
            word |= bit;
            ++blocked_count;
            if (waits_for_ == kWaitsForNobody && !planted(Mutant::waits_unseen))
              waits_for_ = message.route().to;
            if constexpr (planted(Mutant::lost_when_full)) {
              header.flags |= kFlagDelivered;
              --size_;
              if (--waiting_[to] == 0) --inboxes_waited_for_;
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
    leave_queue(entry);
    const bool is_control = (entry.header().flags & kFlagControl) != 0;
    if (waiting_[inbox_index(worker, is_control)]++ == 0) ++inboxes_waited_for_;
  }
  /// The entry was copied to another place.
  RK_FN void withdraw(const MessageView& entry) {
    leave_queue(entry);
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
  RK_FN void leave_queue(const MessageView& entry) {
    const bool is_control = (entry.header().flags & kFlagControl) != 0;
    if (--waiting_[inbox_index(entry.route().to, is_control)] == 0) --inboxes_waited_for_;
  }
  RK_FN MessageView at(std::uint64_t position) const { return {entry(position), SlotBytes}; }
  RK_FN std::byte* entry(std::uint64_t position) const {
    return base_ + (position & mask_) * SlotBytes;
  }
  [[nodiscard]] RK_FN std::uint32_t inbox_index(std::uint32_t worker, bool is_control) const {
    return is_control ? workers_ + worker : worker;
  }

  InboxProducer* peers_ = nullptr;
  std::byte* base_ = nullptr;
  std::uint64_t mask_ = 0;
  std::uint32_t workers_ = 0;
  std::uint32_t waits_for_ = kWaitsForNobody;
  std::uint32_t size_ = 0;
  std::uint32_t inboxes_waited_for_ = 0;
  std::uint32_t waiting_[2 * kMaxWorkers] = {};  ///< entries by inbox
  SpscProducer<StridedSlots, Scope::system> k2h_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t cursor_ = 0;
  std::uint64_t left_total_ = 0;
  std::uint64_t full_inbox_total_ = 0;
};

}  // namespace rk
