// Whole-file output that is either complete or absent.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <ringkernel/runtime/result.hpp>

namespace rk::acoustics {

/// Writes `bytes` to a temporary name beside `path`, fsyncs it and renames it, so a reader sees the
/// old file or the new one. Errors: `not_found` (no such folder), `no_space`, `io`; the temporary
/// file is removed.
[[nodiscard]] Result<void> write_whole_file(const std::string& path,
                                            std::span<const std::uint8_t> bytes);

}  // namespace rk::acoustics
