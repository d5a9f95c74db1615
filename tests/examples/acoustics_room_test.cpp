#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include <ringkernel/examples/acoustics/room.hpp>

namespace rk::acoustics {
namespace {

RoomSpec good_room() {
  RoomSpec spec;
  spec.mics_m = {{4.0, 3.0, 2.0}};
  return spec;
}

void expect_refused(const RoomSpec& spec, const std::string& words) {
  const auto grid = make_grid(spec);
  ASSERT_FALSE(grid) << "accepted; expected: " << words;
  EXPECT_EQ(grid.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(grid.error().message.find(words), std::string::npos) << grid.error().message;
}

TEST(AcousticsRoom, DemoRoomIsRoundedToCellsBelowTheCourantLimit) {
  const Grid grid = *make_grid(good_room());
  EXPECT_EQ(grid.nx, 67U);
  EXPECT_EQ(grid.ny, 54U);
  EXPECT_EQ(grid.nz, 40U);
  EXPECT_LT(static_cast<double>(grid.lambda2), 1.0 / 3.0);
  EXPECT_GT(static_cast<double>(grid.lambda2), 0.99 / 3.0);
  const double lambda = grid.speed_of_sound * grid.dt / grid.dx;
  EXPECT_NEAR(lambda * lambda, static_cast<double>(grid.lambda2), 1e-12);
  EXPECT_EQ(grid.source, (CellIndex{13, 13, 13}));
}

TEST(AcousticsRoom, PointsOnTheFarWallBelongToTheLastCell) {
  RoomSpec spec = good_room();
  spec.mics_m = {{5.0, 4.0, 3.0}, {0.0, 0.0, 0.0}};
  const Grid grid = *make_grid(spec);
  EXPECT_EQ(grid.mics[0], (CellIndex{grid.nx - 1, grid.ny - 1, grid.nz - 1}));
  EXPECT_EQ(grid.mics[1], (CellIndex{0, 0, 0}));
}

TEST(AcousticsRoom, BadInputIsRefusedWithWordsThatNameIt) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  RoomSpec spec = good_room();
  spec.source_m = {1.0, 4.5, 1.0};
  expect_refused(spec, "source at 1,4.5,1 is outside the room");
  spec = good_room();
  spec.mics_m.push_back({-0.1, 1.0, 1.0});
  expect_refused(spec, "microphone at -0.1,1,1 is outside the room");
  spec.mics_m = {{1.0, nan, 1.0}};
  expect_refused(spec, "microphone");
  spec.mics_m.assign(kMaxMics + 1, {1.0, 1.0, 1.0});
  expect_refused(spec, "microphones");
  spec = good_room();
  spec.size_m[1] = nan;
  expect_refused(spec, "room: its y side");
  spec.size_m[1] = -4.0;
  expect_refused(spec, "room: its y side");
  spec.size_m[1] = infinity;
  expect_refused(spec, "room: its y side");
  spec.size_m[1] = 0.1;
  expect_refused(spec, "at least 3 are needed");
  spec.size_m = {5000.0, 4000.0, 3000.0};
  expect_refused(spec, "needs more than");
  spec = good_room();
  spec.absorption[3] = 1.01;
  expect_refused(spec, "wall y1 is outside 0..1");
  spec.absorption[3] = -0.01;
  expect_refused(spec, "outside 0..1");
  spec.absorption[3] = nan;
  expect_refused(spec, "outside 0..1");
  spec = good_room();
  spec.rate_hz = 0.0;
  expect_refused(spec, "rate");
  spec.rate_hz = nan;
  expect_refused(spec, "rate");
  spec = good_room();
  spec.speed_of_sound = 0.0;
  expect_refused(spec, "speed of sound");
  spec = good_room();
  spec.cell_m = 0.05;
  expect_refused(spec, "unstable time step");
  spec.cell_m = nan;
  expect_refused(spec, "cell");
  spec.cell_m = 3.0;
  expect_refused(spec, "too large");
}

TEST(AcousticsRoom, ParsersAcceptWhatTheyDocumentAndNothingElse) {
  EXPECT_EQ(*parse_room("5x4x3"), (Point{5.0, 4.0, 3.0}));
  EXPECT_EQ(*parse_room("5.25x4e0x3"), (Point{5.25, 4.0, 3.0}));
  EXPECT_EQ(*parse_point("1,-2,0.5"), (Point{1.0, -2.0, 0.5}));
  for (const char* text :
       {"", "5x4", "5x4x3x2", "5,4,3", "5x4x", "x4x3", "axbxc", "5x4x3 ", "nanx4x3", "infx4x3"}) {
    EXPECT_FALSE(parse_room(text)) << text;
  }
  EXPECT_EQ(*parse_absorption("0.1"), (PerWall{0.1, 0.1, 0.1, 0.1, 0.1, 0.1}));
  EXPECT_EQ(*parse_absorption("0,0.1,0.2,0.3,0.4,1"), (PerWall{0.0, 0.1, 0.2, 0.3, 0.4, 1.0}));
  for (const char* text : {"", "0.1,0.2", "1.1", "-0.1", "nan", "0.1;0.2", "0,0,0,0,0,2"}) {
    EXPECT_FALSE(parse_absorption(text)) << text;
  }
}

TEST(AcousticsRoom, AdmittanceInvertsParisFormula) {
  double before = -1.0;
  for (double absorption = 0.0; absorption <= 0.95; absorption += 0.01) {
    const double admittance = admittance_of(absorption);
    EXPECT_NEAR(paris_absorption(admittance), absorption, 1e-9);
    EXPECT_GT(admittance, before);
    before = admittance;
  }
  EXPECT_EQ(admittance_of(0.0), 0.0);
  EXPECT_EQ(admittance_of(0.96), admittance_of(1.0));
  EXPECT_NEAR(paris_absorption(admittance_of(1.0)), kMaxParisAbsorption, 2e-4);
  // Both branches of the formula meet.
  EXPECT_NEAR(paris_absorption(0.999e-6) / paris_absorption(1.001e-6), 0.999 / 1.001, 1e-3);
}

TEST(AcousticsRoom, DriveHasNoConstantPart) {
  const Grid grid = *make_grid(good_room());
  const std::vector<float> drive = make_drive(grid, std::vector<float>(8000, 0.5F));
  ASSERT_EQ(drive.size(), 8000U);
  EXPECT_NEAR(drive[0], 0.5F * grid.source_gain, 1e-3F);
  EXPECT_LT(std::fabs(drive.back()), 1e-9F);
  EXPECT_NE(drive.back(), 0.0F);
}

}  // namespace
}  // namespace rk::acoustics
