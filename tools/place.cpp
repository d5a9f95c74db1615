#include "place.hpp"

#include <ringkernel/checkpoint/location.hpp>

#include <cstdio>
#include <filesystem>
#include <set>

namespace rk::tools {
namespace {

namespace fs = std::filesystem;
using checkpoint::CheckpointDirectory;
using checkpoint::Entry;

/// The store and, when its last part is a checkpoint's name, that part.
Result<std::pair<std::string, std::string>> split(const std::string& text) {
  RK_TRY_ASSIGN(const auto location, checkpoint::parse_location(text));
  if (location.scheme.empty()) {
    std::error_code error;
    const auto status = fs::status(text, error);
    if (status.type() == fs::file_type::not_found)
      return fail(ErrorCode::not_found, text + " does not exist");
    if (error) return checkpoint::system_error("look up", text, error.value());
    if (!fs::is_directory(status)) {
      return fail(ErrorCode::invalid_argument,
                  text + " is a file; name a checkpoint's directory or a directory of checkpoints");
    }
    // "." and ".." have no name of their own; the real path has one.
    const fs::path real = fs::canonical(text, error);
    if (error) return checkpoint::system_error("look up", text, error.value());
    if (!checkpoint::parse_checkpoint_name(real.filename().string()))
      return std::pair(text, std::string());
    return std::pair(real.parent_path().string(), real.filename().string());
  }
  const std::string options = text.substr(std::min(text.find('?'), text.size()));
  std::string store = text.substr(0, text.size() - options.size());
  while (store.ends_with('/')) store.pop_back();
  const auto slash = store.rfind('/');
  const std::string name = slash == std::string::npos ? "" : store.substr(slash + 1);
  if (!checkpoint::parse_checkpoint_name(name)) return std::pair(text, std::string());
  return std::pair(store.substr(0, slash) + options, name);
}

Result<Entry> examine(const Place& place) {
  RK_TRY_ASSIGN(auto entry, checkpoint::examine_checkpoint(*place.storage, *place.checkpoint,
                                                           checkpoint::Depth::manifest));
  if (entry.state == checkpoint::CheckpointState::valid) return entry;
  const auto code = entry.state == checkpoint::CheckpointState::incompatible
                        ? ErrorCode::incompatible
                        : ErrorCode::corrupt;
  return fail(code, place.storage->describe(entry.directory) + ": " + entry.reason);
}

Result<std::string> only_prefix(const Place& place, const std::string& text) {
  RK_TRY_ASSIGN(const auto entries,
                checkpoint::list_checkpoints(*place.storage, checkpoint::Depth::manifest));
  const auto prefixes = prefixes_of(entries);
  if (prefixes.empty()) return fail(ErrorCode::not_found, text + " holds no checkpoint");
  if (prefixes.size() == 1) return prefixes.front();
  std::string names;
  for (const auto& prefix : prefixes) names += (names.empty() ? "" : ", ") + prefix;
  return fail(ErrorCode::invalid_argument, text + " holds checkpoints of several applications (" +
                                               names +
                                               "): name one checkpoint, or choose with --prefix");
}

}  // namespace

Result<Place> open_place(const std::string& text) {
  RK_TRY_ASSIGN(const auto parts, split(text));
  Place place;
  RK_TRY_ASSIGN(place.storage, checkpoint::open_storage(parts.first));
  if (!parts.second.empty()) place.checkpoint = checkpoint::parse_checkpoint_name(parts.second);
  return place;
}

std::vector<std::string> prefixes_of(const std::vector<Entry>& entries) {
  std::set<std::string> names;
  for (const Entry& entry : entries) names.insert(entry.name.prefix);
  return {names.begin(), names.end()};
}

Result<checkpoint::LoadedCheckpoint> load_place(const std::string& text,
                                                const std::string& prefix) {
  RK_TRY_ASSIGN(const Place place, open_place(text));
  if (place.checkpoint) {
    RK_TRY_ASSIGN(const auto directory,
                  CheckpointDirectory::open(place.storage, place.checkpoint->prefix));
    RK_TRY_ASSIGN(const Entry entry, examine(place));
    return checkpoint::load_checkpoint(directory, entry);
  }
  std::string wanted = prefix;
  if (wanted.empty()) {
    RK_TRY_ASSIGN(wanted, only_prefix(place, text));
  }
  RK_TRY_ASSIGN(auto directory, CheckpointDirectory::open(place.storage, wanted));
  RK_TRY_ASSIGN(const auto found, directory.newest_valid());
  for (const auto& skipped : found.skipped) {
    std::fprintf(stderr, "rk: WARNING: checkpoint passed over: %s: %s\n", skipped.directory.c_str(),
                 skipped.reason.c_str());
  }
  if (!found.entry) {
    return fail(ErrorCode::not_found,
                text + " holds no valid checkpoint" + (prefix.empty() ? "" : " of " + prefix));
  }
  std::fprintf(stderr, "rk: %s\n", place.storage->describe(found.entry->directory).c_str());
  return checkpoint::load_checkpoint(directory, *found.entry);
}

}  // namespace rk::tools
