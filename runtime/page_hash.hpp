// Hashes of 4 KiB pages: how device code finds out which parts of an actor changed since a
// checkpoint that is durable.
//
//   body of a slot (state, padding, field):  [page 0][page 1]...[page n-1, may be shorter]
//   memory of one unit's hashes:             [PageHashes][set 0: n x PageHash][set 1: n x PageHash]
//
// Two sets, because a cut may be abandoned: its hashes must not replace those of the newest durable
// one, the baseline. A set describes the body as it was at the cut `epoch[set]`, and at every later
// one up to the next touch.
//
// Invariants:
//  1. The baseline for a parent is the set with the greatest epoch that is not above it; the other
//     set is written.
//  2. A set being written has epoch 0 until all of it is there.
//  3. The hash does not depend on how many lanes computed it.
#pragma once

#include <ringkernel/runtime/mutant.hpp>
#include <ringkernel/runtime/record.hpp>

#include <cstdint>

namespace rk {

inline constexpr std::uint32_t kPageBytes = 4096;

struct PageHash {
  std::uint64_t low;
  std::uint64_t high;
};
static_assert(sizeof(PageHash) == 16);

struct PageHashes {
  std::uint32_t epoch[2];  ///< 0: the set holds nothing
  std::uint64_t pages;
};
static_assert(sizeof(PageHashes) == 16);

RK_FN constexpr std::uint64_t page_count(std::uint64_t body_bytes) {
  return (body_bytes + kPageBytes - 1) / kPageBytes;
}
/// Length of the page at `offset` of a body: the last one may be shorter.
RK_FN constexpr std::uint64_t page_bytes(std::uint64_t body_bytes, std::uint64_t offset) {
  return body_bytes - offset < kPageBytes ? body_bytes - offset : kPageBytes;
}
RK_FN constexpr std::uint64_t page_hashes_bytes(std::uint64_t pages) {
  return sizeof(PageHashes) + 2 * pages * sizeof(PageHash);
}
RK_FN inline PageHash* page_hash_set(PageHashes* hashes, std::uint32_t set) {
  return reinterpret_cast<PageHash*>(hashes + 1) + set * hashes->pages;
}

/// The set that describes the body at the cut `parent`; 2 if none does. `parent` is not 0.
RK_FN inline std::uint32_t baseline_set(const PageHashes& hashes, std::uint32_t parent) {
  std::uint32_t best = 2;
  for (std::uint32_t set = 0; set < 2; ++set) {
    const std::uint32_t epoch = hashes.epoch[set];
    if (epoch == 0 || (epoch > parent && !planted(Mutant::stale_baseline))) continue;
    if (best == 2 || epoch > hashes.epoch[best]) best = set;
  }
  return best;
}

/// Contribution of a word to the second half of a page's hash: the finalizer of SplitMix64 (Steele,
/// Lea & Flood 2014) over the keyed word, so that the two halves have nothing in common.
RK_FN constexpr std::uint64_t page_mix(std::uint64_t word, std::uint64_t position) {
  std::uint64_t x = word + (position + 1) * 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// A lane's share of a page's hash: the words rank, rank + size, ... `bytes` is a multiple of 8.
RK_FN inline PageHash page_hash_share(const std::byte* page, std::uint64_t bytes,
                                      std::uint32_t rank, std::uint32_t size) {
  const auto* in = reinterpret_cast<const RawWord*>(page);
  PageHash hash{0, 0};
  for (std::uint64_t i = rank; i < bytes / 8; i += size) {
    const std::uint64_t word = in[i].value;
    hash.low += checksum_mix(word, i);
    hash.high += page_mix(word, i);
  }
  return hash;
}

}  // namespace rk
