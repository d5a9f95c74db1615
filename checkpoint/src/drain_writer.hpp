// One writer thread of the drain: takes buffers of whole records from its queue, gives them back
// when their rows are in the shards, and at the end of a cut finishes its shards. Whichever writer
// ends last commits the checkpoint.
//
//   drain thread --(jobs)--> writer --(free buffers)--> drain thread        each a spsc_queue with
//   room for all there is
#pragma once

#include <ringkernel/checkpoint/src/open_cut.hpp>

#include <boost/lockfree/spsc_queue.hpp>
#include <condition_variable>
#include <functional>
#include <thread>

namespace rk::checkpoint {

/// A run of whole records in a staging buffer; `bytes` 0: the cut ends.
struct DrainJob {
  std::shared_ptr<OpenCut> cut;  ///< null: the thread ends
  std::byte* buffer = nullptr;
  std::uint64_t bytes = 0;
};

/// What the writers of one drain share; it outlives them.
struct DrainWriterShared {
  const ProgramInfo* program = nullptr;
  std::uint64_t max_payload_bytes = 0;
  std::uint32_t workers = 0;
  Compression compression{};
  const DrainFacts* facts = nullptr;
  std::function<void(Result<CutReport>)> conclude;  ///< called by the writer that ended a cut last
};

class DrainWriter {
 public:
  DrainWriter(const DrainWriterShared& shared, std::uint32_t index, std::uint32_t buffers);
  ~DrainWriter();

  /// Drain thread. Never full: there are not more buffers than places.
  void push(DrainJob job);
  /// Drain thread: a buffer this writer is done with, or null.
  [[nodiscard]] std::byte* take_free();
  /// Waits for the end of the thread; a job without a cut was pushed before.
  void join();

 private:
  void run();
  void wait_for_job(DrainJob& job);
  void process(const DrainJob& job);
  [[nodiscard]] Result<void> write_records(const DrainJob& job);
  [[nodiscard]] Result<void> write_host_part(OpenCut& cut);
  [[nodiscard]] Result<void> finish_part(OpenCut& cut);
  void end_cut(OpenCut& cut);
  [[nodiscard]] Result<CutReport> commit(OpenCut& cut);
  PartWriter& part_of(const OpenCut& cut);

  const DrainWriterShared& shared_;
  const std::uint32_t index_;
  boost::lockfree::spsc_queue<DrainJob> jobs_;
  boost::lockfree::spsc_queue<std::byte*> free_;
  std::mutex bell_;
  std::condition_variable rung_;
  std::optional<PartWriter> part_;  // of the open cut
  std::thread thread_;
};

}  // namespace rk::checkpoint
