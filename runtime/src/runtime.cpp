#include <ringkernel/runtime/runtime.hpp>

#include <ringkernel/checkpoint/content_digest.hpp>
#include <ringkernel/checkpoint/regions.hpp>
#include <ringkernel/runtime/mutant.hpp>

#include <algorithm>
#include <cstring>

#include "migration.hpp"
#include "runtime_impl.hpp"

namespace rk {
namespace {

constexpr auto kReadTimeout = std::chrono::seconds(30);
constexpr auto kJoinTimeout = std::chrono::seconds(30);
constexpr auto kPoll = std::chrono::milliseconds(2);

Result<void> check_rebalance(const RebalanceOptions& rebalance) {
  if (rebalance.every.count() < 0)
    return fail(ErrorCode::invalid_argument, "rebalance.every is negative");
  if (rebalance.every.count() != 0 && !rebalance.enabled)
    return fail(ErrorCode::invalid_argument, "rebalance.every needs rebalance.enabled");
  // refuses what is not a number, too
  if (!(rebalance.threshold >= 1))
    return fail(ErrorCode::invalid_argument, "rebalance.threshold must be at least 1");
  return {};
}

}  // namespace

Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Runtime::~Runtime() = default;

Runtime::Impl::~Impl() {
  (void)stop();
  // their threads call back into members that are destroyed before them
  if (tiers) tiers->stop();
  metrics.reset();
  drain.reset();
}

Result<std::unique_ptr<Runtime>> Runtime::create(std::unique_ptr<Executor> executor,
                                                 RuntimeOptions options) {
  if (executor == nullptr) return fail(ErrorCode::invalid_argument, "an executor is needed");
  auto impl = std::make_unique<Impl>();
  impl->executor = std::move(executor);
  impl->options = std::move(options);
  impl->workers =
      impl->options.workers == 0 ? impl->executor->default_workers() : impl->options.workers;
  const std::uint32_t most = std::min(impl->executor->max_workers(), kMaxWorkers);
  if (impl->workers > most) {
    return fail(ErrorCode::invalid_argument,
                std::to_string(impl->workers) + " workers are too many: the " +
                    impl->executor->name() + " executor runs at most " + std::to_string(most));
  }
  RK_TRY(check_rebalance(impl->options.rebalance));
  RK_TRY_ASSIGN(impl->options.capacity, round_capacities(impl->options.capacity));
  RK_TRY(check_budgets(impl->executor->program(), impl->options.capacity));
  for (const ActorTypeInfo& type : impl->executor->program().types) {
    if (auto fault = checkpoint::regions_fault(type.regions, type.state_bytes); !fault.empty()) {
      return fail(ErrorCode::invalid_argument, "'" + type.name + "': " + fault);
    }
  }
  RK_TRY(impl->open_checkpoints());
  return std::unique_ptr<Runtime>(new Runtime(std::move(impl)));
}

Result<std::uint32_t> Runtime::Impl::type_index(std::uint64_t type_hash) const {
  const auto& types = executor->program().types;
  const auto type = std::find_if(types.begin(), types.end(),
                                 [&](const ActorTypeInfo& t) { return t.type_hash == type_hash; });
  if (type == types.end()) {
    return fail(
        ErrorCode::not_found,
        "the executor was not made for this actor type: name it in make_host_executor<...>()");
  }
  return static_cast<std::uint32_t>(type - types.begin());
}

Result<std::uint32_t> Runtime::spawn_actors(std::uint64_t type_hash, std::uint32_t count,
                                            SpawnOptions options, InitSlot init) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::created)
    return fail(ErrorCode::closed, "spawn() comes before start() and run()");
  if (impl.loaded)
    return fail(ErrorCode::invalid_argument, "the actors were restored; spawn() would add to them");
  const auto first = static_cast<std::uint32_t>(impl.actors.size());
  if (count > kMaxActors - first) {
    return fail(ErrorCode::invalid_argument, "more than " + std::to_string(kMaxActors) + " actors");
  }
  const auto& types = impl.executor->program().types;
  RK_TRY_ASSIGN(const std::uint32_t type_at, impl.type_index(type_hash));
  const auto type = types.begin() + type_at;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t field =
        options.field_bytes_of ? options.field_bytes_of(i) : options.field_bytes;
    if (slot_stride(type->state_bytes, type->trail.trail_bytes(field)) > kMaxSlotBytes) {
      return fail(
          ErrorCode::invalid_argument,
          "an actor takes at most 512 MiB with its field, because a checkpoint file holds 1 GiB");
    }
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t field =
        options.field_bytes_of ? options.field_bytes_of(i) : options.field_bytes;
    impl.actors.push_back({ActorId::make(first + i, 0), 0,
                           static_cast<std::uint32_t>(type - types.begin()),
                           type->trail.trail_bytes(field)});
  }
  impl.group_of.insert(impl.group_of.end(), count, static_cast<std::uint32_t>(impl.groups.size()));
  impl.groups.push_back({first, count, std::move(init), options.policy});
  return first;
}

void Runtime::on_output_bytes(std::uint8_t tag, OutputCallback callback) {
  impl_->outputs[tag] = std::move(callback);
}
void Runtime::on_cut(std::function<Result<std::vector<std::byte>>()> save,
                     std::function<Result<void>(std::span<const std::byte>)> load) {
  impl_->save_app = std::move(save);
  impl_->load_app = std::move(load);
}
void Runtime::on_steps(std::function<std::uint64_t()> steps) { impl_->steps = std::move(steps); }
void Runtime::on_feed(std::function<FeedState(Feed&)> feed) { impl_->feed = std::move(feed); }

Result<RestoreReport> Runtime::restore_latest() { return impl_->restore_latest(); }
Result<void> Runtime::start(bool paused) { return impl_->start(paused); }

std::uint32_t Runtime::Impl::set_run_state(RunState state) {
  const std::lock_guard lane_lock(lane->mutex);
  // whoever stands still goes on in this state
  if (!is_still) lane->set_run_state(state);
  const std::lock_guard lock(mutex);
  wanted_state = state;
  idle.ring();
  return lane->control_version();
}

/// Waits until every worker has obeyed a control version: handlers that ran under an older one have
/// returned.
Result<void> Runtime::Impl::wait_for_control(std::uint32_t version) const {
  const auto deadline = Clock::now() + kReadTimeout;
  for (std::uint32_t w = 0; w < workers; ++w) {
    std::uint32_t& seen = system.workers[w].status->control_version;
    // acquire: pairs with the worker's release of the version
    while (static_cast<std::int32_t>(load_acquire<Scope::system>(seen) - version) < 0) {
      if (Clock::now() > deadline) {
        return fail(
            ErrorCode::deadline_exceeded,
            "worker " + std::to_string(w) + " does not answer: its handler does not return");
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  return {};
}

Result<void> Runtime::pause() {
  if (impl_->phase != Impl::Phase::running) return fail(ErrorCode::closed, "nothing runs");
  return impl_->pause();
}
Result<void> Runtime::Impl::pause() { return wait_for_control(set_run_state(RunState::paused)); }

Result<void> Runtime::resume() {
  if (impl_->phase != Impl::Phase::running) return fail(ErrorCode::closed, "nothing runs");
  (void)impl_->set_run_state(RunState::running);
  return {};
}

Result<void> Runtime::step(std::uint64_t messages) {
  if (impl_->phase != Impl::Phase::running) return fail(ErrorCode::closed, "nothing runs");
  RK_TRY(impl_->pause());
  return impl_->step(messages);
}

Result<void> Runtime::Impl::step(std::uint64_t messages) {
  const auto request_step = [this](std::uint64_t budget) {
    const std::lock_guard lane_lock(lane->mutex);
    const std::uint32_t request = ++last_step;
    lane->request_step(request, budget);
    return std::pair(request, lane->control_version());
  };
  const auto [request, version] = request_step(messages);
  RK_TRY(wait_for_control(version));
  {
    // what stood still before the step says nothing about after it
    const std::lock_guard lane_lock(lane->mutex);
    const std::lock_guard lock(mutex);
    marks.clear();
    settled = false;
  }
  steppers.fetch_add(1, std::memory_order_relaxed);  // relaxed: the bell publishes it
  idle.ring();
  auto settling = wait_until_settled(request);
  steppers.fetch_sub(1, std::memory_order_relaxed);
  RK_TRY(std::move(settling));
  // what is left of the budget must not let a later message through
  return wait_for_control(request_step(0).second);
}

/// Returns when every worker has used up its budget, or nothing moves any more.
Result<void> Runtime::Impl::wait_until_settled(std::uint32_t step) const {
  const auto deadline = Clock::now() + kReadTimeout;
  for (;;) {
    bool done = true;
    for (std::uint32_t w = 0; w < workers; ++w) {
      done &= load_acquire<Scope::system>(system.workers[w].status->step_done) == step;
    }
    {
      const std::lock_guard lock(mutex);
      if (failure) return unexpected(*failure);
      if (done || settled) return {};
    }
    if (Clock::now() > deadline) {
      return fail(ErrorCode::deadline_exceeded, "the step did not end: a handler does not return");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

Result<void> Runtime::stop() { return impl_->stop(); }

Result<void> Runtime::Impl::stop() {
  if (phase != Phase::running) return {};
  // a checkpoint on its way out is worth waiting for; the service thread brings it to an outcome or
  // its deadline, and begins no other
  store_relaxed<Scope::system>(closing, 1u);  // relaxed: a mere wish
  const auto deadline = Clock::now() + options.checkpoint.deadline + kJoinTimeout;
  while (!drain->idle() && Clock::now() < deadline) std::this_thread::sleep_for(kPoll);
  store_release<Scope::system>(service_stop, 1u);  // release: pairs with serve()'s acquire
  idle.ring();
  if (service.joinable()) service.join();
  if (cut_in_work) {
    if (auto outcome = drain->take_outcome()) finish_checkpoint(std::move(*outcome));
  }
  stop_tiers();
  (void)set_run_state(RunState::stopping);
  auto joined = executor->join(kJoinTimeout);
  drain->stop();
  if (!joined) {
    start_error = joined.error();
    const std::lock_guard lock(mutex);
    phase = Phase::failed;
    changed.notify_all();
    return joined;
  }
  phase = Phase::stopped;
  const std::lock_guard lane_lock(lane->mutex);
  for (const auto& queues : subscribers) {
    for (const auto& queue : queues) queue->close();
  }
  asks.close(Error{ErrorCode::closed, 0, "the runtime stopped before an answer came"});
  (void)scan_counters();
  const std::lock_guard lock(mutex);
  totals.sent = totals.received = 0;
  for (const Mark& mark : marks) {
    totals.sent += mark.sent;
    totals.received += mark.received;
  }
  totals.in_flight = totals.sent - totals.received;
  totals.host_sent = marks[workers].sent;
  totals.host_received = marks[workers].received;
  changed.notify_all();
  return audit();
}

Result<void> Runtime::send_bytes(ActorId to, std::uint8_t tag, const std::byte* payload,
                                 std::uint32_t bytes) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running)
    return fail(ErrorCode::closed, "send() needs running workers: start() or run() first");
  if constexpr (planted(Mutant::no_lane_lock)) {
    const auto colour = static_cast<std::uint16_t>(impl.lane->epoch());
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    const std::lock_guard lock(impl.lane->mutex);
    return impl.lane->send_coloured(colour, {.to = to, .tag = tag}, payload, bytes);
  }
  const std::lock_guard lock(impl.lane->mutex);
  impl.idle.ring();  // an output may come of it soon
  return impl.lane->send({.to = to, .tag = tag}, payload, bytes);
}

Result<void> Runtime::atomically(const std::function<Result<void>(Feed&)>& f) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running)
    return fail(ErrorCode::closed, "atomically() needs running workers: start() first");
  if constexpr (planted(Mutant::no_lane_lock)) {
    const auto colour = static_cast<std::uint16_t>(impl.lane->epoch());
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    const std::lock_guard lock(impl.lane->mutex);
    LaneFeed feed(*impl.lane, colour);
    return f(feed);
  }
  const std::lock_guard lock(impl.lane->mutex);
  impl.idle.ring();
  LaneFeed feed(*impl.lane);
  return f(feed);
}

const ActorEntry* Runtime::Impl::find(ActorId actor) const {
  if (actor.index() >= placed.actors.size()) return nullptr;
  const ActorEntry& entry = placed.actors[actor.index()];
  // generations only grow: an older one than at the start is dead for certain
  const bool is_older = entry.generation != kNoGeneration && actor.generation() < entry.generation;
  return entry.slot != nullptr && !is_older ? &entry : nullptr;
}

Result<ActorTypeInfo> Runtime::type_of(ActorId actor) const {
  const auto& actors = impl_->actors;
  auto at = actors.begin();
  const auto is_its_place = [&](const ActorPlan& plan) {
    return plan.id.index() == actor.index() && plan.id.generation() <= actor.generation();
  };
  if (actor.index() < actors.size() && is_its_place(actors[actor.index()])) {
    at += actor.index();  // where spawn puts it
  } else {
    at = std::find_if(at, actors.end(), is_its_place);
  }
  if (at == actors.end())
    return fail(ErrorCode::not_found, "no actor has the id " + std::to_string(actor.word));
  return impl_->executor->program().types[at->type];
}

Result<std::vector<std::byte>> Runtime::read_slot(ActorId actor) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running && impl.phase != Impl::Phase::stopped)
    return fail(ErrorCode::closed, "read() comes after start()");
  const auto is_known = [&] {
    const std::lock_guard lock(impl.lane->mutex);
    return impl.find(actor) != nullptr;
  };
  if (!is_known())
    return fail(ErrorCode::not_found, "no actor has the id " + std::to_string(actor.word));
  return impl.phase == Impl::Phase::running ? impl.read_running(actor) : impl.read_stopped(actor);
}

Result<std::vector<std::byte>> Runtime::read_typed(ActorId actor, std::uint64_t type_hash) {
  RK_TRY_ASSIGN(std::vector<std::byte> bytes, read_slot(actor));
  SlotHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const ActorTypeInfo& type = impl_->executor->program().types[header.type];
  if (type.type_hash != type_hash) {
    return fail(ErrorCode::invalid_argument,
                "actor " + std::to_string(actor.index()) + " is a '" + type.name + "'");
  }
  return bytes;
}

Result<std::vector<std::byte>> Runtime::Impl::read_running(ActorId actor) {
  {
    // or readers who never pause would keep an actor from moving for ever
    std::unique_lock lock(mutex);
    changed.wait_for(lock, kReadTimeout, [&] { return !reads_held; });
  }
  const std::lock_guard one_at_a_time(read_mutex);
  std::uint32_t request = 0;
  {
    const std::lock_guard lane_lock(lane->mutex);
    const std::lock_guard lock(mutex);
    request = ++read_request;
    lane->request_read(request, actor);
  }
  drain->expect_read();
  std::unique_lock lock(mutex);
  const auto is_over = [&] { return read_reply == request || phase != Phase::running; };
  if (!changed.wait_for(lock, kReadTimeout, is_over)) {
    return fail(ErrorCode::deadline_exceeded,
                "the worker does not answer: its handler does not return");
  }
  if (read_reply != request) {  // stopped meanwhile: nobody answers, and nobody writes any more
    lock.unlock();
    if (phase == Phase::stopped) return read_stopped(actor);
    return fail(ErrorCode::closed, "the runtime failed while it stopped");
  }
  SlotHeader header;
  if (read_bytes.size() >= sizeof(header)) std::memcpy(&header, read_bytes.data(), sizeof(header));
  if (read_bytes.size() < sizeof(header) || header.id.index() != actor.index()) {
    return fail(ErrorCode::corrupt, "the copy of the actor was damaged on its way; read it again");
  }
  RK_TRY(check_alive(read_bytes, actor));
  return std::move(read_bytes);
}

Result<std::vector<std::byte>> Runtime::Impl::read_stopped(ActorId actor) {
  RK_TRY_ASSIGN(auto bytes, read_place(*find(actor)));
  RK_TRY(check_alive(bytes, actor));
  return bytes;
}

/// not_found unless the slot is the actor's.
Result<void> Runtime::Impl::check_alive(std::span<const std::byte> slot, ActorId actor) {
  SlotHeader header;
  std::memcpy(&header, slot.data(), sizeof(header));
  if (header.id == actor && (header.flags & kSlotFree) == 0) return {};
  return fail(ErrorCode::not_found, "no living actor has the id " + std::to_string(actor.word));
}

Result<std::vector<std::byte>> Runtime::Impl::read_place(const ActorEntry& entry) {
  const auto* from = reinterpret_cast<const std::byte*>(entry.slot);
  SlotHeader header;
  RK_TRY(executor->read(reinterpret_cast<std::byte*>(&header), from, sizeof(header)));
  std::vector<std::byte> bytes(slot_stride(header.state_bytes, header.field_bytes));
  RK_TRY(executor->read(bytes.data(), from, bytes.size()));
  return bytes;
}

Result<CheckpointCost> Runtime::checkpoint_now() {
  if (!impl_->directory)
    return fail(ErrorCode::invalid_argument, "no checkpoint directory was given");
  RK_TRY(impl_->start(false));
  return impl_->checkpoint_now();
}

Result<CheckpointCost> Runtime::Impl::checkpoint_now() {
  std::unique_lock lock(mutex);
  const std::uint64_t ticket = ++checkpoint_wanted;
  idle.ring();
  // bounded: every checkpoint reaches an outcome by its deadline, and an older one may be in work
  const auto limit = 2 * options.checkpoint.deadline + std::chrono::minutes(10);
  if (!changed.wait_for(lock, limit, [&] { return checkpoint_done >= ticket; })) {
    return fail(ErrorCode::deadline_exceeded,
                "the checkpoint did not become durable; is the storage hanging?");
  }
  return *last_outcome;
}

void Runtime::request_checkpoint() { store_relaxed<Scope::system>(impl_->checkpoint_request, 1u); }
void Runtime::request_stop() { store_relaxed<Scope::system>(impl_->stop_request, 1u); }

RuntimeStats Runtime::stats() const {
  const Impl& impl = *impl_;
  RuntimeStats stats;
  {
    const std::lock_guard lock(impl.mutex);
    stats = impl.totals;
  }
  impl.add_tier_stats(stats);
  if (impl.system.workers == nullptr) return stats;
  for (std::uint32_t w = 0; w < impl.workers; ++w) {
    WorkerStatus& status = *impl.system.workers[w].status;
    stats.dead += load_relaxed<Scope::system>(status.dead);
    stats.live += load_relaxed<Scope::system>(status.live);
    stats.timers += load_relaxed<Scope::system>(status.timers);
    stats.stashed_total += load_relaxed<Scope::system>(status.stash_total);
    stats.full_inbox_total += load_relaxed<Scope::system>(status.full_inbox_total);
    stats.stalls += load_relaxed<Scope::system>(impl.system.workers[w].stream_words->stalls);
    stats.stalled_ticks +=
        load_relaxed<Scope::system>(impl.system.workers[w].stream_words->stalled_ticks);
  }
  return stats;
}

std::uint32_t Runtime::workers() const { return impl_->workers; }
std::string Runtime::executor_name() const { return impl_->executor->name(); }
std::vector<CheckpointCost> Runtime::checkpoint_costs() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->costs;
}

Result<void> Runtime::for_each_slot(
    const std::function<void(const SlotHeader&, std::span<const std::byte>,
                             std::span<const std::byte>)>& visit) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::stopped)
    return fail(ErrorCode::closed, "for_each_slot() comes after stop()");
  const auto& types = impl.executor->program().types;
  for (const ActorEntry& entry : impl.placed.actors) {
    if (entry.slot == nullptr) continue;
    RK_TRY_ASSIGN(std::vector<std::byte> bytes, impl.read_place(entry));
    auto* slot = reinterpret_cast<SlotHeader*>(bytes.data());
    if ((slot->flags & kSlotFree) != 0) continue;
    visit(*slot, {slot_state(slot), slot->state_bytes},
          {slot_field(slot), types[slot->type].trail.field_bytes(slot->field_bytes)});
  }
  return {};
}

Result<std::string> Runtime::state_digest() {
  const auto& types = impl_->executor->program().types;
  checkpoint::ContentDigest digest;
  RK_TRY(for_each_slot([&](const SlotHeader& slot, std::span<const std::byte> state,
                           std::span<const std::byte> field) {
    digest.add_slot({.id = slot.id,
                     .type_name = types[slot.type].name,
                     .version = types[slot.type].version,
                     .source_sequence = slot.source_sequence,
                     .handled = slot.handled,
                     .flags = static_cast<std::uint32_t>(slot.flags & checkpoint::kKeptSlotFlags),
                     .state = state,
                     .field = field});
  }));
  return to_hex(digest.value());
}

}  // namespace rk
