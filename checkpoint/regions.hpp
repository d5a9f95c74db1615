// Where the elements of a declared region (runtime/region.hpp) lie in one actor's saved bytes.
//
// A declaration comes from a MANIFEST and the words it refers to from a shard, so neither is
// trusted: every size is checked against the bytes that are there.
//
// Thread-safety: free functions; views refer to bytes of the caller.
#pragma once

#include <array>
#include <cstdint>
#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/region.hpp>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

using RegionTriple = std::array<std::uint64_t, 3>;  ///< x, y, z; axes that are not there count 1

/// One actor's region.
struct RegionView {
  const Region* region = nullptr;
  RegionTriple shape{1, 1, 1};
  RegionTriple stride{1, 1, 1};  ///< elements between neighbours
  RegionTriple origin{0, 0, 0};  ///< in the whole
  RegionTriple whole{1, 1, 1};   ///< `shape` where the box stands alone
  Bytes elements;                ///< of the current buffer, from the first element that is no ghost
  Bytes storage;                 ///< all buffers with their ghosts

  [[nodiscard]] std::uint64_t count() const { return shape[0] * shape[1] * shape[2]; }
  [[nodiscard]] bool is_placed() const { return !region->whole.empty(); }
  /// Calls f(const std::byte*) for every element, x fastest.
  template <class F>
  void for_each(F f) const {
    if (count() == 0) return;  // the other axes may be long
    const std::uint64_t size = element_bytes(region->element);
    for (std::uint64_t z = 0; z < shape[2]; ++z) {
      for (std::uint64_t y = 0; y < shape[1]; ++y) {
        const std::byte* row = elements.data() + (y * stride[1] + z * stride[2]) * size;
        for (std::uint64_t x = 0; x < shape[0]; ++x) f(row + x * size);
      }
    }
  }
};

/// `corrupt` when the box, with all buffers and ghosts, is not inside the bytes, or lies outside
/// the whole.
[[nodiscard]] Result<RegionView> view_region(const Region& region, Bytes state, Bytes field);

/// Why these declarations of one type make no sense; nothing if they do. `state_bytes`: of the
/// type.
[[nodiscard]] std::string regions_fault(const std::vector<Region>& regions,
                                        std::uint64_t state_bytes);

[[nodiscard]] std::string_view to_string(ElementType type);  ///< "f32"
[[nodiscard]] bool element_type_from(std::string_view text, ElementType& type);

/// The element as decimal text: integers exactly, floats as short as reads back to the same bits;
/// not finite: nan, inf, -inf.
[[nodiscard]] std::string element_text(ElementType type, const std::byte* element);
/// The element as a double; 64-bit integers are rounded.
[[nodiscard]] double element_value(ElementType type, const std::byte* element);

}  // namespace rk::checkpoint
