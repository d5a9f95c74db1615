// The queues that `rk bench queues` and the benchmark program compare, and the stream they carry.
//
// Each side moves the same messages through the same number of slots, waits alike, and uses its own
// fastest calls: ours writes and reads a message where it lies, Boost.Lockfree's queues copy on
// push; its spsc_queue reads in place, too (consume_one). A message of 64 bytes is 64 bytes in the
// peer's queue and one slot of a ring of wire messages, commit word included: ours then carries 8
// bytes less.
#pragma once

#include <ringkernel/bench/cores.hpp>
#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/spsc_ring.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace rk::bench {

inline constexpr std::uint64_t kQueueSlots = 4096;

template <std::size_t Bytes>
struct QueueMessage {
  std::uint64_t words[Bytes / 8];
};

template <std::size_t Words>
void fill_words(std::uint64_t* words, std::uint64_t number) {
  for (std::size_t i = 0; i < Words; ++i) words[i] = number;
}
template <std::size_t Words>
std::uint64_t sum_words(const std::uint64_t* words) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < Words; ++i) sum += words[i];
  return sum;
}

// A queue has Producer producer(), one for each sending thread, with push(producer, number), and
// pop(sum), which adds up the words of what it takes. kWords: what a message carries.

template <std::size_t Bytes>
class OurStream {
 public:
  static constexpr std::uint64_t kWords = Bytes / 8;
  using Ring = SpscRing<QueueMessage<Bytes>>;
  using Producer = Ring*;
  Producer producer() { return &ring_; }
  static bool push(Producer& ring, std::uint64_t number) {
    return ring->try_push_with(
        [number](QueueMessage<Bytes>& message) { fill_words<kWords>(message.words, number); });
  }
  bool pop(std::uint64_t& sum) {
    return ring_.try_pop_with(
        [&sum](const QueueMessage<Bytes>& message) { sum += sum_words<kWords>(message.words); });
  }

 private:
  Ring ring_ = std::move(Ring::create(kQueueSlots)).value();
};

template <std::size_t Bytes>
class PeerStream {
 public:
  static constexpr std::uint64_t kWords = Bytes / 8;
  using Queue = boost::lockfree::spsc_queue<QueueMessage<Bytes>>;
  using Producer = Queue*;
  Producer producer() { return &queue_; }
  static bool push(Producer& queue, std::uint64_t number) {
    QueueMessage<Bytes> message;
    fill_words<kWords>(message.words, number);
    return queue->push(message);
  }
  bool pop(std::uint64_t& sum) {
    return queue_.consume_one(
        [&sum](const QueueMessage<Bytes>& message) { sum += sum_words<kWords>(message.words); });
  }

 private:
  Queue queue_{kQueueSlots};
};

/// Wire messages: slots of a power of two bytes that begin with the commit word.
template <std::size_t Bytes>
class WireSlots {
 public:
  WireSlots()
      : memory_(new (std::align_val_t{128}) std::byte[kQueueSlots * Bytes]()),
        slots_{memory_.get(), kQueueSlots - 1, std::countr_zero(Bytes)} {}
  [[nodiscard]] StridedSlots slots() const { return slots_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{128}); }
  };
  std::unique_ptr<std::byte[], Free> memory_;
  StridedSlots slots_;
};

inline std::uint64_t* wire_words(std::byte* slot) {
  return reinterpret_cast<std::uint64_t*>(slot) + 1;
}

/// The inbox of a worker: many producers, one consumer.
template <std::size_t Bytes>
class OurInbox {
 public:
  static constexpr std::uint64_t kWords = Bytes / 8 - 1;
  using Producer = MpscProducer<StridedSlots, Scope::device>;
  Producer producer() { return {memory_.slots(), &words_}; }
  static bool push(Producer& producer, std::uint64_t number) {
    std::uint64_t position = 0;
    std::byte* slot = producer.try_claim(position, kQueueSlots);
    if (slot == nullptr) return false;
    fill_words<kWords>(wire_words(slot), number);
    producer.publish(slot, position);
    return true;
  }
  bool pop(std::uint64_t& sum) {
    std::byte* slot = consumer_.front();
    if (slot == nullptr) return false;
    sum += sum_words<kWords>(wire_words(slot));
    consumer_.pop();
    return true;
  }

 private:
  WireSlots<Bytes> memory_;
  RingWords words_;
  alignas(128) SpscConsumer<StridedSlots, Scope::device> consumer_{memory_.slots(), &words_};
};

/// fixed_sized: it allocates nothing while it runs, as our rings.
template <std::size_t Bytes>
class PeerInbox {
 public:
  static constexpr std::uint64_t kWords = Bytes / 8;
  using Queue = boost::lockfree::queue<QueueMessage<Bytes>, boost::lockfree::fixed_sized<true>>;
  using Producer = Queue*;
  Producer producer() { return &queue_; }
  static bool push(Producer& queue, std::uint64_t number) {
    QueueMessage<Bytes> message;
    fill_words<kWords>(message.words, number);
    return queue->bounded_push(message);
  }
  bool pop(std::uint64_t& sum) {
    QueueMessage<Bytes> message;
    if (!queue_.pop(message)) return false;
    sum += sum_words<kWords>(message.words);
    return true;
  }

 private:
  Queue queue_{kQueueSlots};
};

/// The lane between host and device (H2K, and K2H the other way): one producer, system scope.
template <std::size_t Bytes>
class OurLane {
 public:
  static constexpr std::uint64_t kWords = Bytes / 8 - 1;
  using Producer = SpscProducer<StridedSlots, Scope::system>*;
  Producer producer() { return &producer_; }
  static bool push(Producer& producer, std::uint64_t number) {
    if (!producer->has_room()) return false;
    fill_words<kWords>(wire_words(producer->claim()), number);
    producer->publish();
    return true;
  }
  bool pop(std::uint64_t& sum) {
    std::byte* slot = consumer_.front();
    if (slot == nullptr) return false;
    sum += sum_words<kWords>(wire_words(slot));
    consumer_.pop();
    return true;
  }

 private:
  WireSlots<Bytes> memory_;
  RingWords words_;
  alignas(128) SpscProducer<StridedSlots, Scope::system> producer_{memory_.slots(), &words_};
  alignas(128) SpscConsumer<StridedSlots, Scope::system> consumer_{memory_.slots(), &words_};
};

/// The same waiting for every queue. The pause doubles, so that a queue that ran empty or full
/// fills or drains a little before the next look (one message at a time, every queue is as slow as
/// its cache misses) and a wait never takes more than twice what it had to; then it yields, because
/// a core may be shared.
class QueueWait {
 public:
  void operator()() {
    if (round_ >= 7) return std::this_thread::yield();
    for (std::uint32_t i = 0; i < (1u << round_); ++i) pause_core();
    ++round_;
  }
  void reset() { round_ = 0; }

 private:
  std::uint32_t round_ = 0;
};

/// What one stream took, and whether every message came over.
struct Transfer {
  double seconds = 0;
  bool intact = false;
};

/// Sends `messages` (a multiple of `producers`) through `queue`, consumer and producers on cores of
/// their own as far as there are as many: from the moment every thread stands ready to the last
/// pop.
template <class Queue>
Transfer transfer(Queue& queue, std::uint32_t producers, std::uint64_t messages) {
  std::atomic<std::uint32_t> ready{0};
  std::atomic<bool> go{false};
  const std::uint64_t share = messages / producers;
  const std::uint32_t cores = static_cast<std::uint32_t>(CPU_COUNT(&usable_cores()));
  std::vector<std::thread> threads;
  for (std::uint32_t p = 0; p < producers; ++p) {
    threads.emplace_back([&, p] {
      const Pinned pinned(1 + p % std::max(cores - 1, 1u));
      auto producer = queue.producer();
      ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      for (std::uint64_t i = 0; i < share; ++i) {
        QueueWait wait;
        while (!Queue::push(producer, i)) wait();
      }
    });
  }
  const Pinned pinned(0);
  while (ready.load() != producers) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  go.store(true);
  std::uint64_t sum = 0;
  QueueWait wait;
  for (std::uint64_t i = 0; i < share * producers;) {
    if (queue.pop(sum)) {
      ++i;
      wait.reset();
    } else {
      wait();
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  for (auto& thread : threads) thread.join();
  const std::uint64_t expected = Queue::kWords * producers * (share * (share - 1) / 2);
  return {seconds.count(), sum == expected};
}

}  // namespace rk::bench
