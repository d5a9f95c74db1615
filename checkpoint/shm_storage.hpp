// Checkpoints in an arena of POSIX shared memory: they survive the death of the process, by SIGKILL
// too, but not of the machine. The next process finds every file whose `sync` or `publish` had
// returned; docs/format.md has the layout.
//
// Invariants:
//  1. A file exists when its table entry's commit word is not 0. The word is stored last, with
//     release, after data, block chain and entry; everything before it lies in space that no entry
//     names. So a death at any store leaves the file absent or whole.
//  2. `publish` of a name that exists stores the new entry's commit word (a greater generation)
//     before it clears the old one; of two entries of one name the greater generation counts.
//  3. Every byte of the arena is reserved before it is mapped (posix_fallocate): a full /dev/shm is
//     an error at the start, never a SIGBUS later. An arena grows when a larger size is asked for;
//     it never shrinks.
//  4. One writer: an flock on the shared-memory object is held as long as a StorageLock or an open
//     file exists, and during every other call that changes something. Readers in other processes
//     need no lock: a file removed under a reader is reported as `not_found`, and a MANIFEST's
//     hashes cover its bytes.
//
// The object is `/dev/shm/ringkernel.<name>` with mode 0600; one that belongs to another user is
// refused. Removing it (`rm`, or remove_arena) frees the memory.
//
// There are no directories, as the seam allows. Thread-safety: as Storage says. Errors: `no_space`
// names the size that would do.
#pragma once

#include <functional>
#include <memory>
#include <ringkernel/checkpoint/storage.hpp>
#include <string>

namespace rk::checkpoint {

inline constexpr std::uint64_t kMinShmBytes = std::uint64_t{2} << 20;
inline constexpr std::uint64_t kDefaultShmBytes = std::uint64_t{256} << 20;

struct ShmOptions {
  /// Size of a new arena, and the least size of an existing one; 0: the existing one's size, or
  /// kDefaultShmBytes. At least kMinShmBytes.
  std::uint64_t bytes = 0;
  /// Called before every store that another process could see: tests die there.
  std::function<void()> on_store{};
};

class ShmStorage final : public Storage {
 public:
  /// Touches nothing yet. `name` must be valid (see is_valid_name).
  [[nodiscard]] static Result<std::shared_ptr<ShmStorage>> open(const std::string& name,
                                                                ShmOptions options = {});
  /// Frees an arena's memory; one that does not exist is `not_found`. Processes that have it open
  /// keep what they have.
  [[nodiscard]] static Result<void> remove_arena(const std::string& name);

  Result<void> create_root() override;
  Result<std::unique_ptr<WritableFile>> create(std::string_view path) override;
  Result<void> make_directory(std::string_view path) override;
  Result<void> publish(std::string_view path, Bytes bytes, Overwrite overwrite) override;
  Result<void> remove(std::string_view path) override;
  Result<void> remove_directory(std::string_view path) override;
  Result<void> sync_directory(std::string_view path) override;
  Result<std::vector<StorageEntry>> list(std::string_view path) override;
  Result<std::uint64_t> file_bytes(std::string_view path) override;
  Result<void> read(std::string_view path, std::uint64_t offset, std::span<std::byte> out) override;
  Result<std::unique_ptr<StorageLock>> lock() override;
  [[nodiscard]] std::string describe(std::string_view path) const override;

 private:
  explicit ShmStorage(std::shared_ptr<class ShmArena> arena);
  std::shared_ptr<class ShmArena> arena_;
};

}  // namespace rk::checkpoint
