// The stamp's word: order, fields, and the 24-byte exchange form.
#include <ringkernel/hlc/timestamp.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace rk::hlc {
namespace {

static_assert(std::is_trivially_copyable_v<Timestamp>);
static_assert(std::is_trivially_copyable_v<Exchange>);
static_assert(std::has_unique_object_representations_v<Exchange>, "padding would reach files");
static_assert(offsetof(Exchange, physical_us) == 0);
static_assert(offsetof(Exchange, logical) == 8);
static_assert(offsetof(Exchange, node) == 16);

TEST(Timestamp, WordLayoutIsPhysicalThenTwelveLogicalBits) {
  constexpr Timestamp stamp{0x0123456789ABCDEFull};
  static_assert(stamp.physical_us() == 0x0123456789ABCull);
  static_assert(stamp.logical() == 0xDEF);
  EXPECT_EQ(at_wall(1).word, 4096u);
}

TEST(Timestamp, ReachesTheYear2112) {
  constexpr std::uint64_t kSecondsPerYear = 31'556'952;  // mean Gregorian year
  EXPECT_EQ(1970 + kPhysicalMaxUs / 1'000'000 / kSecondsPerYear, 2112u);
}

TEST(Timestamp, WallPastTheRangeSaturatesInsteadOfWrappingToThePast) {
  const Timestamp top = at_wall(kPhysicalMaxUs);
  EXPECT_EQ(at_wall(kPhysicalMaxUs + 1), top);
  EXPECT_EQ(at_wall(std::numeric_limits<std::uint64_t>::max()), top);
}

RC_GTEST_PROP(Timestamp, OrderIsThatOfPhysicalThenLogical, (std::uint64_t a, std::uint64_t b)) {
  const Timestamp x{a};
  const Timestamp y{b};
  const bool before = x.physical_us() != y.physical_us() ? x.physical_us() < y.physical_us()
                                                         : x.logical() < y.logical();
  RC_ASSERT((x < y) == before);
  RC_ASSERT((x > y) == (y < x));
  RC_ASSERT((x <= y) == !(y < x));
  RC_ASSERT((x >= y) == !(x < y));
  RC_ASSERT((x == y) == (a == b));
  RC_ASSERT((x != y) == (a != b));
  RC_ASSERT(later_of(x, y).word == std::max(a, b));
}

RC_GTEST_PROP(Timestamp, WorkerBreaksTiesSoThatNoTwoEventsAreEqual, ()) {
  const auto stamp = Timestamp{*rc::gen::arbitrary<std::uint64_t>()};
  const auto w1 = *rc::gen::arbitrary<std::uint32_t>();
  const auto w2 = *rc::gen::distinctFrom(w1);
  const StampedBy a{stamp, w1};
  const StampedBy b{stamp, w2};
  RC_ASSERT(!(a == b));
  RC_ASSERT((a < b) != (b < a));
  RC_ASSERT((a < b) == (w1 < w2));
  const StampedBy later{Timestamp{stamp.word ^ (1ull << 63)}, w2};
  RC_ASSERT((a < later) == (stamp < later.stamp));
}

RC_GTEST_PROP(Pack, KeepsEveryStampThatFits, ()) {
  const auto physical_us = *rc::gen::inRange<std::uint64_t>(0, kPhysicalMaxUs);
  const auto logical = *rc::gen::inRange<std::uint64_t>(0, kLogicalMax + 1);
  const auto node = *rc::gen::arbitrary<std::uint64_t>();
  const Exchange in{physical_us, logical, node};
  Timestamp out;
  RC_ASSERT(pack(in, out) == PackStatus::ok);
  RC_ASSERT(unpack(out, node) == in);
}

TEST(Pack, ClampsLogicalAtItsLimitAndSaysSo) {
  Timestamp out;
  EXPECT_EQ(pack({7, kLogicalMax, 0}, out), PackStatus::ok);
  EXPECT_EQ(out.logical(), kLogicalMax);
  for (const std::uint64_t logical :
       {kLogicalMax + 1, std::uint64_t{1} << 32, std::numeric_limits<std::uint64_t>::max()}) {
    out = {};
    EXPECT_EQ(pack({7, logical, 0}, out), PackStatus::clamped);
    EXPECT_EQ(out.physical_us(), 7u) << "a large logical part must not leak into the physical part";
    EXPECT_EQ(out.logical(), kLogicalMax);
  }
}

TEST(Pack, RefusesPhysicalOf52BitsAndMoreWithoutTouchingTheResult) {
  Timestamp out{42};
  EXPECT_EQ(pack({kPhysicalMaxUs, 0, 0}, out), PackStatus::ok);
  out = {42};
  for (const std::uint64_t physical_us :
       {kPhysicalMaxUs + 1, std::numeric_limits<std::uint64_t>::max()}) {
    EXPECT_EQ(pack({physical_us, 0, 0}, out), PackStatus::out_of_range);
    EXPECT_EQ(out.word, 42u);
  }
}

}  // namespace
}  // namespace rk::hlc
