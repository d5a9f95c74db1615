#include "s3_file.hpp"

#include <algorithm>

namespace rk::checkpoint {
namespace {

// Moves as much of `from` into `to` as fits below `capacity`.
Bytes fill(std::vector<std::byte>& to, Bytes from, std::uint64_t capacity) {
  const auto room = static_cast<std::size_t>(capacity) - to.size();
  const Bytes part = from.first(std::min(from.size(), room));
  to.insert(to.end(), part.begin(), part.end());
  return from.subspan(part.size());
}

}  // namespace

S3File::S3File(std::shared_ptr<S3Client> client, std::string key)
    : client_(std::move(client)), key_(std::move(key)) {}

S3File::~S3File() {
  if (!upload_id_.empty()) (void)client_->abort_upload(key_, upload_id_, 1);
}

Result<void> S3File::send_current() {
  if (current_.empty()) return {};
  if (upload_id_.empty()) {
    RK_TRY_ASSIGN(upload_id_, client_->begin_upload(key_));
    etags_.emplace_back();
  }
  RK_TRY_ASSIGN(auto etag, client_->put_part(key_, upload_id_, etags_.size() + 1, current_));
  etags_.push_back(std::move(etag));
  current_.clear();
  return {};
}

Result<void> S3File::append(Bytes bytes) {
  if (is_closed_) return fail(ErrorCode::closed, client_->describe(key_) + " is closed");
  const std::uint64_t part_bytes = client_->options().part_bytes;
  bytes_ += bytes.size();
  bytes = fill(first_, bytes, part_bytes);
  while (!bytes.empty()) {
    if (current_.capacity() == 0) current_.reserve(part_bytes);
    bytes = fill(current_, bytes, part_bytes);
    if (current_.size() < part_bytes) break;
    auto sent = send_current();
    if (!sent) {
      is_closed_ = true;
      return sent;
    }
  }
  return {};
}

Result<void> S3File::rewrite_head(Bytes bytes) {
  if (is_closed_) return fail(ErrorCode::closed, client_->describe(key_) + " is closed");
  RK_TRY(check_head(bytes, bytes_, client_->describe(key_)));
  std::copy(bytes.begin(), bytes.end(), first_.begin());
  return {};
}

Result<void> S3File::sync() {
  if (is_closed_) return fail(ErrorCode::closed, client_->describe(key_) + " is closed");
  is_closed_ = true;
  if (upload_id_.empty() && current_.empty()) return client_->put(key_, first_);
  RK_TRY(send_current());
  RK_TRY_ASSIGN(etags_.front(), client_->put_part(key_, upload_id_, 1, first_));
  RK_TRY(client_->complete_upload(key_, upload_id_, etags_, bytes_));
  upload_id_.clear();
  return {};
}

}  // namespace rk::checkpoint
