#include "measure.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rk::acoustics {
namespace {

constexpr double kPi = std::numbers::pi;

double power_at(std::span<const double> windowed, double rate_hz, double frequency_hz) {
  const double twice_cosine = 2.0 * std::cos(2.0 * kPi * frequency_hz / rate_hz);
  double s1 = 0.0;
  double s2 = 0.0;
  for (const double value : windowed) {
    const double s0 = value + twice_cosine * s1 - s2;
    s2 = s1;
    s1 = s0;
  }
  return s1 * s1 + s2 * s2 - twice_cosine * s1 * s2;
}

}  // namespace

double room_mode_hz(const Grid& grid, int l, int m, int n) {
  const double x = l / (grid.nx * grid.dx);
  const double y = m / (grid.ny * grid.dx);
  const double z = n / (grid.nz * grid.dx);
  return 0.5 * grid.speed_of_sound * std::sqrt(x * x + y * y + z * z);
}

double spectral_peak_hz(std::span<const float> signal, double rate_hz, double near_hz,
                        double within_hz) {
  std::vector<double> windowed(signal.size());
  const auto count = static_cast<double>(signal.size());
  for (std::size_t i = 0; i < signal.size(); ++i) {
    windowed[i] = signal[i] * (0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(i) / count));
  }
  const double step_hz = rate_hz / count / 20.0;
  const auto steps = static_cast<int>(std::ceil(within_hz / step_hz));
  std::vector<double> power;
  for (int i = -steps; i <= steps; ++i) {
    power.push_back(power_at(windowed, rate_hz, near_hz + i * step_hz));
  }
  const double floor = 0.01 * *std::max_element(power.begin(), power.end());
  double best_hz = 0.0;
  for (int i = 1; i < 2 * steps; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const bool peak = power[at] > power[at - 1] && power[at] >= power[at + 1] && power[at] > floor;
    const double frequency_hz = near_hz + (i - steps) * step_hz;
    if (peak && std::fabs(frequency_hz - near_hz) < std::fabs(best_hz - near_hz))
      best_hz = frequency_hz;
  }
  return best_hz;
}

std::vector<float> octave_band(std::span<const float> signal, double rate_hz, double centre_hz) {
  const double omega = 2.0 * kPi * centre_hz / rate_hz;
  const double alpha = std::sin(omega) / (2.0 * std::numbers::sqrt2);
  const double gain = alpha / (1.0 + alpha);
  const double a1 = -2.0 * std::cos(omega) / (1.0 + alpha);
  const double a2 = (1.0 - alpha) / (1.0 + alpha);
  std::vector<float> band(signal.begin(), signal.end());
  for (int pass = 0; pass < 2; ++pass) {
    double x1 = 0.0, x2 = 0.0, y1 = 0.0, y2 = 0.0;
    for (float& value : band) {
      const double x0 = value;
      const double y0 = gain * (x0 - x2) - a1 * y1 - a2 * y2;
      x2 = x1, x1 = x0, y2 = y1, y1 = y0;
      value = static_cast<float>(y0);
    }
  }
  return band;
}

double decay_time_t20(std::span<const float> signal, double rate_hz) {
  std::vector<double> energy(signal.size() + 1, 0.0);
  for (std::size_t i = signal.size(); i > 0; --i) {
    energy[i - 1] = energy[i] + static_cast<double>(signal[i - 1]) * signal[i - 1];
  }
  double n = 0.0, sum_t = 0.0, sum_l = 0.0, sum_tt = 0.0, sum_tl = 0.0;
  bool deep_enough = false;
  for (std::size_t i = 0; i < signal.size() && energy[i] > 0.0; ++i) {
    const double level_db = 10.0 * std::log10(energy[i] / energy[0]);
    if (level_db > -5.0) continue;
    if (level_db < -25.0) {
      deep_enough = true;
      break;
    }
    const double t = static_cast<double>(i) / rate_hz;
    n += 1.0, sum_t += t, sum_l += level_db, sum_tt += t * t, sum_tl += t * level_db;
  }
  if (!deep_enough || n < 2.0) return 0.0;
  const double slope = (n * sum_tl - sum_t * sum_l) / (n * sum_tt - sum_t * sum_t);
  return -60.0 / slope;
}

double eyring_seconds(const Grid& grid, const PerWall& absorption) {
  const double x = grid.nx * grid.dx;
  const double y = grid.ny * grid.dx;
  const double z = grid.nz * grid.dx;
  const double areas[3] = {y * z, x * z, x * y};
  double area = 0.0;
  double absorbing = 0.0;
  for (int wall = 0; wall < 6; ++wall) {
    area += areas[wall / 2];
    absorbing += areas[wall / 2] * absorption[wall];
  }
  const double mean = absorbing / area;
  return 24.0 * std::log(10.0) * x * y * z / (-grid.speed_of_sound * area * std::log(1.0 - mean));
}

}  // namespace rk::acoustics
