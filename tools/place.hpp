// What users name on the command line: a store of checkpoints, or one checkpoint in it. The only
// place where the tools open a store.
#pragma once

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/checkpoint/restore.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rk::tools {

struct Place {
  std::shared_ptr<checkpoint::Storage> storage;
  std::optional<checkpoint::CheckpointName> checkpoint{};  ///< the one that the text named
};

/// not_found when there is nothing, invalid_argument when it is a file.
[[nodiscard]] Result<Place> open_place(const std::string& text);

/// Of the checkpoints in a store, or the one given, sorted.
[[nodiscard]] std::vector<std::string> prefixes_of(const std::vector<checkpoint::Entry>& entries);

/// The checkpoint that `text` names, or the newest valid one of the store that it names. `prefix`
/// says which application's where a store has several. Skipped ones are told on stderr.
[[nodiscard]] Result<checkpoint::LoadedCheckpoint> load_place(const std::string& text,
                                                              const std::string& prefix = {});

}  // namespace rk::tools
