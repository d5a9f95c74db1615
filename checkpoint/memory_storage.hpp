// A store in this process's memory: for tests, and for checkpoints that need not outlive the
// process. It behaves as FileStorage does, directories and locks included.
//
// Thread-safety: as Storage says; one mutex covers everything. Memory: what the files hold, at most
// `max_bytes` (more is `no_space`).
#pragma once

#include <limits>
#include <ringkernel/checkpoint/storage.hpp>

namespace rk::checkpoint {

class MemoryStorage final : public FileLikeStorage {
 public:
  explicit MemoryStorage(std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max());

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

  struct State;  // shared with the files and locks it hands out

 private:
  std::shared_ptr<State> state_;
};

}  // namespace rk::checkpoint
