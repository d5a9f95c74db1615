// One object being written.
//
//   first part (held back) | parts sent as they fill | last part
//
// Invariants:
//  1. The first part is in memory until `sync`, so its head can be written again.
//  2. Nothing is visible before `sync` has succeeded: an object of at most one part is one PUT, a
//     longer one a multipart upload that is completed last.
//  3. At most two parts are in memory.
//
// Dropped without a successful `sync` it aborts its upload, with one attempt: what that misses, the
// next writer's `lock` or the removal of the checkpoint finds.
//
// Thread-safety: one thread at a time.
#pragma once

#include <memory>
#include <ringkernel/checkpoint/storage.hpp>
#include <string>
#include <vector>

#include "s3_client.hpp"

namespace rk::checkpoint {

class S3File final : public WritableFile {
 public:
  S3File(std::shared_ptr<S3Client> client, std::string key);
  ~S3File() override;
  Result<void> append(Bytes bytes) override;
  Result<void> rewrite_head(Bytes bytes) override;
  Result<void> sync() override;

 private:
  [[nodiscard]] Result<void> send_current();

  std::shared_ptr<S3Client> client_;
  std::string key_;
  std::string upload_id_;
  std::vector<std::byte> first_;
  std::vector<std::byte> current_;
  std::vector<std::string> etags_;  // of all parts; [0] is the first's, filled last
  std::uint64_t bytes_ = 0;
  bool is_closed_ = false;  // synced, or failed for good
};

}  // namespace rk::checkpoint
