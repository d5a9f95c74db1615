#include <ringkernel/checkpoint/policy.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace rk::checkpoint {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kFirstRetry = std::chrono::seconds(1);
constexpr nanoseconds kLongestRetry = std::chrono::minutes(1);
constexpr nanoseconds kLongestFirst = std::chrono::minutes(1);

/// Bounded: an interval of centuries is never reached instead of overflowing.
nanoseconds times(nanoseconds value, std::uint32_t factor) {
  const auto most = std::numeric_limits<nanoseconds::rep>::max();
  return value.count() > most / factor ? nanoseconds(most) : value * factor;
}

bool reached(std::uint64_t now, std::uint64_t from, std::uint64_t distance, std::uint32_t factor) {
  if (distance == 0) return false;
  const std::uint64_t passed = now - std::min(now, from);
  return passed / factor >= distance;
}

std::string seconds_text(nanoseconds value) {
  std::string text = std::to_string(std::chrono::duration<double>(value).count());
  text.erase(text.find('.') + 4);
  return text + " s";
}

}  // namespace

Result<void> check(const PolicyOptions& options) {
  if (options.every.count() < 0 || options.mtbf.count() < 0)
    return fail(ErrorCode::invalid_argument, "times between checkpoints cannot be negative");
  if (options.every.count() > 0 && options.mtbf.count() > 0) {
    return fail(ErrorCode::invalid_argument,
                "give an interval between checkpoints or a mean time between failures, not both");
  }
  return {};
}

nanoseconds daly_interval(nanoseconds cost, nanoseconds mtbf) {
  const auto delta = static_cast<double>(cost.count());
  const auto m = static_cast<double>(mtbf.count());
  if (delta >= 2 * m) return mtbf;
  const double ratio = delta / (2 * m);
  const double tau = std::sqrt(2 * delta * m) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - delta;
  return nanoseconds(std::llround(std::max(tau, 0.0)));
}

nanoseconds stop_margin(nanoseconds walltime, std::optional<nanoseconds> given,
                        nanoseconds longest) {
  if (given) return std::clamp(longest, *given, std::max(*given, walltime / 2));
  const nanoseconds wanted = longest.count() > 0
                                 ? times(longest, 2)
                                 : std::min<nanoseconds>(walltime / 20, std::chrono::minutes(1));
  return std::min(wanted, walltime / 2);
}

Policy::Policy(const PolicyOptions& options, const Progress& start)
    : options_(options), begun_(start), ended_(start.now) {}

bool Policy::has_triggers() const {
  return options_.every.count() > 0 || options_.mtbf.count() > 0 || options_.every_messages > 0 ||
         options_.every_steps > 0;
}

nanoseconds Policy::interval() const {
  if (options_.every.count() > 0) return times(options_.every, backoff_);
  if (options_.mtbf.count() == 0) return nanoseconds(0);
  // Until one is measured: early, because all that is known is that failures come.
  if (cost_.count() == 0) return std::min<nanoseconds>(options_.mtbf / 100, kLongestFirst);
  return daly_interval(cost_, options_.mtbf);
}

bool Policy::due_after(const Progress& progress, std::uint32_t backoff) const {
  if (reached(progress.messages, begun_.messages, options_.every_messages, backoff) ||
      reached(progress.steps, begun_.steps, options_.every_steps, backoff))
    return true;
  return options_.every.count() > 0 && progress.now - begun_.now >= times(options_.every, backoff);
}

bool Policy::due_by_count(const Progress& progress) const {
  if (is_open_ || retry_at_) return false;
  return reached(progress.messages, begun_.messages, options_.every_messages, backoff_) ||
         reached(progress.steps, begun_.steps, options_.every_steps, backoff_);
}

bool Policy::due(const Progress& progress) const {
  if (is_open_) return false;
  if (retry_at_) return progress.now >= *retry_at_;
  if (due_after(progress, backoff_)) return true;
  return options_.mtbf.count() > 0 && progress.now - ended_ >= interval();
}

void Policy::begun(const Progress& progress) {
  begun_ = progress;
  retry_at_.reset();
  is_open_ = true;
}

std::optional<std::string> Policy::succeeded(const Progress& progress, nanoseconds cost) {
  is_open_ = false;
  ended_ = progress.now;
  failures_ = 0;
  cost_ = cost_.count() == 0 ? cost : (cost_ + cost) / 2;
  if (!due_after(progress, backoff_)) {
    if (backoff_ > 1 && !due_after(progress, backoff_ / 2)) backoff_ /= 2;
    return std::nullopt;
  }
  if (backoff_ == kMaxBackoff) return std::nullopt;
  backoff_ *= 2;
  if (has_said_) return std::nullopt;
  has_said_ = true;
  return "a checkpoint took " + seconds_text(cost) +
         ", longer than the interval between two; they are taken less often until they fit";
}

nanoseconds Policy::failed(const Progress& progress) {
  is_open_ = false;
  ended_ = progress.now;
  const nanoseconds first =
      options_.every.count() > 0 ? std::min(options_.every, kFirstRetry) : kFirstRetry;
  const std::uint32_t doublings = std::min(failures_, 40u);
  nanoseconds delay = first;
  for (std::uint32_t i = 0; i < doublings && delay < kLongestRetry; ++i) delay = delay * 2;
  delay = std::min(delay, kLongestRetry);
  ++failures_;
  retry_at_ = progress.now + delay;
  return delay;
}

void Policy::dropped() { is_open_ = false; }

}  // namespace rk::checkpoint
