// The cell update of the 3D wave equation, one header for every executor.
//
// Invariants
//   1. One order of operations, written once in `next_pressure`. Built without contraction
//      (-ffp-contract=off, --fmad=false) every tiling, group size and executor gives the same bits.
//   2. No transcendental function: weights are computed on the host by `make_coefficients`.
//   3. Padding behind a wall is 0 and stays 0, so a missing neighbour adds 0 to the sum and only
//   the
//      weights differ between interior and wall cells.
//   4. The update of a cell reads `before` only at that cell: step n+1 overwrites step n-1 in
//   place,
//      and the padding of `before` is free to collect the halo of step n+1 meanwhile.
//
// A tile of sx*sy*sz cells is stored with one cell of padding on each side, x fastest:
//
//     index(x,y,z) = (x+1) + (sx+2) * ((y+1) + (sy+2) * (z+1)),   -1 <= x <= sx, ...
//
// Edges and corners of the padding are never read. Scheme: 7-point leapfrog with frequency-
// independent, locally reacting walls, cell-centred (Kowalczyk and van Walstijn 2008; Webb and
// Bilbao 2011; Hamilton 2016).
#pragma once

#include <cstdint>
#include <type_traits>

#include <ringkernel/hlc/host_device.hpp>

namespace rk::acoustics {

/// next = (here * p + before * p_before) + around * (sum of the six neighbours).
struct CellWeights {
  float here;
  float before;
  float around;
};

/// Weights of the 27 kinds of cell: per axis at the low wall (0), between (1), at the high wall
/// (2). Kind = kind_x + 3 * (kind_y + 3 * kind_z).
struct StencilCoefficients {
  CellWeights of_kind[27];
};
static_assert(std::is_trivially_copyable_v<StencilCoefficients>);
static_assert(sizeof(StencilCoefficients) == 27 * 12);

/// A box of cells and where it lies in the grid; x, y, z order.
struct TileShape {
  std::uint32_t size[3];
  std::uint32_t offset[3];
  std::uint32_t grid[3];
};
static_assert(std::is_trivially_copyable_v<TileShape> && sizeof(TileShape) == 36);

/// Sides of a tile. The neighbour across face f receives at its own face `opposite(f)`.
enum class Face : std::uint32_t { x_low, x_high, y_low, y_high, z_low, z_high };
inline constexpr std::uint32_t kFaces = 6;

RK_FN constexpr Face opposite(Face face) {
  return static_cast<Face>(static_cast<std::uint32_t>(face) ^ 1U);
}

RK_FN constexpr std::uint32_t axis_of(Face face) { return static_cast<std::uint32_t>(face) >> 1; }

/// Cells between neighbours in y, in a padded tile.
RK_FN constexpr std::uint32_t stride_y(const TileShape& t) { return t.size[0] + 2; }

/// Cells between neighbours in z, in a padded tile.
RK_FN constexpr std::uint32_t stride_z(const TileShape& t) {
  return (t.size[0] + 2) * (t.size[1] + 2);
}

/// Floats in one padded buffer of the tile.
RK_FN constexpr std::uint32_t padded_cells(const TileShape& t) {
  return stride_z(t) * (t.size[2] + 2);
}

/// Position of interior cell (x, y, z), counted from the tile's own corner, in a padded buffer.
RK_FN constexpr std::uint32_t padded_index(const TileShape& t, std::uint32_t x, std::uint32_t y,
                                           std::uint32_t z) {
  return (x + 1) + stride_y(t) * (y + 1) + stride_z(t) * (z + 1);
}

/// Whether a wall of the room, not another tile, lies behind `face`.
RK_FN constexpr bool is_wall(const TileShape& t, Face face) {
  const std::uint32_t axis = axis_of(face);
  const bool high = (static_cast<std::uint32_t>(face) & 1U) != 0;
  return high ? t.offset[axis] + t.size[axis] == t.grid[axis] : t.offset[axis] == 0;
}

/// 0 at the low wall, 2 at the high wall, 1 between, for cell `i` of the tile along `axis`.
RK_FN constexpr std::uint32_t kind_along(const TileShape& t, std::uint32_t axis, std::uint32_t i) {
  const std::uint32_t at = t.offset[axis] + i;
  return at == 0 ? 0U : (at + 1 == t.grid[axis] ? 2U : 1U);
}

/// The arithmetic, in its one order. `i` is the cell's padded index.
RK_FN inline float next_pressure(const CellWeights& w, const float* now, const float* before,
                                 std::uint32_t i, std::uint32_t step_y, std::uint32_t step_z) {
  const float sum = ((now[i - 1] + now[i + 1]) + (now[i - step_y] + now[i + step_y])) +
                    (now[i - step_z] + now[i + step_z]);
  return (w.here * now[i] + w.before * before[i]) + w.around * sum;
}

/// Updates one interior cell: `before` becomes the next step there.
RK_FN inline void update_cell(const TileShape& t, const StencilCoefficients& weights,
                              const float* now, float* before, std::uint32_t x, std::uint32_t y,
                              std::uint32_t z) {
  const std::uint32_t kind =
      kind_along(t, 0, x) + 3 * (kind_along(t, 1, y) + 3 * kind_along(t, 2, z));
  const std::uint32_t i = padded_index(t, x, y, z);
  before[i] = next_pressure(weights.of_kind[kind], now, before, i, stride_y(t), stride_z(t));
}

/// Updates row `row` = y + sy * z of the tile. Same bits as `update_cell` on each of its cells; the
/// loop between the end cells has one set of weights, so compilers turn it into vector code.
/// `now` and `before` must not overlap.
RK_FN inline void update_row(const TileShape& t, const StencilCoefficients& weights,
                             const float* now, float* before, std::uint32_t row) {
  const std::uint32_t y = row % t.size[1];
  const std::uint32_t z = row / t.size[1];
  const std::uint32_t last = t.size[0] - 1;
  update_cell(t, weights, now, before, 0, y, z);
  if (last == 0) return;

  const CellWeights w = weights.of_kind[1 + 3 * (kind_along(t, 1, y) + 3 * kind_along(t, 2, z))];
  const std::uint32_t step_y = stride_y(t);
  const std::uint32_t step_z = stride_z(t);
  const std::uint32_t first = padded_index(t, 1, y, z);
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDA_ARCH__)
#pragma GCC ivdep
#endif
  for (std::uint32_t i = first; i < first + last - 1; ++i) {
    before[i] = next_pressure(w, now, before, i, step_y, step_z);
  }
  update_cell(t, weights, now, before, last, y, z);
}

/// Independent pieces of one tile update: cells on the device (neighbouring lanes read neighbouring
/// words), rows on the host (a row is vector code).
RK_FN inline std::uint32_t update_items(const TileShape& t) {
#if defined(__CUDA_ARCH__)
  return t.size[0] * t.size[1] * t.size[2];
#else
  return t.size[1] * t.size[2];
#endif
}

/// Does piece `item` of `update_items`. Pieces may run in any order and at the same time.
RK_FN inline void update_item(const TileShape& t, const StencilCoefficients& weights,
                              const float* now, float* before, std::uint32_t item) {
#if defined(__CUDA_ARCH__)
  const std::uint32_t row = item / t.size[0];
  update_cell(t, weights, now, before, item % t.size[0], row % t.size[1], row / t.size[1]);
#else
  update_row(t, weights, now, before, item);
#endif
}

/// Cells on `face`.
RK_FN constexpr std::uint32_t face_cells(const TileShape& t, Face face) {
  const std::uint32_t axis = axis_of(face);
  return t.size[axis == 0 ? 1 : 0] * t.size[axis == 2 ? 1 : 2];
}

/// Padded index of cell `k` of the outermost interior layer at `face`; the lower remaining axis
/// runs fastest, so both sides of a face number its cells alike.
RK_FN constexpr std::uint32_t face_index(const TileShape& t, Face face, std::uint32_t k) {
  const std::uint32_t axis = axis_of(face);
  const std::uint32_t width = t.size[axis == 0 ? 1 : 0];
  const std::uint32_t a = k % width;
  const std::uint32_t b = k / width;
  const bool high = (static_cast<std::uint32_t>(face) & 1U) != 0;
  const std::uint32_t layer = high ? t.size[axis] - 1 : 0;
  if (axis == 0) return padded_index(t, layer, a, b);
  if (axis == 1) return padded_index(t, a, layer, b);
  return padded_index(t, a, b, layer);
}

/// Padded index of the padding cell behind cell `k` of `face`.
RK_FN constexpr std::uint32_t halo_index(const TileShape& t, Face face, std::uint32_t k) {
  const std::uint32_t axis = axis_of(face);
  const std::uint32_t step = axis == 0 ? 1U : (axis == 1 ? stride_y(t) : stride_z(t));
  const std::uint32_t inner = face_index(t, face, k);
  return (static_cast<std::uint32_t>(face) & 1U) != 0 ? inner + step : inner - step;
}

}  // namespace rk::acoustics
