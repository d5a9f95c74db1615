#include <algorithm>
#include <exception>
#include <ringkernel/checkpoint/src/drain_writer.hpp>

namespace rk::checkpoint {

DrainWriter::DrainWriter(const DrainWriterShared& shared, std::uint32_t index,
                         std::uint32_t buffers)
    // Besides the buffers: the end of a cut, and the end of the thread.
    : shared_(shared), index_(index), jobs_(buffers + 2), free_(buffers) {
  thread_ = std::thread([this] { run(); });
}

DrainWriter::~DrainWriter() { join(); }

void DrainWriter::join() {
  if (thread_.joinable()) thread_.join();
}

void DrainWriter::push(DrainJob job) {
  RK_ASSERT(jobs_.push(std::move(job)));
  // Empty on purpose: a writer that saw the queue empty under the lock is waiting by now and hears
  // the bell.
  { const std::lock_guard lock(bell_); }
  rung_.notify_one();
}

std::byte* DrainWriter::take_free() {
  std::byte* buffer = nullptr;
  return free_.pop(buffer) ? buffer : nullptr;
}

void DrainWriter::wait_for_job(DrainJob& job) {
  if (jobs_.pop(job)) return;
  std::unique_lock lock(bell_);
  rung_.wait(lock, [&] { return jobs_.pop(job); });
}

void DrainWriter::run() {
  while (true) {
    DrainJob job;
    wait_for_job(job);
    if (!job.cut) return;
    try {
      process(job);
    } catch (const std::exception& exception) {
      job.cut->give_up(
          {ErrorCode::internal, 0, std::string("writing a checkpoint: ") + exception.what()});
    }
    if (job.bytes == 0) {
      end_cut(*job.cut);
    } else {
      RK_ASSERT(free_.push(job.buffer));
    }
  }
}

void DrainWriter::process(const DrainJob& job) {
  OpenCut& cut = *job.cut;
  if (cut.failed()) return;
  auto result = job.bytes != 0 ? write_records(job) : finish_part(cut);
  if (!result) cut.give_up(result.error());
}

PartWriter& DrainWriter::part_of(const OpenCut& cut) {
  if (!part_) {
    Metadata metadata = shard_metadata(shared_.facts->run_id, shared_.facts->executor,
                                       cut.host.epoch, cut.host.hlc);
    part_.emplace(
        *shared_.program,
        cut.checkpoint.make_shard_set(std::move(metadata), {.writer = index_,
                                                            .created_at_us = cut.host.created_at_us,
                                                            .compression = shared_.compression}));
  }
  return *part_;
}

Result<void> DrainWriter::write_records(const DrainJob& job) {
  PartWriter& part = part_of(*job.cut);
  RecordWalk walk(Bytes(job.buffer, job.bytes), shared_.max_payload_bytes);
  while (walk.next() == RecordWalk::Step::record) {
    // The number in a read record is not an epoch.
    const bool is_of_cut = walk.header.epoch == job.cut->host.epoch;
    if (walk.header.kind == RecordKind::slots && is_of_cut) {
      RK_TRY(part.add_slots(walk.header, walk.payload));
    } else if (walk.header.kind == RecordKind::pages && is_of_cut) {
      RK_TRY(part.add_pages(walk.header, walk.payload));
    } else if (walk.header.kind == RecordKind::message && is_of_cut) {
      RK_TRY(part.add_message(walk.header, walk.payload));
    }
  }
  return {};
}

Result<void> DrainWriter::write_host_part(OpenCut& cut) {
  std::vector<std::byte> messages;
  std::vector<std::uint64_t> clocks;
  {
    const std::lock_guard lock(cut.mutex);
    messages = std::move(cut.host_messages);
    clocks = cut.ledger.clocks();
  }
  PartWriter& part = part_of(cut);
  const std::uint32_t slot_bytes = shared_.program->message_slot_bytes;
  for (std::size_t at = 0; at < messages.size(); at += slot_bytes) {
    RK_TRY(part.add_message(Bytes(messages).subspan(at, slot_bytes), {}));
  }
  for (std::uint32_t worker = 0; worker < clocks.size(); ++worker) {
    RK_TRY(part.rows().add_clock(worker, clocks[worker]));
  }
  RK_TRY(part.rows().add_clock(kHostId.word, cut.host.hlc));
  return part.rows().add_host_state(cut.host.app_state);
}

Result<void> DrainWriter::finish_part(OpenCut& cut) {
  if (index_ == 0) RK_TRY(write_host_part(cut));
  if (!part_) return {};
  RK_TRY_ASSIGN(auto shards, part_->rows().finish());
  const std::lock_guard lock(cut.mutex);
  cut.shards.insert(cut.shards.end(), shards.begin(), shards.end());
  cut.digest.merge(part_->rows().digest());
  cut.live_rows += part_->live_rows();
  return {};
}

void DrainWriter::end_cut(OpenCut& cut) {
  part_.reset();
  {
    const std::lock_guard lock(cut.mutex);
    if (--cut.writers_left != 0) return;
  }
  Result<CutReport> outcome = fail(ErrorCode::internal, "");
  try {
    outcome = commit(cut);
    // Only its directory's MANIFEST makes it a checkpoint, so whatever is left without one is
    // waste.
    if (!outcome) cut.checkpoint.abandon();
  } catch (const std::exception& exception) {
    outcome =
        fail(ErrorCode::internal, std::string("committing a checkpoint: ") + exception.what());
  }
  if (!outcome) cut.give_up(outcome.error());
  // release: the drain lets go of the cut when it sees this, and reads nothing of it
  cut.is_over.store(true, std::memory_order_release);
  shared_.conclude(std::move(outcome));
}

Result<CutReport> DrainWriter::commit(OpenCut& cut) {
  Manifest manifest;
  CutReport report;
  {
    const std::lock_guard lock(cut.mutex);
    if (cut.failure) return unexpected(*cut.failure);
    const auto clocks = cut.ledger.clocks();
    manifest.hlc = std::max(cut.host.hlc, *std::max_element(clocks.begin(), clocks.end()));
    manifest.slots = cut.ledger.live();
    // An increment's actors are counted when it is laid over its parent.
    if (cut.host.parent == 0 && cut.live_rows != manifest.slots) {
      return fail(ErrorCode::internal, "the workers announced " + std::to_string(manifest.slots) +
                                           " actors but wrote " + std::to_string(cut.live_rows));
    }
    manifest.messages = cut.ledger.messages();
    manifest.shards = std::move(cut.shards);
    manifest.content_digest = cut.digest.value();
    report.drained_bytes = cut.drained_bytes;
    report.stream_time = cut.stream_time;
  }
  if (cut.host.parent != 0) manifest.parent = cut.host.parent;
  manifest.created_at_us = cut.host.created_at_us;
  manifest.executor = shared_.facts->executor;
  manifest.workers = shared_.workers;
  manifest.seed = shared_.facts->seed;
  manifest.app = cut.host.app;
  manifest.host_bytes = cut.host.app_state.size();
  for (const auto& type : shared_.program->types) {
    manifest.types.push_back({.index = static_cast<std::uint32_t>(manifest.types.size()),
                              .name = type.name,
                              .type_hash = type.type_hash,
                              .version = type.version,
                              .state_bytes = type.state_bytes,
                              .regions = type.regions,
                              .supervised = type.trail.supervised,
                              .max_links = type.trail.max_links});
  }
  RK_TRY_ASSIGN(const auto committed, cut.checkpoint.commit(std::move(manifest)));
  report.epoch = cut.host.epoch;
  report.parent = cut.host.parent;
  report.directory = cut.checkpoint.directory();
  report.slots = committed.slots;
  report.messages = committed.messages;
  report.file_bytes = committed.shard_bytes();
  report.durable_time = OpenCut::Clock::now() - cut.opened;
  report.content_digest = committed.content_digest;
  return report;
}

}  // namespace rk::checkpoint
