// Death at every storage call of a run that commits and prunes: nothing acknowledged may be lost.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <ringkernel/checkpoint/faulty_storage.hpp>

#include "crash_storage.hpp"
#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

constexpr std::uint64_t kCommits = 4;

// Commits epochs 1..kCommits, pruning to two; stops at the first error. `acknowledged` is updated
// as soon as a commit reports success.
void run(const std::shared_ptr<Storage>& storage, volatile std::uint64_t& acknowledged) {
  auto directory = CheckpointDirectory::open(storage, "sim");
  for (std::uint64_t epoch = 1; epoch <= kCommits; ++epoch) {
    const auto done =
        write_checkpoint(*directory, epoch, "run1", static_cast<std::uint32_t>(epoch));
    if (!done) return;
    acknowledged = epoch;
    const auto retained = directory->retain({.keep = 2, .run_id = "run1", .trusted_epoch = epoch});
    if (!retained || !retained->failures.empty()) return;
  }
}

// Empty if the store holds the acknowledged checkpoint or a newer one, complete and with its rows.
std::string violation(const std::shared_ptr<Storage>& storage, std::uint64_t acknowledged) {
  auto directory = CheckpointDirectory::open(storage, "sim");
  const auto entries = directory->list(Depth::shards);
  if (!entries) return entries.error().message;
  for (const auto& entry : *entries) {
    // A MANIFEST promises its shards, acknowledged or not, while pruning or not.
    if (entry.state == CheckpointState::corrupt) return entry.directory + ": " + entry.reason;
  }
  const auto found = directory->newest_valid();
  if (!found) return found.error().message;
  if (!found->entry) return acknowledged == 0 ? "" : "nothing valid is left";
  if (found->entry->name.epoch < acknowledged) return "an acknowledged checkpoint is lost";
  const auto reader = directory->open_checkpoint(*found->entry);
  if (!reader) return reader.error().message;
  std::size_t rows = 0;
  const auto read = reader->for_each_row(
      ChunkType::device_memory, [&](std::uint64_t, const RowView& row) -> Result<void> {
        ++rows;
        const auto seed = static_cast<std::uint32_t>(found->entry->name.epoch) + row.header.id / 2;
        const auto state = pattern(40, seed);
        if (!std::equal(row.payload.begin(), row.payload.end(), state.begin(), state.end())) {
          return fail(ErrorCode::corrupt, "a row has other bytes");
        }
        return {};
      });
  if (!read) return read.error().message;
  return rows == 6 ? "" : "rows are missing";
}

std::uint64_t count_calls() {
  const auto storage =
      std::make_shared<FaultyStorage>(std::make_shared<CrashStorage>(), FaultPlan{});
  std::uint64_t acknowledged = 0;
  run(storage, acknowledged);
  EXPECT_EQ(acknowledged, kCommits);
  return storage->calls();
}

std::size_t violations_after_power_cuts(CrashStorage::Planted planted) {
  std::size_t count = 0;
  const std::uint64_t calls = count_calls();
  for (std::uint64_t at = 1; at <= calls + 1; ++at) {
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
      const auto disk = std::make_shared<CrashStorage>(planted);
      const auto storage = std::make_shared<FaultyStorage>(
          disk, FaultPlan{.at_call = at, .action = FaultPlan::Action::fail_after});
      std::uint64_t acknowledged = 0;
      run(storage, acknowledged);
      disk->power_cut(seed);
      const std::string what = violation(disk, acknowledged);
      if (what.empty()) continue;
      ++count;
      if (planted == CrashStorage::Planted::nothing) {
        ADD_FAILURE() << what << ": call " << at << ", seed " << seed << ", acknowledged "
                      << acknowledged;
      }
    }
  }
  return count;
}

TEST(Crash, a_power_cut_at_any_call_loses_nothing_acknowledged) {
  EXPECT_EQ(violations_after_power_cuts(CrashStorage::Planted::nothing), 0u);
}

TEST(Crash, the_model_reports_a_missing_file_sync) {
  EXPECT_GT(violations_after_power_cuts(CrashStorage::Planted::file_sync_does_nothing), 0u);
}

TEST(Crash, the_model_reports_a_missing_directory_sync) {
  EXPECT_GT(violations_after_power_cuts(CrashStorage::Planted::directory_sync_does_nothing), 0u);
}

TEST(Crash, sigkill_at_any_call_leaves_the_acknowledged_checkpoint_and_the_next_run_works) {
  auto* acknowledged = static_cast<volatile std::uint64_t*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(static_cast<volatile void*>(acknowledged), MAP_FAILED);
  const std::uint64_t calls = count_calls();
  for (const auto action : {FaultPlan::Action::kill, FaultPlan::Action::torn_kill}) {
    for (std::uint64_t at = 1; at <= calls; ++at) {
      TemporaryDirectory temporary;
      const auto disk = std::make_shared<FileStorage>(temporary.path());
      *acknowledged = 0;
      const ::pid_t child = ::fork();
      if (child == 0) {
        run(std::make_shared<FaultyStorage>(disk, FaultPlan{.at_call = at, .action = action}),
            *acknowledged);
        ::_exit(0);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status)) << "call " << at;
      ASSERT_EQ(violation(disk, *acknowledged), "") << "call " << at;

      auto directory = CheckpointDirectory::open(disk, "sim");
      const auto epoch = directory->next_epoch();
      ASSERT_OK(epoch);
      EXPECT_GT(*epoch, *acknowledged);
      ASSERT_OK(write_checkpoint(*directory, *epoch, "run1", static_cast<std::uint32_t>(*epoch)));
      ASSERT_OK(directory->retain({.keep = 1, .run_id = "run1", .trusted_epoch = *epoch}));
      EXPECT_EQ(disk->list("")->size(), 1u) << "debris of the killed run is removed";
    }
  }
  ::munmap(const_cast<std::uint64_t*>(acknowledged), 4096);
}

TEST(Crash, a_failed_call_fails_the_commit_and_the_run_goes_on) {
  const std::uint64_t calls = count_calls();
  for (std::uint64_t at = 1; at <= calls; ++at) {
    const auto disk = std::make_shared<CrashStorage>();
    const auto storage = std::make_shared<FaultyStorage>(disk, FaultPlan{.at_call = at});
    auto directory = CheckpointDirectory::open(storage, "sim");
    std::uint64_t failed = 0;
    std::uint64_t last = 0;
    for (int i = 0; i < 4; ++i) {
      const auto epoch = directory->next_epoch();
      ASSERT_OK(epoch);
      const auto done =
          write_checkpoint(*directory, *epoch, "run1", static_cast<std::uint32_t>(*epoch));
      if (done) last = *epoch;
      if (done) {
        ASSERT_OK(directory->retain({.keep = 2, .trusted_epoch = last}));
      } else {
        ++failed;
        EXPECT_EQ(done.error().code, ErrorCode::no_space);
      }
    }
    EXPECT_LE(failed, 1u);
    EXPECT_EQ(violation(disk, last), "") << "call " << at;
  }
}

}  // namespace
}  // namespace rk::checkpoint::test
