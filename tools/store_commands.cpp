#include "store_commands.hpp"

#include <cstdio>
#include <ctime>

namespace rk::tools {

void add_store_commands(CLI::App& app, int& status) {
  add_list(app, status);
  add_diff(app, status);
  add_prune(app, status);
  add_export(app, status);
}

std::string format_age(std::chrono::microseconds age) {
  struct Unit {
    const char* name;
    std::int64_t seconds;
  };
  constexpr Unit kUnits[] = {{"d", 86400}, {"h", 3600}, {"min", 60}};
  const std::int64_t seconds = age.count() / 1'000'000;
  for (const Unit& unit : kUnits) {
    // two of the next smaller unit say more than one of this
    if (seconds >= 2 * unit.seconds)
      return std::to_string(seconds / unit.seconds) + " " + unit.name;
  }
  return std::to_string(seconds) + " s";
}

std::string utc_time(std::uint64_t us_since_1970, bool millis) {
  const auto seconds = static_cast<std::time_t>(us_since_1970 / 1'000'000);
  std::tm fields{};
  gmtime_r(&seconds, &fields);
  char text[40];
  const std::size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &fields);
  std::string out(text, length);
  if (millis) {
    char fraction[8];
    std::snprintf(fraction, sizeof(fraction), ".%03u",
                  static_cast<unsigned>(us_since_1970 / 1000 % 1000));
    out += fraction;
  }
  return out + "Z";
}

}  // namespace rk::tools
