// Memory of a running system: capacities, and the trivially copyable views that device code
// receives.
//
// The host computes every address once, before launch (layout.hpp); nothing is allocated
// afterwards. `device` memory is where actors, inboxes and rings live; `host` memory is what both
// sides touch (pinned and mapped on CUDA).
#pragma once

#include <ringkernel/runtime/control.hpp>
#include <ringkernel/runtime/pair_cell.hpp>
#include <ringkernel/runtime/record.hpp>
#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <cstddef>
#include <cstdint>

namespace rk {

inline constexpr std::uint32_t kMaxWorkers = 255;

/// Sizes of every bounded thing. Slot counts are rounded up to powers of two.
struct Capacities {
  std::uint32_t inbox_slots = 1024;   ///< per worker: from other workers; half as many for the host
  std::uint32_t local_slots = 8192;   ///< per worker: messages to actors of the same worker
  std::uint32_t control_slots = 256;  ///< per worker: messages of control priority, commands
  std::uint32_t outbox_slots = 8192;  ///< per worker: what finds an inbox full waits here
  std::uint32_t stash_slots = 1024;   ///< per worker
  std::uint32_t timer_slots = 256;    ///< per worker: timers and asks that wait for their time
  std::uint32_t slab_blocks = 64;     ///< per worker
  std::uint32_t slab_block_bytes = 1024;
  std::uint32_t h2k_slots = 4096;                   ///< per lane: ordinary, control
  std::uint32_t k2h_slots = 4096;                   ///< per worker
  std::uint64_t snapshot_ring_bytes = 32ull << 20;  ///< per worker, at least 1 MiB; power of two
};

using InboxProducer = MpscProducer<StridedSlots, Scope::device>;

/// Messages of the host on one lane, until the dispatcher forwards them.
struct HostRing {
  StridedSlots slots;
  RingWords* words;
};
RK_FN constexpr std::uint32_t host_lane_of(std::uint8_t message_flags) {
  return (message_flags & kFlagControl) != 0 ? 1 : 0;
}

/// A word in a slab's return ring: a block that comes back to its owner.
struct BlockReturn {
  std::uint64_t commit;
  std::uint64_t block;
};
static_assert(sizeof(BlockReturn) == 16);

/// A timer's place in the heap: ordered by `due`; `slot` is where its message waits.
struct TimerEntry {
  std::uint64_t due;
  std::uint32_t slot;
  std::uint32_t reserved;
};
static_assert(sizeof(TimerEntry) == 16);

/// Free places of one actor type on one worker: a stack of actor indexes.
struct PlacePool {
  std::uint32_t* free;
  std::uint32_t count;
  std::uint32_t capacity;  ///< places of this type on this worker, whoever lives there
};
static_assert(sizeof(PlacePool) == 16);

/// What the two workers of a move tell each other; written by one of them per step.
struct MoveBlock {
  std::uint32_t place;       ///< free one of the new worker; kNoPlace: none fits
  std::uint32_t from;        ///< the old worker
  std::uint64_t elders;      ///< where the new worker's list of elder messages ends
  std::uint64_t elder_room;  ///< messages that it can take there
  std::uint64_t stash_room;
  std::uint64_t control_room;
  std::uint64_t timer_room;
  std::uint64_t place_mail;  ///< messages for the dead of `place`, which the old worker gets
  // the actor's mail, one after the other from `elders` on
  std::uint64_t ordinary;
  std::uint64_t stashed;
  std::uint64_t controls;
  std::uint64_t timers;
  std::uint64_t from_elders;  ///< where the old worker's list of elder messages ends
};
/// What surveys know of one actor.
struct SurveyEntry {
  std::uint64_t handled;  ///< in all, at the newest survey
  std::uint64_t load;     ///< between the last two
};
inline constexpr std::uint32_t kNoPlace = 0xFFFFFFFFu;

/// Local messages that may go before the others: the one that is being handled and the next one.
inline constexpr std::uint32_t kExpressSlots = 2;
/// Words that tell which senders have messages in a worker's FIFO; a power of two.
inline constexpr std::uint32_t kNewestWords = 1024;

/// What one worker needs. Pointers are device addresses (host memory is mapped at the same
/// address).
struct WorkerView {
  SaveUnit* units;
  std::uint64_t unit_count;
  std::uint64_t slot_count;  ///< places, whether somebody lives there or not
  std::uint64_t live_count;  ///< actors at launch
  std::uint64_t slot_bytes;  ///< of all its slots
  PlacePool* pools;          ///< by actor type, private

  StridedSlots inbox;  ///< from other workers
  RingWords* inbox_words;
  StridedSlots host_inbox;  ///< from the host
  RingWords* host_inbox_words;
  StridedSlots control;  ///< from all of them, this worker too
  RingWords* control_words;
  std::byte* local;             ///< local_slots messages, private
  std::byte* express;           ///< kExpressSlots messages, private
  std::uint32_t* local_newest;  ///< kNewestWords, private; see Mailbox
  std::byte* timers;            ///< timer_slots messages, private
  TimerEntry* timer_heap;       ///< timer_slots entries, private
  std::byte* stage;             ///< what the lanes of a batch send, until lane 0 stamps it; private
  std::byte* outbox;            ///< outbox_slots messages, private
  std::byte* stash;             ///< stash_slots messages, private
  /// Elder messages: restored ones, and those that a move put before all others; private.
  std::byte* replay;
  std::uint64_t replay_count;  ///< at launch: restored ones
  std::uint64_t replay_slots;

  std::byte* slab;  ///< slab_blocks blocks
  std::uint32_t slab_block_bytes;
  StridedSlots slab_returns;  ///< blocks freed by other workers
  RingWords* slab_return_words;
  std::uint32_t* slab_free;       ///< stack of free blocks, private
  std::uint32_t slab_free_count;  ///< at launch
  std::uint32_t slab_blocks;

  CutChannel* channels;  ///< workers + 1, private: running counters
  InboxProducer* peers;  ///< 2 per worker, private: its sending ends to their inboxes, then control

  PairCellEnd* cells;  ///< by worker, private; null: no cells

  StridedSlots k2h;
  RingWords* k2h_words;
  std::byte* snapshot_ring;
  StreamWords* stream_words;
  WorkerStatus* status;

  std::byte* telemetry;          ///< a block of telemetry_block.hpp; null: nothing is counted
  std::uint32_t telemetry_rows;  ///< actor types and one
};

/// What every block of the kernel, or thread of the host executor, receives.
struct SystemView {
  WorkerView* workers;
  std::uint32_t worker_count;
  std::uint32_t message_slot_bytes;
  ActorEntry* actors;
  /// By actor index: its worker, for everybody. A byte each, so that the table stays near to all
  /// who send; actors elsewhere are looked up with every message.
  std::uint8_t* owners;
  std::uint32_t actor_count;
  Capacities capacity;  ///< rounded

  HostControl* host_control;
  DeviceControl* device_control;
  HostRing h2k[kHostLanes];
  std::byte* dispatcher_ring;
  StreamWords* dispatcher_words;
  InboxProducer* dispatcher_peers;  ///< as WorkerView::peers, to the host's inboxes

  MoveBlock* move;       ///< null: actors stay where they are
  SurveyEntry* surveys;  ///< by actor index

  std::uint64_t seed;
  std::uint32_t base_epoch;  ///< epoch at launch: 0, or that of the restored checkpoint
  std::uint64_t base_hlc;    ///< every new stamp exceeds it
  std::uint32_t
      background_percent;  ///< share of worker time that saving may take while a cut is open

  /// Of each inbox. A worker sends to its own only in the course of a move.
  [[nodiscard]] RK_FN Producers inbox_producers() const {
    return worker_count == 2 && move == nullptr ? Producers::one : Producers::many;
  }
};

}  // namespace rk
