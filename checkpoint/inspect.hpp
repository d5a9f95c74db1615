// What `rk inspect`, `rk verify` and `rk list` say about files and directories, as text.
//
// A path may be a `.rkcp` file, one checkpoint's directory, or a directory of checkpoints; or
// another store's location (see location.hpp), with `/<checkpoint>` after it for one checkpoint.
// Thread-safety: free functions; they only read.
//
// Errors: `not_found`, `corrupt`, `incompatible`, `io`; a damaged file is never half shown.
#pragma once

#include <filesystem>
#include <ringkernel/checkpoint/directory.hpp>
#include <string>

namespace rk::checkpoint {

/// The JSON of one file, without a line end: keys in the order kernel_id, kernel_type, step, grid,
/// tile, hlc, custom (sorted), chunks [{type, id, uncompressed_size, crc32}], digest. Sizes,
/// checksums and the digest are those of the uncompressed data: they do not depend on the codec.
/// `corrupt` when a chunk does not decompress.
[[nodiscard]] Result<std::string> file_json(const StoredFile& file);

/// The bytes of one file of at most 1 GiB, under any name and through links: the user named it.
/// `invalid_argument` when `path` is a directory.
[[nodiscard]] Result<std::vector<std::byte>> read_single_file(const std::filesystem::path& path);

/// A file: `file_json`. A checkpoint: {"manifest": .., "shards": [{"name", "bytes", "chunks"}]}. A
/// directory of checkpoints: `list_json`.
[[nodiscard]] Result<std::string> inspect_json(const std::filesystem::path& path);

/// [{"directory","prefix","epoch","run_id","state","reason","bytes","hlc","created_at_us"}], oldest
/// first.
[[nodiscard]] std::string list_json(const std::vector<Entry>& entries);
[[nodiscard]] Result<std::vector<Entry>> list_path(const std::filesystem::path& path, Depth depth);

struct VerifyReport {
  std::uint64_t files = 0;        ///< `.rkcp` files that verified
  std::uint64_t checkpoints = 0;  ///< checkpoints that verified
  std::uint64_t bytes = 0;
  std::vector<Skipped> incomplete;  ///< commits that never ended; normal after a kill
};

/// Success: everything that claims to be complete verifies, every byte read. A checkpoint's
/// directory without a MANIFEST is `corrupt` when it is what `path` names. Of several faults the
/// message lists all, the code is `corrupt` if any is.
[[nodiscard]] Result<VerifyReport> verify_path(const std::filesystem::path& path);

}  // namespace rk::checkpoint
