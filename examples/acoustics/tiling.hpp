// Cutting a grid into tiles, and the weights their cells use. Host only; values.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "room.hpp"
#include "stencil.hpp"

namespace rk::acoustics {

/// Largest tile per axis unless the user asks otherwise: long rows vectorise, and a face of
/// 16 x 32 floats is 2 KiB.
inline constexpr std::array<std::uint32_t, 3> kDefaultTileCells{32, 16, 16};

/// A grid cut into count[0] x count[1] x count[2] tiles whose sides differ by at most one cell.
struct Tiling {
  std::uint32_t grid[3];
  std::uint32_t count[3];

  [[nodiscard]] std::uint32_t tiles() const { return count[0] * count[1] * count[2]; }

  /// Shape of tile `tile` = ix + count[0] * (iy + count[1] * iz).
  [[nodiscard]] TileShape shape(std::uint32_t tile) const;

  /// The tile that holds `cell`.
  [[nodiscard]] std::uint32_t tile_of(CellIndex cell) const;

  /// The tile across `face` of `tile`, or `kNoTile` where a wall is.
  [[nodiscard]] std::uint32_t neighbour(std::uint32_t tile, Face face) const;

  static constexpr std::uint32_t kNoTile = 0xFFFFFFFFU;
};

/// Tiles of at most `max_cells` per axis; 0 on an axis takes `kDefaultTileCells`, or the room where
/// that is smaller. `invalid_argument` when the room is smaller than a tile that was asked for.
[[nodiscard]] Result<Tiling> make_tiling(const Grid& grid, std::array<std::uint32_t, 3> max_cells);

/// Weights for `grid`. With K neighbours, the summed admittance b of the missing faces and the
/// Courant number l they are  here = (2 - K l^2) / (1 + h),  before = (h - 1) / (1 + h),  around =
/// l^2 / (1 + h) with h = l b / 2; `around` and `before` are rounded to multiples of 2^-23 and here
/// = 1 - before - K around, exactly. Then a constant pressure stays constant and, as |before| <= 1,
/// no rounding of the weights can feed energy into the room.
[[nodiscard]] StencilCoefficients make_coefficients(const Grid& grid);

}  // namespace rk::acoustics
