// The simulated room against theory. `scripts/check_physics` runs these tests and judges the values
// they record, so each test records what it measured before it judges it.
#include <algorithm>
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include <ringkernel/examples/acoustics/measure.hpp>

#include "acoustics_tiles.hpp"

namespace rk::acoustics {
namespace {

void record(const std::string& name, double value) {
  ::testing::Test::RecordProperty(name, std::to_string(value));
}

Recording respond_to_click(const Grid& grid, double seconds) {
  std::vector<float> samples(static_cast<std::size_t>(seconds / grid.dt), 0.0F);
  samples[0] = 1.0F;
  const Tiling tiling = *make_tiling(grid, {grid.nx, 0, 0});
  return testing::simulate_tiles(grid, tiling, make_drive(grid, samples));
}

// Modes up to `limit_hz` that no other mode comes closer to than 1.2%: a peak found within 1% of
// such a mode cannot be another one.
std::vector<double> separate_modes_hz(const Grid& grid, double limit_hz) {
  std::vector<double> all;
  for (int l = 0; l < 8; ++l) {
    for (int m = 0; m < 8; ++m) {
      for (int n = 0; n < 8; ++n) all.push_back(room_mode_hz(grid, l, m, n));
    }
  }
  std::sort(all.begin(), all.end());
  std::vector<double> separate;
  for (std::size_t i = 1; all[i] <= limit_hz; ++i) {
    if (all[i] - all[i - 1] > 0.012 * all[i] && all[i + 1] - all[i] > 0.012 * all[i]) {
      separate.push_back(all[i]);
    }
  }
  return separate;
}

TEST(AcousticsPhysics, EigenfrequenciesOfARigidBoxAreWithinOnePercent) {
  RoomSpec spec;
  spec.absorption.fill(0.0);
  spec.rate_hz = 4000.0;
  // Source and microphone in opposite corners: there every mode has its largest amplitude.
  spec.source_m = {0.0, 0.0, 0.0};
  spec.mics_m = {spec.size_m};
  const Grid grid = *make_grid(spec);
  const Recording recording = respond_to_click(grid, 4.0);

  double worst = 0.0;
  const std::vector<double> modes = separate_modes_hz(grid, 110.0);
  ASSERT_GE(modes.size(), 12U);
  for (const double expected : modes) {
    const double found =
        spectral_peak_hz(recording.mics[0], spec.rate_hz, expected, 0.02 * expected);
    const double error = std::fabs(found / expected - 1.0);
    worst = std::max(worst, error);
    EXPECT_LT(error, 0.01) << found << " Hz, theory " << expected << " Hz";
  }
  record("modes_found", static_cast<double>(modes.size()));
  record("eigenfrequency_error_percent", 100.0 * worst);
}

class AcousticsDecay : public ::testing::TestWithParam<int> {};

// The octave at 500 Hz: above the modal range of the room, below a tenth of the rate, where the
// 7-point scheme and its walls are accurate.
TEST_P(AcousticsDecay, T20IsWithinTwentyPercentOfEyring) {
  const double absorption = GetParam() / 100.0;
  RoomSpec spec;
  spec.absorption.fill(absorption);
  spec.source_m = {1.2, 1.1, 0.9};
  spec.mics_m = {
      {3.7, 2.9, 1.9}, {4.2, 1.3, 1.1}, {2.1, 3.3, 2.3}, {2.9, 0.7, 1.4}, {0.6, 3.1, 0.5}};
  const Grid grid = *make_grid(spec);
  const double expected = eyring_seconds(grid, spec.absorption);
  const Recording recording = respond_to_click(grid, expected);
  double sum = 0.0;
  for (const std::vector<float>& mic : recording.mics) {
    const double seconds = decay_time_t20(octave_band(mic, spec.rate_hz, 500.0), spec.rate_hz);
    ASSERT_GT(seconds, 0.0);
    sum += seconds;
  }
  const double mean = sum / static_cast<double>(recording.mics.size());
  record("t20_seconds", mean);
  record("eyring_seconds", expected);
  EXPECT_NEAR(mean / expected, 1.0, 0.2);
}

INSTANTIATE_TEST_SUITE_P(AbsorptionPercent, AcousticsDecay, ::testing::Values(5, 10, 20));

TEST(AcousticsMeasure, DecayTimeOfAnExponentialIsFound) {
  std::vector<float> signal;
  for (int n = 0; n < 8000; ++n) {
    signal.push_back(
        static_cast<float>(std::pow(10.0, -3.0 * n / 8000.0 / 0.7) * ((n * 7919) % 13 - 6)));
  }
  EXPECT_NEAR(decay_time_t20(signal, 8000.0), 0.7, 0.01);
  EXPECT_EQ(decay_time_t20(std::vector<float>(100, 0.0F), 8000.0), 0.0);
}

TEST(AcousticsMeasure, ThePeakNearestToTheExpectedFrequencyIsFound) {
  std::vector<float> tones;
  for (int n = 0; n < 16000; ++n) {
    const double phase = 2.0 * std::acos(-1.0) * n / 4000.0;
    tones.push_back(static_cast<float>(std::sin(51.0 * phase) + 3.0 * std::sin(52.5 * phase)));
  }
  EXPECT_NEAR(spectral_peak_hz(tones, 4000.0, 50.8, 2.0), 51.0, 0.03);
  EXPECT_NEAR(spectral_peak_hz(tones, 4000.0, 53.0, 1.0), 52.5, 0.03);
  EXPECT_EQ(spectral_peak_hz(tones, 4000.0, 60.0, 0.02), 0.0)
      << "no peak, only the end of the interval";
}

}  // namespace
}  // namespace rk::acoustics
