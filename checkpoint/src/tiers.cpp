#include <ringkernel/checkpoint/tiers.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace rk::checkpoint {
namespace {

using Clock = std::chrono::steady_clock;

// A tier and the hop that fills it.
struct Level {
  Level(Tier given, CheckpointDirectory checkpoints)
      : tier(std::move(given)), directory(std::move(checkpoints)) {
    state.name = tier.name;
  }
  Tier tier;
  CheckpointDirectory directory;
  std::unique_ptr<StorageLock> lock;

  std::mutex retaining;  // held while old ones are removed, and while one is picked to be read
  // guarded by the mutex of TiersOnThreads:
  TierState state;
  std::optional<CheckpointName> bad;        // a source that cannot be copied
  std::optional<CheckpointName> in_flight;  // on its way into this tier
  std::uint64_t arrivals = 0;               // in the tier above, since this hop last picked
  bool has_failed = false;                  // since settle() began
  std::thread hop;
};

bool same(const std::optional<CheckpointName>& a, const std::optional<CheckpointName>& b) {
  if (!a || !b) return !a && !b;
  return a->epoch == b->epoch && a->run_id == b->run_id;
}

class TiersOnThreads final : public Tiers {
 public:
  TiersOnThreads(TierOptions options, std::function<void()> on_change)
      : options_(options), on_change_(std::move(on_change)) {}
  ~TiersOnThreads() override { stop(); }

  Result<void> add(const std::string& prefix, Tier tier) {
    if (tier.keep == 0 || tier.storage == nullptr) {
      return fail(ErrorCode::invalid_argument, "a tier needs a store and a keep of at least 1");
    }
    RK_TRY_ASSIGN(auto directory, CheckpointDirectory::open(tier.storage, prefix));
    auto level = std::make_unique<Level>(std::move(tier), std::move(directory));
    if (!levels_.empty()) {
      auto lock = level->directory.lock_writer();
      if (!lock) return fail(lock.error().code, of(*level) + lock.error().message);
      level->lock = *std::move(lock);
    }
    levels_.push_back(std::move(level));
    return {};
  }

  Result<std::uint64_t> next_epoch() override {
    std::uint64_t epoch = 1;
    for (const auto& level : levels_) {
      RK_TRY_ASSIGN(const auto next, level->directory.next_epoch());
      epoch = std::max(epoch, next);
    }
    return epoch;
  }

  Result<TierFound> newest_valid() override {
    TierFound best;
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      auto found = levels_[i]->directory.newest_valid();
      if (!found) return fail(found.error().code, of(*levels_[i]) + found.error().message);
      const bool is_newer = found->entry && (!best.found.entry || found->entry->name.epoch >
                                                                      best.found.entry->name.epoch);
      if (is_newer) {
        best.found.entry = std::move(found->entry);
        best.tier = i;
      }
      for (auto& skipped : found->skipped) {
        if (levels_.size() > 1) skipped.reason += " (" + levels_[i]->tier.name + ")";
        best.found.skipped.push_back(std::move(skipped));
      }
    }
    // Older than what another tier had to offer: nothing was passed over for it.
    std::erase_if(best.found.skipped, [&](const Skipped& skipped) {
      const auto name = parse_checkpoint_name(skipped.directory);
      return best.found.entry && name && name->epoch <= best.found.entry->name.epoch;
    });
    return best;
  }

  CheckpointDirectory& directory(std::size_t tier) override { return levels_[tier]->directory; }

  Result<void> start(const std::string& run_id) override {
    run_id_ = run_id;
    for (const auto& level : levels_) {
      RK_TRY_ASSIGN(const auto entries, level->directory.list());
      const std::lock_guard lock(mutex_);
      for (const Entry& entry : entries) {
        if (entry.state == CheckpointState::valid) level->state.newest = entry.name;
      }
    }
    try {
      for (std::size_t i = 1; i < levels_.size(); ++i) {
        levels_[i]->hop = std::thread([this, i] { run(i); });
      }
    } catch (const std::system_error& error) {
      stop();
      return fail(ErrorCode::no_space, std::string("cannot start a thread: ") + error.what());
    }
    return {};
  }

  void committed(const CheckpointName& name) override {
    {
      const std::lock_guard lock(mutex_);
      arrive(0, name);
    }
    changed_.notify_all();
  }

  Result<Retained> retain(std::uint64_t trusted_epoch) override {
    return retain_level(0, trusted_epoch);
  }

  std::optional<CheckpointName> acknowledged() const override {
    const std::lock_guard lock(mutex_);
    return levels_[options_.ack]->state.newest;
  }

  std::vector<TierState> states() const override {
    const std::lock_guard lock(mutex_);
    std::vector<TierState> out;
    for (const auto& level : levels_) out.push_back(level->state);
    return out;
  }

  bool settle(std::chrono::nanoseconds timeout) override {
    std::unique_lock lock(mutex_);
    for (const auto& level : levels_) level->has_failed = false;
    const auto is_settled = [&] {
      for (std::size_t i = 1; i < levels_.size(); ++i) {
        if (levels_[i]->in_flight || wanted(i)) return false;
      }
      return true;
    };
    (void)changed_.wait_for(lock, timeout, [&] {
      return stopping_ || is_settled() ||
             std::any_of(levels_.begin(), levels_.end(),
                         [](const auto& l) { return l->has_failed; });
    });
    return is_settled();
  }

  void stop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (const auto& level : levels_) {
      if (level->hop.joinable()) level->hop.join();
    }
  }

  [[nodiscard]] std::size_t size() const { return levels_.size(); }

 private:
  static std::string of(const Level& level) { return level.tier.name + ": "; }

  // With mutex_ held:
  void arrive(std::size_t tier, const CheckpointName& name) {
    levels_[tier]->state.newest = name;
    if (tier + 1 < levels_.size()) ++levels_[tier + 1]->arrivals;
  }
  // What hop `i` should copy now, if anything.
  [[nodiscard]] std::optional<CheckpointName> wanted(std::size_t i) const {
    const auto& source = levels_[i - 1]->state.newest;
    const auto& target = levels_[i]->state.newest;
    if (!source || same(source, levels_[i]->bad)) return std::nullopt;
    if (target && source->epoch <= target->epoch) return std::nullopt;
    return source;
  }

  void run(std::size_t i) {
    auto backoff = options_.first_backoff;
    while (true) {
      const auto name = pick(i);
      if (!name) return;
      bool source_is_bad = false;
      const auto copied = copy(i, *name, source_is_bad);
      if (copied) {
        backoff = options_.first_backoff;
        finish(i, *name, *copied);
      } else if (!fail_copy(i, *name, copied.error(), source_is_bad, backoff)) {
        return;
      }
    }
  }

  Result<std::uint64_t> copy(std::size_t i, const CheckpointName& name, bool& source_is_bad) {
    try {
      return copy_checkpoint(
          *levels_[i - 1]->tier.storage, *levels_[i]->tier.storage, name,
          [this] {
            const std::lock_guard lock(mutex_);
            return stopping_;
          },
          source_is_bad);
    } catch (const std::exception& exception) {
      return fail(ErrorCode::internal, std::string("copying a checkpoint: ") + exception.what());
    }
  }

  // Waits for work; the source cannot be removed from then on. Nothing: it is time to end.
  std::optional<CheckpointName> pick(std::size_t i) {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || wanted(i); });
        if (stopping_) return std::nullopt;
      }
      const std::lock_guard no_removal(levels_[i - 1]->retaining);
      const std::lock_guard lock(mutex_);
      if (auto name = wanted(i)) {
        Level& level = *levels_[i];
        level.in_flight = name;
        if (level.arrivals > 1) level.state.passed_over += level.arrivals - 1;
        level.arrivals = 0;
        return name;
      }
    }
  }

  void finish(std::size_t i, const CheckpointName& name, std::uint64_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      Level& level = *levels_[i];
      level.in_flight.reset();
      ++level.state.promoted;
      level.state.promoted_bytes += bytes;
      arrive(i, name);
    }
    announce();
    auto retained = retain_level(i, name.epoch);
    const std::lock_guard lock(mutex_);
    TierState& state = levels_[i]->state;
    if (!retained) {
      ++state.failures;
      state.last_failure = "old checkpoints stay: " + retained.error().message;
    } else if (!retained->failures.empty()) {
      state.failures += retained->failures.size();
      state.last_failure = "an old checkpoint stays: " + retained->failures.front().message;
    }
  }

  // False when it is time to end.
  bool fail_copy(std::size_t i, const CheckpointName& name, const Error& error, bool source_is_bad,
                 std::chrono::milliseconds& backoff) {
    {
      const std::lock_guard lock(mutex_);
      Level& level = *levels_[i];
      level.in_flight.reset();
      if (stopping_) return false;
      ++level.state.failures;
      level.state.last_failure = format_checkpoint_name(name) + ": " + error.message;
      level.has_failed = true;
      if (source_is_bad) level.bad = name;
    }
    announce();
    if (source_is_bad) return true;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, backoff, [&] { return stopping_; });
    backoff = std::min(2 * backoff, options_.max_backoff);
    return !stopping_;
  }

  void announce() {
    changed_.notify_all();
    if (on_change_) on_change_();
  }

  Result<Retained> retain_level(std::size_t i, std::uint64_t trusted_epoch) {
    Level& level = *levels_[i];
    const std::lock_guard no_pick(level.retaining);
    RetainOptions options{
        .keep = level.tier.keep, .run_id = run_id_, .trusted_epoch = trusted_epoch};
    if (i + 1 < levels_.size()) {
      const std::lock_guard lock(mutex_);
      if (const auto& name = levels_[i + 1]->in_flight) options.pinned_epoch = name->epoch;
    }
    return level.directory.retain(options);
  }

  const TierOptions options_;
  const std::function<void()> on_change_;
  std::string run_id_;
  std::vector<std::unique_ptr<Level>> levels_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
};

}  // namespace

Result<std::unique_ptr<Tiers>> Tiers::open(const std::string& prefix, std::vector<Tier> tiers,
                                           TierOptions options, std::function<void()> on_change) {
  if (tiers.empty() || options.ack >= tiers.size()) {
    return fail(ErrorCode::invalid_argument, "the tier that acknowledges must be one of the tiers");
  }
  auto made = std::make_unique<TiersOnThreads>(options, std::move(on_change));
  for (auto& tier : tiers) RK_TRY(made->add(prefix, std::move(tier)));
  return std::unique_ptr<Tiers>(std::move(made));
}

}  // namespace rk::checkpoint
