// Log-linear histograms: every value lands in the bucket that holds it, percentiles err by less
// than a bucket.
#include <ringkernel/runtime/histogram.hpp>
#include <ringkernel/runtime/telemetry_block.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace rk {
namespace {

constexpr std::uint64_t kEnd = std::uint64_t{1} << kHistogramPowers;

TEST(Histogram, BucketsFollowEachOtherWithoutGapOrOverlap) {
  EXPECT_EQ(histogram_lowest(0), 0u);
  for (std::uint32_t i = 0; i < kHistogramBuckets; ++i) {
    const std::uint64_t low = histogram_lowest(i);
    const std::uint64_t high = histogram_highest(i);
    ASSERT_LE(low, high);
    EXPECT_EQ(histogram_bucket(low), i);
    EXPECT_EQ(histogram_bucket(high), i);
    EXPECT_LE(high - low, low / 8) << "wider than an eighth of its values";
    EXPECT_EQ(histogram_lowest(i + 1), high + 1);
  }
  EXPECT_EQ(histogram_lowest(kHistogramBuckets), kEnd);
}

// The golden values of the layout: readers and writers of two versions must agree on them.
TEST(Histogram, BucketsOfKnownValuesStayWhereTheyAre) {
  const std::vector<std::pair<std::uint64_t, std::uint32_t>> known{{0, 0},
                                                                   {1, 1},
                                                                   {15, 15},
                                                                   {16, 16},
                                                                   {17, 16},
                                                                   {31, 23},
                                                                   {32, 24},
                                                                   {1000, 63},
                                                                   {1024, 64},
                                                                   {1'000'000, 143},
                                                                   {kEnd - 1, 303},
                                                                   {kEnd, 303},
                                                                   {~std::uint64_t{0}, 303}};
  for (const auto& [value, bucket] : known) EXPECT_EQ(histogram_bucket(value), bucket) << value;
  EXPECT_EQ(telemetry_block_bytes(3), 128u + 3 * 4928u);
}

RC_GTEST_PROP(Histogram, APercentileIsInTheBucketOfTheTrueOne, ()) {
  const auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint64_t>>(
      rc::gen::map(rc::gen::pair(rc::gen::arbitrary<std::uint64_t>(), rc::gen::inRange(0, 64)),
                   [](const auto& p) { return (p.first >> p.second) % kEnd; })));
  Histogram histogram;
  for (const std::uint64_t value : values) histogram.add(value);
  auto sorted = values;
  std::sort(sorted.begin(), sorted.end());
  RC_ASSERT(histogram.count() == sorted.size());
  for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(
        std::max(1.0, std::ceil(share * static_cast<double>(sorted.size()))));
    const std::uint64_t right = sorted[rank - 1];
    const std::uint64_t told = histogram.percentile(share);
    RC_ASSERT(histogram_bucket(told) == histogram_bucket(right));
    RC_ASSERT(told >= right);
    RC_ASSERT(told - right <= right / 8);
  }
}

RC_GTEST_PROP(Histogram, WhatIsBelowAPowerOfTwoIsCountedExactly, ()) {
  const auto values = *rc::gen::container<std::vector<std::uint64_t>>(
      rc::gen::map(rc::gen::pair(rc::gen::arbitrary<std::uint64_t>(), rc::gen::inRange(0, 64)),
                   [](const auto& p) { return p.first >> p.second; }));
  Histogram histogram;
  for (const std::uint64_t value : values) histogram.add(value);
  for (std::uint32_t power = 0; power < kHistogramPowers; ++power) {
    const auto below = std::count_if(values.begin(), values.end(), [&](std::uint64_t value) {
      return value < std::uint64_t{1} << power;
    });
    RC_ASSERT(histogram.below_power(power) == static_cast<std::uint64_t>(below));
  }
}

TEST(Histogram, AnEmptyOneHasNoPercentile) {
  EXPECT_EQ(Histogram{}.percentile(0.5), 0u);
  EXPECT_EQ(Histogram{}.count(), 0u);
}

TEST(Histogram, MergingAddsUp) {
  Histogram a;
  Histogram b;
  a.add(5, 3);
  b.add(5);
  b.add(70'000, 4);
  a.merge(b);
  EXPECT_EQ(a.count(), 8u);
  EXPECT_EQ(a.percentile(0.5), 5u);
  EXPECT_EQ(histogram_bucket(a.percentile(0.51)), histogram_bucket(70'000));
}

}  // namespace
}  // namespace rk
