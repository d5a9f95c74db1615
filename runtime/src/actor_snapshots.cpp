#include <ringkernel/runtime/actor_snapshots.hpp>

#include <ringkernel/checkpoint/location.hpp>
#include <ringkernel/checkpoint/manager.hpp>
#include <ringkernel/hlc/timestamp.hpp>
#include <ringkernel/runtime/runtime.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

namespace rk {

using checkpoint::CheckpointManager;
using checkpoint::SnapshotRequest;
using checkpoint::SnapshotResponse;
using std::chrono::nanoseconds;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr std::string_view kVersionKey = "type_version";
constexpr std::string_view kGenerationKey = "actor_generation";
constexpr auto kLongestSleep = std::chrono::hours(1);

/// A slot as the device sent it, or why there is none, as the reply to a request.
SnapshotResponse make_response(const SnapshotRequest& request, std::uint32_t version,
                               Result<std::vector<std::byte>> slot) {
  SnapshotResponse response{.request_id = request.request_id, .actor_slot = request.actor_slot};
  if (!slot) {
    response.success = false;
    response.message = slot.error().message;
    return response;
  }
  auto* header = reinterpret_cast<SlotHeader*>(slot->data());
  const std::byte* state = slot_state(header);
  const std::byte* field = slot_field(header);
  response.data.assign(state, state + header->state_bytes);
  response.field.assign(field, field + header->field_bytes);
  response.step = header->handled;
  const hlc::Timestamp stamp{header->hlc};
  response.hlc = {.physical = stamp.physical_us(), .logical = stamp.logical(), .node = 0};
  response.custom = {{std::string(kVersionKey), std::to_string(version)},
                     {std::string(kGenerationKey), std::to_string(header->id.generation())}};
  return response;
}

nanoseconds now() { return SteadyClock::now().time_since_epoch(); }

}  // namespace

struct ActorSnapshots::Impl {
  struct Watched {
    ActorId actor;
    std::uint32_t version = 1;
  };

  Impl(Runtime& of, CheckpointManager made, std::unique_ptr<checkpoint::StorageLock> lock)
      : runtime(of), storage_lock(std::move(lock)), manager(std::move(made)) {}

  void serve();
  Result<std::string> take(const SnapshotRequest& request, const Watched& watched,
                           std::unique_lock<std::mutex>& lock);

  Runtime& runtime;
  std::unique_ptr<checkpoint::StorageLock> storage_lock;
  mutable std::mutex mutex;
  std::condition_variable changed;
  // guarded by `mutex`
  CheckpointManager manager;
  std::map<std::uint32_t, Watched> watched;
  std::string last_name;
  bool is_failing = false;  ///< and said so
  bool is_stopping = false;
  std::thread thread;
};

/// Reads without the lock, saves with it.
Result<std::string> ActorSnapshots::Impl::take(const SnapshotRequest& request, const Watched& of,
                                               std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  SnapshotResponse response = make_response(request, of.version, runtime.read_slot(of.actor));
  lock.lock();
  auto saved = manager.complete(std::move(response), now(), wall_clock_us());
  changed.notify_all();
  if (!saved) return unexpected(saved.error());
  for (const checkpoint::SkippedFile& file : saved->not_removed) {
    std::fprintf(stderr, "ringkernel: an old snapshot stays: %s\n", file.error.message.c_str());
  }
  last_name = saved->name;
  is_failing = false;
  return saved->name;
}

void ActorSnapshots::Impl::serve() {
  std::unique_lock lock(mutex);
  while (!is_stopping) {
    for (const SnapshotRequest& request : manager.poll_due(now())) {
      if (is_stopping) return;
      const auto at = watched.find(request.actor_slot);
      if (at == watched.end()) continue;  // unwatched meanwhile, and with it the request
      const auto name = take(request, Watched(at->second), lock);
      // not found: the request was cancelled meanwhile
      if (name || name.error().code == ErrorCode::not_found || is_failing) continue;
      is_failing = true;
      std::fprintf(stderr, "ringkernel: snapshot failed: %s\n", name.error().message.c_str());
    }
    if (is_stopping) return;  // it may have come while the lock was not held
    const auto longest = now() + kLongestSleep;
    const auto next = std::min(manager.next_due().value_or(longest), longest);
    changed.wait_until(lock, SteadyClock::time_point(std::max(next, nanoseconds(0))));
  }
}

ActorSnapshots::ActorSnapshots(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ActorSnapshots::~ActorSnapshots() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->is_stopping = true;
  }
  impl_->changed.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

Result<std::unique_ptr<ActorSnapshots>> ActorSnapshots::start(Runtime& runtime,
                                                              ActorSnapshotOptions options) {
  if (options.storage == nullptr) {
    if (options.dir.empty()) return fail(ErrorCode::invalid_argument, "snapshots need a directory");
    RK_TRY_ASSIGN(options.storage, checkpoint::open_storage(options.dir));
  }
  if (options.every.count() <= 0)
    return fail(ErrorCode::invalid_argument, "the interval between snapshots must be positive");
  RK_TRY_ASSIGN(
      CheckpointManager manager,
      CheckpointManager::create(
          checkpoint::CheckpointStore(options.storage),
          {.interval = options.every, .keep = options.keep, .prefix = std::move(options.prefix)}));
  RK_TRY(options.storage->create_root());
  RK_TRY_ASSIGN(auto lock, options.storage->lock());
  auto impl = std::make_unique<Impl>(runtime, std::move(manager), std::move(lock));
  Impl* serving = impl.get();
  std::unique_ptr<ActorSnapshots> snapshots(new ActorSnapshots(std::move(impl)));
  try {
    serving->thread = std::thread([serving] { serving->serve(); });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::no_space, std::string("cannot start a thread: ") + error.what());
  }
  return snapshots;
}

Result<void> ActorSnapshots::watch(ActorId actor, std::optional<nanoseconds> every) {
  if (every && every->count() < 0)
    return fail(ErrorCode::invalid_argument, "the interval between snapshots is negative");
  RK_TRY_ASSIGN(const ActorTypeInfo type, impl_->runtime.type_of(actor));
  if (every && every->count() == 0) every = CheckpointManager::kOnDemand;
  const std::lock_guard lock(impl_->mutex);
  impl_->watched[actor.index()] = {.actor = actor, .version = type.version};
  impl_->manager.register_actor(actor.index(), "actor_" + std::to_string(actor.index()), type.name,
                                every);
  impl_->changed.notify_all();
  return {};
}

bool ActorSnapshots::unwatch(ActorId actor) {
  const std::lock_guard lock(impl_->mutex);
  impl_->watched.erase(actor.index());
  impl_->changed.notify_all();
  return impl_->manager.unregister_actor(actor.index());
}

Result<std::string> ActorSnapshots::snapshot(ActorId actor) {
  std::unique_lock lock(impl_->mutex);
  for (;;) {
    const auto at = impl_->watched.find(actor.index());
    if (at == impl_->watched.end() || !(at->second.actor == actor))
      return fail(ErrorCode::not_found, "watch() this actor before taking its snapshot");
    auto request = impl_->manager.request_snapshot(actor.index(), now());
    if (request) return impl_->take(*request, Impl::Watched(at->second), lock);
    if (request.error().code != ErrorCode::would_block) return unexpected(request.error());
    // one is under way, but it may be of a moment before this call; bounded by the reply's timeout
    impl_->changed.wait_for(lock, std::chrono::milliseconds(100));
  }
}

Result<ActorSnapshot> ActorSnapshots::load_latest(ActorId actor) {
  const std::lock_guard lock(impl_->mutex);
  RK_TRY_ASSIGN(const auto latest, impl_->manager.load_latest(actor.index()));
  ActorSnapshot snapshot;
  snapshot.name = latest.name;
  for (const checkpoint::SkippedFile& file : latest.skipped)
    snapshot.skipped.push_back(file.name + ": " + file.error.message);
  if (!latest.checkpoint) {
    return fail(ErrorCode::not_found,
                "there is no readable snapshot of actor " + std::to_string(actor.index()) +
                    (snapshot.skipped.empty() ? "" : "; damaged: " + snapshot.skipped.front()));
  }
  const checkpoint::Metadata& metadata = latest.checkpoint->metadata();
  const checkpoint::Chunk* state = latest.checkpoint->find_region(CheckpointManager::kStateRegion);
  if (state == nullptr)
    return fail(ErrorCode::corrupt, latest.name + " holds no state of an actor");
  snapshot.type = metadata.kernel_type;
  snapshot.handled = metadata.step;
  if (const auto version = metadata.custom.find(std::string(kVersionKey));
      version != metadata.custom.end())
    snapshot.version =
        static_cast<std::uint32_t>(std::strtoul(version->second.c_str(), nullptr, 10));
  snapshot.state = state->data;
  if (const auto* field = latest.checkpoint->find_region(CheckpointManager::kFieldRegion))
    snapshot.field = field->data;
  return snapshot;
}

ActorSnapshotStats ActorSnapshots::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return {.completed = impl_->manager.completed_count(),
          .failed = impl_->manager.failed_count(),
          .pending = impl_->manager.pending_count(),
          .last_name = impl_->last_name,
          .last_failure = impl_->manager.last_failure()};
}

}  // namespace rk
