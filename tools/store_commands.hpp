// The subcommands that work on checkpoints as such: list, diff, prune, export.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace rk::tools {

/// Adds them to `app`. Each sets `status` to the process exit code when it is the one that was
/// asked for.
void add_store_commands(CLI::App& app, int& status);

void add_list(CLI::App& app, int& status);
void add_diff(CLI::App& app, int& status);
void add_prune(CLI::App& app, int& status);
void add_export(CLI::App& app, int& status);

/// "12 s", "5 min", "3 h", "2 d": whole units, rounded down.
[[nodiscard]] std::string format_age(std::chrono::microseconds age);
/// "2026-11-23T02:15:47Z"; with `millis` "2026-11-23T02:15:47.123Z".
[[nodiscard]] std::string utc_time(std::uint64_t us_since_1970, bool millis = false);

}  // namespace rk::tools
