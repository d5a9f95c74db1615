// The plain FIFO of a worker: messages between actors of the same worker. One thread at both ends,
// so no commit words and no atomics.
#pragma once

#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only. `Slots`: how many if that is always the same, else 0.
template <std::uint32_t SlotBytes, std::uint32_t Slots = 0>
class LocalQueue {
 public:
  LocalQueue() = default;
  RK_FN LocalQueue(std::byte* base, std::uint32_t slots) : base_(base), slots_(slots) {}

  [[nodiscard]] RK_FN bool empty() const { return head_ == tail_; }
  [[nodiscard]] RK_FN std::uint64_t size() const { return tail_ - head_; }
  [[nodiscard]] RK_FN bool has_room(std::uint32_t wanted) const {
    return tail_ - head_ + wanted <= slots();
  }
  /// Place of the next message. Precondition: has_room(1). It counts as sent with push().
  [[nodiscard]] RK_FN std::byte* claim() const { return at(tail_); }
  RK_FN void push() { ++tail_; }
  [[nodiscard]] RK_FN std::byte* front() const { return at(head_); }
  RK_FN void pop() { ++head_; }

  [[nodiscard]] RK_FN std::uint64_t head() const { return head_; }
  [[nodiscard]] RK_FN std::uint64_t tail() const { return tail_; }
  [[nodiscard]] RK_FN std::byte* at(std::uint64_t position) const {
    return base_ + (position & (slots() - 1)) * SlotBytes;
  }

 private:
  [[nodiscard]] RK_FN std::uint64_t slots() const { return Slots != 0 ? Slots : slots_; }

  std::byte* base_ = nullptr;
  std::uint64_t slots_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace rk
