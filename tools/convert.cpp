// `rk convert`: one `.rkcp` file rewritten, with another codec or for another reader.
#include <CLI/CLI.hpp>
#include <ringkernel/checkpoint/inspect.hpp>
#include <ringkernel/checkpoint/storage.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "duration.hpp"
#include "example.hpp"

namespace rk::tools {
namespace {

namespace fs = std::filesystem;

struct ConvertOptions {
  std::string in;
  std::string out;
  std::string compress = "none";
  bool force = false;
  bool json = false;
};

unexpected refused(const fs::path& out) {
  return fail(ErrorCode::invalid_argument,
              out.string() + " exists; --force replaces it, or choose another name");
}

/// The file appears under its name whole and durable, or not at all.
Result<void> publish(const fs::path& out, checkpoint::Bytes bytes, bool force) {
  checkpoint::FileStorage folder(out.has_parent_path() ? out.parent_path() : fs::path("."));
  auto done =
      folder.publish(out.filename().string(), bytes,
                     force ? checkpoint::Overwrite::replace : checkpoint::Overwrite::refuse);
  if (!done && checkpoint::is_already_there(done.error())) return refused(out);
  return done;
}

Result<void> convert(const ConvertOptions& options) {
  RK_TRY_ASSIGN(const auto compression, checkpoint::parse_compression(options.compress));
  const fs::path out = options.out;
  std::error_code ignored;
  if (fs::is_directory(out, ignored)) {
    return fail(ErrorCode::invalid_argument, out.string() + " is a directory; name a file");
  }
  // Asked before the work; publishing asks again.
  if (!options.force && fs::exists(fs::symlink_status(out, ignored))) return refused(out);
  RK_TRY_ASSIGN(const auto content, checkpoint::read_single_file(options.in));
  const auto file = checkpoint::decode(content);
  if (!file) return fail(file.error().code, options.in + ": " + file.error().message);
  RK_TRY_ASSIGN(const auto encoded, checkpoint::encode(file->metadata, file->chunks,
                                                       {.created_at_us = file->header.created_at_us,
                                                        .compression = compression}));
  RK_TRY(publish(out, encoded, options.force));
  const std::string codec = to_string(compression);
  if (options.json) {
    std::printf("%s\n", nlohmann::ordered_json{{"chunks", file->chunks.size()},
                                               {"compression", codec},
                                               {"bytes_in", content.size()},
                                               {"bytes_out", encoded.size()}}
                            .dump()
                            .c_str());
  } else {
    std::printf("%s: %zu chunk%s, %s, %s -> %s\n", out.c_str(), file->chunks.size(),
                file->chunks.size() == 1 ? "" : "s", codec.c_str(),
                format_bytes(content.size()).c_str(), format_bytes(encoded.size()).c_str());
  }
  return {};
}

}  // namespace

void add_convert_command(CLI::App& app, int& status) {
  const auto options = std::make_shared<ConvertOptions>();
  auto* sub = app.add_subcommand("convert", "rewrite a .rkcp file, with another codec");
  sub->add_option("IN", options->in, "the file to read")->required();
  sub->add_option("OUT", options->out, "the file to write")->required();
  sub->add_option("--compress", options->compress, "none, lz4, zstd or zstd:LEVEL (1 to 19)")
      ->type_name("CODEC")
      ->capture_default_str();
  sub->add_flag("--force", options->force, "replace OUT if it exists");
  sub->add_flag("--json", options->json, "result as JSON");
  sub->callback([options, &status] {
    const auto done = convert(*options);
    status = done ? 0 : report(done.error());
  });
}

}  // namespace rk::tools
