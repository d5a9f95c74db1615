#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "acoustics_tiles.hpp"

namespace rk::acoustics {
namespace {

using testing::simulate_tiles;

RoomSpec odd_room() {
  RoomSpec spec;
  spec.size_m = {1.9, 1.3, 1.1};
  spec.absorption = {0.02, 0.7, 0.0, 0.3, 0.11, 1.0};
  spec.source_m = {0.3, 0.4, 0.5};
  spec.mics_m = {{1.7, 1.1, 0.9}, {0.0, 0.0, 0.0}, {1.9, 1.3, 1.1}};
  return spec;
}

std::vector<float> noisy_drive(std::size_t steps) {
  std::vector<float> drive(steps);
  std::uint32_t state = 12345;
  for (float& value : drive) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<std::int32_t>(state)) / 2147483648.0F;
  }
  return drive;
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class AcousticsTilings : public ::testing::TestWithParam<std::array<std::uint32_t, 3>> {};

TEST_P(AcousticsTilings, FieldAndMicsAreByteIdenticalToTheReference) {
  const Grid grid = *make_grid(odd_room());
  const Tiling tiling = *make_tiling(grid, GetParam());
  const std::vector<float> drive = noisy_drive(200);
  const Recording expected = simulate_reference(grid, drive);
  ASSERT_NE(expected.field, std::vector<float>(grid.cells()));
  for (const bool cell_by_cell : {false, true}) {
    const Recording got = simulate_tiles(grid, tiling, drive, cell_by_cell);
    EXPECT_TRUE(same_bytes(got.field, expected.field)) << "cell by cell: " << cell_by_cell;
    for (std::size_t m = 0; m < grid.mics.size(); ++m) {
      EXPECT_TRUE(same_bytes(got.mics[m], expected.mics[m])) << "microphone " << m;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, AcousticsTilings,
                         ::testing::Values(std::array<std::uint32_t, 3>{0, 0, 0},
                                           std::array<std::uint32_t, 3>{8, 8, 8},
                                           std::array<std::uint32_t, 3>{7, 5, 3},
                                           std::array<std::uint32_t, 3>{26, 1, 2},
                                           std::array<std::uint32_t, 3>{1, 9, 15},
                                           std::array<std::uint32_t, 3>{2, 3, 1}));

TEST(AcousticsTiling, EveryCellLiesInExactlyOneTileAndNeighboursAgree) {
  const Grid grid = *make_grid(odd_room());
  const Tiling tiling = *make_tiling(grid, {7, 5, 3});
  std::size_t cells = 0;
  for (std::uint32_t id = 0; id < tiling.tiles(); ++id) {
    const TileShape t = tiling.shape(id);
    cells += std::size_t{t.size[0]} * t.size[1] * t.size[2];
    EXPECT_LE(t.size[0], 7U);
    EXPECT_EQ(tiling.tile_of({t.offset[0], t.offset[1], t.offset[2]}), id);
    EXPECT_EQ(tiling.tile_of({t.offset[0] + t.size[0] - 1, t.offset[1] + t.size[1] - 1,
                              t.offset[2] + t.size[2] - 1}),
              id);
    for (std::uint32_t f = 0; f < kFaces; ++f) {
      const auto face = static_cast<Face>(f);
      const std::uint32_t other = tiling.neighbour(id, face);
      if (other == Tiling::kNoTile) continue;
      EXPECT_EQ(tiling.neighbour(other, opposite(face)), id);
      EXPECT_EQ(face_cells(t, face), face_cells(tiling.shape(other), opposite(face)));
    }
  }
  EXPECT_EQ(cells, grid.cells());
}

TEST(AcousticsTiling, RoomSmallerThanTheTileIsRefused) {
  const Grid grid = *make_grid(odd_room());
  const auto tiling = make_tiling(grid, {64, 8, 8});
  ASSERT_FALSE(tiling);
  EXPECT_EQ(tiling.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(tiling.error().message.find("smaller than a tile"), std::string::npos);
}

TEST(AcousticsStencil, WeightsKeepConstantPressureConstantAndFeedNoEnergy) {
  RoomSpec spec = odd_room();
  spec.cell_m = 0.0777;
  const StencilCoefficients weights = make_coefficients(*make_grid(spec));
  for (std::uint32_t kind = 0; kind < 27; ++kind) {
    const int neighbours = 3 + (kind % 3 == 1) + (kind / 3 % 3 == 1) + (kind / 9 == 1);
    const CellWeights w = weights.of_kind[kind];
    EXPECT_EQ(static_cast<double>(w.here) + w.before + neighbours * static_cast<double>(w.around),
              1.0)
        << kind;
    EXPECT_LE(std::fabs(w.before), 1.0F);
  }
}

TEST(AcousticsStencil, PressureInARigidRoomStaysBounded) {
  RoomSpec spec;
  spec.size_m = {0.9, 0.8, 0.7};
  spec.absorption.fill(0.0);
  spec.source_m = {0.2, 0.3, 0.4};
  const Grid grid = *make_grid(spec);
  std::vector<float> samples(50000, 0.0F);
  samples[0] = 1.0F;
  float early = 0.0F;
  float late = 0.0F;
  ReferenceSolver solver(grid);
  const std::vector<float> drive = make_drive(grid, samples);
  for (std::size_t n = 0; n < drive.size(); ++n) {
    solver.step(drive[n]);
    const float pressure = std::fabs(solver.pressure()[0]);
    if (n < 5000) early = std::max(early, pressure);
    if (n >= 45000) late = std::max(late, pressure);
  }
  EXPECT_GT(early, 0.0F);
  EXPECT_LT(late, 1.5F * early);
}

TEST(AcousticsStencil, SourceIsHeardAtOneMetreWithTheAmplitudeOfTheInput) {
  RoomSpec spec;
  spec.size_m = {6.0, 6.0, 6.0};
  spec.source_m = {3.0, 3.0, 3.0};
  spec.mics_m = {{3.0, 4.0, 3.0}};
  spec.rate_hz = 4000.0;
  const Grid grid = *make_grid(spec);
  // A slow, zero-mean pulse that passes the microphone before the first reflection returns.
  std::vector<float> drive(40, 0.0F);
  float loudest = 0.0F;
  for (std::size_t n = 0; n < 24; ++n) {
    const double phase = 2.0 * std::acos(-1.0) * static_cast<double>(n) / 24.0;
    const double sample = std::sin(phase) * (0.5 - 0.5 * std::cos(phase));
    loudest = std::max(loudest, static_cast<float>(sample));
    drive[n] = static_cast<float>(sample * grid.source_gain);
  }
  float heard = 0.0F;
  const Recording recording = simulate_reference(grid, drive);
  for (const float value : recording.mics[0]) heard = std::max(heard, value);
  const double distance = (grid.mics[0].y - grid.source.y) * grid.dx;
  EXPECT_NEAR(heard * distance, loudest, 0.05 * loudest);
}

}  // namespace
}  // namespace rk::acoustics
