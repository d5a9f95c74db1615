// One process of the S3 tests: commits a checkpoint, or tells what a fresh reader finds.
//
//   s3_driver commit LOCATION [CYCLE]   writes one checkpoint, a shard of it in parts; prints
//                                       "acknowledged EPOCH". With CYCLE it then reads it back and
//                                       keeps the two newest.
//   s3_driver check LOCATION            one line per checkpoint, "STATE EPOCH", then "newest EPOCH"
//                                       after reading every byte; 4 if the content is not what
//                                       `commit` wrote
//   s3_driver sweep LOCATION            takes the writer's lock, which aborts old uploads
//
// Exits as `rk` does.
#include <unistd.h>
#include <cstdio>
#include <cstring>
#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/checkpoint/location.hpp>
#include <string>

namespace {

using namespace rk;
using namespace rk::checkpoint;

constexpr std::size_t kLongRowBytes = 12u << 20;  // three parts of 5 MiB
constexpr std::size_t kShortRowBytes = 1000;

std::vector<std::byte> content(std::uint64_t epoch, std::size_t size) {
  std::vector<std::byte> out(size);
  auto state = static_cast<std::uint32_t>(epoch * 2654435761u + size);
  for (auto& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return out;
}

Result<void> read_back(const CheckpointDirectory& directory, const Entry& entry) {
  RK_TRY_ASSIGN(const auto reader, directory.open_checkpoint(entry));
  std::size_t rows = 0;
  RK_TRY(reader.for_each_row(
      ChunkType::device_memory, [&](std::uint64_t, const RowView& row) -> Result<void> {
        const auto expected = content(entry.name.epoch, row.payload.size());
        const bool is_size_known =
            row.payload.size() == kLongRowBytes || row.payload.size() == kShortRowBytes;
        if (!is_size_known ||
            std::memcmp(expected.data(), row.payload.data(), expected.size()) != 0) {
          return fail(ErrorCode::corrupt, "a row does not hold what was written");
        }
        ++rows;
        return {};
      }));
  if (rows != 2) return fail(ErrorCode::corrupt, "a row is missing");
  return {};
}

Result<Entry> newest(CheckpointDirectory& directory) {
  RK_TRY_ASSIGN(auto found, directory.newest_valid());
  if (!found.entry) return fail(ErrorCode::not_found, "there is no valid checkpoint");
  RK_TRY(read_back(directory, *found.entry));
  return *std::move(found.entry);
}

Result<void> commit(CheckpointDirectory& directory, bool is_cycle) {
  RK_TRY_ASSIGN(const auto lock, directory.lock_writer());
  RK_TRY_ASSIGN(const auto epoch, directory.next_epoch());
  const std::string run_id =
      make_run_id(epoch, static_cast<std::uint64_t>(::getpid()) * 1'000'003u);
  RK_TRY_ASSIGN(auto writer, directory.begin(epoch, run_id));
  Manifest manifest;
  manifest.created_at_us = 1'700'000'000'000'000 + epoch;
  manifest.executor = "host";
  manifest.workers = 2;
  manifest.types = {{.index = 0,
                     .name = "Cell",
                     .type_hash = region_id("Cell"),
                     .version = 1,
                     .state_bytes = kShortRowBytes}};
  for (std::uint32_t w = 0; w < 2; ++w) {
    auto shards = writer.make_shard_set({}, {.writer = w});
    const auto row = content(epoch, w == 0 ? kLongRowBytes : kShortRowBytes);
    RK_TRY(shards.add_row(ChunkType::device_memory, region_id("Cell"), {.id = w, .version = 1},
                          Bytes(row)));
    manifest.slots += shards.rows();
    RK_TRY_ASSIGN(auto done, shards.finish());
    manifest.shards.insert(manifest.shards.end(), done.begin(), done.end());
  }
  RK_TRY(writer.commit(std::move(manifest)));
  std::printf("acknowledged %llu\n", static_cast<unsigned long long>(epoch));
  std::fflush(stdout);
  if (!is_cycle) return {};
  RK_TRY_ASSIGN(const auto entry, newest(directory));
  if (entry.name.epoch != epoch) {
    return fail(ErrorCode::corrupt, "the newest checkpoint is not the one just acknowledged");
  }
  RK_TRY_ASSIGN(const auto retained, directory.retain({.keep = 2, .trusted_epoch = epoch}));
  if (!retained.failures.empty()) return unexpected(retained.failures.front());
  return {};
}

Result<void> check(CheckpointDirectory& directory) {
  RK_TRY_ASSIGN(const auto entries, directory.list(Depth::shards));
  for (const auto& entry : entries) {
    std::printf("%s %llu\n", std::string(to_string(entry.state)).c_str(),
                static_cast<unsigned long long>(entry.name.epoch));
    if (entry.state == CheckpointState::valid) RK_TRY(read_back(directory, entry));
  }
  RK_TRY_ASSIGN(const auto entry, newest(directory));
  std::printf("newest %llu\n", static_cast<unsigned long long>(entry.name.epoch));
  return {};
}

Result<void> run(int argc, char** argv) {
  const std::string verb = argc > 2 ? argv[1] : "";
  if (verb != "commit" && verb != "check" && verb != "sweep") {
    return fail(ErrorCode::invalid_argument, "usage: s3_driver commit|check|sweep LOCATION");
  }
  RK_TRY_ASSIGN(const auto storage, open_storage(argv[2]));
  RK_TRY_ASSIGN(auto directory, CheckpointDirectory::open(storage, "sim"));
  if (verb == "commit") return commit(directory, argc > 3);
  if (verb == "check") return check(directory);
  RK_TRY(directory.lock_writer());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto done = run(argc, argv);
  if (done) return 0;
  std::fprintf(stderr, "s3_driver: %s\n", done.error().message.c_str());
  return exit_code(done.error().code);
}
