// A rectangular room as people describe it (metres, absorption) and as the solver sees it (cells,
// admittance).
//
// Everything here runs on the host before the simulation starts. Values; no shared state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <ringkernel/runtime/result.hpp>

namespace rk::acoustics {

/// x, y, z in metres from the corner where the walls x0, y0 and z0 meet.
using Point = std::array<double, 3>;

/// Per wall, in the order x0, x1, y0, y1, z0, z1 (low wall first on each axis).
using PerWall = std::array<double, 6>;

/// The room a user asks for. `make_grid` validates it.
struct RoomSpec {
  Point size_m{5.0, 4.0, 3.0};
  PerWall absorption{0.1, 0.1, 0.1, 0.1, 0.1, 0.1};  ///< random-incidence coefficient, 0..1
  double rate_hz = 8000.0;                           ///< time steps per second = audio sample rate
  double speed_of_sound = 343.0;                     ///< m/s
  Point source_m{1.0, 1.0, 1.0};
  std::vector<Point> mics_m;
  double cell_m = 0.0;  ///< edge of a cell; 0 takes the smallest stable one
};

struct CellIndex {
  std::uint32_t x = 0, y = 0, z = 0;
  friend bool operator==(const CellIndex&, const CellIndex&) = default;
};

/// The room as rounded to cells. Walls lie half a cell beyond the outermost cell centres, so the
/// simulated room measures exactly nx*dx by ny*dx by nz*dx.
struct Grid {
  std::uint32_t nx = 0, ny = 0, nz = 0;
  double dx = 0.0;  ///< metres
  double dt = 0.0;  ///< seconds
  double speed_of_sound = 343.0;
  float lambda2 = 0.0F;  ///< square of the Courant number c*dt/dx: a multiple of 2^-12, below 1/3
  PerWall admittance{};  ///< specific acoustic admittance of each wall, real, 0 = rigid
  float source_gain = 1.0F;  ///< turns an input sample into the pressure added to the source cell
  CellIndex source;
  std::vector<CellIndex> mics;

  [[nodiscard]] std::size_t cells() const { return std::size_t{nx} * ny * nz; }
  /// Position of a cell in an unpadded field, x running fastest.
  [[nodiscard]] std::size_t index(CellIndex c) const {
    return c.x + std::size_t{nx} * (c.y + std::size_t{ny} * c.z);
  }
};

inline constexpr std::uint32_t kMinCellsPerAxis = 3;
inline constexpr std::uint64_t kMaxCells = std::uint64_t{1} << 28;  ///< 2 GiB of pressure
inline constexpr std::size_t kMaxMics = 64;

/// Largest random-incidence absorption a wall with a real admittance can have.
inline constexpr double kMaxParisAbsorption = 0.9512;

/// Validates `spec` and rounds it to cells. Errors (`invalid_argument`): a value that is not finite
/// or out of range, a source or microphone outside the room, a room of less than three cells in a
/// direction or more than `kMaxCells` cells, a cell so small that the time step is unstable.
[[nodiscard]] Result<Grid> make_grid(const RoomSpec& spec);

/// Random-incidence absorption of a locally reacting wall with real specific admittance `beta`
/// (Paris' formula; Kuttruff, "Room Acoustics", ch. 2). Rises from 0 to 0.951 at beta = 0.638, then
/// falls.
[[nodiscard]] double paris_absorption(double beta);

/// The smallest admittance whose random-incidence absorption is `absorption`. Values above
/// `kMaxParisAbsorption` are clamped to the most absorbing real admittance.
[[nodiscard]] double admittance_of(double absorption);

/// "5x4x3" -> metres. `invalid_argument` when it is not three finite numbers.
[[nodiscard]] Result<Point> parse_room(std::string_view text);

/// "1,2,1.5" -> metres. `invalid_argument` when it is not three finite numbers.
[[nodiscard]] Result<Point> parse_point(std::string_view text);

/// "0.1" for all walls, or six comma-separated values in the order of `PerWall`.
[[nodiscard]] Result<PerWall> parse_absorption(std::string_view text);

/// Prepares input samples for the source cell: two DC blockers at about 20 Hz, `source_gain`, and a
/// floor of 1e-12. A constant pressure never leaves a room with real admittances, so what a source
/// feeds into it must have no constant part (Botteldooren 1995; Sheaffer, van Walstijn and Fazenda
/// 2014). The floor keeps silent passages out of subnormal numbers, which are slow on CPUs.
/// Returns as many values as `samples`; value n is added at step n.
[[nodiscard]] std::vector<float> make_drive(const Grid& grid, const std::vector<float>& samples);

}  // namespace rk::acoustics
