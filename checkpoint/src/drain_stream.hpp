// The reading end of one snapshot stream: what of it is new, and the reply to a host read whose
// parts are arriving.
//
// Thread-safety: the drain thread's alone; the ring's words are shared with one worker.
#pragma once

#include <ringkernel/checkpoint/src/record_walk.hpp>
#include <ringkernel/runtime/atomic.hpp>
#include <ringkernel/runtime/executor.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

namespace rk::checkpoint {

class DrainStream {
 public:
  using ReadSink = std::function<void(std::uint32_t request, std::span<const std::byte> slot)>;

  DrainStream(std::uint32_t index, const std::byte* ring, std::uint64_t capacity_bytes,
              StreamWords* words)
      : index_(index), ring_(ring), capacity_(capacity_bytes), words_(words) {}

  [[nodiscard]] std::uint32_t index() const { return index_; }
  /// Bytes of records that can be taken.
  [[nodiscard]] std::uint64_t available() const {
    // acquire: the bytes below are written; pairs with SnapshotRing::publish
    return load_acquire<Scope::system>(words_->published) - position_;
  }
  /// Copies up to `limit` bytes without passing the end of the ring. Returns how many.
  [[nodiscard]] Result<std::uint64_t> fetch(Executor& executor, std::byte* to,
                                            std::uint64_t available_bytes,
                                            std::uint64_t limit) const {
    const std::uint64_t offset = position_ % capacity_;
    const std::uint64_t bytes = std::min({available_bytes, capacity_ - offset, limit});
    RK_TRY(executor.fetch(to, ring_ + offset, bytes));
    return bytes;
  }
  /// Gives the first `bytes` back to the worker.
  void consume(std::uint64_t bytes) {
    position_ += bytes;
    // release: our reads of the bytes are over; pairs with SnapshotRing::used
    store_release<Scope::system>(words_->credits, position_);
  }

  /// A cut record or another of an epoch that is not open yet stays in the ring until it is.
  std::optional<std::uint32_t> held_epoch;

  /// A reply to a host read, whole or a part of it.
  void take_read(const RecordHeader& header, Bytes payload, const ReadSink& sink);

 private:
  std::uint32_t index_;
  const std::byte* ring_;
  std::uint64_t capacity_;
  StreamWords* words_;
  std::uint64_t position_ = 0;
  std::vector<std::byte> reply_;
};

}  // namespace rk::checkpoint
