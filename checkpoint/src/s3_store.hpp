// The store itself, with its transport and clock passed in.
//
// Thread-safety: as Storage.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <ringkernel/checkpoint/storage.hpp>
#include <string>

#include "s3_client.hpp"

namespace rk::checkpoint {

class S3Storage final : public Storage {
 public:
  explicit S3Storage(std::shared_ptr<S3Client> client) : client_(std::move(client)) {}

  /// Only asks whether the bucket can be listed: buckets are not made here.
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
  [[nodiscard]] std::string key_of(std::string_view path) const;
  [[nodiscard]] Result<std::string> checked_key(std::string_view path) const;
  /// True if `If-None-Match: *` is honoured. Asked once.
  [[nodiscard]] Result<bool> has_conditional_put();

  std::shared_ptr<S3Client> client_;
  std::mutex mutex_;  // guards conditional_put_
  std::optional<bool> conditional_put_;
};

}  // namespace rk::checkpoint
