// Counter-based random numbers: Philox4x32-10 (J. Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", SC'11). A draw depends on (seed, actor, position, index) alone: not on workers,
// lanes, executors or what else ran before.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <cstdint>

namespace rk {

/// Generator for one actor at one position. Cheap to make; keep none across handlers.
class Rng {
 public:
  RK_FN Rng(std::uint64_t seed, std::uint32_t actor, std::uint64_t position)
      : key_{static_cast<std::uint32_t>(seed),
             static_cast<std::uint32_t>(seed >> 32) ^ actor * 0x9E3779B9u},
        position_{static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32)},
        actor_(actor) {}

  /// Next 32 random bits.
  RK_FN std::uint32_t next() {
    const std::uint32_t lane = draws_ % 4;
    if (lane == 0) refill();
    ++draws_;
    return block_[lane];
  }
  /// Uniform in [0, bound); bound > 0. Multiply-shift: bias below bound / 2^32.
  RK_FN std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(next()) * bound) >> 32);
  }
  /// Uniform in [0, 1), 24 bits.
  RK_FN float uniform() { return static_cast<float>(next() >> 8) * (1.0f / 16777216.0f); }

 private:
  RK_FN void refill() {
    std::uint32_t c[4] = {draws_ / 4, actor_, position_[0], position_[1]};
    std::uint32_t k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = static_cast<std::uint64_t>(0xD2511F53u) * c[0];
      const std::uint64_t p1 = static_cast<std::uint64_t>(0xCD9E8D57u) * c[2];
      const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0;
      const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1;
      c[0] = n0;
      c[1] = static_cast<std::uint32_t>(p1);
      c[2] = n2;
      c[3] = static_cast<std::uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; ++i) block_[i] = c[i];
  }

  std::uint32_t key_[2];
  std::uint32_t position_[2];
  std::uint32_t actor_;
  std::uint32_t draws_ = 0;
  std::uint32_t block_[4] = {};
};

}  // namespace rk
