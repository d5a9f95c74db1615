// Log-linear histograms: eight equal buckets in each power of two, so that a bucket is at most an
// eighth of its values wide, from one unit to years, without knowing the range before.
//
//   value   0 1 2 .. 15 | 16-17 18-19 .. 30-31 | 32-35 .. 60-63 | 64-71 ..
//   bucket  0 1 2 .. 15 |  16    17   ..  23   |  24   ..  31   |  32   ..
//
// Values are whole numbers of a unit that the user of a histogram chooses. The same bucket
// functions run on the device, which counts, and on the host, which asks for percentiles.
//
// Source: G. Tene, HdrHistogram (the idea of the buckets; code and layout are ours).
//
// Threads: values.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <array>
#include <bit>
#include <cstdint>

namespace rk {

inline constexpr std::uint32_t kHistogramSubBits = 3;
/// Values from 2^40 on count in the last bucket.
inline constexpr std::uint32_t kHistogramPowers = 40;
inline constexpr std::uint32_t kHistogramBuckets = (kHistogramPowers - kHistogramSubBits + 1)
                                                   << kHistogramSubBits;
static_assert(kHistogramBuckets == 304);

[[nodiscard]] RK_FN constexpr std::uint32_t histogram_bucket(std::uint64_t value) {
  constexpr std::uint64_t kLargest = (std::uint64_t{1} << kHistogramPowers) - 1;
  if (value > kLargest) value = kLargest;
  if (value < (1u << kHistogramSubBits)) return static_cast<std::uint32_t>(value);
#if defined(__CUDA_ARCH__)
  const std::uint32_t power =
      63u - static_cast<std::uint32_t>(__clzll(static_cast<long long>(value)));
#else
  const std::uint32_t power = static_cast<std::uint32_t>(std::bit_width(value)) - 1;
#endif
  const std::uint32_t shift = power - kHistogramSubBits;
  return (shift << kHistogramSubBits) + static_cast<std::uint32_t>(value >> shift);
}

/// The smallest value of a bucket. `bucket` up to kHistogramBuckets, whose lowest value is the end
/// of the last one.
[[nodiscard]] constexpr std::uint64_t histogram_lowest(std::uint32_t bucket) {
  constexpr std::uint32_t kSubs = 1u << kHistogramSubBits;
  if (bucket < 2 * kSubs) return bucket;
  const std::uint32_t shift = (bucket >> kHistogramSubBits) - 1;
  return static_cast<std::uint64_t>(kSubs + (bucket & (kSubs - 1))) << shift;
}
/// The largest value of a bucket.
[[nodiscard]] constexpr std::uint64_t histogram_highest(std::uint32_t bucket) {
  return histogram_lowest(bucket + 1) - 1;
}

/// Counts per bucket, on the host.
struct Histogram {
  std::array<std::uint64_t, kHistogramBuckets> counts{};

  void add(std::uint64_t value, std::uint64_t count = 1) {
    counts[histogram_bucket(value)] += count;
  }
  void merge(const Histogram& other) {
    for (std::uint32_t i = 0; i < kHistogramBuckets; ++i) counts[i] += other.counts[i];
  }
  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t total = 0;
    for (const std::uint64_t n : counts) total += n;
    return total;
  }
  /// The largest value of the bucket that holds the `share` (0..1) of the values, sorted: never
  /// less than the true one, at most an eighth more. 0 of an empty histogram.
  [[nodiscard]] std::uint64_t percentile(double share) const {
    const std::uint64_t total = count();
    if (total == 0) return 0;
    const double wanted = share * static_cast<double>(total);
    std::uint64_t seen = 0;
    std::uint32_t last = 0;
    for (std::uint32_t i = 0; i < kHistogramBuckets; ++i) {
      if (counts[i] == 0) continue;
      seen += counts[i];
      last = i;
      if (static_cast<double>(seen) >= wanted) break;
    }
    return histogram_highest(last);
  }
  /// How many values are less than 2^power.
  [[nodiscard]] std::uint64_t below_power(std::uint32_t power) const {
    std::uint64_t below = 0;
    const std::uint32_t end =
        power >= kHistogramPowers ? kHistogramBuckets : histogram_bucket(std::uint64_t{1} << power);
    for (std::uint32_t i = 0; i < end; ++i) below += counts[i];
    return below;
  }
};

}  // namespace rk
