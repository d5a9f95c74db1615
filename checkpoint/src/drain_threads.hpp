// The drain's threads: what belongs to which of them. Bodies: drain.cpp (service thread),
// drain_loop.cpp (drain thread), drain_writer.cpp (writers).
#pragma once

#include <atomic>
#include <ringkernel/checkpoint/drain.hpp>
#include <ringkernel/checkpoint/src/drain_stream.hpp>
#include <ringkernel/checkpoint/src/drain_writer.hpp>
#include <ringkernel/runtime/src/idle_wait.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <mutex>
#include <thread>

namespace rk::checkpoint {

class DrainThreads final : public Drain {
 public:
  DrainThreads(Executor& executor, const SystemView& system, CheckpointDirectory* directory,
               DrainFacts facts, DrainOptions options, ReadSink read_sink,
               std::uint64_t max_payload_bytes)
      : executor_(executor),
        directory_(directory),
        facts_(std::move(facts)),
        options_(options),
        read_sink_(std::move(read_sink)),
        workers_(system.worker_count),
        slot_bytes_(system.message_slot_bytes),
        max_payload_bytes_(max_payload_bytes),
        idle_(options.polling),
        opened_epoch_(system.base_epoch) {
    const std::uint64_t ring_bytes = system.capacity.snapshot_ring_bytes;
    for (std::uint32_t index = 0; index < workers_; ++index) {
      const WorkerView& worker = system.workers[index];
      streams_.emplace_back(index, worker.snapshot_ring, ring_bytes, worker.stream_words);
    }
    streams_.emplace_back(workers_, system.dispatcher_ring, ring_bytes, system.dispatcher_words);
    shared_ = {.program = &executor.program(),
               .max_payload_bytes = max_payload_bytes,
               .workers = workers_,
               .compression = options_.compression,
               .facts = &facts_,
               .conclude = [this](Result<CutReport> outcome) { put_outcome(std::move(outcome)); }};
  }
  ~DrainThreads() override { stop(); }

  Result<void> start();

  void open(HostCut cut) override;
  void add_output(std::uint32_t worker, std::span<const std::byte> message) override;
  [[nodiscard]] bool streamed() const override { return streamed_.load(std::memory_order_acquire); }
  void expect_read() override {
    is_read_expected_.store(true, std::memory_order_relaxed);  // relaxed: the bell publishes it
    idle_.ring();
  }
  void abandon(Error error) override;
  [[nodiscard]] std::optional<Result<CutReport>> take_outcome() override;
  [[nodiscard]] bool idle() const override { return !busy_; }
  [[nodiscard]] std::string describe_missing() const override;
  void stop() override;

 private:
  enum class Taken { nothing, something, wait };

  // Drain thread.
  void run();
  void take_orders();
  bool round();
  Taken poll(DrainStream& stream);
  struct Parsed {
    std::uint64_t bytes = 0;  // of whole records that are dealt with
    bool has_rows = false;    // some of them are for a writer
    bool is_broken = false;   // the stream has lost its boundaries
  };
  Parsed parse(DrainStream& stream, Bytes stretch);
  void reply(DrainStream& stream, const RecordHeader& header, Bytes payload);
  bool count(DrainStream& stream, const RecordHeader& header, Bytes payload);
  std::byte* take_buffer();
  void end_cut_if_due();
  void wait(Backoff& backoff);

  Result<std::shared_ptr<OpenCut>> begin(HostCut cut);
  void put_outcome(Result<CutReport> outcome);
  [[nodiscard]] bool is_collecting() const { return cut_ && !ended_ && !cut_->failed(); }

  Executor& executor_;
  CheckpointDirectory* const directory_;
  const DrainFacts facts_;
  const DrainOptions options_;
  const ReadSink read_sink_;
  const std::uint32_t workers_;
  const std::uint32_t slot_bytes_;
  const std::uint64_t max_payload_bytes_;
  DrainWriterShared shared_;
  std::vector<std::unique_ptr<DrainWriter>> writers_;
  std::thread thread_;

  IdleWait idle_;  // the drain thread's
  std::atomic<bool> is_read_expected_{false};
  std::mutex mutex_;                  // covers the next four
  std::shared_ptr<OpenCut> ordered_;  // opened, not yet taken up by the drain thread
  std::uint32_t ordered_epoch_ = 0;
  std::optional<Result<CutReport>> outcome_;
  bool stopping_ = false;
  std::atomic<bool> streamed_{false};

  // Service thread.
  std::atomic<bool> busy_{false};  ///< stop() may ask from another thread than the service thread
  bool stopped_ = false;
  std::shared_ptr<OpenCut> service_cut_;

  // Drain thread.
  std::vector<DrainStream> streams_;
  std::vector<std::byte*> free_buffers_;
  std::byte* scratch_ = nullptr;  // for records that nobody keeps; never handed on
  std::shared_ptr<OpenCut> cut_;
  bool ended_ = false;  // the writers know that nothing more comes for cut_
  std::uint32_t opened_epoch_;
};

}  // namespace rk::checkpoint
