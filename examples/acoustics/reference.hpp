// A plain triple-loop solver: the oracle for every other way to run the same room.
//
// It shares no code with the tile solver, only the definition of the scheme, so that a mistake in
// either shows as a difference. Single-threaded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "room.hpp"

namespace rk::acoustics {

/// What a run leaves behind. `mics[m][n]` is the pressure at microphone m after step n, with the
/// drive of step n already added; `field` is the pressure after the last step, unpadded, x fastest
/// (`Grid::index`).
struct Recording {
  std::vector<std::vector<float>> mics;
  std::vector<float> field;
};

/// Step n: every cell is updated from the two steps before, then drive[n] is added to the source
/// cell, then the microphones are read. Starts from silence.
class ReferenceSolver {
 public:
  explicit ReferenceSolver(const Grid& grid);

  /// One time step; `drive` is the pressure to add to the source cell.
  void step(float drive);

  /// Pressure now, `grid.cells()` values.
  [[nodiscard]] const std::vector<float>& pressure() const { return now_; }

 private:
  Grid grid_;
  std::vector<float> now_, before_, next_;
  std::vector<float> weight_here_, weight_before_, weight_around_;
};

/// Runs one step per value of `drive`.
[[nodiscard]] Recording simulate_reference(const Grid& grid, std::span<const float> drive);

}  // namespace rk::acoustics
