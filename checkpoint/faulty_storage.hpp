// A Storage that fails, or kills the process, at its N-th mutating call. It is how the tests visit
// every point of a commit; production code may carry it because it does nothing unless asked.
//
// Counted calls, from 1 and over the life of the object: create_root, create, append, rewrite_head,
// sync, make_directory, remove, remove_directory, sync_directory. Reads and locks are not. Of a
// FileLikeStorage's publish every step is counted (create, append, sync, rename, sync_directory);
// of another store's it is one call.
//
// Thread-safety: as the wrapped Storage; the count is atomic.
#pragma once

#include <atomic>
#include <memory>
#include <ringkernel/checkpoint/storage.hpp>

namespace rk::checkpoint {

struct FaultPlan {
  enum class Action : std::uint8_t {
    fail,        ///< the N-th call returns `error` and has no effect; later calls work
    fail_after,  ///< the N-th call and every later one return `error`
    kill,        ///< SIGKILL to this process before the N-th call takes effect
    torn_kill,   ///< as kill, but half of an append reaches the file first
  };
  std::uint64_t at_call = 0;  ///< 0: never
  Action action = Action::fail;
  Error error{ErrorCode::no_space, 0, "no space left (injected)"};
};

class FaultyStorage final : public FileLikeStorage {
 public:
  FaultyStorage(std::shared_ptr<Storage> inner, FaultPlan plan);

  [[nodiscard]] std::uint64_t calls() const;

  Result<void> create_root() override;
  Result<std::unique_ptr<WritableFile>> create(std::string_view path) override;
  Result<void> make_directory(std::string_view path) override;
  Result<void> publish(std::string_view path, Bytes bytes, Overwrite overwrite) override;
  Result<void> rename(std::string_view from, std::string_view to, Overwrite overwrite) override;
  Result<void> remove(std::string_view path) override;
  Result<void> remove_directory(std::string_view path) override;
  Result<void> sync_directory(std::string_view path) override;
  Result<std::vector<StorageEntry>> list(std::string_view path) override;
  Result<std::uint64_t> file_bytes(std::string_view path) override;
  Result<void> read(std::string_view path, std::uint64_t offset, std::span<std::byte> out) override;
  Result<std::unique_ptr<StorageLock>> lock() override;
  [[nodiscard]] std::string describe(std::string_view path) const override;

  struct Faults;  // shared with the files this storage opens

 private:
  std::shared_ptr<Storage> inner_;
  FileLikeStorage* file_like_;  // inner_, if it is one
  std::shared_ptr<Faults> faults_;
};

/// Wraps `storage` when RK_STORAGE_KILL_AT=N is set (N >= 1): the process is killed with SIGKILL at
/// the N-th counted call. Otherwise returns `storage` as it is.
[[nodiscard]] std::shared_ptr<Storage> with_environment_faults(std::shared_ptr<Storage> storage);

}  // namespace rk::checkpoint
