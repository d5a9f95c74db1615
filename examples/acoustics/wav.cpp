#include "wav.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>

#include <samplerate.h>
#include <sndfile.h>
#include <sys/stat.h>

#include "file.hpp"

namespace rk::acoustics {
namespace {

struct CloseSound {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using SoundFile = std::unique_ptr<SNDFILE, CloseSound>;

bool is_wav(int format) {
  const int container = format & SF_FORMAT_TYPEMASK;
  return container == SF_FORMAT_WAV || container == SF_FORMAT_WAVEX || container == SF_FORMAT_RF64;
}

bool is_rate(std::int64_t rate_hz) { return rate_hz >= 100 && rate_hz <= 384000; }

Result<void> check_file(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) {
    const int error = errno;
    const bool missing = error == ENOENT || error == ENOTDIR;
    return fail(missing ? ErrorCode::not_found : ErrorCode::io,
                "cannot read " + path + ": " + std::strerror(error), error);
  }
  if (!S_ISREG(about.st_mode)) {
    return fail(ErrorCode::invalid_argument, path + " is not a file");
  }
  if (about.st_size == 0) {
    return fail(ErrorCode::invalid_argument, path + " is empty, a WAV file is needed");
  }
  return {};
}

Result<std::vector<float>> read_mono(SNDFILE* file, const SF_INFO& info, const std::string& path) {
  constexpr sf_count_t kBlockFrames = 4096;
  const auto channels = static_cast<std::size_t>(info.channels);
  std::vector<float> block(kBlockFrames * channels);
  std::vector<float> mono;
  while (true) {
    const sf_count_t frames = sf_readf_float(file, block.data(), kBlockFrames);
    if (frames <= 0) break;
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(frames); ++frame) {
      double sum = 0.0;
      for (std::size_t channel = 0; channel < channels; ++channel) {
        sum += block[frame * channels + channel];
      }
      const auto mean = static_cast<float>(sum / static_cast<double>(channels));
      if (!std::isfinite(mean)) {
        return fail(ErrorCode::invalid_argument,
                    path + ": sample " + std::to_string(mono.size()) + " is not a finite number");
      }
      mono.push_back(mean);
    }
  }
  if (mono.empty()) return fail(ErrorCode::invalid_argument, path + " has no samples");
  return mono;
}

Result<std::vector<float>> resample(const std::vector<float>& input, double ratio) {
  std::vector<float> output(
      static_cast<std::size_t>(std::ceil(static_cast<double>(input.size()) * ratio)) + 64);
  SRC_DATA job{};
  job.data_in = input.data();
  job.input_frames = static_cast<long>(input.size());
  job.data_out = output.data();
  job.output_frames = static_cast<long>(output.size());
  job.src_ratio = ratio;
  if (const int error = src_simple(&job, SRC_SINC_BEST_QUALITY, 1); error != 0) {
    return fail(ErrorCode::invalid_argument, std::string("resampling: ") + src_strerror(error));
  }
  output.resize(static_cast<std::size_t>(job.output_frames_gen));
  return output;
}

// libsndfile writes to memory, so the file on disk appears whole.
struct Memory {
  std::vector<std::uint8_t> bytes;
  sf_count_t at = 0;
};

sf_count_t memory_size(void* user) {
  return static_cast<sf_count_t>(static_cast<Memory*>(user)->bytes.size());
}

sf_count_t memory_seek(sf_count_t offset, int whence, void* user) {
  auto* memory = static_cast<Memory*>(user);
  const sf_count_t base = whence == SEEK_SET   ? 0
                          : whence == SEEK_CUR ? memory->at
                                               : memory_size(user);
  memory->at = base + offset;
  return memory->at;
}

sf_count_t memory_read(void* data, sf_count_t count, void* user) {
  auto* memory = static_cast<Memory*>(user);
  count = std::clamp<sf_count_t>(memory_size(user) - memory->at, 0, count);
  std::memcpy(data, memory->bytes.data() + memory->at, static_cast<std::size_t>(count));
  memory->at += count;
  return count;
}

sf_count_t memory_write(const void* data, sf_count_t count, void* user) {
  auto* memory = static_cast<Memory*>(user);
  const auto end = static_cast<std::size_t>(memory->at + count);
  if (memory->bytes.size() < end) memory->bytes.resize(end);
  std::memcpy(memory->bytes.data() + memory->at, data, static_cast<std::size_t>(count));
  memory->at += count;
  return count;
}

sf_count_t memory_tell(void* user) { return static_cast<Memory*>(user)->at; }

Result<WavLevels> measure_levels(const std::vector<std::vector<float>>& channels) {
  if (channels.empty())
    return fail(ErrorCode::invalid_argument, "a WAV needs at least one channel");
  WavLevels levels;
  for (const std::vector<float>& channel : channels) {
    if (channel.size() != channels.front().size()) {
      return fail(ErrorCode::invalid_argument, "the channels of a WAV must have equal lengths");
    }
    for (const float sample : channel) {
      if (!std::isfinite(sample)) {
        return fail(ErrorCode::invalid_argument, "a sample to be written is not a finite number");
      }
      levels.peak = std::max(levels.peak, std::fabs(sample));
    }
  }
  // A subnormal peak would need a gain that overflows.
  if (levels.peak > 1e-30F) levels.gain = kOutputPeak / levels.peak;
  return levels;
}

}  // namespace

Result<Sound> read_wav(const std::string& path, std::uint32_t rate_hz) {
  if (!is_rate(rate_hz)) {
    return fail(ErrorCode::invalid_argument, "rate: use 100..384000 Hz");
  }
  RK_TRY(check_file(path));
  SF_INFO info{};
  const SoundFile file(sf_open(path.c_str(), SFM_READ, &info));
  if (!file) {
    if (sf_error(nullptr) == SF_ERR_SYSTEM) {
      return fail(ErrorCode::io, "cannot read " + path + ": " + sf_strerror(nullptr));
    }
    return fail(ErrorCode::invalid_argument, path + " is not a WAV file: " + sf_strerror(nullptr));
  }
  if (!is_wav(info.format)) {
    return fail(ErrorCode::invalid_argument, path + " is not a WAV file; convert it first");
  }
  if (info.frames > kMaxInputFrames) {
    return fail(ErrorCode::invalid_argument, path + " is too long");
  }
  if (!is_rate(info.samplerate)) {
    return fail(
        ErrorCode::invalid_argument,
        path + " has a rate of " + std::to_string(info.samplerate) + " Hz, use 100..384000");
  }
  RK_TRY_ASSIGN(std::vector<float> samples, read_mono(file.get(), info, path));
  const auto file_rate = static_cast<std::uint32_t>(info.samplerate);
  if (file_rate != rate_hz) {
    const double ratio = static_cast<double>(rate_hz) / file_rate;
    if (src_is_valid_ratio(ratio) == 0) {
      return fail(ErrorCode::invalid_argument,
                  path + ": its rate is too far from the simulation's");
    }
    RK_TRY_ASSIGN(samples, resample(samples, ratio));
    if (samples.empty())
      return fail(ErrorCode::invalid_argument, path + " is too short to resample");
  }
  return Sound{std::move(samples), rate_hz};
}

Result<WavLevels> write_wav(const std::string& path, std::uint32_t rate_hz,
                            const std::vector<std::vector<float>>& channels) {
  RK_TRY_ASSIGN(const WavLevels levels, measure_levels(channels));
  SF_INFO info{};
  info.samplerate = static_cast<int>(rate_hz);
  info.channels = static_cast<int>(channels.size());
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_24;
  Memory memory;
  SF_VIRTUAL_IO io{memory_size, memory_seek, memory_read, memory_write, memory_tell};
  SoundFile file(sf_open_virtual(&io, SFM_WRITE, &info, &memory));
  if (!file) {
    return fail(ErrorCode::invalid_argument, std::string("WAV output: ") + sf_strerror(nullptr));
  }
  // Rounding here, not in the library, keeps the bytes independent of its version and dither.
  constexpr double kFullScale = 8388607.0;
  std::vector<int> frame(channels.size());
  for (std::size_t n = 0; n < channels.front().size(); ++n) {
    for (std::size_t channel = 0; channel < channels.size(); ++channel) {
      const double scaled = static_cast<double>(channels[channel][n]) * levels.gain;
      frame[channel] = static_cast<int>(std::nearbyint(scaled * kFullScale)) * 256;
    }
    if (sf_writef_int(file.get(), frame.data(), 1) != 1) {
      return fail(ErrorCode::internal, std::string("WAV output: ") + sf_strerror(file.get()));
    }
  }
  file.reset();
  RK_TRY(write_whole_file(path, memory.bytes));
  return levels;
}

}  // namespace rk::acoustics
