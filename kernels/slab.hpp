// A worker's slab: fixed-size blocks that carry payloads too large for a message slot.
//
// A block belongs to the message that refers to it. The receiver's worker gives it back to the pool
// it came from: at once if the pool is its own, else through the pool's return ring, which has room
// for every block there is.
#pragma once

#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only.
class SlabPool {
 public:
  SlabPool() = default;
  RK_FN SlabPool(const SystemView& system, std::uint32_t worker)
      : system_(&system),
        worker_(worker),
        free_(system.workers[worker].slab_free),
        free_count_(system.workers[worker].slab_free_count),
        returns_(system.workers[worker].slab_returns, system.workers[worker].slab_return_words) {}

  RK_FN bool has_free(std::uint32_t blocks) {
    while (free_count_ < blocks) {
      const std::byte* slot = returns_.front();
      if (slot == nullptr) return false;
      free_[free_count_++] =
          static_cast<std::uint32_t>(reinterpret_cast<const BlockReturn*>(slot)->block);
      returns_.pop();
    }
    return true;
  }
  /// Precondition: has_free(1).
  RK_FN BlockRef take(std::uint32_t bytes) {
    return BlockRef{worker_, free_[--free_count_], bytes, {}};
  }

  RK_FN void give_back(const BlockRef& ref) {
    if (ref.pool == worker_) {
      free_[free_count_++] = ref.block;
      return;
    }
    const WorkerView& owner = system_->workers[ref.pool];
    InboxProducer producer(owner.slab_returns, owner.slab_return_words);
    std::uint64_t position = 0;
    // cannot fail: the ring is as large as the slab
    std::byte* slot = producer.try_claim(position, producer.capacity());
    reinterpret_cast<BlockReturn*>(slot)->block = ref.block;
    producer.publish(slot, position);
  }

  RK_FN static std::byte* address(const SystemView& system, const BlockRef& ref) {
    const WorkerView& owner = system.workers[ref.pool];
    return owner.slab + static_cast<std::uint64_t>(ref.block) * owner.slab_block_bytes;
  }

 private:
  const SystemView* system_ = nullptr;
  std::uint32_t worker_ = 0;
  std::uint32_t* free_ = nullptr;
  std::uint32_t free_count_ = 0;
  SpscConsumer<StridedSlots, Scope::device> returns_;
};

}  // namespace rk
