// Drives the tile form of the solver without a runtime: tiles in a plain loop, halos by copy.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ringkernel/examples/acoustics/reference.hpp>
#include <ringkernel/examples/acoustics/stencil.hpp>
#include <ringkernel/examples/acoustics/tiling.hpp>

namespace rk::acoustics::testing {

class TileDriver {
 public:
  /// `cell_by_cell` uses the device's work items instead of the host's rows.
  TileDriver(const Grid& grid, const Tiling& tiling, bool cell_by_cell = false)
      : grid_(grid), tiling_(tiling), weights_(make_coefficients(grid)), cells_(cell_by_cell) {
    for (std::uint32_t id = 0; id < tiling.tiles(); ++id) {
      tiles_.push_back({tiling.shape(id), {}, {}});
      tiles_.back().now.resize(padded_cells(tiles_.back().shape));
      tiles_.back().before.resize(padded_cells(tiles_.back().shape));
    }
  }

  void step(float drive) {
    for (Tile& tile : tiles_) update(tile);
    Tile& source = tiles_[tiling_.tile_of(grid_.source)];
    source.before[index_in(source, grid_.source)] += drive;
    for (Tile& tile : tiles_) tile.now.swap(tile.before);
    for (std::uint32_t id = 0; id < tiling_.tiles(); ++id) send_faces(id);
  }

  [[nodiscard]] float at(CellIndex cell) const {
    const Tile& tile = tiles_[tiling_.tile_of(cell)];
    return tile.now[index_in(tile, cell)];
  }

  [[nodiscard]] std::vector<float> field() const {
    std::vector<float> field;
    for (std::uint32_t z = 0; z < grid_.nz; ++z) {
      for (std::uint32_t y = 0; y < grid_.ny; ++y) {
        for (std::uint32_t x = 0; x < grid_.nx; ++x) field.push_back(at({x, y, z}));
      }
    }
    return field;
  }

 private:
  struct Tile {
    TileShape shape;
    std::vector<float> now, before;
  };

  static std::uint32_t index_in(const Tile& tile, CellIndex cell) {
    const TileShape& t = tile.shape;
    return padded_index(t, cell.x - t.offset[0], cell.y - t.offset[1], cell.z - t.offset[2]);
  }

  void update(Tile& tile) const {
    const TileShape& t = tile.shape;
    if (!cells_) {
      const std::uint32_t items = update_items(t);
      // Backwards: the order of the items must not matter.
      for (std::uint32_t item = items; item > 0; --item) {
        update_item(t, weights_, tile.now.data(), tile.before.data(), item - 1);
      }
      return;
    }
    for (std::uint32_t x = 0; x < t.size[0]; ++x) {
      for (std::uint32_t y = 0; y < t.size[1]; ++y) {
        for (std::uint32_t z = 0; z < t.size[2]; ++z) {
          update_cell(t, weights_, tile.now.data(), tile.before.data(), x, y, z);
        }
      }
    }
  }

  void send_faces(std::uint32_t id) {
    for (std::uint32_t f = 0; f < kFaces; ++f) {
      const Face face = static_cast<Face>(f);
      const std::uint32_t to = tiling_.neighbour(id, face);
      if (to == Tiling::kNoTile) continue;
      const Tile& sender = tiles_[id];
      Tile& receiver = tiles_[to];
      const std::uint32_t count = face_cells(sender.shape, face);
      for (std::uint32_t k = 0; k < count; ++k) {
        receiver.now[halo_index(receiver.shape, opposite(face), k)] =
            sender.now[face_index(sender.shape, face, k)];
      }
    }
  }

  Grid grid_;
  Tiling tiling_;
  StencilCoefficients weights_;
  bool cells_;
  std::vector<Tile> tiles_;
};

/// Runs one step per value of `drive`, as `simulate_reference` does.
inline Recording simulate_tiles(const Grid& grid, const Tiling& tiling,
                                std::span<const float> drive, bool cell_by_cell = false) {
  TileDriver driver(grid, tiling, cell_by_cell);
  Recording recording;
  recording.mics.resize(grid.mics.size());
  for (const float value : drive) {
    driver.step(value);
    for (std::size_t m = 0; m < grid.mics.size(); ++m) {
      recording.mics[m].push_back(driver.at(grid.mics[m]));
    }
  }
  recording.field = driver.field();
  return recording;
}

}  // namespace rk::acoustics::testing
