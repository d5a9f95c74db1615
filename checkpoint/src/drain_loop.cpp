#include <cstring>
#include <exception>
#include <ringkernel/checkpoint/src/drain_threads.hpp>

namespace rk::checkpoint {

void DrainThreads::run() {
  Backoff backoff;
  idle_.reset(IdleWait::Clock::now());
  while (true) {
    const bool is_asked = idle_.take_ring();  // first: what is asked for later rings again
    take_orders();
    bool worked = false;
    try {
      worked = round();
    } catch (const std::exception& exception) {
      if (cut_) {
        cut_->give_up(
            {ErrorCode::internal, 0, std::string("draining a snapshot: ") + exception.what()});
      }
    }
    end_cut_if_due();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ && !ordered_) break;
    }
    if (worked || is_asked) {
      backoff.reset();
      idle_.reset(IdleWait::Clock::now());
    }
    if (!worked) wait(backoff);
  }
  if (cut_) {
    cut_->give_up({ErrorCode::closed, 0, "the system stopped before the checkpoint was complete"});
    end_cut_if_due();
  }
  for (auto& writer : writers_) writer->push({});
}

void DrainThreads::wait(Backoff& backoff) {
  if (cut_) return backoff.wait();
  const auto now = IdleWait::Clock::now();
  // relaxed: whoever sets it rings, and that was taken
  if (is_read_expected_.load(std::memory_order_relaxed)) idle_.reset(now);
  idle_.wait(idle_.pause(now));
}

void DrainThreads::take_orders() {
  if (cut_ && cut_->is_over.load(std::memory_order_acquire)) cut_.reset();
  if (cut_) return;
  const std::lock_guard lock(mutex_);
  opened_epoch_ = ordered_epoch_;
  if (!ordered_) return;
  cut_ = std::exchange(ordered_, nullptr);
  ended_ = false;
}

bool DrainThreads::round() {
  bool worked = false;
  for (DrainStream& stream : streams_) worked |= poll(stream) == Taken::something;
  return worked;
}

DrainThreads::Taken DrainThreads::poll(DrainStream& stream) {
  const std::uint64_t available = stream.available();
  if (available == 0) return Taken::nothing;
  if (stream.held_epoch && static_cast<std::int32_t>(*stream.held_epoch - opened_epoch_) > 0)
    return Taken::wait;
  stream.held_epoch.reset();
  const bool is_collecting = this->is_collecting();
  std::byte* buffer = is_collecting ? take_buffer() : scratch_;
  if (buffer == nullptr) return Taken::wait;

  const auto fetched = stream.fetch(executor_, buffer, available, options_.staging_bytes);
  Parsed parsed;
  if (fetched) {
    parsed = parse(stream, Bytes(buffer, *fetched));
  } else if (cut_) {
    cut_->give_up(fetched.error());
  }
  // What is published ends with a record, so the reader can find the boundaries again there.
  if (parsed.is_broken) parsed = {.bytes = available};
  if (parsed.bytes != 0) stream.consume(parsed.bytes);
  if (is_collecting) {
    if (parsed.has_rows) {
      writers_[stream.index() % writers_.size()]->push({cut_, buffer, parsed.bytes});
    } else {
      free_buffers_.push_back(buffer);
    }
  }
  return parsed.bytes != 0 ? Taken::something : Taken::wait;
}

DrainThreads::Parsed DrainThreads::parse(DrainStream& stream, Bytes stretch) {
  Parsed parsed;
  std::unique_lock<std::mutex> lock;
  if (cut_) lock = std::unique_lock(cut_->mutex);
  RecordWalk walk(stretch, max_payload_bytes_);
  while (true) {
    const auto step = walk.next();
    if (step == RecordWalk::Step::end) break;
    // A full buffer may end inside a record, which then comes whole with the next; nothing else
    // may.
    if (step == RecordWalk::Step::partial && parsed.bytes != 0 &&
        stretch.size() == options_.staging_bytes)
      break;
    const bool is_ours =
        walk.header.stream == stream.index() || walk.header.kind == RecordKind::pad;
    if (step != RecordWalk::Step::record || !is_ours) {
      if (cut_) {
        cut_->give_up_locked({ErrorCode::corrupt, 0,
                              "snapshot stream " + std::to_string(stream.index()) +
                                  " holds bytes that are no record"});
      }
      parsed.is_broken = true;
      return parsed;
    }
    if (walk.header.kind == RecordKind::read) {
      // The sink is the runtime's own code, which may look at the cut.
      if (cut_) lock.unlock();
      reply(stream, walk.header, walk.payload);
      if (cut_) lock.lock();
    } else if (walk.header.kind != RecordKind::pad) {
      // Without a directory no cut will ever be kept, so nothing waits for one.
      if (directory_ != nullptr &&
          static_cast<std::int32_t>(walk.header.epoch - opened_epoch_) > 0) {
        stream.held_epoch = walk.header.epoch;
        break;
      }
      parsed.has_rows |= count(stream, walk.header, walk.payload);
    }
    parsed.bytes += walk.bytes;
  }
  if (cut_) cut_->drained_bytes += ended_ ? 0 : parsed.bytes;
  return parsed;
}

void DrainThreads::reply(DrainStream& stream, const RecordHeader& header, Bytes payload) {
  try {
    stream.take_read(header, payload, read_sink_);
    is_read_expected_.store(false, std::memory_order_relaxed);  // relaxed: a hint for wait()
  } catch (const std::exception& exception) {
    if (cut_)
      cut_->give_up(
          {ErrorCode::internal, 0, std::string("replying to a read: ") + exception.what()});
  }
}

/// Counts a record for the open cut, if it is of it. True if a writer must see it. The cut's mutex
/// is held.
bool DrainThreads::count(DrainStream& stream, const RecordHeader& header, Bytes payload) {
  if (!cut_ || header.epoch != cut_->host.epoch || cut_->failure) return false;
  Result<void> counted;
  switch (header.kind) {
    case RecordKind::cut:
      counted = verifies(header, payload)
                    ? cut_->ledger.add_cut(header, payload)
                    : fail(ErrorCode::corrupt, "the cut record of worker " +
                                                   std::to_string(stream.index()) +
                                                   " does not match its checksum");
      break;
    case RecordKind::slots: counted = cut_->ledger.add_slots(header); break;
    case RecordKind::pages: counted = cut_->ledger.add_pages(header); break;
    case RecordKind::end: counted = cut_->ledger.add_end(header); break;
    case RecordKind::message: {
      if (payload.size() < slot_bytes_) {
        counted = fail(ErrorCode::corrupt, "a recorded message is shorter than its slot");
        break;
      }
      MessageHeader message;
      Route route;
      std::memcpy(&message, payload.data(), sizeof(message));
      std::memcpy(&route, payload.data() + slot_bytes_ - sizeof(route), sizeof(route));
      counted = cut_->ledger.add_message(message, route);
      break;
    }
    default: return false;
  }
  if (!counted) {
    cut_->give_up_locked(counted.error());
    return false;
  }
  return header.kind != RecordKind::cut && header.kind != RecordKind::end;
}

std::byte* DrainThreads::take_buffer() {
  for (auto& writer : writers_) {
    while (std::byte* buffer = writer->take_free()) free_buffers_.push_back(buffer);
  }
  if (free_buffers_.empty()) return nullptr;
  std::byte* buffer = free_buffers_.back();
  free_buffers_.pop_back();
  return buffer;
}

void DrainThreads::end_cut_if_due() {
  if (!cut_ || ended_) return;
  if (!cut_->failed()) {
    const std::lock_guard lock(cut_->mutex);
    if (!cut_->ledger.complete()) return;
    cut_->stream_time = OpenCut::Clock::now() - cut_->opened;
    // release: pairs with streamed()
    streamed_.store(true, std::memory_order_release);
  }
  ended_ = true;
  for (auto& writer : writers_) writer->push({cut_, nullptr, 0});
}

}  // namespace rk::checkpoint
