#include "reference.hpp"

#include <cmath>
#include <utility>

namespace rk::acoustics {

ReferenceSolver::ReferenceSolver(const Grid& grid)
    : grid_(grid),
      now_(grid.cells()),
      before_(grid.cells()),
      next_(grid.cells()),
      weight_here_(grid.cells()),
      weight_before_(grid.cells()),
      weight_around_(grid.cells()) {
  const double l2 = grid.lambda2;
  const double l = std::sqrt(l2);
  std::size_t i = 0;
  for (std::uint32_t z = 0; z < grid.nz; ++z) {
    for (std::uint32_t y = 0; y < grid.ny; ++y) {
      for (std::uint32_t x = 0; x < grid.nx; ++x, ++i) {
        int k = 6;
        double b = 0.0;
        if (x == 0) --k, b += grid.admittance[0];
        if (x == grid.nx - 1) --k, b += grid.admittance[1];
        if (y == 0) --k, b += grid.admittance[2];
        if (y == grid.ny - 1) --k, b += grid.admittance[3];
        if (z == 0) --k, b += grid.admittance[4];
        if (z == grid.nz - 1) --k, b += grid.admittance[5];
        const double h = l * b / 2.0;
        const double around = std::ldexp(std::nearbyint(std::ldexp(l2 / (1.0 + h), 23)), -23);
        const double before =
            std::ldexp(std::nearbyint(std::ldexp((h - 1.0) / (1.0 + h), 23)), -23);
        weight_around_[i] = static_cast<float>(around);
        weight_before_[i] = static_cast<float>(before);
        weight_here_[i] = static_cast<float>(1.0 - before - k * around);
      }
    }
  }
}

void ReferenceSolver::step(float drive) {
  const std::size_t row = grid_.nx;
  const std::size_t plane = row * grid_.ny;
  std::size_t i = 0;
  for (std::uint32_t z = 0; z < grid_.nz; ++z) {
    for (std::uint32_t y = 0; y < grid_.ny; ++y) {
      for (std::uint32_t x = 0; x < grid_.nx; ++x, ++i) {
        const float x0 = x > 0 ? now_[i - 1] : 0.0F;
        const float x1 = x + 1 < grid_.nx ? now_[i + 1] : 0.0F;
        const float y0 = y > 0 ? now_[i - row] : 0.0F;
        const float y1 = y + 1 < grid_.ny ? now_[i + row] : 0.0F;
        const float z0 = z > 0 ? now_[i - plane] : 0.0F;
        const float z1 = z + 1 < grid_.nz ? now_[i + plane] : 0.0F;
        const float neighbours = ((x0 + x1) + (y0 + y1)) + (z0 + z1);
        next_[i] = (weight_here_[i] * now_[i] + weight_before_[i] * before_[i]) +
                   weight_around_[i] * neighbours;
      }
    }
  }
  next_[grid_.index(grid_.source)] += drive;
  std::swap(before_, now_);
  std::swap(now_, next_);
}

Recording simulate_reference(const Grid& grid, std::span<const float> drive) {
  ReferenceSolver solver(grid);
  Recording recording;
  recording.mics.resize(grid.mics.size());
  for (const float value : drive) {
    solver.step(value);
    for (std::size_t m = 0; m < grid.mics.size(); ++m) {
      recording.mics[m].push_back(solver.pressure()[grid.index(grid.mics[m])]);
    }
  }
  recording.field = solver.pressure();
  return recording;
}

}  // namespace rk::acoustics
