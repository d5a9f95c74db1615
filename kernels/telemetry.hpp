// What a worker counts while it works: see runtime/telemetry_block.hpp for the words.
//
// Cost: a handler adds to two counters and stores which message it has, all in lines that only this
// worker writes. How long a message waited and how long its handler took is measured with a fresh
// clock for
//   - messages that found their worker idle: all of them where they are far apart. An answer that
//     is waited for should not wait for three clocks as well;
//   - one in about kSampleGap of those that queued, at distances drawn at random so that no pattern
//     hides from them; all of them where handlers are long, beside which the clock costs nothing.
// A sample counts for all of its kind since the one before it.
//
// Lane 0 only. Without a block (telemetry switched off) every call returns at once.
#pragma once

#include <ringkernel/hlc/timestamp.hpp>
#include <ringkernel/runtime/atomic.hpp>
#include <ringkernel/runtime/system.hpp>
#include <ringkernel/runtime/telemetry_block.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <cstdint>

namespace rk {

class TelemetryWriter {
 public:
  static constexpr std::uint32_t kSampleGap = 128;
  /// A sample may cost this part of the time it stands for, whatever the handlers take.
  static constexpr std::uint64_t kSampleWorthNs = 8'192;
  /// Between two samples of messages that found the worker idle.
  static constexpr std::uint64_t kIdleSampleTicks = 25'000;
  static constexpr std::uint32_t kStatuses = 16;

  TelemetryWriter() = default;
  RK_FN TelemetryWriter(const WorkerView& worker, std::uint32_t index)
      : head_(reinterpret_cast<TelemetryHead*>(worker.telemetry)),
        rows_(reinterpret_cast<TelemetryRow*>(worker.telemetry + sizeof(TelemetryHead))),
        no_type_(worker.telemetry_rows - 1),
        inbox_words_{worker.inbox_words, worker.host_inbox_words},
        random_(0x9E3779B9u + index) {
    if (worker.telemetry == nullptr) head_ = nullptr;
  }
  [[nodiscard]] RK_FN bool on() const { return head_ != nullptr; }

  // --- the life of one message
  // ---------------------------------------------------------------------------------------

  /// Whether the next handler is measured: the worker's clock should then be fresh.
  [[nodiscard]] RK_FN RK_HOT bool due() const {
    if (!on()) return false;
    return found_idle_ ? is_idle_due_ : gap_ + 1 >= next_gap_;
  }
  /// Messages that queued, `most` or fewer, which are handled before one of them is due().
  [[nodiscard]] RK_FN std::uint32_t left_before_due(std::uint32_t most) const {
    if (!on()) return most;
    const std::uint32_t left = found_idle_ || gap_ + 1 >= next_gap_ ? 0 : next_gap_ - gap_ - 1;
    return left < most ? left : most;
  }
  /// The worker found nothing to do. What can be told now does not delay the next message.
  RK_FN void idle() {
    found_idle_ = true;
    is_idle_due_ = on() && ticks() - idle_sampled_at_ >= kIdleSampleTicks;
  }

  /// A message for an actor of the newest one's type is about to be handled and not measured; it
  /// counts with noted(). `now` is the worker's clock after it merged the message's stamp.
  /// Precondition: a message was handled since idle(), and not due() if this one queued.
  RK_FN RK_HOT void note(const MessageHeader& header, std::uint32_t type, hlc::Timestamp now) {
    if (!on()) return;
    run(header, type, now);
  }
  /// The same for any message; `slot` null: nobody has its receiver's id.
  RK_FN void begin(const MessageHeader& header, const SlotHeader* slot, hlc::Timestamp now) {
    if (!on()) return;
    sampling_ = slot != nullptr && due();
    const std::uint32_t row = slot == nullptr ? no_type_ : slot->type;
    turn_to(row);
    run(header, row, now);
    if (slot == nullptr) return;
    is_queued_ = !found_idle_;
    found_idle_ = false;
    ++(is_queued_ ? gap_ : idle_gap_);
    if (!sampling_ || (header.flags & kFlagReplayed) != 0) return;
    const std::uint64_t waited_us = now.physical_us() - hlc::Timestamp{header.hlc}.physical_us();
    add(row_->latency_us, waited_us * weight());
    add(row_->latency[histogram_bucket(waited_us)], weight());
  }
  /// Right before and right after the handler.
  RK_FN void entered() {
    if (sampling_) entered_ns_ = monotonic_ns();
  }
  RK_FN void left() {
    if (!sampling_) return;
    take_sample(monotonic_ns() - entered_ns_);
    sampling_ = false;
  }
  /// Of the messages told with note(), so many queued, and so many found the worker idle.
  RK_FN void noted(std::uint32_t queued, std::uint32_t found_idle) {
    gap_ += queued;
    idle_gap_ += found_idle;
  }
  /// The actors of the messages from now on are of this type.
  RK_FN void turn_to(std::uint32_t type) { row_ = rows_ + type; }
  /// `messages` handlers of one type have returned and sent `sends` in all.
  RK_FN RK_HOT void handled(std::uint64_t messages, std::uint64_t sends) {
    if (!on()) return;
    add(row_->handled, messages);
    add(row_->sends, sends);
  }
  /// One of them failed.
  RK_FN void failed() {
    if (on()) add(row_->failures, 1);
  }
  /// No handler runs until the next message.
  RK_FN void rests() {
    if (on()) set(head_->running, 0);
  }
  /// Instead of handled(): the message is a dead letter. `slot` null: nobody has the receiver's id.
  RK_FN void dead_letter(const SlotHeader* slot) {
    if (on()) add(rows_[slot == nullptr ? no_type_ : slot->type].dead_letters, 1);
  }
  /// The running handler sent a message to an id that nobody has.
  RK_FN void dead_on_sending() {
    if (on()) add(rows_[no_type_].dead_letters, 1);
  }

  // --- places; `type`: of the actor spawned or killed
  // ---------------------------------------------------------------------------------------

  RK_FN void spawned(std::uint32_t type) {
    if (on()) add(rows_[type].spawns, 1);
  }
  RK_FN void killed(std::uint32_t type) {
    if (on()) add(rows_[type].kills, 1);
  }

  // --- with a status
  // ---------------------------------------------------------------------------------------

  /// Whether this status is one in kStatuses, with which to tell what waits: looking there touches
  /// words that senders write.
  [[nodiscard]] RK_FN bool publish_due() { return on() && ++statuses_ % kStatuses == 0; }
  /// A message that waits at the front of its queue. Null: none.
  RK_FN void waiting(const MessageView& message, const SlotHeader* slot, bool in_stash) {
    std::uint64_t word = 0;
    std::uint64_t stamp = 0;
    if (message) {
      const MessageHeader& header = message.header();
      word =
          TelemetryMessage::pack(header.dst, slot == nullptr ? no_type_ : slot->type, header.tag);
      stamp = header.hlc;
    }
    set(in_stash ? head_->stash_hlc : head_->inbox_hlc, stamp);
    set(in_stash ? head_->stash : head_->inbox, word);
  }
  RK_FN void publish(std::uint64_t clock_us) {
    set(head_->clock_us, clock_us);
    std::uint64_t used = 0;
    for (RingWords* const words : inbox_words_) {
      // relaxed: a depth for people; the words move on meanwhile
      const std::uint64_t consumed = load_relaxed<Scope::device>(words->consumed);
      const std::uint64_t tail = load_relaxed<Scope::device>(words->tail);
      used += tail > consumed ? tail - consumed : 0;
    }
    set(head_->inbox_used, used);
  }

 private:
  // relaxed: each word stands alone, its reader wants any recent value. The load is plain because
  // nobody else writes.
  RK_FN static void set(std::uint64_t& word, std::uint64_t value) {
    store_relaxed<Scope::device>(word, value);
  }
  RK_FN static void add(std::uint64_t& word, std::uint64_t value) { set(word, word + value); }

  RK_FN RK_HOT void run(const MessageHeader& header, std::uint32_t row, hlc::Timestamp now) {
    TelemetryHead& head = *head_;
    set(head.running_hlc, header.hlc);
    set(head.running_since_us, now.physical_us());
    set(head.running, TelemetryMessage::pack(header.dst, row, header.tag));
  }
  [[nodiscard]] RK_FN std::uint32_t weight() const { return is_queued_ ? gap_ : idle_gap_; }
  RK_FN void take_sample(std::uint64_t ns) {
    add(row_->handler_ns, ns * weight());
    add(row_->duration[histogram_bucket(ns)], weight());
    if (!is_queued_) {
      idle_gap_ = 0;
      idle_sampled_at_ = ticks();
      return;
    }
    gap_ = 0;
    std::uint64_t mean = kSampleWorthNs / (ns + 1);
    mean = mean < 1 ? 1 : mean > kSampleGap ? kSampleGap : mean;
    random_ ^= random_ << 13;  // Marsaglia's xorshift32
    random_ ^= random_ >> 17;
    random_ ^= random_ << 5;
    next_gap_ = 1 + random_ % static_cast<std::uint32_t>(2 * mean - 1);
  }

  TelemetryHead* head_ = nullptr;
  TelemetryRow* rows_ = nullptr;
  TelemetryRow* row_ = nullptr;  ///< of the running handler
  std::uint32_t no_type_ = 0;
  RingWords* inbox_words_[2] = {};
  std::uint64_t entered_ns_ = 0;
  std::uint32_t gap_ = 0;       ///< messages that queued, since the newest sample of them
  std::uint32_t idle_gap_ = 0;  ///< messages that found the worker idle, the same
  std::uint64_t idle_sampled_at_ = 0;
  std::uint32_t next_gap_ = 1;
  std::uint32_t random_ = 1;
  std::uint32_t statuses_ = 0;
  bool sampling_ = false;
  bool found_idle_ = true;
  bool is_idle_due_ = true;
  bool is_queued_ = false;
};

}  // namespace rk
