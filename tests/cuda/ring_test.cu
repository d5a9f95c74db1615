// Queues, the block group and the record checksum between blocks of one GPU. Every wait in the
// kernels is bounded.
#include <ringkernel/kernels/block_group.cuh>
#include <ringkernel/runtime/record.hpp>
#include <ringkernel/runtime/ring.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace {

using rk::BlockGroup;
using rk::Scope;
using rk::StridedSlots;

constexpr std::uint32_t kSlotBytes = 64;
constexpr std::uint64_t kSlots = 64;
constexpr std::uint32_t kMessages = 20000;
constexpr std::uint64_t kMostTicks = 20'000'000'000;  // about ten seconds

struct Outcome {
  std::uint64_t wrong;
  std::uint64_t received;
  std::uint64_t gave_up;
};

/// Zeroed memory that both sides see, so that no copy is needed to look at it.
template <class T>
class Mapped {
 public:
  explicit Mapped(std::uint64_t count = 1) {
    void* memory = nullptr;
    if (cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocMapped) != cudaSuccess) {
      throw std::runtime_error("no pinned memory: these tests need a GPU");
    }
    std::memset(memory, 0, count * sizeof(T));
    memory_ = static_cast<T*>(memory);
  }
  ~Mapped() { cudaFreeHost(memory_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  T* get() const { return memory_; }
  T* operator->() const { return memory_; }

 private:
  T* memory_ = nullptr;
};

template <class T>
class OnDevice {
 public:
  explicit OnDevice(std::uint64_t count) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemset(memory, 0, count * sizeof(T)), cudaSuccess);
    memory_ = static_cast<T*>(memory);
  }
  ~OnDevice() { cudaFree(memory_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  T* get() const { return memory_; }

 private:
  T* memory_ = nullptr;
};

__device__ std::uint64_t* words_of(std::byte* slot) {
  return reinterpret_cast<std::uint64_t*>(slot);
}

/// Block 0 receives; the other blocks send kMessages each: word 1 the sender, 2 the number, 3..7
/// both mixed.
__global__ void inbox_kernel(StridedSlots slots, rk::RingWords* ring_words, Outcome* outcome) {
  if (threadIdx.x != 0) return;
  const std::uint64_t start = rk::ticks();
  const std::uint32_t senders = gridDim.x - 1;
  rk::Backoff backoff;
  if (blockIdx.x != 0) {
    rk::MpscProducer<StridedSlots, Scope::device> producer(slots, ring_words);
    for (std::uint64_t number = 0; number < kMessages;) {
      std::uint64_t position = 0;
      std::byte* slot = producer.try_claim(position, producer.capacity());
      if (slot == nullptr) {
        if (rk::ticks() - start > kMostTicks) return;
        backoff.wait();
        continue;
      }
      std::uint64_t* words = words_of(slot);
      words[1] = blockIdx.x;
      words[2] = number;
      for (int i = 3; i < 8; ++i) words[i] = number * 31 + blockIdx.x + i;
      producer.publish(slot, position);
      ++number;
    }
    return;
  }
  constexpr std::uint32_t kMostSenders = 16;
  std::uint64_t expected[kMostSenders + 1] = {};
  rk::SpscConsumer<StridedSlots, Scope::device> consumer(slots, ring_words);
  Outcome result{};
  while (result.received < std::uint64_t{senders} * kMessages) {
    std::byte* slot = consumer.front();
    if (slot == nullptr) {
      if (rk::ticks() - start > kMostTicks) {
        result.gave_up = 1;
        break;
      }
      backoff.wait();
      continue;
    }
    const std::uint64_t* words = words_of(slot);
    const std::uint64_t from = words[1];
    if (from < 1 || from > senders || words[2] != expected[from]++) ++result.wrong;
    for (int i = 3; i < 8; ++i) result.wrong += words[i] != words[2] * 31 + from + i ? 1 : 0;
    consumer.pop();
    ++result.received;
  }
  *outcome = result;
}

class DeviceInbox : public testing::TestWithParam<std::uint32_t> {};

TEST_P(DeviceInbox, KeepsEveryMessageOfEverySenderInOrder) {
  OnDevice<std::byte> memory(kSlots * kSlotBytes);
  OnDevice<rk::RingWords> ring_words(1);
  Mapped<Outcome> outcome;
  StridedSlots slots{memory.get(), kSlots - 1, 6};
  rk::RingWords* ring = ring_words.get();
  Outcome* result = outcome.get();
  void* arguments[] = {&slots, &ring, &result};
  ASSERT_EQ(cudaLaunchCooperativeKernel(inbox_kernel, dim3(GetParam() + 1), dim3(32), arguments, 0,
                                        nullptr),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(outcome->gave_up, 0u);
  EXPECT_EQ(outcome->received, std::uint64_t{GetParam()} * kMessages);
  EXPECT_EQ(outcome->wrong, 0u);
}
INSTANTIATE_TEST_SUITE_P(Senders, DeviceInbox, testing::Values(1u, 4u, 16u));

__global__ void group_kernel(std::uint64_t* wrong) {
  __shared__ BlockGroup::Shared shared;
  BlockGroup group(shared);
  std::uint64_t mistakes = 0;
  for (std::uint64_t round = 0; round < 1000; ++round) {
    const std::uint64_t n = group.size();
    if (group.sum(group.rank() + round) != n * (n - 1) / 2 + n * round) ++mistakes;
    if (group.broadcast(group.rank() == 0 ? round : ~0ull) != round) ++mistakes;
  }
  const std::uint64_t total = group.sum(mistakes);
  if (group.rank() == 0) *wrong = total;
}

TEST(DeviceGroup, SumsAndBroadcastsForEveryLane) {
  Mapped<std::uint64_t> wrong;
  group_kernel<<<1, BlockGroup::kThreads>>>(wrong.get());
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(*wrong.get(), 0u);
}

__global__ void checksum_kernel(std::byte* to, const std::byte* from, std::uint64_t bytes,
                                std::uint64_t* sum) {
  __shared__ BlockGroup::Shared shared;
  BlockGroup group(shared);
  const std::uint64_t total =
      group.sum(rk::copy_with_checksum(to, from, bytes, group.rank(), group.size()));
  if (group.rank() == 0) *sum = total;
}

TEST(DeviceChecksum, OfABlockEqualsThatOfTheHost) {
  for (const std::uint64_t bytes : {8ull, 16ull, 24ull, 1000ull, 4096ull, 65528ull}) {
    for (const std::uint64_t shift : {0ull, 8ull}) {
      Mapped<std::byte> from(bytes + 16);
      Mapped<std::byte> to(bytes + 16);
      Mapped<std::uint64_t> sum;
      for (std::uint64_t i = 0; i < bytes; ++i) {
        from.get()[shift + i] = static_cast<std::byte>(i * 131 + bytes);
      }
      checksum_kernel<<<1, BlockGroup::kThreads>>>(to.get(), from.get() + shift, bytes, sum.get());
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      EXPECT_EQ(*sum.get(), rk::record_checksum(from.get() + shift, bytes))
          << bytes << " + " << shift;
      EXPECT_EQ(std::memcmp(to.get(), from.get() + shift, bytes), 0) << bytes << " + " << shift;
    }
  }
}

}  // namespace
