// Subcommands of `rk` that look at one thing; store_commands.hpp has more. Each prints its result
// on stdout and returns the process exit code.
#pragma once

#include <ringkernel/checkpoint/codec.hpp>

#include <string>

namespace CLI {
class App;
}

namespace rk::tools {

int inspect_command(const std::string& path, bool json);
/// Folds the newest checkpoint, if it is an increment, into a full one.
int compact_command(const std::string& location, const checkpoint::Compression& compression,
                    bool json);
int verify_command(const std::string& path, bool json);
/// `directory`: whose disk to report.
int doctor_command(const std::string& directory, bool json);

/// These bind their own options; `status` becomes the exit code.
void add_convert_command(CLI::App& app, int& status);
void add_bench_command(CLI::App& app, int& status);
void add_top_command(CLI::App& app, int& status);

}  // namespace rk::tools
