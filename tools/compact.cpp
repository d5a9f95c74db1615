#include <cstdio>
#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/compact.hpp>
#include <ringkernel/checkpoint/location.hpp>

#include "commands.hpp"
#include "duration.hpp"
#include "example.hpp"

namespace rk::tools {
namespace {

struct Done {
  checkpoint::Compacted compacted;
  std::string newest;
  bool folded = false;
};

Result<Done> compact_newest(const std::string& location,
                            const checkpoint::Compression& compression) {
  RK_TRY_ASSIGN(auto storage, checkpoint::open_storage(location));
  RK_TRY_ASSIGN(const auto entries,
                checkpoint::list_checkpoints(*storage, checkpoint::Depth::manifest));
  if (entries.empty())
    return fail(ErrorCode::not_found, "there are no checkpoints in " + storage->describe(""));
  // one directory may hold several applications' checkpoints: the newest of all is meant
  RK_TRY_ASSIGN(auto directory,
                checkpoint::CheckpointDirectory::open(storage, entries.back().name.prefix));
  RK_TRY_ASSIGN(const auto lock, directory.lock_writer());
  RK_TRY_ASSIGN(const auto found, directory.newest_valid());
  for (const auto& skipped : found.skipped) {
    std::fprintf(stderr, "rk: WARNING: checkpoint passed over: %s: %s\n", skipped.directory.c_str(),
                 skipped.reason.c_str());
  }
  if (!found.entry) {
    return fail(ErrorCode::corrupt,
                "there is no valid checkpoint in " + storage->describe("") + ": see rk list");
  }
  Done done{.newest = found.entry->directory};
  if (!found.entry->manifest->parent) return done;
  RK_TRY_ASSIGN(done.compacted,
                checkpoint::compact(directory, *found.entry, {.compression = compression}));
  done.folded = true;
  return done;
}

}  // namespace

int compact_command(const std::string& location, const checkpoint::Compression& compression,
                    bool json) {
  const auto done = compact_newest(location, compression);
  if (!done) return report(done.error());
  const checkpoint::Compacted& compacted = done->compacted;
  if (json) {
    std::printf("%s\n", nlohmann::ordered_json{{"directory",
                                                done->folded ? compacted.directory : done->newest},
                                               {"folded", compacted.folded},
                                               {"bytes", compacted.bytes}}
                            .dump()
                            .c_str());
  } else if (!done->folded) {
    std::printf("%s is a full checkpoint already\n", done->newest.c_str());
  } else {
    std::printf("%s: %llu checkpoints folded into a full one of %s; rk prune removes the others\n",
                compacted.directory.c_str(), static_cast<unsigned long long>(compacted.folded),
                format_bytes(compacted.bytes).c_str());
  }
  return 0;
}

}  // namespace rk::tools
