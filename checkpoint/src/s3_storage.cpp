#include <algorithm>
#include <cerrno>

#include "s3_file.hpp"
#include "s3_store.hpp"

namespace rk::checkpoint {
namespace {

constexpr std::string_view kProbeName = ".conditional-put-probe";

class NoLock final : public StorageLock {};

}  // namespace

std::string S3Storage::key_of(std::string_view path) const {
  const std::string& prefix = client_->options().prefix;
  return prefix + (prefix.empty() || path.empty() ? "" : "/") + std::string(path);
}

Result<std::string> S3Storage::checked_key(std::string_view path) const {
  RK_TRY(split_path(path));
  return key_of(path);
}

std::string S3Storage::describe(std::string_view path) const {
  return client_->describe(key_of(path));
}

Result<void> S3Storage::create_root() {
  RK_TRY(client_->list(key_of("") + "/", 1));
  return {};
}

Result<std::unique_ptr<WritableFile>> S3Storage::create(std::string_view path) {
  RK_TRY_ASSIGN(auto key, checked_key(path));
  RK_TRY_ASSIGN(const bool is_there, client_->exists(key));
  if (is_there) return system_error("create", describe(path), EEXIST);
  return std::unique_ptr<WritableFile>(std::make_unique<S3File>(client_, std::move(key)));
}

Result<void> S3Storage::make_directory(std::string_view path) {
  RK_TRY(split_path(path));
  return {};
}

Result<bool> S3Storage::has_conditional_put() {
  const std::lock_guard guard(mutex_);
  if (conditional_put_) return *conditional_put_;
  // Whoever made the probe's object, a second conditional PUT must find it.
  const std::string key = key_of(kProbeName);
  const Bytes body = as_bytes("Tells whether this store honours If-None-Match: *\n");
  bool is_honoured = false;
  for (int round = 0; round < 2 && !is_honoured; ++round) {
    RK_TRY_ASSIGN(const auto put, client_->put_if_absent(key, body));
    if (put == S3Client::Put::unsupported) break;
    is_honoured = put == S3Client::Put::exists;
  }
  conditional_put_ = is_honoured;
  return is_honoured;
}

Result<void> S3Storage::publish(std::string_view path, Bytes bytes, Overwrite overwrite) {
  RK_TRY(split_published_path(path));
  const std::string key = key_of(path);
  if (overwrite == Overwrite::replace) return client_->put(key, bytes);
  RK_TRY_ASSIGN(const bool is_conditional, has_conditional_put());
  if (is_conditional) {
    RK_TRY_ASSIGN(const auto put, client_->put_if_absent(key, bytes));
    if (put == S3Client::Put::done) return {};
    return system_error("create", describe(path), EEXIST);
  }
  RK_TRY_ASSIGN(const bool is_there, client_->exists(key));
  if (is_there) return system_error("create", describe(path), EEXIST);
  return client_->put(key, bytes);
}

Result<void> S3Storage::remove(std::string_view path) {
  RK_TRY_ASSIGN(const auto key, checked_key(path));
  // A DELETE of what is absent succeeds.
  RK_TRY(client_->object_bytes(key));
  return client_->remove(key);
}

Result<void> S3Storage::remove_directory(std::string_view path) {
  RK_TRY_ASSIGN(const auto key, checked_key(path));
  // Parts of what never became a file belong to it.
  RK_TRY(client_->abort_uploads(key + "/", 0));
  return {};
}

Result<void> S3Storage::sync_directory(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  return {};
}

Result<std::vector<StorageEntry>> S3Storage::list(std::string_view path) {
  std::string below = key_of("");
  if (!path.empty()) {
    RK_TRY_ASSIGN(below, checked_key(path));
  }
  if (!below.empty()) below += '/';
  RK_TRY_ASSIGN(const auto page, client_->list(below));
  std::vector<StorageEntry> entries;
  for (const auto& object : page.objects) {
    if (!object.key.starts_with(below)) continue;
    std::string name = object.key.substr(below.size());
    if (!is_valid_name(name)) continue;
    entries.push_back(
        {.name = std::move(name), .kind = StorageEntry::Kind::file, .bytes = object.bytes});
  }
  for (const auto& prefix : page.prefixes) {
    if (!prefix.starts_with(below) || !prefix.ends_with('/')) continue;
    std::string name = prefix.substr(below.size(), prefix.size() - below.size() - 1);
    if (!is_valid_name(name)) continue;
    entries.push_back({.name = std::move(name), .kind = StorageEntry::Kind::directory});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.name != b.name ? a.name < b.name : a.kind < b.kind;
  });
  return entries;
}

Result<std::uint64_t> S3Storage::file_bytes(std::string_view path) {
  RK_TRY_ASSIGN(const auto key, checked_key(path));
  return client_->object_bytes(key);
}

Result<void> S3Storage::read(std::string_view path, std::uint64_t offset,
                             std::span<std::byte> out) {
  RK_TRY_ASSIGN(const auto key, checked_key(path));
  return client_->get(key, offset, out);
}

Result<std::unique_ptr<StorageLock>> S3Storage::lock() {
  const std::string root = key_of("");
  RK_TRY(client_->abort_uploads(root.empty() ? "" : root + "/",
                                client_->options().abort_uploads_after_s));
  return std::unique_ptr<StorageLock>(std::make_unique<NoLock>());
}

Result<std::shared_ptr<Storage>> open_s3_storage(S3Options options) {
  RK_TRY(check_s3_options(options));
  auto transport = with_environment_kills(make_curl_transport(options.ca_bundle));
  return std::shared_ptr<Storage>(std::make_shared<S3Storage>(
      std::make_shared<S3Client>(std::move(options), std::move(transport), make_system_clock())));
}

}  // namespace rk::checkpoint
