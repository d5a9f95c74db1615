#include <ringkernel/runtime/page_hash.hpp>
#include <ringkernel/runtime/system_image.hpp>
#include <ringkernel/runtime/telemetry_block.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <string>

namespace rk {
namespace {

constexpr std::uint64_t kRegionAlignment = 256;

/// Hands out regions of one memory, first as offsets, then (with a base) as addresses: the same
/// walk twice.
class Bump {
 public:
  explicit Bump(std::byte* base = nullptr) : base_(base) {}
  template <class T>
  T* take(std::uint64_t count) {
    const std::uint64_t at = next_;
    next_ = align_up(at + count * sizeof(T), kRegionAlignment);
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + at);
  }
  [[nodiscard]] std::uint64_t bytes() const { return next_; }

 private:
  std::byte* base_;
  std::uint64_t next_ = 0;
};

StridedSlots strided(std::byte* base, std::uint64_t slots, std::uint32_t slot_bytes) {
  return {base, slots - 1, static_cast<std::uint32_t>(std::countr_zero(slot_bytes))};
}

/// Bytes of a unit's page hashes. Slots of up to a page are saved whole, or not at all.
std::uint64_t unit_hash_bytes(const SaveUnit& unit) {
  const std::uint64_t body = unit.bytes - sizeof(SlotHeader);
  return unit.slots == 1 && body > kPageBytes ? page_hashes_bytes(page_count(body)) : 0;
}

/// What one worker owns, in the order of its memory.
struct WorkerPlan {
  std::vector<std::size_t> actors;  ///< indexes into SystemPlan::actors, by (type, id)
  std::vector<std::uint64_t> offsets;
  std::vector<SaveUnit> units;
  std::vector<std::uint64_t> unit_offsets;  ///< of their first slots
  std::uint64_t page_hash_bytes = 0;
  std::vector<std::uint32_t> unit_of;
  std::uint64_t slot_bytes = 0;
  std::uint64_t used_slot_bytes = 0;
  std::uint64_t replay_blocks = 0;
};

WorkerPlan plan_worker(const SystemPlan& plan, const ProgramInfo& program,
                       std::vector<std::size_t> actors) {
  WorkerPlan worker;
  worker.actors = std::move(actors);
  std::sort(worker.actors.begin(), worker.actors.end(), [&](std::size_t a, std::size_t b) {
    const ActorPlan& x = plan.actors[a];
    const ActorPlan& y = plan.actors[b];
    return x.type != y.type ? x.type < y.type : x.id.word < y.id.word;
  });
  std::uint32_t open_type = ~0u;
  for (const std::size_t index : worker.actors) {
    const ActorPlan& actor = plan.actors[index];
    const std::uint64_t stride =
        slot_stride(program.types[actor.type].state_bytes, actor.field_bytes);
    const bool fits = open_type == actor.type && !worker.units.empty() &&
                      worker.units.back().bytes + stride <= kUnitBytes;
    if (!fits) {
      // a unit starts on its own cache lines, so that copying it never shares a line with a
      // neighbour's handler
      worker.slot_bytes = align_up(worker.slot_bytes, 64);
      SaveUnit unit{};
      worker.unit_offsets.push_back(worker.slot_bytes);
      worker.units.push_back(unit);
      open_type = actor.type;
    }
    SaveUnit& unit = worker.units.back();
    worker.offsets.push_back(worker.slot_bytes);
    worker.unit_of.push_back(static_cast<std::uint32_t>(worker.units.size() - 1));
    unit.bytes += stride;
    ++unit.slots;
    worker.slot_bytes += stride;
    worker.used_slot_bytes += stride;
  }
  if (plan.page_hashes) {
    for (const SaveUnit& unit : worker.units) worker.page_hash_bytes += unit_hash_bytes(unit);
  }
  return worker;
}

std::uint32_t host_inbox_slots(const Capacities& capacity) { return capacity.inbox_slots / 2; }

/// Room for restored messages and, with moves, for all that can wait on one worker.
std::uint64_t replay_slots(const SystemPlan& plan, const Capacities& capacity, std::uint32_t w) {
  const std::uint64_t restored = w < plan.replay.size() ? plan.replay[w].size() : 0;
  if (!plan.movable) return restored;
  return restored + capacity.inbox_slots + host_inbox_slots(capacity) + kExpressSlots +
         capacity.local_slots + capacity.control_slots + capacity.stash_slots;
}

/// Moves would have to carry the order between inboxes and cells along.
bool has_cells(const SystemPlan& plan, std::uint32_t lanes) {
  return lanes == 1 && !plan.movable && plan.workers >= 2 && plan.workers <= kMostCellWorkers;
}

struct Regions {
  DeviceControl* control;
  ActorEntry* actors;
  std::uint8_t* owners;
  MoveBlock* move;
  SurveyEntry* surveys;
  WorkerView* views;
  InboxProducer* dispatcher_peers;
  std::byte* dispatcher_ring;
  std::byte* telemetry;
  std::byte* cells;  ///< by the lower worker, then the higher one
  struct PerWorker {
    SaveUnit* units;
    std::byte* slots;
    std::byte* page_hashes;
    PlacePool* pools;
    std::uint32_t* free_places;
    std::byte* inbox;
    RingWords* inbox_words;
    std::byte* host_inbox;
    RingWords* host_inbox_words;
    std::byte* control;
    RingWords* control_words;
    std::byte* local;
    std::byte* express;
    std::uint32_t* local_newest;
    std::byte* timers;
    TimerEntry* timer_heap;
    std::byte* stage;
    std::byte* outbox;
    std::byte* stash;
    std::byte* replay;
    std::byte* slab;
    std::byte* slab_returns;
    RingWords* slab_return_words;
    std::uint32_t* slab_free;
    CutChannel* channels;
    InboxProducer* peers;
    PairCellEnd* cells;
    std::byte* cell_boxes;
    std::byte* ring;
  };
  std::vector<PerWorker> workers;
};

struct HostRegions {
  HostControl* control;
  RingWords* h2k_words[kHostLanes];
  std::byte* h2k[kHostLanes];
  StreamWords* dispatcher_words;
  struct PerWorker {
    WorkerStatus* status;
    RingWords* k2h_words;
    std::byte* k2h;
    StreamWords* stream;
  };
  std::vector<PerWorker> workers;
};

std::uint64_t slab_blocks(const Capacities& capacity, const WorkerPlan& worker) {
  return capacity.slab_blocks + worker.replay_blocks;
}

Regions device_regions(Bump& bump, const SystemPlan& plan, const Capacities& capacity,
                       const ProgramInfo& program, std::uint32_t lanes, std::uint32_t actor_count,
                       std::uint64_t telemetry_bytes, const std::vector<WorkerPlan>& workers) {
  const std::uint32_t slot_bytes = program.message_slot_bytes;
  Regions r{};
  r.control = bump.take<DeviceControl>(1);
  r.actors = bump.take<ActorEntry>(std::max(actor_count, 1u));
  r.owners = bump.take<std::uint8_t>(std::max(actor_count, 1u));
  r.move = bump.take<MoveBlock>(plan.movable ? 1 : 0);
  r.surveys = bump.take<SurveyEntry>(plan.movable ? actor_count : 0);
  r.views = bump.take<WorkerView>(plan.workers);
  r.dispatcher_peers = bump.take<InboxProducer>(2 * plan.workers);
  r.dispatcher_ring = bump.take<std::byte>(capacity.snapshot_ring_bytes);
  r.telemetry = bump.take<std::byte>(telemetry_bytes * plan.workers);
  const std::uint32_t cell_ends = has_cells(plan, lanes) ? plan.workers : 0;
  r.cells = bump.take<std::byte>(std::uint64_t{cell_ends} * cell_ends * kCellStride);
  for (std::uint32_t w = 0; w < plan.workers; ++w) {
    const std::uint64_t blocks = slab_blocks(capacity, workers[w]);
    Regions::PerWorker p{};
    p.units = bump.take<SaveUnit>(workers[w].units.size());
    p.slots = bump.take<std::byte>(workers[w].slot_bytes);
    p.page_hashes = bump.take<std::byte>(workers[w].page_hash_bytes);
    p.pools = bump.take<PlacePool>(program.types.size());
    p.free_places = bump.take<std::uint32_t>(workers[w].actors.size());
    p.inbox_words = bump.take<RingWords>(1);
    p.inbox = bump.take<std::byte>(std::uint64_t{capacity.inbox_slots} * slot_bytes);
    p.host_inbox_words = bump.take<RingWords>(1);
    p.host_inbox = bump.take<std::byte>(std::uint64_t{host_inbox_slots(capacity)} * slot_bytes);
    p.control_words = bump.take<RingWords>(1);
    p.control = bump.take<std::byte>(std::uint64_t{capacity.control_slots} * slot_bytes);
    p.local = bump.take<std::byte>(std::uint64_t{capacity.local_slots} * slot_bytes);
    p.express = bump.take<std::byte>(std::uint64_t{kExpressSlots} * slot_bytes);
    p.local_newest = bump.take<std::uint32_t>(kNewestWords);
    p.timers = bump.take<std::byte>(std::uint64_t{capacity.timer_slots} * slot_bytes);
    p.timer_heap = bump.take<TimerEntry>(capacity.timer_slots);
    p.stage = bump.take<std::byte>(
        lanes == 1 ? 0 : std::uint64_t{lanes} * program.lane_sends * slot_bytes);
    p.outbox = bump.take<std::byte>(std::uint64_t{capacity.outbox_slots} * slot_bytes);
    p.stash = bump.take<std::byte>(std::uint64_t{capacity.stash_slots} * slot_bytes);
    p.replay = bump.take<std::byte>(replay_slots(plan, capacity, w) * slot_bytes);
    p.slab = bump.take<std::byte>(blocks * capacity.slab_block_bytes);
    p.slab_return_words = bump.take<RingWords>(1);
    p.slab_returns = bump.take<std::byte>(std::bit_ceil(std::max<std::uint64_t>(blocks, 1)) *
                                          sizeof(BlockReturn));
    p.slab_free = bump.take<std::uint32_t>(blocks);
    p.channels = bump.take<CutChannel>(plan.workers + 1);
    p.peers = bump.take<InboxProducer>(2 * plan.workers);
    p.cells = bump.take<PairCellEnd>(cell_ends);
    p.cell_boxes = bump.take<std::byte>(std::uint64_t{cell_ends} * slot_bytes);
    p.ring = bump.take<std::byte>(capacity.snapshot_ring_bytes);
    r.workers.push_back(p);
  }
  return r;
}

HostRegions host_regions(Bump& bump, const SystemPlan& plan, const Capacities& capacity,
                         std::uint32_t slot_bytes) {
  HostRegions r{};
  r.control = bump.take<HostControl>(1);
  for (std::uint32_t lane = 0; lane < kHostLanes; ++lane) {
    r.h2k_words[lane] = bump.take<RingWords>(1);
    r.h2k[lane] = bump.take<std::byte>(std::uint64_t{capacity.h2k_slots} * slot_bytes);
  }
  r.dispatcher_words = bump.take<StreamWords>(1);
  for (std::uint32_t w = 0; w < plan.workers; ++w) {
    HostRegions::PerWorker p{};
    p.status = bump.take<WorkerStatus>(1);
    p.k2h_words = bump.take<RingWords>(1);
    p.k2h = bump.take<std::byte>(std::uint64_t{capacity.k2h_slots} * slot_bytes);
    p.stream = bump.take<StreamWords>(1);
    r.workers.push_back(p);
  }
  return r;
}

/// The ends of a worker's pair cells.
Result<void> place_cells(Executor& executor, const SystemPlan& plan, const Regions& regions,
                         std::uint32_t w, std::uint32_t slot_bytes) {
  std::vector<PairCellEnd> ends(plan.workers);
  for (std::uint32_t other = 0; other < plan.workers; ++other) {
    if (other == w) continue;
    const std::uint64_t number =
        std::uint64_t{std::min(w, other)} * plan.workers + std::max(w, other);
    ends[other].line = regions.cells + number * kCellStride;
    ends[other].box = regions.workers[w].cell_boxes + std::uint64_t{other} * slot_bytes;
    ends[other].parity = w < other ? 0 : 1;
  }
  return executor.write(reinterpret_cast<std::byte*>(regions.workers[w].cells),
                        reinterpret_cast<const std::byte*>(ends.data()),
                        ends.size() * sizeof(PairCellEnd));
}

/// Gives the units their addresses and page hashes their sizes.
Result<void> place_units(Executor& executor, const SystemPlan& plan, WorkerPlan& worker,
                         const Regions::PerWorker& region) {
  std::byte* hashes = region.page_hashes;
  for (std::size_t i = 0; i < worker.units.size(); ++i) {
    SaveUnit& unit = worker.units[i];
    unit.base = region.slots + worker.unit_offsets[i];
    unit.saved_epoch = plan.base_epoch;
    const std::uint64_t bytes = plan.page_hashes ? unit_hash_bytes(unit) : 0;
    if (bytes == 0) continue;
    const PageHashes head{{0, 0}, page_count(unit.bytes - sizeof(SlotHeader))};
    RK_TRY(executor.write(hashes, reinterpret_cast<const std::byte*>(&head), sizeof(head)));
    unit.hashes = reinterpret_cast<PageHashes*>(hashes);
    hashes += bytes;
  }
  if (worker.units.empty()) return {};
  return executor.write(reinterpret_cast<std::byte*>(region.units),
                        reinterpret_cast<const std::byte*>(worker.units.data()),
                        worker.units.size() * sizeof(SaveUnit));
}

/// The free places of each type, lowest index on top, and how many actors live.
Result<void> place_pools(Executor& executor, const SystemPlan& plan, const WorkerPlan& worker,
                         const Regions::PerWorker& region, std::uint64_t& live_count) {
  const std::size_t types = executor.program().types.size();
  std::vector<std::vector<std::uint32_t>> free(types);
  std::vector<PlacePool> pools(types);
  for (auto at = worker.actors.rbegin(); at != worker.actors.rend(); ++at) {
    const ActorPlan& actor = plan.actors[*at];
    ++pools[actor.type].capacity;
    if ((actor.flags & kSlotFree) == 0) {
      ++live_count;
    } else if (!is_used_up(actor.id, actor.flags)) {
      free[actor.type].push_back(actor.id.index());
    }
  }
  std::uint32_t* to = region.free_places;
  for (std::size_t type = 0; type < types; ++type) {
    pools[type].free = to;
    pools[type].count = static_cast<std::uint32_t>(free[type].size());
    to += pools[type].capacity;
    if (free[type].empty()) continue;
    RK_TRY(executor.write(reinterpret_cast<std::byte*>(pools[type].free),
                          reinterpret_cast<const std::byte*>(free[type].data()),
                          free[type].size() * sizeof(std::uint32_t)));
  }
  return executor.write(reinterpret_cast<std::byte*>(region.pools),
                        reinterpret_cast<const std::byte*>(pools.data()),
                        types * sizeof(PlacePool));
}

Result<void> write_slots(Executor& executor, const SystemPlan& plan, const WorkerPlan& worker,
                         std::byte* slots, const FillSlot& fill) {
  const ProgramInfo& program = executor.program();
  std::vector<std::byte> staged;
  std::byte* base = slots;
  if (!executor.device_is_host_addressable()) {
    staged.resize(worker.slot_bytes);
    base = staged.data();
  }
  for (std::size_t i = 0; i < worker.actors.size(); ++i) {
    const ActorPlan& actor = plan.actors[worker.actors[i]];
    auto* header = reinterpret_cast<SlotHeader*>(base + worker.offsets[i]);
    *header = SlotHeader{};
    header->id = actor.id;
    header->type = static_cast<std::uint16_t>(actor.type);
    header->flags = actor.flags;
    header->unit = worker.unit_of[i];
    header->state_bytes = program.types[actor.type].state_bytes;
    header->field_bytes = actor.field_bytes;
    if (actor.flags != kSlotFree)
      fill(worker.actors[i], *header, slot_state(header), slot_field(header));
  }
  if (!staged.empty()) RK_TRY(executor.write(slots, staged.data(), staged.size()));
  return {};
}

/// Restored messages, blocks moved into the worker's own slab (the blocks after its free ones).
Result<void> write_replay(Executor& executor, const SystemPlan& plan, const Capacities& capacity,
                          std::uint32_t w, std::uint32_t slot_bytes,
                          const Regions::PerWorker& region) {
  if (w >= plan.replay.size() || plan.replay[w].empty()) return {};
  std::vector<std::byte> staged(plan.replay[w].size() * slot_bytes);
  std::uint32_t block = capacity.slab_blocks;
  std::byte* to = staged.data();
  for (const ReplayMessage& message : plan.replay[w]) {
    if (message.slot.size() != slot_bytes || message.block.size() > capacity.slab_block_bytes) {
      return fail(
          ErrorCode::incompatible,
          "a message in the checkpoint has a slot of " + std::to_string(message.slot.size()) +
              " and a block of " + std::to_string(message.block.size()) +
              " bytes; this program has room for " + std::to_string(slot_bytes) + " and " +
              std::to_string(capacity.slab_block_bytes) + " (Capacities::slab_block_bytes)");
    }
    std::memcpy(to, message.slot.data(), slot_bytes);
    const MessageView view{to, slot_bytes};
    view.header().seq = 0;
    view.header().epoch = static_cast<std::uint16_t>(plan.base_epoch);
    view.header().flags =
        static_cast<std::uint8_t>((view.header().flags & ~kFlagBlock) |
                                  (message.block.empty() ? 0 : kFlagBlock) | kFlagReplayed);
    view.route().from = kHostChannel;
    view.route().to = static_cast<std::uint8_t>(w);
    if (!message.block.empty()) {
      view.block() =
          BlockRef{w, block, static_cast<std::uint32_t>(message.block.size()), view.route()};
      RK_TRY(executor.write(region.slab + std::uint64_t{block} * capacity.slab_block_bytes,
                            message.block.data(), message.block.size()));
      ++block;
    }
    to += slot_bytes;
  }
  return executor.write(region.replay, staged.data(), staged.size());
}

}  // namespace

Result<Capacities> round_capacities(const Capacities& capacity) {
  constexpr std::uint32_t kMostEntries = 1u << 26;
  constexpr std::uint64_t kMostRingBytes = 1ull << 40;
  constexpr std::uint32_t kMostStashed = 1u << 15;  // SlotHeader counts them in 16 bits
  constexpr std::uint32_t kMostTimers = 1u << 16;   // a correlation names its timer's slot
  if (std::max({capacity.inbox_slots, capacity.local_slots, capacity.control_slots,
                capacity.outbox_slots, capacity.h2k_slots, capacity.k2h_slots,
                capacity.slab_blocks}) > kMostEntries ||
      capacity.stash_slots > kMostStashed || capacity.timer_slots > kMostTimers ||
      capacity.slab_block_bytes > kMaxRecordPayload / 2 ||
      capacity.snapshot_ring_bytes > kMostRingBytes) {
    return fail(
        ErrorCode::invalid_argument,
        "Capacities: queues and slabs hold at most 2^26 entries, stashes 2^15, timer stores "
        "2^16, slab blocks at most 128 KiB, snapshot rings at most 1 TiB");
  }
  Capacities rounded = capacity;
  const auto round = [](std::uint32_t& slots) { slots = std::bit_ceil(std::max(slots, 2u)); };
  round(rounded.inbox_slots);
  round(rounded.local_slots);
  round(rounded.control_slots);
  round(rounded.timer_slots);
  round(rounded.outbox_slots);
  round(rounded.stash_slots);
  round(rounded.h2k_slots);
  round(rounded.k2h_slots);
  rounded.slab_block_bytes =
      static_cast<std::uint32_t>(align_up(std::max(rounded.slab_block_bytes, 16u), 16));
  rounded.snapshot_ring_bytes =
      std::bit_ceil(std::max(rounded.snapshot_ring_bytes, kMinSnapshotRingBytes));
  return rounded;
}

Result<void> check_budgets(const ProgramInfo& program, const Capacities& capacity) {
  for (const ActorTypeInfo& type : program.types) {
    for (const MessageTypeInfo& message : type.messages) {
      const auto check = [&](const char* declared, std::uint32_t needed, const char* setting,
                             std::uint32_t available) -> Result<void> {
        if (needed <= available) return {};
        return fail(ErrorCode::invalid_argument,
                    "'" + type.name + "', message tag " + std::to_string(message.tag) + ": " +
                        declared + " = " + std::to_string(needed) +
                        " can never be granted; raise Capacities::" + setting + " (now " +
                        std::to_string(available) + ")");
      };
      RK_TRY(check("max_sends", message.budget.sends, "outbox_slots", capacity.outbox_slots));
      RK_TRY(check("max_sends", message.budget.sends, "local_slots", capacity.local_slots));
      RK_TRY(check("max_timers", message.budget.timers, "timer_slots", capacity.timer_slots));
      RK_TRY(check("max_blocks", message.budget.blocks, "slab_blocks", capacity.slab_blocks));
      RK_TRY(check("max_host_sends", message.budget.host_sends, "k2h_slots", capacity.k2h_slots));
    }
  }
  return {};
}

Result<PlacedSystem> build_system(Executor& executor, const SystemPlan& plan,
                                  const FillSlot& fill) {
  const ProgramInfo& program = executor.program();
  if (plan.workers < 1 || plan.workers > std::min(executor.max_workers(), kMaxWorkers)) {
    return fail(ErrorCode::invalid_argument,
                "workers must be between 1 and " +
                    std::to_string(std::min(executor.max_workers(), kMaxWorkers)) + " on the " +
                    executor.name() + " executor");
  }
  RK_TRY_ASSIGN(const Capacities capacity, round_capacities(plan.capacity));
  const std::uint32_t slot_bytes = program.message_slot_bytes;

  std::uint32_t actor_count = 0;
  std::vector<std::vector<std::size_t>> of_worker(plan.workers);
  for (std::size_t i = 0; i < plan.actors.size(); ++i) {
    RK_ASSERT(plan.actors[i].worker < plan.workers && plan.actors[i].type < program.types.size());
    of_worker[plan.actors[i].worker].push_back(i);
    actor_count = std::max(actor_count, plan.actors[i].id.index() + 1);
  }
  std::vector<WorkerPlan> workers;
  for (std::uint32_t w = 0; w < plan.workers; ++w) {
    workers.push_back(plan_worker(plan, program, std::move(of_worker[w])));
    if (w < plan.replay.size()) {
      workers[w].replay_blocks = static_cast<std::uint64_t>(
          std::count_if(plan.replay[w].begin(), plan.replay[w].end(),
                        [](const ReplayMessage& m) { return !m.block.empty(); }));
    }
  }

  Bump device_size;
  Bump host_size;
  const auto telemetry_rows = static_cast<std::uint32_t>(program.types.size() + 1);
  const std::uint64_t telemetry_bytes = plan.telemetry ? telemetry_block_bytes(telemetry_rows) : 0;
  (void)device_regions(device_size, plan, capacity, program, executor.lanes(), actor_count,
                       telemetry_bytes, workers);
  (void)host_regions(host_size, plan, capacity, slot_bytes);
  RK_TRY_ASSIGN(const ExecutorMemory memory,
                executor.allocate(device_size.bytes(), host_size.bytes()));
  Bump device_bump(memory.device);
  Bump host_bump(memory.host);
  const Regions device = device_regions(device_bump, plan, capacity, program, executor.lanes(),
                                        actor_count, telemetry_bytes, workers);
  const HostRegions host = host_regions(host_bump, plan, capacity, slot_bytes);

  std::vector<ActorEntry> table(std::max(actor_count, 1u), ActorEntry{nullptr, kNoGeneration, 0});
  std::vector<std::uint8_t> owners(table.size());
  std::vector<WorkerView> views(plan.workers);
  for (std::uint32_t w = 0; w < plan.workers; ++w) {
    WorkerPlan& worker = workers[w];
    const Regions::PerWorker& d = device.workers[w];
    const HostRegions::PerWorker& h = host.workers[w];
    RK_TRY(place_units(executor, plan, worker, d));
    for (std::size_t i = 0; i < worker.actors.size(); ++i) {
      const ActorPlan& actor = plan.actors[worker.actors[i]];
      const bool is_free = (actor.flags & kSlotFree) != 0;
      table[actor.id.index()] =
          ActorEntry{reinterpret_cast<SlotHeader*>(d.slots + worker.offsets[i]),
                     is_free ? kNoGeneration : actor.id.generation(), 0};
      owners[actor.id.index()] = static_cast<std::uint8_t>(w);
    }
    std::uint64_t live_count = 0;
    RK_TRY(place_pools(executor, plan, worker, d, live_count));
    const std::uint64_t blocks = slab_blocks(capacity, worker);
    std::vector<std::uint32_t> free_blocks(capacity.slab_blocks);
    std::iota(free_blocks.rbegin(), free_blocks.rend(), 0u);
    std::vector<CutChannel> channels(plan.workers + 1);
    if (!free_blocks.empty()) {
      RK_TRY(executor.write(reinterpret_cast<std::byte*>(d.slab_free),
                            reinterpret_cast<const std::byte*>(free_blocks.data()),
                            free_blocks.size() * sizeof(std::uint32_t)));
    }
    RK_TRY(write_slots(executor, plan, worker, d.slots, fill));
    RK_TRY(write_replay(executor, plan, capacity, w, slot_bytes, d));

    WorkerView& view = views[w];
    view.units = d.units;
    view.unit_count = worker.units.size();
    view.slot_count = worker.actors.size();
    view.live_count = live_count;
    view.pools = d.pools;
    view.slot_bytes = worker.used_slot_bytes;
    view.inbox = strided(d.inbox, capacity.inbox_slots, slot_bytes);
    view.inbox_words = d.inbox_words;
    view.host_inbox = strided(d.host_inbox, host_inbox_slots(capacity), slot_bytes);
    view.host_inbox_words = d.host_inbox_words;
    view.control = strided(d.control, capacity.control_slots, slot_bytes);
    view.control_words = d.control_words;
    view.local = d.local;
    view.express = d.express;
    view.local_newest = d.local_newest;
    view.timers = d.timers;
    view.timer_heap = d.timer_heap;
    view.stage = d.stage;
    view.outbox = d.outbox;
    view.stash = d.stash;
    view.replay = d.replay;
    view.replay_count = w < plan.replay.size() ? plan.replay[w].size() : 0;
    view.replay_slots = replay_slots(plan, capacity, w);
    view.slab = d.slab;
    view.slab_block_bytes = capacity.slab_block_bytes;
    view.slab_returns = strided(d.slab_returns, std::bit_ceil(std::max<std::uint64_t>(blocks, 1)),
                                sizeof(BlockReturn));
    view.slab_return_words = d.slab_return_words;
    view.slab_free = d.slab_free;
    view.slab_free_count = capacity.slab_blocks;
    view.slab_blocks = static_cast<std::uint32_t>(blocks);
    view.channels = d.channels;
    view.peers = d.peers;
    if (has_cells(plan, executor.lanes())) {
      RK_TRY(place_cells(executor, plan, device, w, slot_bytes));
      view.cells = d.cells;
    }
    view.k2h = strided(h.k2h, capacity.k2h_slots, slot_bytes);
    view.k2h_words = h.k2h_words;
    view.snapshot_ring = d.ring;
    view.stream_words = h.stream;
    view.status = h.status;
    view.telemetry = plan.telemetry ? device.telemetry + w * telemetry_bytes : nullptr;
    view.telemetry_rows = telemetry_rows;
  }
  RK_TRY(executor.write(reinterpret_cast<std::byte*>(device.actors),
                        reinterpret_cast<const std::byte*>(table.data()),
                        table.size() * sizeof(ActorEntry)));
  RK_TRY(executor.write(reinterpret_cast<std::byte*>(device.owners),
                        reinterpret_cast<const std::byte*>(owners.data()), owners.size()));
  RK_TRY(executor.write(reinterpret_cast<std::byte*>(device.views),
                        reinterpret_cast<const std::byte*>(views.data()),
                        views.size() * sizeof(WorkerView)));
  DeviceControl control{};
  control.cut_epoch = control.closed_epoch = plan.base_epoch;
  RK_TRY(executor.write(reinterpret_cast<std::byte*>(device.control),
                        reinterpret_cast<const std::byte*>(&control), sizeof(control)));
  host.control->cut_epoch = host.control->closed_epoch = plan.base_epoch;

  SystemView system{};
  system.workers = device.views;
  system.worker_count = plan.workers;
  system.message_slot_bytes = slot_bytes;
  system.actors = device.actors;
  system.owners = device.owners;
  system.actor_count = actor_count;
  system.capacity = capacity;
  system.host_control = host.control;
  system.device_control = device.control;
  for (std::uint32_t lane = 0; lane < kHostLanes; ++lane)
    system.h2k[lane] = {strided(host.h2k[lane], capacity.h2k_slots, slot_bytes),
                        host.h2k_words[lane]};
  system.dispatcher_ring = device.dispatcher_ring;
  system.dispatcher_words = host.dispatcher_words;
  system.dispatcher_peers = device.dispatcher_peers;
  system.move = plan.movable ? device.move : nullptr;
  system.surveys = plan.movable ? device.surveys : nullptr;
  system.seed = plan.seed;
  system.base_epoch = plan.base_epoch;
  system.base_hlc = plan.base_hlc;
  system.background_percent = std::clamp(plan.background_percent, 1u, 90u);
  return PlacedSystem{system,
                      std::move(views),
                      std::move(table),
                      std::move(owners),
                      plan.telemetry ? device.telemetry : nullptr,
                      telemetry_bytes * plan.workers};
}

}  // namespace rk
