// Hybrid logical time stamps: one word that orders events by cause and stays close to physical
// time.
//
// Layout of the word, most significant bits first:
//
//     63                                              12 11          0
//     +-------------------------------------------------+-------------+
//     | physical: microseconds since 1970-01-01 UTC     | logical     |
//     +-------------------------------------------------+-------------+
//
// Invariants
//   1. Comparing words compares stamps. No field is compared alone.
//   2. 52 bits of microseconds reach the year 2112. Adding 1 to a word whose logical part is full
//   carries into
//      the physical part, so order survives overflow and the stamp runs ahead of the wall clock
//      instead.
//   3. Word 0 is "no event yet": clocks never issue it.
//   4. A stamp is unique within the clock that issued it. (stamp, worker) is the total order of a
//   system.
//
// Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks" (OPODIS 2014); the
// 48+16 bit word of that paper becomes 52+12 here, which keeps microseconds.
//
// Threads: values. Usable on host and device.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

#include <cstdint>

namespace rk::hlc {

inline constexpr std::uint32_t kLogicalBits = 12;
inline constexpr std::uint64_t kLogicalMax = (std::uint64_t{1} << kLogicalBits) - 1;
inline constexpr std::uint32_t kPhysicalBits = 64 - kLogicalBits;
/// The largest representable physical part, in microseconds since 1970.
inline constexpr std::uint64_t kPhysicalMaxUs = (std::uint64_t{1} << kPhysicalBits) - 1;

/// A stamp. Zero is "no event yet".
struct Timestamp {
  std::uint64_t word = 0;

  /// Microseconds since 1970-01-01 UTC.
  [[nodiscard]] RK_FN constexpr std::uint64_t physical_us() const { return word >> kLogicalBits; }
  /// Events within one microsecond, 0..4095.
  [[nodiscard]] RK_FN constexpr std::uint64_t logical() const { return word & kLogicalMax; }

  // Spelled out because a defaulted <=> is not callable in device code without a relaxed mode.
  [[nodiscard]] friend RK_FN constexpr bool operator==(Timestamp a, Timestamp b) {
    return a.word == b.word;
  }
  [[nodiscard]] friend RK_FN constexpr bool operator!=(Timestamp a, Timestamp b) {
    return a.word != b.word;
  }
  [[nodiscard]] friend RK_FN constexpr bool operator<(Timestamp a, Timestamp b) {
    return a.word < b.word;
  }
  [[nodiscard]] friend RK_FN constexpr bool operator>(Timestamp a, Timestamp b) { return b < a; }
  [[nodiscard]] friend RK_FN constexpr bool operator<=(Timestamp a, Timestamp b) {
    return !(b < a);
  }
  [[nodiscard]] friend RK_FN constexpr bool operator>=(Timestamp a, Timestamp b) {
    return !(a < b);
  }
};
static_assert(sizeof(Timestamp) == 8);

/// The earliest stamp of microsecond `wall_us`. A reading past the representable range (a broken
/// clock) saturates, so that it can never wrap to a stamp of the past.
[[nodiscard]] RK_FN constexpr Timestamp at_wall(std::uint64_t wall_us) {
  return Timestamp{(wall_us > kPhysicalMaxUs ? kPhysicalMaxUs : wall_us) << kLogicalBits};
}

[[nodiscard]] RK_FN constexpr Timestamp later_of(Timestamp a, Timestamp b) {
  // of the words: g++ may choose between structs by their addresses, through memory
  return Timestamp{a.word < b.word ? b.word : a.word};
}

/// A stamp with the worker that issued it; unique and totally ordered across a system.
struct StampedBy {
  Timestamp stamp;
  std::uint32_t worker = 0;

  [[nodiscard]] friend RK_FN constexpr bool operator==(StampedBy a, StampedBy b) {
    return a.stamp == b.stamp && a.worker == b.worker;
  }
  [[nodiscard]] friend RK_FN constexpr bool operator<(StampedBy a, StampedBy b) {
    return a.stamp != b.stamp ? a.stamp < b.stamp : a.worker < b.worker;
  }
};

/// The 24-byte form exchanged with other systems and stored in `.rkcp` metadata. Little-endian, no
/// padding. Files keep all 24 bytes; only a live clock needs the packed word.
struct Exchange {
  std::uint64_t physical_us = 0;
  std::uint64_t logical = 0;
  std::uint64_t node = 0;

  [[nodiscard]] friend RK_FN constexpr bool operator==(const Exchange& a, const Exchange& b) {
    return a.physical_us == b.physical_us && a.logical == b.logical && a.node == b.node;
  }
};
static_assert(sizeof(Exchange) == 24);

enum class PackStatus : std::uint32_t {
  ok,
  clamped,  ///< logical above 4095 became 4095: order among the later events of that microsecond is
            ///< lost
  out_of_range,  ///< physical >= 2^52 us: refused, `out` untouched
};

/// Packs a foreign stamp into a word. Clamping keeps the microsecond and loses order among that
/// microsecond's events beyond the 4095th; a physical part that does not fit is refused, never
/// truncated.
[[nodiscard]] RK_FN constexpr PackStatus pack(const Exchange& in, Timestamp& out) {
  if (in.physical_us > kPhysicalMaxUs) return PackStatus::out_of_range;
  const bool clamp = in.logical > kLogicalMax;
  out.word = (in.physical_us << kLogicalBits) | (clamp ? kLogicalMax : in.logical);
  return clamp ? PackStatus::clamped : PackStatus::ok;
}

[[nodiscard]] RK_FN constexpr Exchange unpack(Timestamp stamp, std::uint64_t node) {
  return Exchange{stamp.physical_us(), stamp.logical(), node};
}

}  // namespace rk::hlc
