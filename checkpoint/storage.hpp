// The storage seam: the few calls a durable commit is made of, so that tests can fail or kill at
// each of them and other stores can take the place of files.
//
// Paths are relative to the store's root: "" is the root, "name" or "directory/name" lie in it.
// Every component must satisfy `is_valid_name`, else the call is `invalid_argument`; nothing
// outside the root can be named, and symbolic links below the root are never followed.
//
// Durability: a file's bytes are durable after its `sync` *and* `sync_directory` of the directory
// that names it (and of the one that names that). `publish` alone does all of it for its one file.
//
// Stores without directories (object stores): make_directory, sync_directory, remove_directory and
// create_root may do nothing and succeed; `list` gives the common prefixes of what exists as
// directories, so an empty directory is not seen and listing an absent one may be empty instead of
// `not_found`. There `create` shows the file only once `sync` has succeeded, a name that exists may
// be refused as late as in `sync`, and removing what is absent may succeed. Nothing above the seam
// may rely on more.
//
// Thread-safety: a Storage may be called from several threads; one WritableFile from one at a time.
// The same path is created, published or removed by one thread at a time.
//
// Errors: `not_found`; `no_space`; `locked`; `io` for the rest, with errno in `native` (EEXIST: see
// `is_already_there`). Messages say what the user can do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::size_t kMaxNameBytes = 128;

/// `[A-Za-z0-9._-]{1,128}` without a leading dot.
[[nodiscard]] bool is_valid_name(std::string_view name);

struct StorageEntry {
  enum class Kind : std::uint8_t { file, directory, other };
  std::string name;
  Kind kind = Kind::other;
  std::uint64_t bytes = 0;
};

/// Only so many first bytes of a file can be written again.
inline constexpr std::size_t kRewritableBytes = 4096;

/// A file being written. Dropped without a successful `sync` it is absent, short or whole: it
/// counts for nothing. After an error only the destructor may follow.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Result<void> append(Bytes bytes) = 0;
  /// Overwrites the first `bytes.size()` bytes, at most kRewritableBytes and already appended
  /// (`invalid_argument` otherwise): a header that is known last.
  virtual Result<void> rewrite_head(Bytes bytes) = 0;
  /// Makes the bytes durable. Nothing may follow: later calls are `closed`.
  virtual Result<void> sync() = 0;
};

/// Checks what every `rewrite_head` demands.
[[nodiscard]] Result<void> check_head(Bytes head, std::uint64_t appended_bytes,
                                      const std::string& path);

/// What `publish` does when a file of that name exists.
enum class Overwrite : std::uint8_t { refuse, replace };

/// Held by the one writer of a store; released by the destructor and by the death of the process.
class StorageLock {
 public:
  virtual ~StorageLock() = default;
};

class Storage {
 public:
  virtual ~Storage() = default;

  /// Creates the root (with its parents, durably) unless it exists.
  virtual Result<void> create_root() = 0;
  /// Creates a new file; one that exists is an error, never overwritten.
  virtual Result<std::unique_ptr<WritableFile>> create(std::string_view path) = 0;
  virtual Result<void> make_directory(std::string_view path) = 0;
  /// The file appears under `path` whole, atomically and durably. After an error it is as it was
  /// before or, if only the last step failed, whole; never in between. `Overwrite::refuse` fails
  /// (`is_already_there`) and changes nothing if the name exists, even if another process made it
  /// meanwhile. The name has at most kMaxPublishedNameBytes.
  virtual Result<void> publish(std::string_view path, Bytes bytes, Overwrite overwrite) = 0;
  virtual Result<void> remove(std::string_view path) = 0;
  virtual Result<void> remove_directory(std::string_view path) = 0;
  virtual Result<void> sync_directory(std::string_view path) = 0;

  /// Entries sorted by name; those without a valid name are left out. An absent root is empty.
  virtual Result<std::vector<StorageEntry>> list(std::string_view path) = 0;
  virtual Result<std::uint64_t> file_bytes(std::string_view path) = 0;
  /// Fills `out` from `offset`; a file that ends earlier is `corrupt`.
  virtual Result<void> read(std::string_view path, std::uint64_t offset,
                            std::span<std::byte> out) = 0;
  /// The writer's lock; `locked` at once when another process (or object) holds it. A store that
  /// has no locks returns one that excludes nobody; there every writer needs a run id of its own.
  virtual Result<std::unique_ptr<StorageLock>> lock() = 0;
  /// The path as a user knows it, for messages.
  [[nodiscard]] virtual std::string describe(std::string_view path) const = 0;
};

/// A store whose files are renamed. Its `publish` is made of steps that can fail or be killed one
/// by one: create `<path>.tmp`, append, sync, rename, sync_directory. A temporary file that an
/// earlier death left behind is removed.
class FileLikeStorage : public Storage {
 public:
  Result<void> publish(std::string_view path, Bytes bytes, Overwrite overwrite) override;
  /// A step of `publish`, public for stores that wrap another one. Both lie in one directory;
  /// atomic; durable only after sync_directory.
  virtual Result<void> rename(std::string_view from, std::string_view to, Overwrite overwrite) = 0;
};

inline constexpr std::string_view kTemporarySuffix = ".tmp";
inline constexpr std::size_t kMaxPublishedNameBytes = kMaxNameBytes - kTemporarySuffix.size();

/// True for the error of `create` and `publish` on a name that exists.
[[nodiscard]] bool is_already_there(const Error& error);

/// A path of the seam taken apart; `directory` is empty for a name in the root.
struct SplitPath {
  std::string directory;
  std::string name;
};
/// `invalid_argument` unless `path` is "name" or "directory/name" with valid components.
[[nodiscard]] Result<SplitPath> split_path(std::string_view path);
/// As split_path, for what `publish` may be given.
[[nodiscard]] Result<SplitPath> split_published_path(std::string_view path);

/// Reads a whole file of at most `max_bytes`.
[[nodiscard]] Result<std::vector<std::byte>> read_all(Storage& storage, std::string_view path,
                                                      std::uint64_t max_bytes);

/// Files below a directory, made with mode 0600 in directories of mode 0700.
class FileStorage final : public FileLikeStorage {
 public:
  /// Touches nothing yet. `root` itself may be reached through symbolic links: the user named it.
  explicit FileStorage(std::filesystem::path root);

  Result<void> create_root() override;
  Result<std::unique_ptr<WritableFile>> create(std::string_view path) override;
  Result<void> make_directory(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to, Overwrite overwrite) override;
  Result<void> remove(std::string_view path) override;
  Result<void> remove_directory(std::string_view path) override;
  Result<void> sync_directory(std::string_view path) override;
  Result<std::vector<StorageEntry>> list(std::string_view path) override;
  Result<std::uint64_t> file_bytes(std::string_view path) override;
  Result<void> read(std::string_view path, std::uint64_t offset, std::span<std::byte> out) override;
  Result<std::unique_ptr<StorageLock>> lock() override;
  [[nodiscard]] std::string describe(std::string_view path) const override;

 private:
  std::filesystem::path root_;
};

/// What the operating system refused, as an Error whose message says what to do.
[[nodiscard]] unexpected system_error(std::string_view doing, const std::string& path, int native);

}  // namespace rk::checkpoint
