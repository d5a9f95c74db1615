#include <ringkernel/checkpoint/manager.hpp>

#include <algorithm>

namespace rk::checkpoint {

using std::chrono::nanoseconds;

Result<CheckpointManager> CheckpointManager::create(CheckpointStore store, ManagerOptions options) {
  if (!is_valid_name(options.prefix)) {
    return fail(ErrorCode::invalid_argument,
                "'" + options.prefix +
                    "' is no prefix for snapshots: use A-Z a-z 0-9 . _ - without a leading dot");
  }
  if (options.interval.count() < 0 || options.reply_timeout.count() <= 0) {
    return fail(ErrorCode::invalid_argument,
                "the interval must not be negative, and replies need some time");
  }
  return CheckpointManager(std::move(store), std::move(options));
}

void CheckpointManager::register_actor(std::uint32_t slot, std::string kernel_id,
                                       std::string kernel_type,
                                       std::optional<nanoseconds> interval) {
  Actor& actor = actors_[slot];
  actor.kernel_id = std::move(kernel_id);
  actor.kernel_type = std::move(kernel_type);
  actor.interval = interval.value_or(options_.interval);
}

bool CheckpointManager::unregister_actor(std::uint32_t slot) {
  const auto at = actors_.find(slot);
  if (at == actors_.end()) return false;
  if (at->second.request) (void)cancel(*at->second.request);
  actors_.erase(at);
  return true;
}

SnapshotRequest CheckpointManager::ask(std::uint32_t slot, Actor& actor, nanoseconds now) {
  const SnapshotRequest request{
      .request_id = next_request_id_++, .actor_slot = slot, .issued_at = now};
  asked_before_[request.request_id] = actor.asked_at;
  actor.asked_at = now;
  actor.request = request.request_id;
  pending_[request.request_id] = request;
  return request;
}

void CheckpointManager::end_overdue(nanoseconds now) {
  std::vector<SnapshotRequest> overdue;
  for (const auto& [id, request] : pending_) {
    if (now - request.issued_at >= options_.reply_timeout) overdue.push_back(request);
  }
  for (const SnapshotRequest& request : overdue) {
    actors_.at(request.actor_slot).request.reset();
    pending_.erase(request.request_id);
    asked_before_.erase(request.request_id);
    (void)count_failure({ErrorCode::deadline_exceeded, 0,
                         "actor " + std::to_string(request.actor_slot) +
                             " did not answer the snapshot request " +
                             std::to_string(request.request_id)});
  }
}

std::vector<SnapshotRequest> CheckpointManager::poll_due(nanoseconds now) {
  end_overdue(now);
  std::vector<SnapshotRequest> requests;
  if (!options_.is_enabled) return requests;
  for (auto& [slot, actor] : actors_) {
    if (actor.request || actor.interval == kOnDemand ||
        (actor.asked_at && now - *actor.asked_at < actor.interval))
      continue;
    requests.push_back(ask(slot, actor, now));
  }
  return requests;
}

std::optional<nanoseconds> CheckpointManager::next_due() const {
  std::optional<nanoseconds> next;
  const auto at = [&](nanoseconds time) { next = next ? std::min(*next, time) : time; };
  for (const auto& [id, request] : pending_) at(request.issued_at + options_.reply_timeout);
  if (!options_.is_enabled) return next;
  for (const auto& [slot, actor] : actors_) {
    if (!actor.request && actor.interval != kOnDemand)
      at(actor.asked_at ? *actor.asked_at + actor.interval : nanoseconds::min());
  }
  return next;
}

Result<SnapshotRequest> CheckpointManager::request_snapshot(std::uint32_t slot, nanoseconds now) {
  end_overdue(now);
  const auto at = actors_.find(slot);
  if (at == actors_.end()) {
    return fail(ErrorCode::not_found,
                "actor " + std::to_string(slot) + " is not registered for snapshots");
  }
  if (at->second.request) {
    return fail(ErrorCode::would_block,
                "a snapshot of actor " + std::to_string(slot) + " is under way");
  }
  return ask(slot, at->second, now);
}

unexpected CheckpointManager::count_failure(Error error) {
  ++failed_;
  last_failure_ = error.message;
  return unexpected(std::move(error));
}

Result<SavedSnapshot> CheckpointManager::complete(SnapshotResponse response, nanoseconds now,
                                                  std::uint64_t created_at_us) {
  end_overdue(now);
  const auto at = pending_.find(response.request_id);
  if (at == pending_.end()) {
    return fail(ErrorCode::not_found,
                "no snapshot request " + std::to_string(response.request_id) + " is under way");
  }
  const std::uint32_t slot = at->second.actor_slot;
  if (response.actor_slot != slot) {
    return fail(ErrorCode::invalid_argument,
                "snapshot request " + std::to_string(response.request_id) + " went to actor " +
                    std::to_string(slot) + ", but actor " + std::to_string(response.actor_slot) +
                    " answered");
  }
  Actor& actor = actors_.at(slot);
  actor.request.reset();
  asked_before_.erase(response.request_id);
  pending_.erase(at);
  const std::string whose = "the snapshot of actor " + std::to_string(slot);
  if (!response.success) {
    return count_failure({ErrorCode::handler_failed, 0, whose + " failed: " + response.message});
  }
  if (response.data.empty()) return count_failure({ErrorCode::corrupt, 0, whose + " is empty"});

  CheckpointBuilder builder(actor.kernel_id, actor.kernel_type);
  for (auto& [key, value] : response.custom) builder.custom(key, std::move(value));
  builder.step(response.step)
      .hlc(response.hlc)
      .created_at_us(created_at_us)
      .custom("actor_slot", std::to_string(slot))
      .custom("snapshot_request_id", std::to_string(response.request_id))
      .region(kStateRegion, std::move(response.data));
  if (!response.field.empty()) builder.region(kFieldRegion, std::move(response.field));
  const auto checkpoint = builder.build();
  if (!checkpoint) return count_failure(checkpoint.error());

  SavedSnapshot saved{.name = format_snapshot_name(
                          {.prefix = options_.prefix, .slot = slot, .step = response.step})};
  if (auto done = store_.save(*checkpoint, saved.name); !done) return count_failure(done.error());
  ++completed_;
  retain(slot, saved);
  return saved;
}

void CheckpointManager::retain(std::uint32_t slot, SavedSnapshot& saved) {
  if (options_.keep == 0) return;
  const auto names = list(slot);
  if (!names) {
    saved.not_removed.push_back({.name = "", .error = names.error()});
    return;
  }
  // The one just saved counts as kept even where its step is not among the newest: a run that went
  // back to an older state would otherwise never have a snapshot.
  std::size_t surplus = names->size() - std::min<std::size_t>(names->size(), options_.keep);
  for (const std::string& name : *names) {
    if (surplus == 0) return;
    if (name == saved.name) continue;
    --surplus;
    if (auto removed = store_.remove(name); !removed) {
      saved.not_removed.push_back({.name = name, .error = removed.error()});
    } else {
      saved.removed.push_back(name);
    }
  }
}

bool CheckpointManager::cancel(std::uint64_t request_id) {
  const auto at = pending_.find(request_id);
  if (at == pending_.end()) return false;
  Actor& actor = actors_.at(at->second.actor_slot);
  actor.request.reset();
  actor.asked_at = asked_before_[request_id];
  asked_before_.erase(request_id);
  pending_.erase(at);
  return true;
}

std::size_t CheckpointManager::cancel_all() {
  const std::size_t count = pending_.size();
  while (!pending_.empty()) (void)cancel(pending_.begin()->first);
  return count;
}

Result<LatestCheckpoint> CheckpointManager::load_latest(std::uint32_t slot) const {
  return store_.load_latest(options_.prefix, slot);
}

Result<std::vector<std::string>> CheckpointManager::list(std::uint32_t slot) const {
  RK_TRY_ASSIGN(const auto found, store_.list(options_.prefix, slot));
  std::vector<std::string> names;
  for (const SnapshotName& name : found) names.push_back(format_snapshot_name(name));
  return names;
}

}  // namespace rk::checkpoint
