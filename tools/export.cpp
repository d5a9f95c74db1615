// `rk export`: a checkpoint's numbers for other programs.
#include <CLI/CLI.hpp>
#include <ringkernel/checkpoint/export.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "example.hpp"
#include "place.hpp"
#include "store_commands.hpp"

namespace rk::tools {
namespace {

using nlohmann::ordered_json;

struct ExportCommand {
  std::string place;
  std::string prefix;
  std::string to;
  std::string spacing;
  bool json = false;
  checkpoint::ExportOptions options;
};

/// "0.05" for all axes, or "x,y,z"; nothing for an empty text.
Result<std::optional<std::array<double, 3>>> parse_spacing(const std::string& text) {
  std::optional<std::array<double, 3>> spacing;
  if (text.empty()) return spacing;
  std::vector<double> values;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    double value = 0;
    const auto parsed = std::from_chars(at, end, value);
    if (parsed.ec != std::errc{} || !(value > 0) || std::isinf(value)) break;
    values.push_back(value);
    at = parsed.ptr;
    if (at == end || *at != ',') break;
    ++at;
  }
  if (at != end || (values.size() != 1 && values.size() != 3)) {
    return fail(ErrorCode::invalid_argument,
                "--spacing " + text + ": give one distance greater than 0, or three as x,y,z");
  }
  spacing = {values.front(), values[values.size() / 2], values.back()};
  return spacing;
}

Result<checkpoint::ExportReport> run_export(ExportCommand& command) {
  using checkpoint::ExportFormat;
  command.options.format = command.to == "csv"    ? ExportFormat::csv
                           : command.to == "json" ? ExportFormat::json
                                                  : ExportFormat::vtk;
  RK_TRY_ASSIGN(command.options.spacing, parse_spacing(command.spacing));
  RK_TRY_ASSIGN(const auto loaded, load_place(command.place, command.prefix));
  return checkpoint::export_checkpoint(loaded, command.options);
}

int run(ExportCommand& command) {
  const auto done = run_export(command);
  if (!done) return report(done.error());
  if (command.options.output == "-") return 0;
  if (command.json) {
    std::printf("%s\n", ordered_json{{"actors", done->actors},
                                     {"values", done->values},
                                     {"uncovered", done->uncovered},
                                     {"files", done->files}}
                            .dump(-1, ' ', false, ordered_json::error_handler_t::replace)
                            .c_str());
    return 0;
  }
  std::printf("%llu values of %llu actors in %zu files\n",
              static_cast<unsigned long long>(done->values),
              static_cast<unsigned long long>(done->actors), done->files.size());
  if (done->uncovered != 0) {
    std::printf("%llu elements of the whole belong to no actor\n",
                static_cast<unsigned long long>(done->uncovered));
  }
  if (!done->files.empty()) std::printf("%s\n", done->files.back().c_str());
  return 0;
}

}  // namespace

void add_export(CLI::App& app, int& status) {
  auto* sub = app.add_subcommand("export", "write a checkpoint's actors as csv, json or vtk");
  const auto command = std::make_shared<ExportCommand>();
  sub->add_option("PLACE", command->place, "a checkpoint, or a directory: its newest valid one")
      ->required();
  sub->add_option("--to", command->to, "csv, json, or vtk: image data of regions with a shape")
      ->required()
      ->check(CLI::IsMember({"csv", "json", "vtk"}));
  sub->add_option("--output", command->options.output,
                  "file to write, - for stdout; for vtk a directory")
      ->required();
  sub->add_option("--type", command->options.type, "only actors of this type");
  sub->add_option("--region", command->options.region, "only this region");
  sub->add_option("--prefix", command->prefix, "whose checkpoint, where a directory has several");
  sub->add_option("--spacing", command->spacing,
                  "vtk: distance between elements, one number or x,y,z");
  sub->add_flag("--pieces", command->options.pieces,
                "vtk: one file per actor and an index, instead of the whole in one file");
  sub->add_flag("--json", command->json, "say what was written as JSON");
  sub->callback([&status, command] { status = run(*command); });
}

}  // namespace rk::tools
