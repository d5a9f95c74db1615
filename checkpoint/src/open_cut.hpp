// One cut on its way into a file: shared by the service thread, the drain thread and the writers;
// the last to let go frees it.
#pragma once

#include <ringkernel/checkpoint/drain.hpp>
#include <ringkernel/checkpoint/src/cut_ledger.hpp>
#include <ringkernel/checkpoint/src/part_writer.hpp>

#include <atomic>
#include <chrono>
#include <mutex>

namespace rk::checkpoint {

struct OpenCut {
  using Clock = std::chrono::steady_clock;

  OpenCut(HostCut host_cut, CheckpointWriter checkpoint_writer, std::uint32_t workers,
          std::uint32_t writers)
      : host(std::move(host_cut)),
        checkpoint(std::move(checkpoint_writer)),
        ledger(workers, host.channels),
        writers_left(writers) {}

  /// The first failure counts. Any thread.
  void give_up(Error error) {
    const std::lock_guard lock(mutex);
    give_up_locked(std::move(error));
  }
  void give_up_locked(Error error) {
    if (!failure) failure = std::move(error);
    // release: whoever sees the flag sees the cut as it was given up; pairs with failed()
    has_failed.store(true, std::memory_order_release);
  }
  [[nodiscard]] bool failed() const { return has_failed.load(std::memory_order_acquire); }

  const HostCut host;
  CheckpointWriter checkpoint;
  const Clock::time_point opened = Clock::now();
  std::atomic<bool> has_failed{false};
  std::atomic<bool> is_over{false};  ///< its outcome is there

  std::mutex mutex;  // covers what follows
  CutLedger ledger;
  std::optional<Error> failure;
  std::vector<std::byte> host_messages;  // slots, one after the other
  std::vector<ShardInfo> shards;
  ContentDigest digest;
  std::uint64_t live_rows = 0;  // of actors, whole
  std::uint32_t writers_left;
  std::uint64_t drained_bytes = 0;
  std::chrono::nanoseconds stream_time{};
};

}  // namespace rk::checkpoint
