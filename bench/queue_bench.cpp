// Our rings beside Boost.Lockfree's, in one program: a stream between two threads (SPSC) and an
// inbox with one and two producers. Axes: payload bytes, producers. Repetitions of all cases are
// interleaved, so that a noisy moment hits both sides; compare medians inside one run.
//
// Both sides move the same messages: a message of 64 bytes is 64 bytes in the peer's queue and one
// slot of an inbox, commit word and header included. The peers pad nothing and check nothing more
// than we do.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/spsc_ring.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::uint64_t kCapacity = 4096;
constexpr std::uint64_t kMessages = 1 << 20;

template <std::size_t Bytes>
struct Payload {
  std::uint64_t words[Bytes / 8];
};

template <std::size_t Bytes>
Payload<Bytes> make_payload(std::uint64_t number) {
  Payload<Bytes> payload;
  for (auto& word : payload.words) word = number;
  return payload;
}

/// The same waiting for every queue. The pause doubles, so that a queue that ran empty or full
/// fills or drains a little before the next look (one message at a time, every queue is as slow as
/// its cache misses) and a wait never takes more than twice what it had to; then it yields, because
/// a core may be shared.
class Wait {
 public:
  void operator()() {
    if (round_ >= 7) return std::this_thread::yield();
#if defined(__x86_64__)
    for (std::uint32_t i = 0; i < (1u << round_); ++i) __builtin_ia32_pause();
#endif
    ++round_;
  }
  void reset() { round_ = 0; }

 private:
  std::uint32_t round_ = 0;
};

template <std::size_t Bytes>
class OurStream {
 public:
  static constexpr const char* kName = "spsc/ours";
  bool push(const Payload<Bytes>& payload) { return ring_.try_push(payload); }
  bool pop(Payload<Bytes>& payload) { return ring_.try_pop(payload); }

 private:
  rk::SpscRing<Payload<Bytes>> ring_ =
      std::move(rk::SpscRing<Payload<Bytes>>::create(kCapacity)).value();
};

template <std::size_t Bytes>
class PeerStream {
 public:
  static constexpr const char* kName = "spsc/boost_spsc_queue";
  bool push(const Payload<Bytes>& payload) { return queue_.push(payload); }
  bool pop(Payload<Bytes>& payload) { return queue_.pop(payload); }

 private:
  boost::lockfree::spsc_queue<Payload<Bytes>> queue_{kCapacity};
};

/// Slots of a power of two bytes whose first word is the commit word: the payload is the rest.
template <std::size_t Bytes>
class OurInbox {
 public:
  static constexpr const char* kName = "inbox/ours";
  using Producer = rk::MpscProducer<rk::StridedSlots, rk::Scope::device>;

  OurInbox() {
    slots_.base = memory_.get();
    slots_.mask = kCapacity - 1;
    while ((std::size_t{1} << slots_.shift) < Bytes) ++slots_.shift;
    std::fill_n(slots_.base, kCapacity * Bytes, std::byte{0});
    consumer_ = {slots_, &words_};
  }
  Producer producer() { return {slots_, &words_}; }
  static bool push(Producer& producer, const Payload<Bytes>& payload) {
    std::uint64_t position = 0;
    auto* slot = producer.try_claim(position, kCapacity);
    if (slot == nullptr) return false;
    rk::copy_message(slot, reinterpret_cast<const std::byte*>(&payload), Bytes);
    producer.publish(position);
    return true;
  }
  bool pop(Payload<Bytes>& payload) {
    const auto* slot = consumer_.front();
    if (slot == nullptr) return false;
    rk::copy_message(reinterpret_cast<std::byte*>(&payload), slot, Bytes);
    consumer_.pop();
    return true;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{128}); }
  };
  std::unique_ptr<std::byte[], Free> memory_{new (std::align_val_t{128})
                                                 std::byte[kCapacity * Bytes]};
  rk::StridedSlots slots_;
  rk::RingWords words_;
  alignas(128) rk::SpscConsumer<rk::StridedSlots, rk::Scope::device> consumer_;
};

/// fixed_sized: no allocation while it runs, as in our rings.
template <std::size_t Bytes>
class PeerInbox {
 public:
  static constexpr const char* kName = "inbox/boost_queue";
  using Queue = boost::lockfree::queue<Payload<Bytes>, boost::lockfree::fixed_sized<true>>;
  using Producer = Queue*;
  Producer producer() { return &queue_; }
  static bool push(Producer& producer, const Payload<Bytes>& payload) {
    return producer->bounded_push(payload);
  }
  bool pop(Payload<Bytes>& payload) { return queue_.pop(payload); }

 private:
  Queue queue_{kCapacity};
};

/// Times kMessages through `queue`, from the moment every thread stands ready to the last pop.
template <std::size_t Bytes, class Queue, class MakePush>
double transfer_seconds(Queue& queue, std::uint64_t producers, MakePush make_push) {
  std::atomic<std::uint64_t> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  for (std::uint64_t p = 0; p < producers; ++p) {
    threads.emplace_back([&] {
      auto push = make_push();
      ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      for (std::uint64_t i = 0; i < kMessages / producers; ++i) {
        const auto payload = make_payload<Bytes>(i);
        Wait wait;
        while (!push(payload)) wait();
      }
    });
  }
  while (ready.load() != producers) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  go.store(true);
  Payload<Bytes> payload{};
  Wait wait;
  for (std::uint64_t i = 0; i < kMessages;) {
    if (queue.pop(payload)) {
      benchmark::DoNotOptimize(payload);
      ++i;
      wait.reset();
    } else {
      wait();
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  for (auto& thread : threads) thread.join();
  return seconds.count();
}

template <std::size_t Bytes, class Queue>
void stream(benchmark::State& state) {
  const auto queue = std::make_unique<Queue>();
  for (auto _ : state) {
    state.SetIterationTime(transfer_seconds<Bytes>(*queue, 1, [&] {
      return [&](const Payload<Bytes>& payload) { return queue->push(payload); };
    }));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
}

template <std::size_t Bytes, class Queue>
void inbox(benchmark::State& state) {
  const auto queue = std::make_unique<Queue>();
  for (auto _ : state) {
    state.SetIterationTime(
        transfer_seconds<Bytes>(*queue, static_cast<std::uint64_t>(state.range(0)), [&] {
          return [producer = queue->producer()](const Payload<Bytes>& payload) mutable {
            return Queue::push(producer, payload);
          };
        }));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessages));
}

template <std::size_t Bytes, template <std::size_t> class Queue>
void add_stream() {
  const auto name = std::string(Queue<Bytes>::kName) + "/bytes:" + std::to_string(Bytes);
  benchmark::RegisterBenchmark(name.c_str(), stream<Bytes, Queue<Bytes>>)->UseManualTime();
}

template <std::size_t Bytes, template <std::size_t> class Queue>
void add_inbox() {
  const auto name = std::string(Queue<Bytes>::kName) + "/bytes:" + std::to_string(Bytes);
  benchmark::RegisterBenchmark(name.c_str(), inbox<Bytes, Queue<Bytes>>)
      ->UseManualTime()
      ->ArgName("producers")
      ->Arg(1)
      ->Arg(2);
}

template <std::size_t Bytes>
void add_all() {
  add_stream<Bytes, OurStream>();
  add_stream<Bytes, PeerStream>();
  add_inbox<Bytes, OurInbox>();
  add_inbox<Bytes, PeerInbox>();
}

}  // namespace

int main(int argc, char** argv) {
  // defaults first: what the user names later wins
  std::vector<std::string> texts = {argv[0], "--benchmark_enable_random_interleaving=true",
                                    "--benchmark_repetitions=9", "--benchmark_min_time=0.05",
                                    "--benchmark_report_aggregates_only=true"};
  texts.insert(texts.end(), argv + 1, argv + argc);
  std::vector<char*> arguments;
  for (auto& text : texts) arguments.push_back(text.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  add_all<16>();
  add_all<64>();
  add_all<256>();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
