// Sound in and out of the simulation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ringkernel/runtime/result.hpp>

namespace rk::acoustics {

/// Mono sound; full scale is -1..1.
struct Sound {
  std::vector<float> samples;
  std::uint32_t rate_hz = 0;
};

/// Longest input that is read, in frames before resampling.
inline constexpr std::int64_t kMaxInputFrames = std::int64_t{1} << 28;

/// Reads any WAV file libsndfile knows, mixes its channels down to their mean and resamples to
/// `rate_hz` where the file's rate differs (libsamplerate, best sinc; equal input gives equal
/// output). Errors: `not_found` (no such file), `io` (unreadable), `invalid_argument` (empty, not a
/// WAV, no samples, more than `kMaxInputFrames`, a sample that is NaN or infinite, a rate outside
/// 100..384000 Hz).
[[nodiscard]] Result<Sound> read_wav(const std::string& path, std::uint32_t rate_hz);

/// What `write_wav` did to the samples; the user sees it in the summary.
struct WavLevels {
  float peak = 0.0F;  ///< largest magnitude over all channels before scaling
  float gain = 1.0F;  ///< factor applied to every channel
};

/// Peak of a written file: -1 dB below full scale.
inline constexpr float kOutputPeak = 0.891251F;

/// Writes PCM 24, one channel per element of `channels` (equal lengths), whole file or nothing. All
/// channels are scaled by one gain that puts the largest peak at `kOutputPeak`, so levels between
/// microphones stay comparable and no sample clips; a silent recording keeps gain 1. The bytes
/// depend on the samples and the rate only. Errors: `invalid_argument` (no channel, unequal
/// lengths, a sample that is not finite), those of `write_whole_file`.
[[nodiscard]] Result<WavLevels> write_wav(const std::string& path, std::uint32_t rate_hz,
                                          const std::vector<std::vector<float>>& channels);

}  // namespace rk::acoustics
