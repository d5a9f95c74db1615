#include "room.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numbers>

namespace rk::acoustics {
namespace {

// 85/256 is just below 1/3 (Courant number 0.5762, the limit is 0.5774) and makes every weight of a
// rigid or interior cell exact in float.
constexpr double kDefaultLambda2 = 85.0 / 256.0;
constexpr double kLambda2Quantum = 1.0 / 4096.0;
constexpr double kMaxLambda2 = 1.0 / 3.0;

// Where Paris' formula has its maximum.
constexpr double kMostAbsorbingAdmittance = 1.0 / 1.567;

constexpr const char* kAxisName[3] = {"x", "y", "z"};
constexpr const char* kWallName[6] = {"x0", "x1", "y0", "y1", "z0", "z1"};

template <class... Args>
unexpected invalid(const char* format, Args... args) {
  char text[320];
  std::snprintf(text, sizeof text, format, args...);
  return fail(ErrorCode::invalid_argument, text);
}

bool in_range(double value, double low, double high) {
  return std::isfinite(value) && value >= low && value <= high;
}

int printable_length(std::string_view text) {
  return static_cast<int>(std::min<std::size_t>(text.size(), 80));
}

Result<std::vector<double>> parse_numbers(std::string_view text, char separator) {
  std::vector<double> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  const int length = printable_length(text);
  while (true) {
    double number = 0.0;
    const auto [next, status] = std::from_chars(at, end, number);
    if (status != std::errc{} || !std::isfinite(number)) {
      return invalid("\"%.*s\" has a part that is not a number", length, text.data());
    }
    numbers.push_back(number);
    if (next == end) return numbers;
    if (*next != separator) {
      return invalid("\"%.*s\": numbers are separated by '%c'", length, text.data(), separator);
    }
    at = next + 1;
  }
}

Result<Point> parse_three(std::string_view text, char separator, const char* example) {
  RK_TRY_ASSIGN(const std::vector<double> numbers, parse_numbers(text, separator));
  if (numbers.size() != 3) {
    return invalid("\"%.*s\": three numbers are needed, as in %s", printable_length(text),
                   text.data(), example);
  }
  return Point{numbers[0], numbers[1], numbers[2]};
}

Result<void> check_ranges(const RoomSpec& spec) {
  if (!in_range(spec.rate_hz, 100.0, 384000.0)) {
    return invalid("rate: %g Hz is outside 100..384000", spec.rate_hz);
  }
  if (!in_range(spec.speed_of_sound, 1.0, 10000.0)) {
    return invalid("speed of sound: %g m/s is outside 1..10000", spec.speed_of_sound);
  }
  for (int axis = 0; axis < 3; ++axis) {
    if (!in_range(spec.size_m[axis], 1e-6, 1e6)) {
      return invalid("room: its %s side of %g m is not a positive length", kAxisName[axis],
                     spec.size_m[axis]);
    }
  }
  for (int wall = 0; wall < 6; ++wall) {
    if (!in_range(spec.absorption[wall], 0.0, 1.0)) {
      return invalid("absorption: %g of wall %s is outside 0..1", spec.absorption[wall],
                     kWallName[wall]);
    }
  }
  if (spec.cell_m != 0.0 && !in_range(spec.cell_m, 1e-9, 1e6)) {
    return invalid("cell: %g m is not a positive length", spec.cell_m);
  }
  if (spec.mics_m.size() > kMaxMics) {
    return invalid("microphones: %zu given, at most %zu are possible", spec.mics_m.size(),
                   kMaxMics);
  }
  return {};
}

Result<CellIndex> cell_at(const RoomSpec& spec, const Grid& grid, const Point& at,
                          const char* what) {
  const std::uint32_t cells[3] = {grid.nx, grid.ny, grid.nz};
  std::uint32_t cell[3];
  for (int axis = 0; axis < 3; ++axis) {
    if (!in_range(at[axis], 0.0, spec.size_m[axis])) {
      return invalid("%s at %g,%g,%g is outside the room: %s must be within 0..%g m", what, at[0],
                     at[1], at[2], kAxisName[axis], spec.size_m[axis]);
    }
    // The room was rounded to cells, so a point on a far wall may lie just beyond the last of them.
    const double position = std::floor(at[axis] / grid.dx);
    cell[axis] = std::min(static_cast<std::uint32_t>(position), cells[axis] - 1);
  }
  return CellIndex{cell[0], cell[1], cell[2]};
}

Result<double> choose_lambda2(const RoomSpec& spec) {
  if (spec.cell_m == 0.0) return kDefaultLambda2;
  const double lambda = spec.speed_of_sound / (spec.rate_hz * spec.cell_m);
  if (lambda * lambda > kMaxLambda2) {
    return invalid(
        "unstable time step: cells of %g m at %g Hz give a Courant number of %.3f, the limit is "
        "0.577; use cells of "
        "at least %.4g m or a rate of at least %.0f Hz",
        spec.cell_m, spec.rate_hz, lambda, spec.speed_of_sound * std::sqrt(3.0) / spec.rate_hz,
        std::ceil(spec.speed_of_sound * std::sqrt(3.0) / spec.cell_m));
  }
  // A multiple of 2^-12 keeps the weights of rigid cells exact; the cell grows a little to match.
  const double quantised = std::floor(lambda * lambda / kLambda2Quantum) * kLambda2Quantum;
  if (quantised < 16 * kLambda2Quantum) {
    return invalid("cell: %g m is too large for a rate of %g Hz", spec.cell_m, spec.rate_hz);
  }
  return quantised;
}

}  // namespace

Result<Grid> make_grid(const RoomSpec& spec) {
  RK_TRY(check_ranges(spec));
  RK_TRY_ASSIGN(const double lambda2, choose_lambda2(spec));

  Grid grid;
  grid.speed_of_sound = spec.speed_of_sound;
  grid.lambda2 = static_cast<float>(lambda2);
  grid.dt = 1.0 / spec.rate_hz;
  grid.dx = spec.speed_of_sound * grid.dt / std::sqrt(lambda2);

  double total = 1.0;
  std::uint32_t cells[3];
  for (int axis = 0; axis < 3; ++axis) {
    const double count = std::round(spec.size_m[axis] / grid.dx);
    if (count < kMinCellsPerAxis) {
      return invalid(
          "room: its %s side of %g m is %.0f cells of %.4g m, at least %u are needed; raise the "
          "rate",
          kAxisName[axis], spec.size_m[axis], count, grid.dx, kMinCellsPerAxis);
    }
    total *= count;
    if (total > static_cast<double>(kMaxCells)) {
      return invalid("room: %g x %g x %g m at %g Hz needs more than %llu cells; lower the rate",
                     spec.size_m[0], spec.size_m[1], spec.size_m[2], spec.rate_hz,
                     static_cast<unsigned long long>(kMaxCells));
    }
    cells[axis] = static_cast<std::uint32_t>(count);
  }
  grid.nx = cells[0];
  grid.ny = cells[1];
  grid.nz = cells[2];

  for (int wall = 0; wall < 6; ++wall) grid.admittance[wall] = admittance_of(spec.absorption[wall]);

  // The free field of a point source is gain * dx / (4 pi lambda^2 r): this gain makes the pressure
  // one metre away equal to the input sample, whatever the cell size.
  grid.source_gain = static_cast<float>(4.0 * std::numbers::pi * lambda2 / grid.dx);

  RK_TRY_ASSIGN(grid.source, cell_at(spec, grid, spec.source_m, "source"));
  for (const Point& mic : spec.mics_m) {
    RK_TRY_ASSIGN(const CellIndex cell, cell_at(spec, grid, mic, "microphone"));
    grid.mics.push_back(cell);
  }
  return grid;
}

double paris_absorption(double beta) {
  // Below this the closed form loses its digits; the series has the error 12 beta^2 ln beta.
  if (beta < 1e-6) return 8.0 * beta;
  const double xi = 1.0 / beta;
  return 8.0 * beta * beta * (1.0 + xi - 1.0 / (1.0 + xi) - 2.0 * std::log1p(xi));
}

double admittance_of(double absorption) {
  if (absorption <= 0.0) return 0.0;
  if (absorption >= paris_absorption(kMostAbsorbingAdmittance)) return kMostAbsorbingAdmittance;
  double low = 0.0;
  double high = kMostAbsorbingAdmittance;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (paris_absorption(middle) < absorption ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

Result<Point> parse_room(std::string_view text) { return parse_three(text, 'x', "5x4x3"); }

Result<Point> parse_point(std::string_view text) { return parse_three(text, ',', "1,2,1.5"); }

Result<PerWall> parse_absorption(std::string_view text) {
  RK_TRY_ASSIGN(const std::vector<double> numbers, parse_numbers(text, ','));
  PerWall walls{};
  if (numbers.size() == 1) {
    walls.fill(numbers[0]);
  } else if (numbers.size() == walls.size()) {
    for (std::size_t wall = 0; wall < walls.size(); ++wall) walls[wall] = numbers[wall];
  } else {
    return invalid("absorption \"%.*s\": give one value or six (x0,x1,y0,y1,z0,z1)",
                   printable_length(text), text.data());
  }
  for (const double value : walls) {
    if (!in_range(value, 0.0, 1.0)) return invalid("absorption: %g is outside 0..1", value);
  }
  return walls;
}

std::vector<float> make_drive(const Grid& grid, const std::vector<float>& samples) {
  const double keep = 1.0 - 2.0 * std::numbers::pi * 20.0 * grid.dt;
  double input_before[2] = {0.0, 0.0};
  double output[2] = {0.0, 0.0};
  std::uint32_t noise = 1;
  std::vector<float> drive;
  drive.reserve(samples.size());
  for (const float sample : samples) {
    double value = sample;
    for (int stage = 0; stage < 2; ++stage) {
      output[stage] = value - input_before[stage] + keep * output[stage];
      input_before[stage] = value;
      value = output[stage];
    }
    noise = noise * 1664525U + 1013904223U;
    value += (noise >> 31) != 0U ? 1e-12 : -1e-12;
    drive.push_back(static_cast<float>(value * grid.source_gain));
  }
  return drive;
}

}  // namespace rk::acoustics
