// Takes cuts of a bank that runs at full speed and audits every one; restores some and runs them to
// the end.
#pragma once

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/checkpoint/restore.hpp>

#include <unistd.h>
#include <filesystem>
#include <string>
#include <vector>

#include <ringkernel/examples/bank/audit.hpp>

namespace rk::bank::test {

/// A directory of its own, in memory where the system offers that: a cut shall cost little beside
/// the traffic.
class TrialDirectory {
 public:
  TrialDirectory() {
    const std::filesystem::path memory = "/dev/shm";
    const bool fits = ::access(memory.c_str(), W_OK) == 0 &&
                      std::filesystem::space(memory).available > (std::uint64_t{1} << 30);
    std::string name =
        ((fits ? memory : std::filesystem::temp_directory_path()) / "rk_bank_XXXXXX").string();
    path_ =
        ::mkdtemp(name.data()) == nullptr ? std::filesystem::path() : std::filesystem::path(name);
    RK_ASSERT(!path_.empty());
  }
  ~TrialDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TrialDirectory(const TrialDirectory&) = delete;
  TrialDirectory& operator=(const TrialDirectory&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

struct TrialOptions {
  Settings settings;
  std::uint32_t workers = 2;
  std::uint32_t lanes = 1;
  std::uint32_t cuts = 200;
  std::uint32_t full_every = 1;  ///< the others are increments
  std::uint32_t restores = 4;    ///< of the cuts; resumed with workers 1, 2, 4 in turn
  std::chrono::nanoseconds deadline = std::chrono::seconds(20);
  bool reference = true;  ///< also run without any checkpoint and compare the final states
};

struct TrialReport {
  std::uint32_t cuts = 0;
  std::uint32_t cuts_with_messages = 0;
  CutContent caught{};  ///< sums over all cuts
  std::uint64_t most_messages = 0;
  std::uint32_t restored = 0;
  std::uint32_t rounds = 0;
};

inline Result<std::unique_ptr<Bank>> open_bank(const TrialOptions& trial, std::uint32_t workers,
                                               std::uint32_t lanes, const std::string& directory) {
  RuntimeOptions options;
  options.workers = workers;
  options.checkpoint.dir = directory;
  options.checkpoint.keep = 2;
  options.checkpoint.full_every = trial.full_every;
  options.checkpoint.deadline = trial.deadline;
  return Bank::create(trial.settings, make_host_bank(lanes), options);
}

inline Result<checkpoint::LoadedCheckpoint> load_epoch(const std::string& directory,
                                                       std::uint64_t epoch) {
  RK_TRY_ASSIGN(auto store,
                checkpoint::CheckpointDirectory::open(
                    std::make_shared<checkpoint::FileStorage>(directory), Bank::kPrefix));
  RK_TRY_ASSIGN(const auto entries, store.list());
  for (const checkpoint::Entry& entry : entries) {
    if (entry.name.epoch != epoch) continue;
    if (entry.state != checkpoint::CheckpointState::valid)
      return fail(ErrorCode::corrupt, entry.directory + ": " + entry.reason);
    return checkpoint::load_checkpoint(store, entry);
  }
  return fail(ErrorCode::not_found,
              "checkpoint " + std::to_string(epoch) + " was acknowledged, but is not there");
}

/// Runs to the end, stops, and returns the digest of the final state, whose totals must be right.
inline Result<std::string> finish_bank(Bank& bank, const Settings& settings) {
  RK_TRY_ASSIGN(const RunReport report,
                bank.runtime().run({.max_walltime = std::chrono::seconds(120)}));
  bank.close_teller();
  if (report.reason != StopReason::quiescent)
    return fail(ErrorCode::deadline_exceeded, "the bank did not come to its end");
  RK_TRY(bank.runtime().stop());
  RK_TRY_ASSIGN(const Totals totals, bank.totals());
  if (totals.money != initial_total(settings) || totals.made != settings.transfers ||
      totals.received != settings.transfers || totals.deposits != settings.deposits) {
    return fail(ErrorCode::internal, "at the end there are " + std::to_string(totals.money) +
                                         " coins, must be " +
                                         std::to_string(initial_total(settings)) + "; " +
                                         std::to_string(totals.received) + " transfers received, " +
                                         std::to_string(totals.deposits) + " deposits");
  }
  return bank.runtime().state_digest();
}

inline Result<std::string> run_uninterrupted(const TrialOptions& trial, std::uint32_t workers) {
  RK_TRY_ASSIGN(auto bank, open_bank(trial, workers, 1, ""));
  RK_TRY(bank->begin());
  RK_TRY(bank->open_teller());
  return finish_bank(*bank, trial.settings);
}

inline Result<std::string> resume(const TrialOptions& trial, std::uint32_t workers,
                                  const std::string& directory) {
  RK_TRY_ASSIGN(auto bank, open_bank(trial, workers, trial.lanes, directory));
  RK_TRY_ASSIGN(const RestoreReport restored, bank->runtime().restore_latest());
  if (!restored.restored)
    return fail(ErrorCode::not_found, "nothing was restored from " + directory);
  RK_TRY(bank->open_teller());
  // a cut of restored messages, some of them not handled yet
  RK_TRY_ASSIGN(const CheckpointCost cost, bank->runtime().checkpoint_now());
  RK_TRY_ASSIGN(const auto loaded, load_epoch(directory, cost.epoch));
  Audit audit(trial.settings);
  RK_TRY(audit.check(loaded));
  return finish_bank(*bank, trial.settings);
}

/// One run of a bank; adds to `report`.
inline Result<void> run_round(const TrialOptions& trial, TrialReport& report) {
  const TrialDirectory directory;
  const std::string live = directory / "live";
  std::vector<std::string> kept;
  RK_TRY_ASSIGN(auto bank, open_bank(trial, trial.workers, trial.lanes, live));
  RK_TRY(bank->begin());
  RK_TRY(bank->open_teller());
  Audit audit(trial.settings);
  while (report.cuts < trial.cuts) {
    RK_TRY_ASSIGN(const CheckpointCost cost, bank->runtime().checkpoint_now());
    RK_TRY_ASSIGN(const auto loaded, load_epoch(live, cost.epoch));
    RK_TRY_ASSIGN(const CutContent content, audit.check(loaded));
    if (content.finished) break;
    ++report.cuts;
    if (content.messages() > 0) ++report.cuts_with_messages;
    report.caught.transfers += content.transfers;
    report.caught.acks += content.acks;
    report.caught.deposits += content.deposits;
    report.caught.starts += content.starts;
    report.most_messages = std::max(report.most_messages, content.messages());
    if (trial.restores > 0 &&
        report.cuts % (trial.cuts / trial.restores) == trial.cuts / trial.restores / 2) {
      kept.push_back(directory / ("kept_" + std::to_string(cost.epoch)));
      std::filesystem::create_directories(kept.back());
      // with the chain it builds on
      std::filesystem::copy(live, kept.back(), std::filesystem::copy_options::recursive);
    }
  }
  RK_TRY_ASSIGN(const std::string digest, finish_bank(*bank, trial.settings));
  bank.reset();
  const std::uint32_t worker_counts[] = {1, 2, 4};
  if (trial.reference && report.rounds == 0) {
    RK_TRY_ASSIGN(const std::string uninterrupted,
                  run_uninterrupted(trial, trial.workers == 1 ? 2 : 1));
    if (uninterrupted != digest)
      return fail(ErrorCode::internal, "the final state differs from that of a run without cuts");
  }
  for (const std::string& from : kept) {
    RK_TRY_ASSIGN(const std::string resumed,
                  resume(trial, worker_counts[report.restored++ % 3], from));
    if (resumed != digest)
      return fail(ErrorCode::internal, "a restored cut led to another final state");
  }
  ++report.rounds;
  return {};
}

/// Rounds with new seeds until `cuts` cuts of a busy bank were audited.
inline Result<TrialReport> run_trial(TrialOptions trial) {
  TrialReport report;
  while (report.cuts < trial.cuts) {
    RK_TRY(run_round(trial, report));
    if (report.rounds > trial.cuts)
      return fail(ErrorCode::internal, "the bank ends before a cut can be taken");
    ++trial.settings.seed;
  }
  return report;
}

}  // namespace rk::bank::test
