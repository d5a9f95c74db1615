#include "tiling.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace rk::acoustics {
namespace {

std::uint32_t first_cell(std::uint32_t cells, std::uint32_t parts, std::uint32_t part) {
  return static_cast<std::uint32_t>(std::uint64_t{cells} * part / parts);
}

std::uint32_t part_of(std::uint32_t cells, std::uint32_t parts, std::uint32_t cell) {
  std::uint32_t part = static_cast<std::uint32_t>(std::uint64_t{cell} * parts / cells);
  while (part + 1 < parts && first_cell(cells, parts, part + 1) <= cell) ++part;
  return part;
}

double round_to_weight(double value) {
  constexpr double kQuantum = 1.0 / (1 << 23);
  return std::nearbyint(value / kQuantum) * kQuantum;
}

}  // namespace

TileShape Tiling::shape(std::uint32_t tile) const {
  const std::uint32_t at[3] = {tile % count[0], tile / count[0] % count[1],
                               tile / count[0] / count[1]};
  TileShape shape{};
  for (int axis = 0; axis < 3; ++axis) {
    shape.grid[axis] = grid[axis];
    shape.offset[axis] = first_cell(grid[axis], count[axis], at[axis]);
    shape.size[axis] = first_cell(grid[axis], count[axis], at[axis] + 1) - shape.offset[axis];
  }
  return shape;
}

std::uint32_t Tiling::tile_of(CellIndex cell) const {
  const std::uint32_t x = part_of(grid[0], count[0], cell.x);
  const std::uint32_t y = part_of(grid[1], count[1], cell.y);
  const std::uint32_t z = part_of(grid[2], count[2], cell.z);
  return x + count[0] * (y + count[1] * z);
}

std::uint32_t Tiling::neighbour(std::uint32_t tile, Face face) const {
  if (is_wall(shape(tile), face)) return kNoTile;
  const std::uint32_t steps[3] = {1, count[0], count[0] * count[1]};
  const std::uint32_t step = steps[axis_of(face)];
  return (static_cast<std::uint32_t>(face) & 1U) != 0 ? tile + step : tile - step;
}

Result<Tiling> make_tiling(const Grid& grid, std::array<std::uint32_t, 3> max_cells) {
  Tiling tiling{{grid.nx, grid.ny, grid.nz}, {1, 1, 1}};
  for (int axis = 0; axis < 3; ++axis) {
    const std::uint32_t cells = tiling.grid[axis];
    if (max_cells[axis] > cells) {
      return fail(ErrorCode::invalid_argument,
                  "room smaller than a tile: it has " + std::to_string(grid.nx) + "x" +
                      std::to_string(grid.ny) + "x" + std::to_string(grid.nz) +
                      " cells, the tile " + std::to_string(max_cells[0]) + "x" +
                      std::to_string(max_cells[1]) + "x" + std::to_string(max_cells[2]) +
                      "; use smaller tiles or a higher rate");
    }
    const std::uint32_t side =
        max_cells[axis] != 0 ? max_cells[axis] : std::min(cells, kDefaultTileCells[axis]);
    tiling.count[axis] = (cells + side - 1) / side;
  }
  return tiling;
}

StencilCoefficients make_coefficients(const Grid& grid) {
  const double lambda2 = grid.lambda2;
  const double lambda = std::sqrt(lambda2);
  StencilCoefficients weights{};
  for (std::uint32_t kind = 0; kind < 27; ++kind) {
    const std::uint32_t along[3] = {kind % 3, kind / 3 % 3, kind / 9};
    int neighbours = 6;
    double admittance = 0.0;
    for (int axis = 0; axis < 3; ++axis) {
      if (along[axis] == 1) continue;
      --neighbours;
      admittance += grid.admittance[2 * axis + (along[axis] == 2 ? 1 : 0)];
    }
    const double loss = 0.5 * lambda * admittance;
    const double around = round_to_weight(lambda2 / (1.0 + loss));
    const double before = round_to_weight((loss - 1.0) / (1.0 + loss));
    weights.of_kind[kind] = {static_cast<float>(1.0 - before - neighbours * around),
                             static_cast<float>(before), static_cast<float>(around)};
  }
  return weights;
}

}  // namespace rk::acoustics
