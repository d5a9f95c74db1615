// `rk list`: what a store holds, and which checkpoint a restore would take.
#include <CLI/CLI.hpp>
#include <ringkernel/checkpoint/inspect.hpp>
#include <ringkernel/hlc/timestamp.hpp>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "duration.hpp"
#include "example.hpp"
#include "place.hpp"
#include "store_commands.hpp"

namespace rk::tools {
namespace {

using checkpoint::CheckpointDirectory;
using checkpoint::Entry;
using nlohmann::ordered_json;

struct ListOptions {
  std::string place;
  bool deep = false;
  bool json = false;
};

struct Listing {
  std::vector<Entry> entries;
  std::set<std::string> current{};      ///< directories
  std::vector<std::string> refusals{};  ///< why a restore would take none
};

Result<Listing> make_listing(const ListOptions& options) {
  RK_TRY_ASSIGN(const Place place, open_place(options.place));
  const auto depth = options.deep ? checkpoint::Depth::shards : checkpoint::Depth::manifest;
  Listing out;
  if (place.checkpoint) {
    RK_TRY_ASSIGN(auto entry,
                  checkpoint::examine_checkpoint(*place.storage, *place.checkpoint, depth));
    out.entries.push_back(std::move(entry));
  } else {
    RK_TRY_ASSIGN(out.entries, checkpoint::list_checkpoints(*place.storage, depth));
  }
  for (const std::string& prefix : prefixes_of(out.entries)) {
    RK_TRY_ASSIGN(auto directory, CheckpointDirectory::open(place.storage, prefix));
    const auto found = directory.newest_valid(depth);
    if (found && found->entry) out.current.insert(found->entry->directory);
    if (!found) out.refusals.push_back(found.error().message);
  }
  return out;
}

std::chrono::microseconds age_of(const Entry& entry) {
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const auto made = std::chrono::microseconds(entry.manifest->created_at_us);
  return std::max(now - made, std::chrono::microseconds(0));
}

std::string kind_of(const Entry& entry) {
  if (!entry.manifest) return "-";
  return entry.manifest->parent ? "increment of " + std::to_string(*entry.manifest->parent)
                                : "full";
}

ordered_json to_json(const Listing& listing) {
  // Every field of list_json stays; these are added.
  auto all = ordered_json::parse(checkpoint::list_json(listing.entries));
  for (std::size_t i = 0; i < listing.entries.size(); ++i) {
    const Entry& entry = listing.entries[i];
    if (entry.manifest) {
      const auto& parent = entry.manifest->parent;
      all[i]["hlc_time"] = utc_time(hlc::Timestamp{entry.manifest->hlc}.physical_us(), true);
      all[i]["age_s"] = static_cast<double>(age_of(entry).count()) / 1e6;
      all[i]["kind"] = parent ? "increment" : "full";
      all[i]["parent"] = parent ? ordered_json(*parent) : ordered_json();
    }
    all[i]["current"] = listing.current.contains(entry.directory);
  }
  return all;
}

void print(const Listing& listing) {
  std::printf("%10s  %-24s  %9s  %10s  %-20s  %-12s  %-7s  %s\n", "EPOCH", "HLC", "AGE", "SIZE",
              "KIND", "STATE", "CURRENT", "NAME");
  for (const Entry& entry : listing.entries) {
    const bool known = entry.manifest.has_value();
    std::printf(
        "%10llu  %-24s  %9s  %10s  %-20s  %-12s  %-7s  %s%s%s\n",
        static_cast<unsigned long long>(entry.name.epoch),
        known ? utc_time(hlc::Timestamp{entry.manifest->hlc}.physical_us(), true).c_str() : "-",
        known ? format_age(age_of(entry)).c_str() : "-", format_bytes(entry.bytes).c_str(),
        kind_of(entry).c_str(), std::string(to_string(entry.state)).c_str(),
        listing.current.contains(entry.directory) ? "yes" : "", entry.directory.c_str(),
        entry.reason.empty() ? "" : "  ", entry.reason.c_str());
  }
}

int list(const ListOptions& options) {
  const auto listing = make_listing(options);
  if (!listing) return report(listing.error());
  for (const std::string& refusal : listing->refusals) {
    std::fprintf(stderr, "rk: a restore would be refused: %s\n", refusal.c_str());
  }
  if (options.json) {
    std::printf("%s\n", to_json(*listing).dump().c_str());
  } else if (listing->entries.empty()) {
    std::fprintf(stderr, "rk: no checkpoints in %s\n", options.place.c_str());
  } else {
    print(*listing);
  }
  return 0;
}

}  // namespace

void add_list(CLI::App& app, int& status) {
  auto* sub = app.add_subcommand("list", "list the checkpoints of a directory");
  const auto options = std::make_shared<ListOptions>();
  sub->add_option("DIR", options->place, "a directory of checkpoints")->required();
  sub->add_flag("--deep", options->deep, "read every byte, as a restore does");
  sub->add_flag("--json", options->json, "result as JSON");
  sub->callback([&status, options] { status = list(*options); });
}

}  // namespace rk::tools
