// Checkpoints beyond the first store: which tiers there are, and when one counts as durable.
#include <ringkernel/checkpoint/location.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <algorithm>
#include <cstdio>

#include "runtime_impl.hpp"

namespace rk {

Result<void> Runtime::Impl::open_tiers() {
  CheckpointOptions& checkpoint = options.checkpoint;
  const bool is_first = checkpoint.ack.empty() || checkpoint.ack == checkpoint.dir;
  const auto at =
      std::find_if(checkpoint.tiers.begin(), checkpoint.tiers.end(),
                   [&](const CheckpointTier& tier) { return tier.location == checkpoint.ack; });
  if (!is_first && at == checkpoint.tiers.end()) {
    return fail(ErrorCode::invalid_argument,
                "no place for checkpoints is called '" + checkpoint.ack +
                    "': acknowledge at the checkpoint directory or at one of the tiers");
  }
  if (!is_first) ack_tier = 1 + static_cast<std::size_t>(at - checkpoint.tiers.begin());
  if (checkpoint.tiers.empty()) return {};
  std::vector<checkpoint::Tier> all;
  all.push_back({.name = checkpoint.dir, .storage = checkpoint.storage, .keep = checkpoint.keep});
  for (const CheckpointTier& tier : checkpoint.tiers) {
    const bool is_repeated = std::any_of(
        all.begin(), all.end(), [&](const auto& other) { return other.name == tier.location; });
    if (is_repeated) {
      return fail(ErrorCode::invalid_argument, "'" + tier.location + "' is given as two tiers");
    }
    auto storage = tier.storage;
    if (storage == nullptr) {
      RK_TRY_ASSIGN(storage, checkpoint::open_storage(tier.location));
    }
    all.push_back({.name = tier.location,
                   .storage = std::move(storage),
                   .keep = tier.keep == 0 ? checkpoint.keep : tier.keep});
  }
  RK_TRY_ASSIGN(
      tiers, checkpoint::Tiers::open(checkpoint.prefix, std::move(all), {.ack = ack_tier}, [this] {
        store_relaxed<Scope::system>(tier_news, 1u);  // relaxed: a mere hint
        idle.ring();
      }));
  return {};
}

std::string Runtime::Impl::ack_location() const {
  return ack_tier == 0 ? options.checkpoint.dir : options.checkpoint.tiers[ack_tier - 1].location;
}

void Runtime::Impl::await_acknowledgement(CheckpointCost cost) {
  const std::uint64_t covers = std::exchange(checkpoint_covers, 0);
  if (tiers) {
    if (const auto name = checkpoint::parse_checkpoint_name(cost.directory))
      tiers->committed(*name);
  }
  if (ack_tier == 0) {
    cost.acknowledged_at = ack_location();
    cost.acknowledged_epoch = cost.epoch;
    return report_checkpoint(std::move(cost), covers);
  }
  unacknowledged.push_back({std::move(cost), covers, cut_opened});
  settle_acknowledgements();
}

/// Says each tier's first failure, and every further power of two of them.
void Runtime::Impl::tell_tier_failures() {
  if (load_relaxed<Scope::system>(tier_news) == 0) return;  // relaxed: a mere hint
  store_relaxed<Scope::system>(tier_news, 0u);
  const auto states = tiers->states();
  tier_failures_told.resize(states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    std::uint64_t& told = tier_failures_told[i];
    if (states[i].failures == 0 || states[i].failures < 2 * told) continue;
    told = states[i].failures;
    std::fprintf(stderr, "ringkernel: copying to %s failed %llu time%s, it is tried again: %s\n",
                 states[i].name.c_str(), static_cast<unsigned long long>(told),
                 told == 1 ? "" : "s", states[i].last_failure.c_str());
  }
}

void Runtime::Impl::settle_acknowledgements() {
  tell_tier_failures();
  if (unacknowledged.empty()) return;
  const auto now = Clock::now();
  const auto acknowledged = tiers->acknowledged();
  while (!unacknowledged.empty()) {
    Unacknowledged& oldest = unacknowledged.front();
    if (acknowledged && acknowledged->epoch >= oldest.cost.epoch) {
      oldest.cost.durable_time = now - oldest.opened;
      oldest.cost.acknowledged_at = ack_location();
      oldest.cost.acknowledged_epoch = acknowledged->epoch;
      report_checkpoint(std::move(oldest.cost), oldest.covers);
    } else if (now - oldest.opened > options.checkpoint.deadline) {
      const std::string why = tiers->states()[ack_tier].last_failure;
      report_unacknowledged(
          fail(ErrorCode::deadline_exceeded, oldest.cost.directory + " did not reach " +
                                                 ack_location() + " within the deadline" +
                                                 (why.empty() ? "" : "; last failure: " + why)),
          oldest.covers);
    } else {
      return;
    }
    unacknowledged.pop_front();
  }
}

void Runtime::Impl::report_unacknowledged(unexpected error, std::uint64_t covers) {
  std::fprintf(stderr, "ringkernel: checkpoint not acknowledged: %s\n",
               error.error().message.c_str());
  report_checkpoint(std::move(error), covers);
}

void Runtime::Impl::report_checkpoint(Result<CheckpointCost> result, std::uint64_t covers) {
  const std::lock_guard lock(mutex);
  if (result) {
    costs.push_back(*result);
    ++totals.checkpoints;
    totals.failures_in_a_row = 0;
    if (result->parent != 0) ++totals.increments;
    totals.longest_checkpoint = std::max(totals.longest_checkpoint, result->durable_time);
    totals.drained_bytes += result->drained_bytes;
    totals.file_bytes += result->file_bytes;
    totals.last_checkpoint = result->directory;
    totals.last_checkpoint_us = wall_clock_us();
    totals.acknowledged_at = result->acknowledged_at;
  } else {
    ++totals.checkpoint_failures;
    ++totals.failures_in_a_row;
    totals.last_failure = result.error().message;
  }
  if (covers != 0) {
    checkpoint_done = std::max(checkpoint_done, covers);
    last_outcome = std::move(result);
  }
  changed.notify_all();
}

/// Lets the tiers catch up, as long as they succeed and at most for the deadline.
void Runtime::Impl::stop_tiers() {
  if (!tiers) return;
  const bool has_settled = tiers->settle(options.checkpoint.deadline);
  tiers->stop();
  settle_acknowledgements();
  for (const Unacknowledged& left : unacknowledged) {
    report_unacknowledged(
        fail(ErrorCode::closed, left.cost.directory + " did not reach " + ack_location() +
                                    " before the runtime stopped"),
        left.covers);
  }
  unacknowledged.clear();
  if (has_settled) return;
  for (const checkpoint::TierState& state : tiers->states()) {
    if (state.failures == 0) continue;
    std::fprintf(stderr, "ringkernel: %s lacks the newest checkpoint: %s\n", state.name.c_str(),
                 state.last_failure.c_str());
  }
}

void Runtime::Impl::add_tier_stats(RuntimeStats& stats) const {
  if (!tiers) return;
  for (const checkpoint::TierState& state : tiers->states()) {
    stats.tiers.push_back({.location = state.name,
                           .newest = state.newest ? format_checkpoint_name(*state.newest) : "",
                           .promoted = state.promoted,
                           .promoted_bytes = state.promoted_bytes,
                           .passed_over = state.passed_over,
                           .failures = state.failures,
                           .last_failure = state.last_failure});
  }
}

}  // namespace rk
