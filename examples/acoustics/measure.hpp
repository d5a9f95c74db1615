// Measurements on recorded sound, and what theory says they should be. Used to check the physics.
#pragma once

#include <span>
#include <vector>

#include "room.hpp"

namespace rk::acoustics {

/// Eigenfrequency (l, m, n) of the rigid box of `grid`, in Hz: c/2 sqrt((l/Lx)^2+(m/Ly)^2+(n/Lz)^2)
/// with the lengths as rounded to cells.
[[nodiscard]] double room_mode_hz(const Grid& grid, int l, int m, int n);

/// The peak of the Hann-windowed spectrum of `signal` nearest to `near_hz`, no more than
/// `within_hz` away; peaks 20 dB below the largest there are taken for side lobes. Searched in
/// steps of 1/20 of the resolution. 0 when there is none.
[[nodiscard]] double spectral_peak_hz(std::span<const float> signal, double rate_hz, double near_hz,
                                      double within_hz);

/// `signal` through a fourth-order band-pass (two RBJ biquads) of one octave around `centre_hz`.
[[nodiscard]] std::vector<float> octave_band(std::span<const float> signal, double rate_hz,
                                             double centre_hz);

/// Decay time T20 in seconds: the line through the backward-integrated energy (Schroeder 1965) from
/// -5 to -25 dB, extrapolated to -60 dB (ISO 3382). 0 when the record does not decay that far.
[[nodiscard]] double decay_time_t20(std::span<const float> signal, double rate_hz);

/// Reverberation time in seconds by Eyring's formula, 24 ln(10) V / (-c S ln(1 - mean absorption)),
/// for the box of `grid`.
[[nodiscard]] double eyring_seconds(const Grid& grid, const PerWall& absorption);

}  // namespace rk::acoustics
