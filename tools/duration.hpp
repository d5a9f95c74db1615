// Durations as users write them.
#pragma once

#include <chrono>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <string_view>

namespace rk::tools {

/// "500ms", "1.5s", "2min": a number and one of ns, us, ms, s, min, h; "0" needs no unit.
/// invalid_argument: anything else, negative, or longer than 200 years.
[[nodiscard]] Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

/// Bytes with a binary unit: "17 B", "1.5 MiB".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

}  // namespace rk::tools
