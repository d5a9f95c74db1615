// `rk prune`: removes old checkpoints, never the last valid one, never a parent that a kept
// increment needs.
#include <CLI/CLI.hpp>
#include <ringkernel/checkpoint/directory.hpp>

#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "duration.hpp"
#include "example.hpp"
#include "place.hpp"
#include "store_commands.hpp"

namespace rk::tools {
namespace {

using checkpoint::CheckpointDirectory;
using nlohmann::ordered_json;

struct PruneOptions {
  std::string place;
  std::string prefix;
  std::uint32_t keep = 0;  ///< 0: not given
  std::chrono::nanoseconds older_than{0};
  bool has_age = false;
  bool dry_run = false;
  bool json = false;
};

struct Pruned {
  std::vector<checkpoint::Entry> removed{};
  std::vector<std::string> kept{};
  std::vector<Error> failures{};
  std::uint64_t freed_bytes = 0;
};

std::uint64_t time_before(std::chrono::nanoseconds age) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto then = std::chrono::duration_cast<std::chrono::microseconds>(now - age).count();
  return then < 0 ? 0 : static_cast<std::uint64_t>(then);
}

Result<Pruned> prune(const PruneOptions& options) {
  RK_TRY_ASSIGN(const Place place, open_place(options.place));
  if (place.checkpoint) {
    return fail(ErrorCode::invalid_argument,
                options.place + " is one checkpoint; name the directory that holds it");
  }
  std::unique_ptr<checkpoint::StorageLock> lock;
  if (!options.dry_run) {
    RK_TRY_ASSIGN(lock, place.storage->lock());
  }
  RK_TRY_ASSIGN(const auto entries,
                checkpoint::list_checkpoints(*place.storage, checkpoint::Depth::manifest));
  std::map<std::string, const checkpoint::Entry*> left;
  for (const auto& entry : entries) left[entry.directory] = &entry;
  Pruned out;
  for (const std::string& prefix : prefixes_of(entries)) {
    if (!options.prefix.empty() && prefix != options.prefix) continue;
    RK_TRY_ASSIGN(auto directory, CheckpointDirectory::open(place.storage, prefix));
    checkpoint::RetainOptions retain;
    retain.keep = std::max(options.keep, 1u);
    if (options.has_age) retain.only_before_us = time_before(options.older_than);
    retain.dry_run = options.dry_run;
    RK_TRY_ASSIGN(const auto retained, directory.retain(retain));
    for (const std::string& name : retained.removed) {
      out.removed.push_back(*left.at(name));
      out.freed_bytes += out.removed.back().bytes;
      left.erase(name);
    }
    out.failures.insert(out.failures.end(), retained.failures.begin(), retained.failures.end());
  }
  for (const auto& entry : entries) {
    if (left.contains(entry.directory)) out.kept.push_back(entry.directory);
  }
  return out;
}

void print(const Pruned& pruned, const PruneOptions& options) {
  if (options.json) {
    auto removed = ordered_json::array();
    for (const auto& entry : pruned.removed) {
      removed.push_back({{"directory", entry.directory},
                         {"state", to_string(entry.state)},
                         {"bytes", entry.bytes}});
    }
    auto failures = ordered_json::array();
    for (const Error& failure : pruned.failures) failures.push_back(failure.message);
    std::printf("%s\n", ordered_json{{"dry_run", options.dry_run},
                                     {"removed", removed},
                                     {"freed_bytes", pruned.freed_bytes},
                                     {"kept", pruned.kept},
                                     {"failures", failures}}
                            .dump(-1, ' ', false, ordered_json::error_handler_t::replace)
                            .c_str());
    return;
  }
  for (const auto& entry : pruned.removed) {
    std::printf("%s %s (%s, %s)\n", options.dry_run ? "would remove" : "removed",
                entry.directory.c_str(), std::string(to_string(entry.state)).c_str(),
                format_bytes(entry.bytes).c_str());
  }
  std::printf("%s %zu, %s; %zu left\n", options.dry_run ? "would remove" : "removed",
              pruned.removed.size(), format_bytes(pruned.freed_bytes).c_str(), pruned.kept.size());
}

int run(const PruneOptions& options) {
  const auto pruned = prune(options);
  if (!pruned) return report(pruned.error());
  print(*pruned, options);
  int status = 0;
  for (const Error& failure : pruned->failures) status = report(failure);
  return status;
}

}  // namespace

void add_prune(CLI::App& app, int& status) {
  auto* sub = app.add_subcommand("prune", "remove old checkpoints; the last valid one stays");
  const auto options = std::make_shared<PruneOptions>();
  sub->add_option("DIR", options->place, "a directory of checkpoints")->required();
  auto* keep = sub->add_option("--keep", options->keep, "newest valid checkpoints to keep")
                   ->check(CLI::Range(1u, 1'000'000u));
  auto* age = sub->add_option_function<std::string>(
                     "--older-than",
                     [options](const std::string& text) {
                       const auto duration = parse_duration(text);
                       if (!duration)
                         throw CLI::ValidationError("--older-than", duration.error().message);
                       options->older_than = *duration;
                       options->has_age = true;
                     },
                     "remove only what is older than this, as in 36h")
                  ->type_name("TIME");
  sub->add_option("--prefix", options->prefix, "only this application's checkpoints");
  sub->add_flag("--dry-run", options->dry_run, "say what would be removed");
  sub->add_flag("--json", options->json, "result as JSON");
  sub->callback([&status, options, keep, age] {
    if (keep->empty() && age->empty()) throw CLI::RequiredError("--keep or --older-than");
    status = run(*options);
  });
}

}  // namespace rk::tools
