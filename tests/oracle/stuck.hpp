// An application that can go no further: bounded queues wait for each other. Its cut must complete
// all the same, hold every message, and bring it to its end once it is restored with larger queues.
#pragma once

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include "bank_trial.hpp"

namespace rk::bank::test {

/// Splits until its depth is used up: 2^(depth + 1) - 1 messages.
struct Split {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t depth;
  std::uint32_t reserved;
};
struct Splitter {
  using messages = handles<Split>;
  static constexpr const char* name = "splitter";
  ref<Splitter> next;
  std::uint32_t reserved;
  std::uint64_t handled;

  template <class Ctx>
  RK_FN void on(const Split& message, Ctx& ctx) {
    if (ctx.leader()) ++handled;
    for (std::uint32_t i = 0; i < 2 && message.depth > 0; ++i)
      ctx.send(next, Split{message.depth - 1, 0});
  }
};

struct StuckReport {
  std::uint64_t handled_before = 0;
  std::uint64_t caught = 0;
  std::uint64_t handled_at_end = 0;
  std::uint64_t expected = 0;
};

inline Result<StuckReport> rescue_stuck(std::uint32_t workers) {
  constexpr std::uint32_t kDepth = 13;
  const TrialDirectory directory;
  RuntimeOptions options;
  options.workers = workers;
  options.placement = Placement::spread;
  options.capacity = {.inbox_slots = 32, .local_slots = 32, .outbox_slots = 32, .stash_slots = 32};
  options.stall_deadline = {};
  options.checkpoint.dir = directory / "stuck";
  options.checkpoint.deadline = std::chrono::seconds(20);
  StuckReport report;
  report.expected = (std::uint64_t{2} << kDepth) - 1;
  {
    RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Splitter>(), options));
    RK_TRY(runtime->spawn<Splitter>(
        4, [](std::uint32_t i, Splitter& s) { s.next = {ActorId::make((i + 1) % 4, 0)}; }));
    RK_TRY(runtime->start());
    RK_TRY(runtime->send(ref<Splitter>{ActorId::make(0, 0)}, Split{kDepth, 0}));
    const auto ran = runtime->run({.checkpoint_on_stop = false});
    if (ran) return fail(ErrorCode::internal, "the queues are large enough; nothing was stuck");
    if (ran.error().code != ErrorCode::deadlock) return unexpected(ran.error());
    const std::uint64_t before = runtime->stats().received;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    report.handled_before = runtime->stats().received;
    if (report.handled_before != before)
      return fail(ErrorCode::internal, "it still moves; nothing was stuck");
    RK_TRY_ASSIGN(const CheckpointCost cost, runtime->checkpoint_now());
    report.caught = cost.messages;
  }
  options.capacity = {};
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Splitter>(), options));
  RK_TRY_ASSIGN(const RestoreReport restored, runtime->restore_latest());
  if (!restored.restored) return fail(ErrorCode::not_found, "nothing was restored");
  RK_TRY_ASSIGN(const RunReport ran, runtime->run({.max_walltime = std::chrono::seconds(60)}));
  if (ran.reason != StopReason::quiescent)
    return fail(ErrorCode::deadline_exceeded, "the restored run did not end");
  RK_TRY(runtime->stop());
  for (std::uint32_t i = 0; i < 4; ++i) {
    RK_TRY_ASSIGN(const Splitter splitter, runtime->read(ref<Splitter>{ActorId::make(i, 0)}));
    report.handled_at_end += splitter.handled;
  }
  return report;
}

/// Cuts of a paused bank: complete, audited, with messages in flight. Returns how many messages the
/// last one held.
inline Result<std::uint64_t> cut_while_paused(const TrialOptions& trial) {
  const TrialDirectory directory;
  RK_TRY_ASSIGN(auto bank, open_bank(trial, trial.workers, trial.lanes, directory / "paused"));
  RK_TRY(bank->begin());
  RK_TRY(bank->open_teller());
  while (bank->runtime().stats().received == 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  RK_TRY(bank->runtime().pause());
  Audit audit(trial.settings);
  std::uint64_t messages = 0;
  for (int i = 0; i < 3; ++i) {
    RK_TRY_ASSIGN(const CheckpointCost cost, bank->runtime().checkpoint_now());
    RK_TRY_ASSIGN(const auto loaded, load_epoch(directory / "paused", cost.epoch));
    RK_TRY_ASSIGN(const CutContent content, audit.check(loaded));
    messages = content.messages();
  }
  RK_TRY_ASSIGN(const std::string digest, finish_bank(*bank, trial.settings));
  RK_TRY_ASSIGN(const std::string uninterrupted, run_uninterrupted(trial, trial.workers));
  if (digest != uninterrupted) return fail(ErrorCode::internal, "pausing changed the final state");
  return messages;
}

}  // namespace rk::bank::test
