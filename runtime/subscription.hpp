// Receiving outputs on threads of one's own: Runtime::subscribe. Several subscriptions to one type
// get every message each.
//
// Threads: any number may receive from one Subscription; each message goes to one of them.
// Bounds: a queue of `capacity` messages. A full one holds the host's reading of that worker's ring
// back, and with it, in the end, the actors that send to the host: nothing is dropped.
// A message counts as consumed by the host once it is in the queue: what was not received when the
// process dies comes again only if the application's part of the checkpoint says so (on_cut).
#pragma once

#include <ringkernel/runtime/message.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace rk {

/// An output's envelope.
struct OutputInfo {
  ActorId source;
  std::uint32_t source_sequence =
      0;  ///< increases per actor: a sink can drop repeats after a restart
  std::uint64_t hlc = 0;
};

namespace detail {

/// What a Subscription and the runtime share.
class OutputQueue {
 public:
  struct Item {
    OutputInfo info;
    std::vector<std::byte> payload;
  };
  explicit OutputQueue(std::size_t capacity) : capacity_(capacity) {}

  /// False if it is full: the message stays where it is. A closed one takes and forgets everything.
  [[nodiscard]] bool has_room() const {
    const std::lock_guard lock(mutex_);
    return closed_ || items_.size() < capacity_;
  }
  void push(Item item) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    items_.push_back(std::move(item));
    changed_.notify_one();
  }
  std::optional<Item> pop(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout, [this] { return closed_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    Item item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool closed_ = false;
};

}  // namespace detail

/// Outputs of type M. Ends with its last copy's destruction, and with Runtime::stop after what is
/// in it was received.
template <class M>
class Subscription {
 public:
  struct Received {
    M message;
    OutputInfo info;
  };

  explicit Subscription(std::shared_ptr<detail::OutputQueue> queue)
      : queue_(queue.get(), [queue](detail::OutputQueue* q) { q->close(); }) {}

  /// The next message, or nothing within `timeout`.
  std::optional<Received> receive(std::chrono::nanoseconds timeout) {
    auto item = queue_->pop(timeout);
    if (!item) return std::nullopt;
    Received received{{}, item->info};
    std::memcpy(&received.message, item->payload.data(), sizeof(M));
    return received;
  }
  std::optional<Received> try_receive() { return receive(std::chrono::nanoseconds(0)); }

 private:
  std::shared_ptr<detail::OutputQueue> queue_;
};

}  // namespace rk
