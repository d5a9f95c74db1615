#include "duration.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

namespace rk::tools {

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 6> kUnits{
      {{"ns", 1.0}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}}};
  constexpr double kMostNs = 200.0 * 365 * 24 * 3600e9;
  double number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const std::string_view unit(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
  if (parsed.ec == std::errc() && std::isfinite(number) && number >= 0) {
    if (unit.empty() && number == 0) return std::chrono::nanoseconds(0);
    for (const auto& [name, factor] : kUnits) {
      if (unit == name && number * factor <= kMostNs) {
        return std::chrono::nanoseconds(std::llround(number * factor));
      }
    }
  }
  return fail(ErrorCode::invalid_argument,
              "'" + std::string(text) +
                  "' is no duration; write a number and one of ns, us, ms, s, min, h, as in 500ms");
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kNames{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kNames.size(); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %s", value, kNames[unit]);
  return text;
}

}  // namespace rk::tools
