// A slice of the pressure field as a picture.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "room.hpp"

namespace rk::acoustics {

/// Values of one plane, x fastest; row 0 is y = 0.
struct Slice {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::vector<float> values;
};

/// Cuts the horizontal plane `z` (in cells, below grid.nz) out of an unpadded field of
/// `grid.cells()` values. `invalid_argument` when either does not fit the grid.
[[nodiscard]] Result<Slice> horizontal_slice(const Grid& grid, std::span<const float> field,
                                             std::uint32_t z);

/// Writes `slice` as 8-bit RGB, y pointing up, each cell enlarged to a square so that the longer
/// side has about 512 pixels. Colours run from blue (-limit) over white (0) to red (+limit); 0
/// takes the largest magnitude as the limit. Equal values give equal bytes. Errors:
/// `invalid_argument` (empty slice, values that are not finite), those of `write_whole_file`.
[[nodiscard]] Result<void> write_png(const std::string& path, const Slice& slice,
                                     float limit = 0.0F);

}  // namespace rk::acoustics
