#include "s3_client.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace rk::checkpoint {
namespace {

constexpr std::size_t kMaxPages = 100'000;

std::string unquoted(std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  std::erase(etag, '"');
  return etag;
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// ETags are MD5 sums only where the store did not encrypt with keys of its own.
bool tells_md5(const HttpReply& reply) {
  const std::string encryption = reply.header("x-amz-server-side-encryption");
  return (encryption.empty() || encryption == "AES256") &&
         reply.header("x-amz-server-side-encryption-customer-algorithm").empty();
}

bool contradicts(const HttpReply& reply, const std::string& expected) {
  const std::string etag = unquoted(reply.header("etag"));
  const bool is_comparable = etag.size() == expected.size() && is_hex(etag.substr(0, 32)) &&
                             etag.size() >= 32 && tells_md5(reply);
  return is_comparable && etag != expected;
}

Result<std::uint64_t> content_length(const HttpReply& reply, const std::string& what) {
  const std::string text = reply.header("content-length");
  std::uint64_t bytes = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) {
    return fail(ErrorCode::io, "the store does not tell the size of " + what);
  }
  return bytes;
}

// ETag of an object made of these parts, as nearly all stores compute it.
std::string etag_of_parts(const std::vector<std::string>& etags) {
  std::string sums;
  for (const auto& etag : etags) {
    const std::string hex = unquoted(etag);
    if (hex.size() != 32 || !is_hex(hex)) return {};
    for (std::size_t i = 0; i < 32; i += 2) {
      int byte = 0;
      std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
      sums += static_cast<char>(byte);
    }
  }
  return hex_of(md5(as_bytes(sums))) + "-" + std::to_string(etags.size());
}

std::string advice(int status, std::string_view code) {
  if (code == "NoSuchBucket") return ": create the bucket first";
  if (code == "RequestTimeTooSkewed") return ": set this machine's clock";
  if (code == "ExpiredToken" || code == "TokenRefreshRequired") {
    return ": the session has expired; get new credentials";
  }
  if (code == "AuthorizationHeaderMalformed" || status == 301 || status == 307) {
    return ": set AWS_REGION to the bucket's region";
  }
  if (status == 401 || status == 403) {
    return ": wrong or missing credentials, or no permission; check AWS_ACCESS_KEY_ID and "
           "AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and what they may do in this bucket";
  }
  if (status == 501) return ": the server does not implement it";
  return "";
}

}  // namespace

S3Client::S3Client(S3Options options, std::shared_ptr<HttpTransport> transport,
                   std::shared_ptr<S3Clock> clock)
    : options_(std::move(options)),
      endpoint_(resolve_endpoint(options_).value()),
      transport_(std::move(transport)),
      clock_(std::move(clock)) {}

std::string S3Client::describe(std::string_view key) const {
  return "s3://" + options_.bucket + (key.empty() ? "" : "/" + std::string(key));
}

unexpected S3Client::refused(std::string_view doing, std::string_view key,
                             const S3Reply& reply) const {
  ErrorCode code = ErrorCode::io;
  const bool is_missing = reply.status == 404;
  const bool is_full = reply.status == 507 || reply.code == "QuotaExceeded" ||
                       reply.code == "InsufficientStorage" || reply.code == "EntityTooLarge";
  if (is_missing) code = ErrorCode::not_found;
  if (is_full) code = ErrorCode::no_space;
  std::string message = "cannot " + std::string(doing) + " " + describe(key) + " (" +
                        std::to_string(reply.status) +
                        (reply.code.empty() ? "" : " " + reply.code) + ")" +
                        (is_full ? ": the quota is used up; keep fewer checkpoints"
                                 : advice(reply.status, reply.code));
  if (const std::string region = reply.http.header("x-amz-bucket-region"); !region.empty()) {
    if (region != options_.region) message += "; the bucket lies in another region than ours";
  }
  return fail(code, std::move(message), reply.status);
}

Result<void> S3Client::put(const std::string& key, Bytes body) {
  RK_TRY_ASSIGN(const auto reply, perform({.method = "PUT", .key = key, .body = body}));
  if (reply.status != 200) return refused("write", key, reply);
  if (contradicts(reply.http, hex_of(md5(body)))) {
    return fail(ErrorCode::io, describe(key) + " was stored with another ETag than its MD5 sum");
  }
  return {};
}

bool S3Client::holds(const std::string& key, Bytes body) {
  const auto bytes = object_bytes(key);
  if (!bytes || *bytes != body.size()) return false;
  std::vector<std::byte> there(body.size());
  return get(key, 0, there) && std::equal(there.begin(), there.end(), body.begin(), body.end());
}

Result<S3Client::Put> S3Client::put_if_absent(const std::string& key, Bytes body) {
  RK_TRY_ASSIGN(
      const auto reply,
      perform({.method = "PUT", .key = key, .headers = {{"if-none-match", "*"}}, .body = body}));
  if (reply.status == 200) return Put::done;
  if (reply.status == 501 || reply.code == "NotImplemented") return Put::unsupported;
  if (reply.status != 412) return refused("write", key, reply);
  // Our own first attempt may be what is in the way.
  return reply.is_after_silence && holds(key, body) ? Put::done : Put::exists;
}

Result<std::uint64_t> S3Client::object_bytes(const std::string& key) {
  RK_TRY_ASSIGN(const auto reply, perform({.method = "HEAD", .key = key}));
  if (reply.status != 200) return refused("find", key, reply);
  return content_length(reply.http, describe(key));
}

Result<bool> S3Client::exists(const std::string& key) {
  RK_TRY_ASSIGN(const auto reply, perform({.method = "HEAD", .key = key}));
  if (reply.status == 404) return false;
  if (reply.status != 200) return refused("find", key, reply);
  return true;
}

Result<void> S3Client::get(const std::string& key, std::uint64_t offset, std::span<std::byte> out) {
  if (out.empty()) {
    RK_TRY(object_bytes(key));
    return {};
  }
  constexpr std::size_t kRangeBytes = 32u << 20;  // what one deadline covers
  while (!out.empty()) {
    const auto piece = out.first(std::min(out.size(), kRangeBytes));
    RK_TRY_ASSIGN(const auto reply,
                  perform({.method = "GET", .key = key, .offset = offset, .into = piece}));
    const bool is_short = reply.status == 416 || ((reply.status == 206 || reply.status == 200) &&
                                                  reply.http.received < piece.size());
    if (is_short) return fail(ErrorCode::corrupt, describe(key) + " is shorter than expected");
    if (reply.status != 206 && reply.status != 200) return refused("read", key, reply);
    offset += piece.size();
    out = out.subspan(piece.size());
  }
  return {};
}

Result<void> S3Client::remove(const std::string& key) {
  RK_TRY_ASSIGN(const auto reply, perform({.method = "DELETE", .key = key}));
  const bool is_gone =
      reply.status == 204 || reply.status == 200 || (reply.status == 404 && reply.is_after_silence);
  if (!is_gone) return refused("remove", key, reply);
  return {};
}

Result<ListPage> S3Client::list(const std::string& prefix, std::uint32_t max_keys) {
  ListPage all;
  for (std::size_t pages = 0; pages < kMaxPages; ++pages) {
    S3Call call{.method = "GET",
                .query = {{"list-type", "2"}, {"delimiter", "/"}, {"encoding-type", "url"}}};
    if (!prefix.empty()) call.query.emplace_back("prefix", prefix);
    if (max_keys != 0) call.query.emplace_back("max-keys", std::to_string(max_keys));
    if (!all.continuation.empty()) {
      call.query.emplace_back("continuation-token", all.continuation);
    }
    RK_TRY_ASSIGN(const auto reply, perform(call));
    if (reply.status != 200) return refused("list", prefix, reply);
    RK_TRY_ASSIGN(auto page, parse_list_page(reply.http.body));
    std::move(page.objects.begin(), page.objects.end(), std::back_inserter(all.objects));
    std::move(page.prefixes.begin(), page.prefixes.end(), std::back_inserter(all.prefixes));
    all.continuation = std::move(page.continuation);
    if (all.continuation.empty() || max_keys != 0) return all;
  }
  return fail(ErrorCode::io, "the list of " + describe(prefix) + " has no end");
}

Result<std::string> S3Client::begin_upload(const std::string& key) {
  RK_TRY_ASSIGN(const auto reply,
                perform({.method = "POST", .key = key, .query = {{"uploads", ""}}}));
  if (reply.status != 200) return refused("begin to upload", key, reply);
  return parse_upload_id(reply.http.body);
}

Result<std::string> S3Client::put_part(const std::string& key, const std::string& upload_id,
                                       std::size_t number, Bytes body) {
  RK_TRY_ASSIGN(const auto reply,
                perform({.method = "PUT",
                         .key = key,
                         .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload_id}},
                         .body = body}));
  if (reply.status != 200) return refused("upload a part of", key, reply);
  const std::string etag = reply.http.header("etag");
  if (etag.empty() || contradicts(reply.http, hex_of(md5(body)))) {
    return fail(ErrorCode::io, "a part of " + describe(key) + " was stored with a wrong ETag");
  }
  return etag;
}

Result<void> S3Client::complete_upload(const std::string& key, const std::string& upload_id,
                                       const std::vector<std::string>& etags, std::uint64_t bytes) {
  const std::string body = format_complete(etags);
  RK_TRY_ASSIGN(const auto reply, perform({.method = "POST",
                                           .key = key,
                                           .query = {{"uploadId", upload_id}},
                                           .headers = {{"content-type", "application/xml"}},
                                           .body = as_bytes(body)}));
  const bool may_be_done =
      reply.is_after_silence && (reply.status == 404 || reply.code == "NoSuchUpload");
  if (reply.status == 200) {
    RK_TRY(check_completed(reply.http.body));
  } else if (!may_be_done) {
    return refused("complete the upload of", key, reply);
  }
  // Read back in any case: the name must stand for these bytes before anything builds on it.
  RK_TRY_ASSIGN(const auto there, perform({.method = "HEAD", .key = key}));
  if (there.status != 200) {
    return may_be_done ? refused("complete the upload of", key, reply)
                       : refused("find after its upload", key, there);
  }
  RK_TRY_ASSIGN(const auto stored, content_length(there.http, describe(key)));
  const std::string expected = etag_of_parts(etags);
  if (stored != bytes || (!expected.empty() && contradicts(there.http, expected))) {
    return fail(ErrorCode::io, describe(key) + " was stored with " + std::to_string(stored) +
                                   " bytes instead of " + std::to_string(bytes) +
                                   ", or with other content");
  }
  return {};
}

Result<void> S3Client::abort_upload(const std::string& key, const std::string& upload_id,
                                    std::uint32_t max_attempts) {
  RK_TRY_ASSIGN(const auto reply, perform({.method = "DELETE",
                                           .key = key,
                                           .query = {{"uploadId", upload_id}},
                                           .max_attempts = max_attempts}));
  const bool is_gone = reply.status == 204 || reply.status == 200 || reply.status == 404;
  if (!is_gone) return refused("abort the upload of", key, reply);
  return {};
}

Result<std::size_t> S3Client::abort_uploads(const std::string& prefix, std::uint64_t age_s) {
  std::size_t aborted = 0;
  std::string key_marker;
  std::string id_marker;
  const std::int64_t latest = clock_->unix_seconds() - static_cast<std::int64_t>(age_s);
  for (std::size_t pages = 0; pages < kMaxPages; ++pages) {
    S3Call call{.method = "GET", .query = {{"uploads", ""}, {"encoding-type", "url"}}};
    if (!prefix.empty()) call.query.emplace_back("prefix", prefix);
    if (!key_marker.empty()) call.query.emplace_back("key-marker", key_marker);
    if (!id_marker.empty()) call.query.emplace_back("upload-id-marker", id_marker);
    RK_TRY_ASSIGN(const auto reply, perform(call));
    if (reply.status != 200) return refused("list the uploads of", prefix, reply);
    RK_TRY_ASSIGN(const auto page, parse_uploads_page(reply.http.body));
    for (const auto& upload : page.uploads) {
      const bool is_below = upload.key.starts_with(prefix);
      if (!is_below || upload.initiated_unix_s > latest) continue;
      RK_TRY(abort_upload(upload.key, upload.upload_id));
      ++aborted;
    }
    if (!page.is_truncated) return aborted;
    key_marker = page.next_key_marker;
    id_marker = page.next_upload_id_marker;
  }
  return fail(ErrorCode::io, "the list of uploads of " + describe(prefix) + " has no end");
}

}  // namespace rk::checkpoint
