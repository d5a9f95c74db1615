// The regions a tile declares are the room's field, at the cut's own step.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include <ringkernel/checkpoint/regions.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/examples/acoustics/simulation.hpp>
#include <ringkernel/kernels/host_executor.hpp>

namespace rk::acoustics {
namespace {

namespace fs = std::filesystem;

Grid small_grid() {
  RoomSpec spec;
  spec.size_m = {1.9, 1.3, 1.1};
  spec.source_m = {0.3, 0.4, 0.5};
  spec.mics_m = {{1.7, 1.1, 0.9}};
  return *make_grid(spec);
}

/// The room as the declared regions of the newest checkpoint give it.
std::vector<float> field_of(const std::string& folder, const Grid& grid) {
  auto directory = checkpoint::CheckpointDirectory::open(
      std::make_shared<checkpoint::FileStorage>(folder), "checkpoint");
  const auto found = directory->newest_valid();
  const auto loaded = checkpoint::load_checkpoint(*directory, *found->entry);
  std::vector<float> field(grid.cells(), -1e30F);
  const auto& regions = loaded->manifest.types.at(0).regions;
  EXPECT_EQ(regions, std::vector<Region>{Tile::regions()[0]});
  for (const checkpoint::LoadedSlot& slot : loaded->slots) {
    const auto view = checkpoint::view_region(regions.at(0), slot.state, slot.field);
    EXPECT_TRUE(view) << (view ? "" : view.error().message);
    if (!view) return {};
    EXPECT_EQ(view->whole, (checkpoint::RegionTriple{grid.nx, grid.ny, grid.nz}));
    std::uint64_t i = 0;
    view->for_each([&](const std::byte* element) {
      const std::uint64_t x = i % view->shape[0], y = i / view->shape[0] % view->shape[1],
                          z = i / view->shape[0] / view->shape[1];
      ++i;
      std::memcpy(&field[view->origin[0] + x +
                         grid.nx * (view->origin[1] + y + grid.ny * (view->origin[2] + z))],
                  element, sizeof(float));
    });
  }
  return field;
}

class AcousticsRegions : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(AcousticsRegions, AreTheFieldOfTheRunWhicheverBufferIsCurrent) {
  const fs::path folder = fs::temp_directory_path() / ("rk_regions_" + std::to_string(::getpid()) +
                                                       "_" + std::to_string(GetParam()));
  fs::create_directories(folder);
  const Grid grid = small_grid();
  std::vector<float> drive(GetParam());
  for (std::size_t i = 0; i < drive.size(); ++i) drive[i] = i % 3 == 0 ? 0.5F : -0.25F;
  const Job job{grid, *make_tiling(grid, {7, 5, 3}), drive, (folder / "part").string()};
  RuntimeOptions options;
  options.workers = 2;
  options.checkpoint.dir = (folder / "checkpoints").string();
  const auto simulation = Simulation::create(job, make_host_executor<Tile>(), options);
  ASSERT_TRUE(simulation) << simulation.error().message;
  ASSERT_TRUE((*simulation)->begin());
  ASSERT_TRUE((*simulation)->runtime().run());
  ASSERT_TRUE((*simulation)->runtime().checkpoint_now());
  const auto recording = (*simulation)->finish();
  ASSERT_TRUE(recording) << recording.error().message;
  EXPECT_TRUE(std::any_of(recording->field.begin(), recording->field.end(),
                          [](float pressure) { return pressure != 0; }));
  EXPECT_EQ(field_of(options.checkpoint.dir, grid), recording->field);
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Steps, AcousticsRegions, ::testing::Values(40u, 41u));

}  // namespace
}  // namespace rk::acoustics
