#include <cstring>
#include <exception>
#include <ringkernel/checkpoint/src/drain_threads.hpp>

namespace rk::checkpoint {

Result<void> DrainThreads::start() {
  RK_TRY_ASSIGN(scratch_, executor_.allocate_staging(options_.staging_bytes));
  if (directory_ != nullptr) {
    for (std::uint32_t n = 0; n < options_.staging_buffers; ++n) {
      RK_TRY_ASSIGN(std::byte* const buffer, executor_.allocate_staging(options_.staging_bytes));
      free_buffers_.push_back(buffer);
    }
    for (std::uint32_t n = 0; n < options_.writers; ++n) {
      writers_.push_back(std::make_unique<DrainWriter>(shared_, n, options_.staging_buffers));
    }
  }
  ordered_epoch_ = opened_epoch_;
  thread_ = std::thread([this] { run(); });
  return {};
}

Result<std::shared_ptr<OpenCut>> DrainThreads::begin(HostCut cut) {
  if (directory_ == nullptr) {
    return fail(ErrorCode::invalid_argument,
                "no checkpoint directory was named, so nothing can be saved");
  }
  if (cut.channels.size() != workers_) {
    return fail(ErrorCode::internal,
                "the host's part of a cut does not have one channel per worker");
  }
  RK_TRY_ASSIGN(auto checkpoint, directory_->begin(cut.epoch, facts_.run_id));
  return std::make_shared<OpenCut>(std::move(cut), std::move(checkpoint), workers_,
                                   options_.writers);
}

void DrainThreads::open(HostCut cut) {
  RK_ASSERT(!busy_);
  busy_ = true;
  streamed_.store(false, std::memory_order_relaxed);  // relaxed: the drain sets it for this cut
                                                      // only after the lock below
  const std::uint32_t epoch = cut.epoch;
  auto begun = begin(std::move(cut));
  {
    const std::lock_guard lock(mutex_);
    ordered_epoch_ = epoch;
    if (begun) {
      service_cut_ = ordered_ = *std::move(begun);
    } else {
      outcome_ = unexpected(begun.error());
    }
  }
  idle_.ring();
}

void DrainThreads::add_output(std::uint32_t worker, std::span<const std::byte> message) {
  if (!service_cut_ || service_cut_->failed()) return;
  OpenCut& cut = *service_cut_;
  const std::lock_guard lock(cut.mutex);
  if (message.size() != slot_bytes_) {
    return cut.give_up_locked(
        {ErrorCode::internal, 0, "an output of the wrong size crossed the cut"});
  }
  if (auto counted = cut.ledger.add_output(worker); !counted)
    return cut.give_up_locked(counted.error());
  cut.host_messages.insert(cut.host_messages.end(), message.begin(), message.end());
}

void DrainThreads::abandon(Error error) {
  if (service_cut_) service_cut_->give_up(std::move(error));
}

std::optional<Result<CutReport>> DrainThreads::take_outcome() {
  const std::lock_guard lock(mutex_);
  if (!outcome_) return std::nullopt;
  auto outcome = std::exchange(outcome_, std::nullopt);
  service_cut_.reset();
  busy_ = false;
  return outcome;
}

std::string DrainThreads::describe_missing() const {
  if (!service_cut_) return {};
  const std::lock_guard lock(service_cut_->mutex);
  return service_cut_->ledger.describe_missing();
}

void DrainThreads::stop() {
  if (std::exchange(stopped_, true)) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  idle_.ring();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    for (auto& writer : writers_) writer->push({});  // the drain never started
  }
  for (auto& writer : writers_) writer->join();
}

void DrainThreads::put_outcome(Result<CutReport> outcome) {
  const std::lock_guard lock(mutex_);
  outcome_ = std::move(outcome);
}

Result<std::unique_ptr<Drain>> Drain::create(Executor& executor, const SystemView& system,
                                             CheckpointDirectory* directory, DrainFacts facts,
                                             DrainOptions options, ReadSink read_sink) {
  const std::uint64_t message_bytes =
      system.message_slot_bytes + align_up(system.capacity.slab_block_bytes, kRecordAlignment);
  const std::uint64_t cut_bytes =
      sizeof(CutPayload) + (system.worker_count + 1) * sizeof(CutChannel);
  const std::uint64_t max_payload_bytes = std::max({kMaxRecordPayload, message_bytes, cut_bytes});
  options.staging_bytes = options.staging_bytes / kRecordAlignment * kRecordAlignment;
  if (options.writers == 0 || options.staging_buffers == 0 ||
      options.staging_bytes < record_bytes(max_payload_bytes)) {
    return fail(ErrorCode::invalid_argument,
                "a drain needs a writer, a staging buffer, and staging_bytes of at least " +
                    std::to_string(record_bytes(max_payload_bytes)));
  }
  auto drain = std::make_unique<DrainThreads>(executor, system, directory, std::move(facts),
                                              options, std::move(read_sink), max_payload_bytes);
  try {
    RK_TRY(drain->start());
  } catch (const std::exception& exception) {
    return fail(ErrorCode::internal,
                std::string("the drain's threads cannot start: ") + exception.what());
  }
  return std::unique_ptr<Drain>(std::move(drain));
}

}  // namespace rk::checkpoint
