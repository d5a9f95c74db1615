// How a running job and `rk top` find each other: sockets in a directory that only their user can
// enter, named after the process.
#pragma once

#include <ringkernel/runtime/runtime.hpp>

#include <string>
#include <vector>

#include "example.hpp"

namespace rk::tools {

/// $XDG_RUNTIME_DIR/ringkernel, or /tmp/rk-UID.
[[nodiscard]] std::string telemetry_directory();

/// Serves what the options ask for, until the Runtime is destroyed. Without a place for the
/// automatic socket the job runs all the same, with a warning.
[[nodiscard]] Result<void> serve_telemetry(Runtime& runtime, const RunOptions& options);

struct RunningJob {
  std::string socket;
  std::string telemetry;  ///< JSON
};
/// This user's jobs that answer. Removes sockets that their processes left behind.
[[nodiscard]] Result<std::vector<RunningJob>> find_jobs();

/// A job's reading as a screen of text; `previous` (empty: none) is an older one of the same job,
/// for rates. At most `lines` long. Throws nlohmann::json::exception on what is no telemetry.
[[nodiscard]] std::string render_telemetry(const std::string& telemetry,
                                           const std::string& previous, std::size_t lines);

}  // namespace rk::tools
