// Runtime before the start: the checkpoint directory, restoring, laying the system out.
#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/format.hpp>
#include <ringkernel/checkpoint/location.hpp>
#include <ringkernel/runtime/lifeline.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <map>
#include <system_error>

#include "migration.hpp"
#include "runtime_impl.hpp"

namespace rk {
namespace {

/// The runtime's own part of the host state, before the application's bytes.
struct HostStateHeader {
  std::uint32_t version;
  std::uint32_t source_sequence;
};
/// Follows from version 2 on; then the dead letters, then the application's bytes.
struct HostStateMail {
  std::uint64_t letter_bytes;
  std::uint32_t correlation;  ///< of the newest question: answers to it may still be on their way
  std::uint32_t reserved;
};

/// A message whose receiver does not know it would end the run that restores it.
Result<void> check_messages(const checkpoint::LoadedCheckpoint& checkpoint,
                            const ProgramInfo& program, const std::vector<ActorPlan>& actors) {
  std::map<std::uint32_t, std::uint32_t> type_of;
  for (const ActorPlan& actor : actors) {
    if ((actor.flags & kSlotFree) == 0) type_of[actor.id.word] = actor.type;
  }
  for (const checkpoint::LoadedMessage& message : checkpoint.messages) {
    MessageHeader header;
    std::memcpy(&header, message.slot.data(), sizeof(header));
    if ((header.flags & kFlagSystem) != 0 || header.tag >= kFirstLibraryTag) continue;
    const auto receiver = type_of.find(header.dst.word);
    if (receiver == type_of.end()) continue;
    const ActorTypeInfo& type = program.types[receiver->second];
    if (std::none_of(type.messages.begin(), type.messages.end(),
                     [&](const MessageTypeInfo& known) { return known.tag == header.tag; })) {
      return fail(ErrorCode::incompatible, "the checkpoint holds a message with tag " +
                                               std::to_string(header.tag) + " in flight to '" +
                                               type.name + "', which does not handle it");
    }
  }
  return {};
}

}  // namespace

std::vector<std::byte> encode_host_state(std::uint32_t source_sequence, std::uint32_t correlation,
                                         const std::vector<std::byte>& letters,
                                         const std::vector<std::byte>& app) {
  const HostStateHeader header{2, source_sequence};
  const HostStateMail mail{letters.size(), correlation, 0};
  std::vector<std::byte> bytes(sizeof(header) + sizeof(mail));
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &mail, sizeof(mail));
  bytes.insert(bytes.end(), letters.begin(), letters.end());
  bytes.insert(bytes.end(), app.begin(), app.end());
  return bytes;
}

Result<void> Runtime::Impl::open_checkpoints() {
  CheckpointOptions& checkpoint = options.checkpoint;
  if (checkpoint.dir.empty() && checkpoint.storage == nullptr) return {};
  RK_TRY(check_compression(checkpoint.compression));
  if (checkpoint.keep == 0)
    return fail(ErrorCode::invalid_argument, "checkpoint.keep must be at least 1");
  if (checkpoint.full_every == 0)
    return fail(ErrorCode::invalid_argument, "checkpoint.full_every must be at least 1");
  if (checkpoint.storage == nullptr) {
    RK_TRY_ASSIGN(auto opened, checkpoint::open_storage(checkpoint.dir));
    checkpoint.storage = checkpoint::with_environment_faults(std::move(opened));
  }
  RK_TRY(checkpoint::check({.every = checkpoint.every, .mtbf = checkpoint.mtbf}));
  RK_TRY_ASSIGN(directory,
                checkpoint::CheckpointDirectory::open(checkpoint.storage, checkpoint.prefix));
  RK_TRY_ASSIGN(directory_lock, directory->lock_writer());
  RK_TRY(open_tiers());
  run_id = checkpoint::make_run_id(wall_clock_us(), static_cast<std::uint64_t>(::getpid()));
  return {};
}

Result<RestoreReport> Runtime::Impl::restore_latest() {
  RestoreReport report;
  if (!directory || options.checkpoint.fresh) return report;
  if (!actors.empty())
    return fail(ErrorCode::invalid_argument, "restore_latest() comes before spawn()");
  checkpoint::Found found;
  const checkpoint::CheckpointDirectory* holder = &*directory;
  if (tiers) {
    RK_TRY_ASSIGN(checkpoint::TierFound in_tier, tiers->newest_valid());
    found = std::move(in_tier.found);
    holder = &tiers->directory(in_tier.tier);
  } else {
    RK_TRY_ASSIGN(found, directory->newest_valid());
  }
  for (const checkpoint::Skipped& skipped : found.skipped) {
    report.skipped.push_back(skipped.directory + ": " + skipped.reason);
  }
  if (!found.entry) return report;
  RK_TRY(check_identity(*found.entry->manifest));
  RK_TRY_ASSIGN(checkpoint::LoadedCheckpoint checkpoint,
                checkpoint::load_checkpoint(*holder, *found.entry));
  report.restored = true;
  report.epoch = checkpoint.manifest.epoch;
  report.directory = checkpoint.directory;
  RK_TRY_ASSIGN(report.migrated, migrate_slots(checkpoint, executor->program()));
  RK_TRY(adopt(std::move(checkpoint)));
  return report;
}

Result<void> Runtime::Impl::check_identity(const checkpoint::Manifest& manifest) const {
  for (const auto& [key, value] : options.checkpoint.identity) {
    const auto at = manifest.app.find(key);
    const std::string stored = at == manifest.app.end() ? "(nothing)" : at->second;
    if (stored != value) {
      return fail(ErrorCode::incompatible,
                  "the checkpoint in " + options.checkpoint.dir + " has " + key + " = " + stored +
                      ", this run has " + value +
                      "; use the same settings, another directory, or --fresh");
    }
  }
  return {};
}

Result<void> Runtime::Impl::adopt(checkpoint::LoadedCheckpoint checkpoint) {
  const ProgramInfo& program = executor->program();
  std::vector<ActorPlan> restored;
  const auto add = [&](ActorId id, std::uint64_t region, const checkpoint::SlotRow& row,
                       std::uint16_t flags) -> Result<void> {
    ActorPlan actor{id, 0, static_cast<std::uint32_t>(program.types.size()), row.field_bytes,
                    flags};
    for (std::uint32_t t = 0; t < program.types.size(); ++t) {
      if (checkpoint::region_id(program.types[t].name) == region) actor.type = t;
    }
    if (actor.type == program.types.size()) {
      return fail(ErrorCode::incompatible,
                  "the checkpoint holds an actor type that this program does not have");
    }
    restored.push_back(actor);
    return {};
  };
  for (const checkpoint::LoadedSlot& slot : checkpoint.slots)
    RK_TRY(add(slot.id, slot.type_region, slot.row, static_cast<std::uint16_t>(slot.row.flags)));
  for (const checkpoint::Grave& grave : checkpoint.graves)
    RK_TRY(add(grave.id, grave.type_region, grave.row, kSlotFree | kSlotGrave));
  RK_TRY(check_messages(checkpoint, program, restored));

  std::span<const std::byte> host = checkpoint.host_state;
  HostStateHeader header{};
  if (host.size() < sizeof(header))
    return fail(ErrorCode::corrupt, "the checkpoint's host state is cut short");
  std::memcpy(&header, host.data(), sizeof(header));
  if (header.version < 1 || header.version > 2)
    return fail(ErrorCode::incompatible, "the checkpoint's host state has another version");
  host = host.subspan(sizeof(header));
  if (header.version == 2) {
    HostStateMail mail{};
    if (host.size() < sizeof(mail))
      return fail(ErrorCode::corrupt, "the checkpoint's host state is cut short");
    std::memcpy(&mail, host.data(), sizeof(mail));
    host = host.subspan(sizeof(mail));
    if (host.size() < mail.letter_bytes)
      return fail(ErrorCode::corrupt, "the checkpoint's host state is cut short");
    asks.restore(mail.correlation);
    RK_TRY(letters.decode(host.first(mail.letter_bytes)));
    host = host.subspan(mail.letter_bytes);
  }
  if (load_app) {
    RK_TRY(load_app(host));
  } else if (!host.empty()) {
    return fail(ErrorCode::incompatible,
                "the checkpoint holds application state, but no on_cut load is registered");
  }
  for (const checkpoint::LoadedMessage& output : checkpoint.outputs) {
    restored_outputs.emplace_back(output.slot.begin(), output.slot.end());
  }
  actors = std::move(restored);
  host_source_sequence = header.source_sequence;
  options.seed = checkpoint.manifest.seed;
  run_id = checkpoint.manifest.run_id;
  loaded = std::move(checkpoint);
  return {};
}

/// Free places up to what reserve() asked for.
Result<void> Runtime::Impl::add_spare_places() {
  const auto& types = executor->program().types;
  std::vector<std::uint32_t> count(types.size());
  std::uint32_t next = 0;
  for (const ActorPlan& actor : actors) {
    ++count[actor.type];
    next = std::max(next, actor.id.index() + 1);
  }
  for (std::uint32_t type = 0; type < reserves.size(); ++type) {
    const std::uint32_t field = types[type].trail.trail_bytes(reserves[type].field_bytes);
    for (; count[type] < reserves[type].count; ++count[type]) {
      if (next >= kMaxActors)
        return fail(ErrorCode::invalid_argument,
                    "more than " + std::to_string(kMaxActors) + " places");
      actors.push_back({ActorId::make(next++, 0), 0, type, field, kSlotFree});
    }
  }
  return {};
}

namespace {
/// Worker of the actor that is number `i` of `count` of its type. The hash is the finalizer of
/// MurmurHash3 (A. Appleby, 2011).
std::uint32_t worker_for(Placement placement, ActorId id, std::uint32_t i, std::uint32_t count,
                         std::uint32_t workers) {
  const auto share = [workers](std::uint64_t part, std::uint64_t whole) {
    return static_cast<std::uint32_t>(part * workers / whole);
  };
  switch (placement) {
    case Placement::spread: return i % workers;
    case Placement::hashed: {
      std::uint32_t x = id.index();
      x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
      x = (x ^ (x >> 13)) * 0xC2B2AE35u;
      return share(x ^ (x >> 16), std::uint64_t{1} << 32);
    }
    default: return share(i, count);
  }
}
}  // namespace

/// Spreads each type over all workers, so that types do not end up on workers of their own; the
/// free places apart.
void Runtime::Impl::place_actors() {
  const std::size_t types = executor->program().types.size();
  std::vector<std::uint32_t> count(2 * types);
  std::vector<std::uint32_t> next(2 * types);
  const auto kind = [&](const ActorPlan& actor) {
    return actor.type + ((actor.flags & kSlotFree) != 0 ? types : 0);
  };
  for (const ActorPlan& actor : actors) ++count[kind(actor)];
  for (ActorPlan& actor : actors) {
    const std::uint32_t i = next[kind(actor)]++;
    actor.worker = worker_for(options.placement, actor.id, i, count[kind(actor)], workers);
  }
}

/// Colours are 16 bits wide: a run starts right below the epochs it will use, not at 0.
Result<std::uint32_t> Runtime::Impl::first_epoch() {
  std::uint64_t epoch = loaded ? loaded->manifest.epoch : 0;
  if (directory) {
    RK_TRY_ASSIGN(const std::uint64_t next, tiers ? tiers->next_epoch() : directory->next_epoch());
    epoch = std::max(epoch, next - 1);
  }
  return static_cast<std::uint32_t>(epoch);
}

namespace {

/// What others depend on comes first, whose order per pair and lane stays: timers, because an
/// answer is looked up among them, then the control lane, because it ends suspensions. Of timers
/// there may be more than a worker had before.
void order_replay(SystemPlan& plan) {
  const auto is_timer = [](const ReplayMessage& message) {
    Route route;
    std::memcpy(&route, message.slot.data() + message.slot.size() - sizeof(route), sizeof(route));
    return route.message_kind() >= MessageKind::timer_us;
  };
  const auto is_control = [](const ReplayMessage& message) {
    MessageHeader header;
    std::memcpy(&header, message.slot.data(), sizeof(header));
    return (header.flags & kFlagControl) != 0;
  };
  std::size_t most = 0;
  for (auto& list : plan.replay) {
    const auto others = std::stable_partition(list.begin(), list.end(), is_timer);
    most = std::max(most, static_cast<std::size_t>(others - list.begin()));
    std::stable_partition(others, list.end(), is_control);
  }
  if (most != 0) plan.capacity.timer_slots += static_cast<std::uint32_t>(most);
}

}  // namespace

Result<SystemPlan> Runtime::Impl::make_plan() {
  RK_TRY(add_spare_places());
  place_actors();
  SystemPlan plan;
  plan.workers = workers;
  plan.capacity = options.capacity;
  plan.seed = options.seed;
  plan.background_percent = options.background_percent;
  plan.telemetry = options.telemetry;
  plan.movable = options.rebalance.enabled;
  plan.page_hashes = directory && options.checkpoint.full_every > 1;
  plan.actors = actors;
  plan.replay.resize(workers);
  RK_TRY_ASSIGN(plan.base_epoch, first_epoch());
  if (!loaded) return plan;
  plan.base_hlc = loaded->max_hlc;
  std::vector<std::uint32_t> worker_of;
  for (const ActorPlan& actor : actors) {
    if (worker_of.size() <= actor.id.index()) worker_of.resize(actor.id.index() + 1);
    worker_of[actor.id.index()] = actor.worker;
  }
  for (const checkpoint::LoadedMessage& message : loaded->messages) {
    MessageHeader header;
    std::memcpy(&header, message.slot.data(), sizeof(header));
    // a timer in steps waits with the actor whose steps it counts
    Route route;
    std::memcpy(&route, message.slot.data() + message.slot.size() - sizeof(route), sizeof(route));
    const ActorId at = route.message_kind() == MessageKind::timer_steps ? header.src : header.dst;
    // a message to an actor that no longer exists becomes a dead letter on worker 0, and a worker
    // that no longer exists is another one now
    const std::uint32_t worker = is_worker_address(at)           ? at.generation() % workers
                                 : at.index() < worker_of.size() ? worker_of[at.index()]
                                                                 : 0;
    plan.replay[worker].push_back({message.slot, message.block});
  }
  order_replay(plan);
  return plan;
}

void Runtime::Impl::fill_slot(std::size_t i, SlotHeader& header, std::byte* state,
                              std::byte* field) {
  if (!loaded) {
    SpawnGroup& group = groups[group_of[i]];
    const TrailLayout& layout = executor->program().types[header.type].trail;
    group.init(static_cast<std::uint32_t>(i) - group.first, state,
               {field, layout.field_bytes(header.field_bytes)});
    if (layout.has_lifeline()) Trail(header, layout).begin(group.policy);
    return;
  }
  if (i >= loaded->slots.size()) {
    header.source_sequence = loaded->graves[i - loaded->slots.size()].row.source_sequence;
    return;
  }
  const checkpoint::LoadedSlot& slot = loaded->slots[i];
  header.source_sequence = slot.row.source_sequence;
  header.handled = slot.row.handled;
  header.hlc = slot.row.hlc;
  std::memcpy(state, slot.state.data(), slot.state.size());
  if (!slot.field.empty()) std::memcpy(field, slot.field.data(), slot.field.size());
}

Result<void> Runtime::Impl::start(bool paused) {
  if (phase == Phase::running) return {};
  if (phase == Phase::failed) return unexpected(*start_error);
  if (phase == Phase::stopped)
    return fail(ErrorCode::closed, "this runtime was stopped; create another one");
  if (actors.empty() && reserves.empty())
    return fail(ErrorCode::invalid_argument,
                "there are no actors: spawn some, or restore a checkpoint");
  if (options.checkpoint.every_steps != 0 && !steps) {
    return fail(ErrorCode::invalid_argument,
                "this application counts no steps (on_steps): save by time or by messages");
  }
  RK_TRY_ASSIGN(const SystemPlan plan, make_plan());
  auto up = bring_up(plan, paused);
  if (!up) {
    // memory is taken, perhaps the image is half written: this runtime cannot be tried again
    start_error = up.error();
    phase = Phase::failed;
  }
  return up;
}

Result<void> Runtime::Impl::bring_up(const SystemPlan& plan, bool paused) {
  RK_TRY_ASSIGN(placed,
                build_system(*executor, plan,
                             [this](std::size_t i, SlotHeader& header, std::byte* state,
                                    std::byte* field) { fill_slot(i, header, state, field); }));
  system = placed.host_view();
  std::vector<std::uint64_t> replayed;
  for (const auto& list : plan.replay) replayed.push_back(list.size());
  lane = std::make_unique<HostLane>(system, replayed, host_source_sequence);

  // nothing comes there that was not asked for
  Polling drain_polling = options.polling;
  drain_polling.longest =
      std::max(drain_polling.longest, checkpoint::DrainOptions{}.polling.longest);
  checkpoint::DrainFacts facts;
  facts.executor = executor->name();
  facts.run_id = run_id;
  facts.seed = options.seed;
  RK_TRY_ASSIGN(drain, checkpoint::Drain::create(
                           *executor, system, directory ? &*directory : nullptr, std::move(facts),
                           {.writers = options.checkpoint.writers,
                            .compression = options.checkpoint.compression,
                            .polling = drain_polling},
                           [this](std::uint32_t request, std::span<const std::byte> slot) {
                             const std::lock_guard lock(mutex);
                             if (request != read_request) return;
                             read_bytes.assign(slot.begin(), slot.end());
                             read_reply = request;
                             changed.notify_all();
                           }));
  loaded.reset();
  groups.clear();
  group_of.clear();
  lane->set_clock_offset(executor->clock_offset_us());
  (void)set_run_state(paused ? RunState::paused : RunState::running);
  feed_state = feed ? FeedState::more : FeedState::ended;
  idle.set(options.polling);
  policy = checkpoint::Policy({.every = options.checkpoint.every,
                               .every_messages = options.checkpoint.every_messages,
                               .every_steps = options.checkpoint.every_steps,
                               .mtbf = options.checkpoint.mtbf},
                              progress());
  if (tiers) RK_TRY(tiers->start(run_id));
  if (!executor->device_is_host_addressable() && placed.telemetry_bytes != 0) {
    RK_TRY_ASSIGN(telemetry_staging, executor->allocate_staging(placed.telemetry_bytes));
  }
  RK_TRY(executor->launch(placed.device));
  started_us = wall_clock_us();
  phase = Phase::running;
  try {
    service = std::thread([this] { serve(); });
  } catch (const std::system_error& error) {
    (void)stop();
    return fail(ErrorCode::no_space, std::string("cannot start a thread: ") + error.what());
  }
  return {};
}

}  // namespace rk
