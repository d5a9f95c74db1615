// The sending half of a worker: stamps messages, counts them, and gets them into inboxes or to the
// host.
//
// Invariants:
//  1. A message counts as sent when it is stamped. From then on it is in exactly one place: an
//  outbox entry, an inbox slot,
//     the stash or the replay list of its receiver, or a K2H slot.
//  2. Messages to one worker leave in the order in which they were stamped. A full inbox holds back
//  only its own messages.
//  3. send() never fails for lack of room: the worker reserved it before the handler started.
#pragma once

#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only.
class Outbox {
 public:
  Outbox() = default;
  RK_FN Outbox(const SystemView& system, std::uint32_t worker)
      : system_(&system),
        self_(&system.workers[worker]),
        worker_(worker),
        k2h_(self_->k2h, self_->k2h_words) {
    for (std::uint32_t peer = 0; peer < system.worker_count; ++peer) {
      self_->peers[peer] =
          InboxProducer(system.workers[peer].inbox, system.workers[peer].inbox_words);
    }
  }

  [[nodiscard]] RK_FN std::uint32_t size() const {
    return static_cast<std::uint32_t>(tail_ - head_);
  }
  RK_FN bool has_room(const Budget& budget) {
    return tail_ - head_ + budget.sends <= system_->capacity.outbox_slots &&
           (budget.host_sends == 0 || k2h_.has_room(budget.host_sends));
  }

  /// Entry of a live actor, or null.
  RK_FN static const ActorEntry* find(const SystemView& system, ActorId id) {
    if (id.index() >= system.actor_count) return nullptr;
    const ActorEntry& entry = system.actors[id.index()];
    return entry.slot != nullptr && entry.generation == id.generation() ? &entry : nullptr;
  }

  /// Sends to an actor's worker. `header` is complete but for the commit word. Precondition:
  /// has_room.
  RK_FN void send(std::uint32_t to_worker, const MessageHeader& header, const std::byte* payload,
                  std::uint32_t payload_bytes, const BlockRef* block) {
    ++self_->channels[to_worker].sent;
    ++sent_;
    const Route route{0, 0, static_cast<std::uint8_t>(worker_),
                      static_cast<std::uint8_t>(to_worker)};
    if (head_ == tail_) {
      std::uint64_t position = 0;
      InboxProducer& peer = self_->peers[to_worker];
      if (std::byte* slot = peer.try_claim(position, peer.capacity())) {
        fill(slot, header, payload, payload_bytes, block);
        MessageView{slot, system_->message_slot_bytes}.route() = route;
        peer.publish(position);
        return;
      }
      ++full_inbox_total_;
    }
    std::byte* slot = entry(tail_++);
    fill(slot, header, payload, payload_bytes, block);
    MessageView{slot, system_->message_slot_bytes}.route() = route;
  }

  /// Sends to the host. Precondition: has_room.
  RK_FN void send_to_host(const MessageHeader& header, const std::byte* payload,
                          std::uint32_t payload_bytes) {
    ++self_->channels[system_->worker_count].sent;
    ++sent_;
    k2h_.has_room(1);
    fill(k2h_.claim(), header, payload, payload_bytes, nullptr);
    k2h_.publish();
  }

  /// Counts a message to nobody: sent and at once dead, so that nothing is in flight.
  RK_FN void count_dead(std::uint32_t own_worker) {
    ++self_->channels[own_worker].sent;
    ++self_->channels[own_worker].received;
    ++sent_;
  }

  /// Moves what fits into the inboxes, in order per receiving worker.
  RK_FN void flush() {
    if (head_ == tail_) return;
    std::uint64_t blocked[(kMaxWorkers + 63) / 64] = {};
    for (std::uint64_t at = head_; at != tail_; ++at) {
      std::byte* message = entry(at);
      auto& header = *reinterpret_cast<MessageHeader*>(message);
      if ((header.flags & kFlagDelivered) == 0) {
        const std::uint32_t to = system_->actors[header.dst.index()].worker;
        std::uint64_t& word = blocked[to / 64];
        const std::uint64_t bit = std::uint64_t{1} << (to % 64);
        if ((word & bit) == 0) {
          InboxProducer& peer = self_->peers[to];
          std::uint64_t position = 0;
          if (std::byte* slot = peer.try_claim(position, peer.capacity())) {
            copy_message(slot, message, system_->message_slot_bytes);
            peer.publish(position);
            header.flags |= kFlagDelivered;
          } else {
            word |= bit;
          }
        }
      }
      if (at == head_ && (header.flags & kFlagDelivered) != 0) ++head_;
    }
  }

  /// Sweep for the cut: see Mailbox::next_old. `cursor` is a position of this outbox.
  RK_FN MessageView at(std::uint64_t position) const {
    return {entry(position), system_->message_slot_bytes};
  }
  [[nodiscard]] RK_FN std::uint64_t head() const { return head_; }
  [[nodiscard]] RK_FN std::uint64_t tail() const { return tail_; }

  [[nodiscard]] RK_FN std::uint64_t sent() const { return sent_; }
  [[nodiscard]] RK_FN std::uint64_t full_inbox_total() const { return full_inbox_total_; }

 private:
  RK_FN std::byte* entry(std::uint64_t position) const {
    return self_->outbox + (position & (system_->capacity.outbox_slots - 1)) *
                               static_cast<std::uint64_t>(system_->message_slot_bytes);
  }
  RK_FN void fill(std::byte* slot, const MessageHeader& header, const std::byte* payload,
                  std::uint32_t payload_bytes, const BlockRef* block) const {
    auto* to = reinterpret_cast<MessageHeader*>(slot);
    to->hlc = header.hlc;
    to->dst = header.dst;
    to->src = header.src;
    to->source_sequence = header.source_sequence;
    to->epoch = header.epoch;
    to->tag = header.tag;
    to->flags = block != nullptr ? kFlagBlock : 0;
    std::byte* out = slot + sizeof(MessageHeader);
    for (std::uint32_t i = 0; i < payload_bytes; ++i) out[i] = payload[i];
    // what the payload does not cover goes into checkpoints too, so it must not be left over from
    // an older message
    const std::uint32_t inline_bytes =
        system_->message_slot_bytes - static_cast<std::uint32_t>(sizeof(MessageHeader));
    for (std::uint32_t i = payload_bytes; i < inline_bytes; ++i) out[i] = std::byte{0};
    if (block != nullptr) MessageView{slot, system_->message_slot_bytes}.block() = *block;
  }

  const SystemView* system_ = nullptr;
  const WorkerView* self_ = nullptr;
  std::uint32_t worker_ = 0;
  SpscProducer<StridedSlots, Scope::system> k2h_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t full_inbox_total_ = 0;
};

}  // namespace rk
