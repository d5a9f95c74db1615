#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <png.h>
#include <sndfile.h>
#include <unistd.h>

#include <ringkernel/examples/acoustics/png.hpp>
#include <ringkernel/examples/acoustics/wav.hpp>

namespace rk::acoustics {
namespace {

namespace fs = std::filesystem;

class AcousticsFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              ("rk_acoustics_" + std::to_string(::getpid()) + "_" + test->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  static std::string bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  void write_sound(const std::string& name, int format, int rate, int channels,
                   const std::vector<float>& interleaved) const {
    SF_INFO info{};
    info.samplerate = rate;
    info.channels = channels;
    info.format = format;
    SNDFILE* file = sf_open(path(name).c_str(), SFM_WRITE, &info);
    ASSERT_NE(file, nullptr);
    const auto count = static_cast<sf_count_t>(interleaved.size());
    ASSERT_EQ(sf_write_float(file, interleaved.data(), count), count);
    sf_close(file);
  }

  void expect_refused(const std::string& name, ErrorCode code, const std::string& words) const {
    const auto sound = read_wav(path(name), 8000);
    ASSERT_FALSE(sound) << name;
    EXPECT_EQ(sound.error().code, code);
    EXPECT_NE(sound.error().message.find(words), std::string::npos) << sound.error().message;
    EXPECT_NE(sound.error().message.find(name), std::string::npos) << sound.error().message;
  }

  fs::path folder_;
};

constexpr int kFloatWav = SF_FORMAT_WAV | SF_FORMAT_FLOAT;

TEST_F(AcousticsFiles, WrittenWavReadsBackScaledByTheReportedGain) {
  std::vector<std::vector<float>> channels(2);
  for (int n = 0; n < 1000; ++n) {
    channels[0].push_back(3.0F * std::sin(0.05F * static_cast<float>(n)));
    channels[1].push_back(0.5F * std::cos(0.03F * static_cast<float>(n)));
  }
  const auto levels = write_wav(path("two.wav"), 8000, channels);
  ASSERT_TRUE(levels);
  EXPECT_NEAR(levels->peak, 3.0F, 1e-2F);
  EXPECT_FLOAT_EQ(levels->gain * levels->peak, kOutputPeak);
  SF_INFO info{};
  SNDFILE* file = sf_open(path("two.wav").c_str(), SFM_READ, &info);
  ASSERT_NE(file, nullptr);
  sf_close(file);
  EXPECT_EQ(info.channels, 2);
  EXPECT_EQ(info.format, SF_FORMAT_WAV | SF_FORMAT_PCM_24);
  const auto sound = read_wav(path("two.wav"), 8000);
  ASSERT_TRUE(sound);
  ASSERT_EQ(sound->samples.size(), 1000U);
  for (std::size_t n = 0; n < 1000; ++n) {
    const float mean = 0.5F * (channels[0][n] + channels[1][n]) * levels->gain;
    ASSERT_NEAR(sound->samples[n], mean, 1e-6F);
  }
}

TEST_F(AcousticsFiles, EqualSamplesGiveEqualBytesAndNoTemporaryStays) {
  const std::vector<std::vector<float>> channels(3, std::vector<float>{0.1F, -0.2F, 0.3F});
  ASSERT_TRUE(write_wav(path("a.wav"), 8000, channels));
  ASSERT_TRUE(write_wav(path("b.wav"), 8000, channels));
  EXPECT_EQ(bytes_of(path("a.wav")), bytes_of(path("b.wav")));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 2);
}

TEST_F(AcousticsFiles, SilenceIsWrittenWithGainOne) {
  const auto levels = write_wav(path("silence.wav"), 8000, {std::vector<float>(10, 0.0F)});
  ASSERT_TRUE(levels);
  EXPECT_EQ(levels->gain, 1.0F);
}

TEST_F(AcousticsFiles, InputIsResampledInPitchAndLengthTheSameWayTwice) {
  std::vector<float> tone;
  for (int n = 0; n < 22050; ++n) {
    tone.push_back(0.5F *
                   static_cast<float>(std::sin(2.0 * std::acos(-1.0) * 440.0 * n / 22050.0)));
  }
  write_sound("tone.wav", kFloatWav, 22050, 1, tone);
  const auto first = read_wav(path("tone.wav"), 8000);
  const auto second = read_wav(path("tone.wav"), 8000);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->samples, second->samples);
  EXPECT_NEAR(static_cast<double>(first->samples.size()), 8000.0, 2.0);
  for (std::size_t n = 1000; n < 7000; ++n) {
    const double expected =
        0.5 * std::sin(2.0 * std::acos(-1.0) * 440.0 * static_cast<double>(n) / 8000.0);
    ASSERT_NEAR(first->samples[n], expected, 2e-3) << n;
  }
}

TEST_F(AcousticsFiles, UnusableInputIsRefusedWithWordsThatNameIt) {
  expect_refused("missing.wav", ErrorCode::not_found, "No such file");
  std::ofstream(path("empty.wav")).flush();
  expect_refused("empty.wav", ErrorCode::invalid_argument, "is empty");
  std::ofstream(path("text.wav")) << "this is no sound at all, only some text";
  expect_refused("text.wav", ErrorCode::invalid_argument, "not a WAV");
  std::ofstream(path("cut.wav"), std::ios::binary) << "RIFF";
  expect_refused("cut.wav", ErrorCode::invalid_argument, "not a WAV");
  fs::create_directory(path("folder.wav"));
  expect_refused("folder.wav", ErrorCode::invalid_argument, "not a file");
  write_sound("other.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 8000, 1, {0.1F, 0.2F});
  expect_refused("other.aiff", ErrorCode::invalid_argument, "not a WAV");
  write_sound("none.wav", kFloatWav, 8000, 1, {});
  expect_refused("none.wav", ErrorCode::invalid_argument, "no samples");
  write_sound("nan.wav", kFloatWav, 8000, 1, {0.1F, std::numeric_limits<float>::quiet_NaN()});
  expect_refused("nan.wav", ErrorCode::invalid_argument, "not a finite number");
  write_sound("inf.wav", kFloatWav, 8000, 2, {0.1F, std::numeric_limits<float>::infinity()});
  expect_refused("inf.wav", ErrorCode::invalid_argument, "not a finite number");
}

TEST_F(AcousticsFiles, UnwritableOutputIsRefusedAndLeavesTheOldFile) {
  const std::vector<std::vector<float>> channels{{0.1F}};
  const auto missing = write_wav(path("no/such/folder.wav"), 8000, channels);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  std::ofstream(path("old.wav")) << "old";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(write_wav(path("old.wav"), 8000, {{nan}}));
  EXPECT_FALSE(write_wav(path("old.wav"), 8000, {{0.1F}, {0.1F, 0.2F}}));
  EXPECT_FALSE(write_wav(path("old.wav"), 8000, {}));
  EXPECT_EQ(bytes_of(path("old.wav")), "old");
}

TEST_F(AcousticsFiles, PngShowsSignsInOpposedColoursWithYUp) {
  const Slice slice{2, 2, {1.0F, -1.0F, 0.0F, 0.5F}};
  ASSERT_TRUE(write_png(path("a.png"), slice));
  ASSERT_TRUE(write_png(path("b.png"), slice));
  EXPECT_EQ(bytes_of(path("a.png")), bytes_of(path("b.png")));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_file(&image, path("a.png").c_str()), 0);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  ASSERT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  ASSERT_EQ(image.width, 512U);
  ASSERT_EQ(image.height, 512U);
  const auto pixel = [&](std::size_t x, std::size_t y) { return &pixels[(y * 512 + x) * 3]; };
  EXPECT_GT(pixel(10, 500)[0], pixel(10, 500)[2]) << "positive, lower left: red";
  EXPECT_LT(pixel(500, 500)[0], pixel(500, 500)[2]) << "negative, lower right: blue";
  EXPECT_EQ(pixel(10, 10)[0], 250) << "zero, upper left: white";
}

TEST_F(AcousticsFiles, PngRefusesWhatIsNoPicture) {
  EXPECT_FALSE(write_png(path("x.png"), Slice{}));
  EXPECT_FALSE(write_png(path("x.png"), Slice{2, 2, {1.0F}}));
  EXPECT_FALSE(write_png(path("x.png"), Slice{1, 1, {std::numeric_limits<float>::infinity()}}));
  Grid grid;
  grid.nx = 2, grid.ny = 1, grid.nz = 2;
  const std::vector<float> field{1.0F, 2.0F, 3.0F, 4.0F};
  EXPECT_EQ(horizontal_slice(grid, field, 1)->values, (std::vector<float>{3.0F, 4.0F}));
  EXPECT_FALSE(horizontal_slice(grid, field, 2));
}

TEST_F(AcousticsFiles, ShippedSpeechIsReadable) {
  const auto speech =
      read_wav(std::string(RK_SOURCE_DIR) + "/examples/acoustics/data/speech.wav", 8000);
  ASSERT_TRUE(speech);
  EXPECT_GT(speech->samples.size(), 4U * 8000U);
}

}  // namespace
}  // namespace rk::acoustics
