// The storage seam: the few calls a durable commit is made of, so that tests can fail or kill at
// each of them and other stores can take the place of files.
//
// Paths are relative to the store's root: "" is the root, "name" or "directory/name" lie in it.
// Every component must satisfy `is_valid_name`; nothing outside the root can be named, and
// symbolic links below the root are never followed.
//
// Durability: bytes are durable after `sync` of the file *and* `sync_directory` of the directory
// that names it (and of the one that names that). No call syncs implicitly.
//
// Thread-safety: a Storage may be called from several threads; one WritableFile from one at a time.
//
// Errors: `not_found`; `no_space`; `locked`; `io` for the rest, with errno in `native`. Messages
// say what the user can do.
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

/// A file being written. The destructor closes it without making anything durable.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Result<void> append(Bytes bytes) = 0;
  virtual Result<void> write_at(std::uint64_t offset, Bytes bytes) = 0;
  virtual Result<void> sync() = 0;
};

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
  /// Replaces `to` atomically.
  virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
  virtual Result<void> remove(std::string_view path) = 0;
  virtual Result<void> remove_directory(std::string_view path) = 0;
  virtual Result<void> sync_directory(std::string_view path) = 0;

  /// Entries sorted by name; those without a valid name are left out. An absent root is empty.
  virtual Result<std::vector<StorageEntry>> list(std::string_view path) = 0;
  virtual Result<std::uint64_t> file_bytes(std::string_view path) = 0;
  /// Fills `out` from `offset`; a file that ends earlier is `corrupt`.
  virtual Result<void> read(std::string_view path, std::uint64_t offset,
                            std::span<std::byte> out) = 0;
  /// The writer's lock; `locked` at once when another process (or object) holds it.
  virtual Result<std::unique_ptr<StorageLock>> lock() = 0;
  /// The path as a user knows it, for messages.
  [[nodiscard]] virtual std::string describe(std::string_view path) const = 0;
};

/// Reads a whole file of at most `max_bytes`.
[[nodiscard]] Result<std::vector<std::byte>> read_all(Storage& storage, std::string_view path,
                                                      std::uint64_t max_bytes);

/// Files below a directory, made with mode 0600 in directories of mode 0700.
class FileStorage final : public Storage {
 public:
  /// Touches nothing yet. `root` itself may be reached through symbolic links: the user named it.
  explicit FileStorage(std::filesystem::path root);

  Result<void> create_root() override;
  Result<std::unique_ptr<WritableFile>> create(std::string_view path) override;
  Result<void> make_directory(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
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
