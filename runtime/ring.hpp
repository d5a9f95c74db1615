// Slot-sequence rings: bounded queues whose slots carry their own commit word.
//
//   position:   n-2      n-1       n       n+1
//             +-------+-------+-------+-------+      a slot is valid for position p when its commit
//             word is p + 1:
//   slots:    | n-1|..| n  |..| old|..| old|..|      zeroed memory is an empty ring, no head or
//   tail is read on the
//             +-------+-------+-------+-------+      latency path, and a 64-bit position never
//             comes round again
//
// Invariants:
//  1. A producer writes slot p only while p - consumed < capacity, and commits it with a release
//  store of p + 1.
//  2. The consumer reads slot p only after an acquire load of its commit word gave p + 1; or, of
//  one producer, which commits in order, after one of a later slot's gave that slot's.
//  3. `consumed` (the credit word) is stored with release after the last read of a slot; the
//  producer's acquire load
//     of it makes the slot's reuse safe. Producers cache it: it is read only when the cached value
//     says "full". A pop returns its credit at once: a consumer that saved credits up and then
//     stopped looking would leave its producer waiting for ever. One that never stops, a worker,
//     may save some up (take).
//
// The same code serves host threads, device blocks and both at once; `Scope` says which. Storage is
// a policy: `StridedSlots` for wire messages (commit word first in the slot), `TypedSlots<T>` for
// values. Idea: D. Vyukov's bounded queue, with the consumer's marks replaced by credits so that
// slots are written once per lap.
#pragma once

#include <ringkernel/runtime/atomic.hpp>

#include <cstddef>
#include <cstdint>

namespace rk {

/// Slots of a power-of-two byte size whose first word is the commit word.
struct StridedSlots {
  std::byte* base = nullptr;
  std::uint64_t mask = 0;  ///< capacity_slots - 1
  std::uint32_t shift = 0;

  RK_FN std::uint64_t capacity() const { return mask + 1; }
  RK_FN std::byte* slot(std::uint64_t position) const {
    return base + ((position & mask) << shift);
  }
  RK_FN static std::uint64_t& commit_word(std::byte* slot) {
    return *reinterpret_cast<std::uint64_t*>(slot);
  }
};

namespace detail {
/// Small slots get the next power of two, so that none straddles a cache line.
template <class T>
constexpr std::size_t typed_slot_alignment() {
  std::size_t alignment = alignof(T) > 8 ? alignof(T) : 8;
  if (sizeof(T) + alignment > 64) return alignment;
  while (alignment < sizeof(T) + 8) alignment *= 2;
  return alignment;
}
}  // namespace detail

template <class T>
struct alignas(detail::typed_slot_alignment<T>()) TypedSlot {
  std::uint64_t commit;
  T value;
};

/// Slots of small values, each beside its commit word; the owner is SpscRing<T> (spsc_ring.hpp).
template <class T>
struct TypedSlots {
  TypedSlot<T>* base = nullptr;
  std::uint64_t mask = 0;

  RK_FN std::uint64_t capacity() const { return mask + 1; }
  RK_FN TypedSlot<T>* slot(std::uint64_t position) const { return base + (position & mask); }
  RK_FN static std::uint64_t& commit_word(TypedSlot<T>* slot) { return slot->commit; }
};

/// The words of a ring that both ends touch, one cache line each.
struct alignas(128) RingWords {
  alignas(64) std::uint64_t tail = 0;      ///< next ticket; used by multi-producer rings only
  alignas(64) std::uint64_t consumed = 0;  ///< credits: positions below it may be overwritten
};
static_assert(sizeof(RingWords) == 128);

/// The single producer's end. Private to its thread.
template <class Slots, Scope S>
class SpscProducer {
 public:
  SpscProducer() = default;
  RK_FN SpscProducer(Slots slots, RingWords* words) : slots_(slots), words_(words) {}

  /// Free slots, at least up to `wanted` if there are as many (re-reads the credits only when
  /// needed).
  RK_FN bool has_room(std::uint64_t wanted = 1) {
    if (position_ + wanted <= end_) return true;
    // acquire: the consumer is done reading below this; pairs with the release in SpscConsumer::pop
    end_ = load_acquire<S>(words_->consumed) + slots_.capacity();
    return position_ + wanted <= end_;
  }
  /// The slot to fill next. Precondition: has_room().
  RK_FN auto* claim() const { return slots_.slot(position_); }
  /// Makes the claimed slot visible.
  RK_FN void publish() {
    // release: publishes the slot's payload; pairs with the acquire in SpscConsumer::peek
    store_release<S>(Slots::commit_word(claim()), position_ + 1);
    ++position_;
  }
  RK_FN std::uint64_t position() const { return position_; }

 private:
  Slots slots_{};
  RingWords* words_ = nullptr;
  std::uint64_t position_ = 0;
  std::uint64_t end_ = 0;  ///< positions below it may be written, as far as it is known
};

/// Of a commit word: its producer wants the consumer to look elsewhere before it takes the slot. A
/// producer marks by committing `position | kMarked`.
inline constexpr std::uint64_t kMarked = std::uint64_t{1} << 63;

/// The single consumer's end of an SPSC or MPSC ring. Private to its thread.
template <class Slots, Scope S>
class SpscConsumer {
 public:
  using SlotPointer = decltype(Slots{}.slot(0));
  SpscConsumer() = default;
  RK_FN SpscConsumer(Slots slots, RingWords* words)
      : slots_(slots), words_(words), next_(slots.slot(0)) {}

  /// Slot at `position`, or null if nobody committed it yet.
  RK_FN SlotPointer peek(std::uint64_t position) const {
    if (position - position_ >= slots_.capacity()) return nullptr;
    const SlotPointer slot = slots_.slot(position);
    // acquire: pairs with the producer's release of the commit word
    return (load_acquire<S>(Slots::commit_word(slot)) & ~kMarked) == position + 1 ? slot : nullptr;
  }
  /// The next slot if it was committed, and not marked.
  RK_FN RK_HOT SlotPointer front() const {
    // acquire: as in peek
    return load_acquire<S>(Slots::commit_word(next_)) == position_ + 1 ? next_ : nullptr;
  }
  /// The next slot if it was committed and marked.
  RK_FN SlotPointer marked_front() const {
    // acquire: as in peek
    return load_acquire<S>(Slots::commit_word(next_)) == (kMarked | (position_ + 1)) ? next_
                                                                                     : nullptr;
  }
  /// front() gives it from now on. Precondition: marked_front().
  RK_FN void unmark_front() const { rewrite_commit(); }
  /// front(), for who knows that it was committed: of one producer, what comes before something
  /// that peek() found.
  RK_FN SlotPointer slot() const { return next_; }
  /// Stores what the commit word of front() holds. Precondition: it was committed.
  RK_FN void rewrite_commit() const {
    // relaxed: it says nothing new; the release in pop() comes after it
    store_relaxed<S>(Slots::commit_word(next_), position_ + 1);
  }
  /// Ends the reading of front() and returns its slot to the producers.
  RK_FN void pop() {
    take();
    return_credits();
  }
  /// pop() in two steps, for consumers that take many at a time and never stop looking while they
  /// owe credits.
  RK_FN void take() { next_ = slots_.slot(++position_); }
  RK_FN void return_credits() {
    // release: our reads of the slots are over; pairs with the producers' acquire of the credit
    // word
    store_release<S>(words_->consumed, position_);
  }
  /// Asks for the slot `ahead` places behind front(), whether it is committed or not.
  RK_FN void prefetch(std::uint64_t ahead) const {
#if !defined(__CUDA_ARCH__)
    __builtin_prefetch(slots_.slot(position_ + ahead));
#endif
  }
  RK_FN std::uint64_t position() const { return position_; }

 private:
  Slots slots_{};
  RingWords* words_ = nullptr;
  SlotPointer next_ = nullptr;  ///< slot of `position_`, looked at far more often than it changes
  std::uint64_t position_ = 0;
};

/// How many threads or blocks fill a ring. One alone takes its tickets without a locked
/// instruction, which would wait until all that it wrote before is visible.
enum class Producers : std::uint32_t { many, one };

/// One of the producers of a ring. Private to its thread; the ring's words are shared.
template <class Slots, Scope S>
class MpscProducer {
 public:
  using SlotPointer = decltype(Slots{}.slot(0));
  MpscProducer() = default;
  RK_FN MpscProducer(Slots slots, RingWords* words, Producers producers = Producers::many)
      : slots_(slots), words_(words), producers_(producers) {}

  /// Takes a ticket if fewer than `limit` slots are in use; null if not. `position` receives the
  /// ticket, which must be passed to publish() with the slot soon: the consumer cannot pass a
  /// ticket that was taken and not published.
  RK_FN RK_HOT SlotPointer try_claim(std::uint64_t& position, std::uint64_t limit) {
    std::uint64_t ticket = load_relaxed<S>(words_->tail);  // relaxed: the claim below decides
    for (;;) {
      if (in_use(ticket) >= limit) {
        // acquire: the consumer is done reading below this; pairs with SpscConsumer::pop
        consumed_cache_ = load_acquire<S>(words_->consumed);
        if (in_use(ticket) >= limit) return nullptr;
      }
      if (producers_ == Producers::one) {
        // relaxed: nobody else takes tickets; who reads how many are in use wants any recent value
        store_relaxed<S>(words_->tail, ticket + 1);
        break;
      }
      if (claim_relaxed<S>(words_->tail, ticket, ticket + 1)) break;
    }
    position = ticket;
    claimed_ = ticket + 1;
    return slots_.slot(ticket);
  }
  RK_FN void publish(SlotPointer slot, std::uint64_t position) {
    // release: publishes the slot's payload; pairs with the acquire in SpscConsumer::peek
    store_release<S>(Slots::commit_word(slot), position + 1);
  }
  /// Whether a ticket could be had now; others may take it first.
  RK_FN bool has_room() {
    // relaxed: a hint
    const std::uint64_t ticket = load_relaxed<S>(words_->tail);
    // acquire: as in try_claim
    consumed_cache_ = load_acquire<S>(words_->consumed);
    return in_use(ticket) < slots_.capacity();
  }
  RK_FN std::uint64_t capacity() const { return slots_.capacity(); }
  /// Behind this end's newest ticket.
  RK_FN std::uint64_t claimed() const { return claimed_; }
  /// Exact while neither a producer nor the consumer moves.
  RK_FN std::uint64_t free_slots() const {
    // relaxed and acquire: as in has_room
    const std::uint64_t ticket = load_relaxed<S>(words_->tail);
    return slots_.capacity() - (ticket - load_acquire<S>(words_->consumed));
  }

 private:
  // A stale ticket can lie behind the cached credit; it then counts as an empty ring and the claim
  // fails.
  RK_FN std::uint64_t in_use(std::uint64_t ticket) const {
    return ticket > consumed_cache_ ? ticket - consumed_cache_ : 0;
  }
  Slots slots_{};
  RingWords* words_ = nullptr;
  std::uint64_t consumed_cache_ = 0;
  std::uint64_t claimed_ = 0;
  Producers producers_ = Producers::many;
};

}  // namespace rk
