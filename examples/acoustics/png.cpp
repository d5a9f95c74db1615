#include "png.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <png.h>

#include "file.hpp"

namespace rk::acoustics {
namespace {

using Colour = std::array<double, 3>;

// Equally spaced from -limit to +limit, darker towards both ends so that the sign survives grey
// print beside the shape.
constexpr Colour kColours[5] = {
    {12, 44, 110}, {82, 148, 214}, {250, 250, 250}, {232, 120, 90}, {122, 12, 30}};

std::array<std::uint8_t, 3> colour_of(float value, float limit) {
  const double place = std::clamp(limit > 0.0F ? value / limit : 0.0F, -1.0F, 1.0F);
  const double position = (place + 1.0) * 2.0;
  const int low = std::min(static_cast<int>(position), 3);
  const double part = position - low;
  std::array<std::uint8_t, 3> rgb{};
  for (int i = 0; i < 3; ++i) {
    rgb[i] = static_cast<std::uint8_t>(
        std::nearbyint(kColours[low][i] + part * (kColours[low + 1][i] - kColours[low][i])));
  }
  return rgb;
}

}  // namespace

Result<Slice> horizontal_slice(const Grid& grid, std::span<const float> field, std::uint32_t z) {
  if (field.size() != grid.cells() || z >= grid.nz) {
    return fail(ErrorCode::invalid_argument, "slice: the field or the plane does not fit the grid");
  }
  const std::size_t plane = std::size_t{grid.nx} * grid.ny;
  const auto values = field.subspan(plane * z, plane);
  return Slice{grid.nx, grid.ny, std::vector<float>(values.begin(), values.end())};
}

Result<void> write_png(const std::string& path, const Slice& slice, float limit) {
  if (slice.values.empty() || slice.values.size() != std::size_t{slice.width} * slice.height) {
    return fail(ErrorCode::invalid_argument, "PNG: the slice is empty or incomplete");
  }
  float largest = 0.0F;
  for (const float value : slice.values) {
    if (!std::isfinite(value)) {
      return fail(ErrorCode::invalid_argument, "PNG: a value of the slice is not a finite number");
    }
    largest = std::max(largest, std::fabs(value));
  }
  if (limit <= 0.0F) limit = largest;

  const std::size_t zoom = std::max(1U, 512U / std::max(slice.width, slice.height));
  const std::size_t width = slice.width * zoom;
  const std::size_t height = slice.height * zoom;
  std::vector<std::uint8_t> pixels(width * height * 3);
  for (std::size_t row = 0; row < height; ++row) {
    const std::size_t y = slice.height - 1 - row / zoom;
    for (std::size_t column = 0; column < width; ++column) {
      const auto rgb = colour_of(slice.values[y * slice.width + column / zoom], limit);
      std::copy(rgb.begin(), rgb.end(),
                pixels.begin() + static_cast<long>((row * width + column) * 3));
    }
  }

  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr) == 0) {
    return fail(ErrorCode::internal, std::string("PNG: ") + image.message);
  }
  bytes.resize(size);
  return write_whole_file(path, bytes);
}

}  // namespace rk::acoustics
