// Runtime::run: waits for the end, and saves before it returns.
#include <ringkernel/checkpoint/policy.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <algorithm>

#include "runtime_impl.hpp"

namespace rk {
namespace {

/// The service thread tells what there is to know; this is for the case that it cannot any more.
constexpr std::chrono::nanoseconds kLongestWait = std::chrono::milliseconds(50);
constexpr auto kFirstSaveRetry = std::chrono::seconds(1);
constexpr auto kLongestSaveRetry = std::chrono::minutes(1);

}  // namespace

Result<RunReport> Runtime::run(RunOptions options) {
  Impl& impl = *impl_;
  if (options.save_margin && options.max_walltime.count() > 0 &&
      (*options.save_margin >= options.max_walltime || options.save_margin->count() < 0)) {
    return fail(ErrorCode::invalid_argument,
                "the margin for saving must be shorter than the walltime");
  }
  const bool saves = impl.directory && options.checkpoint_on_stop;
  RK_TRY(impl.start(false));
  {
    const std::lock_guard lock(impl.mutex);
    impl.quiescent = false;
  }
  (void)impl.set_run_state(RunState::running);  // rings, too: `quiescent` is to be found out anew
  const auto began = Impl::Clock::now();
  RunReport report;
  {
    std::unique_lock lock(impl.mutex);
    for (;;) {
      if (impl.failure) return unexpected(*impl.failure);
      if (load_relaxed<Scope::system>(impl.stop_request) != 0) {  // relaxed: a mere wish
        report.reason = StopReason::requested;
        break;
      }
      if (impl.quiescent && options.until_quiescent) break;
      auto wait = kLongestWait;
      if (options.max_walltime.count() > 0) {
        const auto margin = saves
                                ? checkpoint::stop_margin(options.max_walltime, options.save_margin,
                                                          impl.totals.longest_checkpoint)
                                : std::chrono::nanoseconds(0);
        const std::chrono::nanoseconds left =
            options.max_walltime - margin - (Impl::Clock::now() - began);
        if (left.count() <= 0) {
          report.reason = StopReason::walltime;
          break;
        }
        wait = std::min(wait, left);
      }
      impl.changed.wait_for(lock, wait);
    }
  }
  if (report.reason == StopReason::quiescent) return report;
  store_relaxed<Scope::system>(impl.stop_request, 0u);
  if (saves) {
    auto saved = impl.checkpoint_now();
    // what is left of the walltime is there for this
    for (std::chrono::nanoseconds delay = kFirstSaveRetry;
         !saved && report.reason == StopReason::walltime &&
         Impl::Clock::now() + delay < began + options.max_walltime;
         delay = std::min<std::chrono::nanoseconds>(2 * delay, kLongestSaveRetry)) {
      if (std::unique_lock lock(impl.mutex);
          impl.changed.wait_for(lock, delay, [&] { return impl.failure.has_value(); }))
        break;
      saved = impl.checkpoint_now();
    }
    if (!saved) return unexpected(saved.error());
    report.saved = true;
  }
  RK_TRY(impl.pause());
  return report;
}

}  // namespace rk
