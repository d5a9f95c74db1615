// The defective clock our design replaces: physical and logical parts in two words, one swapped and
// the other stored. Peer of the benchmark, and proof that the duplicate check of the tests can
// fail.
#pragma once

#include <ringkernel/hlc/timestamp.hpp>

#include <atomic>
#include <cstdint>

namespace rk::hlc::peer {

class SplitWordClock {
 public:
  Timestamp tick(std::uint64_t wall_us) {
    for (;;) {
      std::uint64_t physical_us = physical_us_.load(std::memory_order_acquire);
      const std::uint64_t logical = logical_.load(std::memory_order_acquire);
      const bool newer = wall_us > physical_us;
      const std::uint64_t next_physical_us = newer ? wall_us : physical_us;
      const std::uint64_t next_logical = newer ? 0 : logical + 1;
      if (physical_us_.compare_exchange_strong(physical_us, next_physical_us,
                                               std::memory_order_acq_rel)) {
        // Between the swap and this store another thread reads the old logical part.
        logical_.store(next_logical, std::memory_order_release);
        return Timestamp{(next_physical_us << kLogicalBits) + next_logical};
      }
    }
  }
  Timestamp merge(Timestamp received, std::uint64_t wall_us) {
    const std::uint64_t physical_us = received.physical_us();
    return tick(wall_us > physical_us ? wall_us : physical_us);
  }

 private:
  std::atomic<std::uint64_t> physical_us_{0};
  std::atomic<std::uint64_t> logical_{0};
};

}  // namespace rk::hlc::peer
