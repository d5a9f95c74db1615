// The loop around every exchange with the store: sign, send, judge, wait, again.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <random>
#include <thread>

#include "s3_client.hpp"

namespace rk::checkpoint {
namespace {

constexpr std::uint64_t kFirstBackoffMs = 100;
constexpr std::uint64_t kMaxBackoffMs = 10'000;

class SystemClock final : public S3Clock {
 public:
  std::int64_t unix_seconds() override {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  std::uint64_t monotonic_ms() override {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
  }
  void sleep_ms(std::uint64_t duration_ms) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(duration_ms));
  }
  double uniform() override {
    const std::lock_guard guard(mutex_);
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine_);
  }

 private:
  std::mutex mutex_;
  std::minstd_rand engine_{std::random_device{}()};
};

// Content-Range: `bytes first-last/total`.
bool begins_at(const HttpReply& reply, std::uint64_t first) {
  return reply.header("content-range").starts_with("bytes " + std::to_string(first) + "-");
}

// Seconds a busy store asks for; 0 if it does not.
std::uint64_t retry_after_ms(const HttpReply& reply) {
  const std::string text = reply.header("retry-after");
  std::uint64_t seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return 0;
  return std::min<std::uint64_t>(seconds, 60) * 1000;
}

// A body that came whole but is not what was asked for.
std::string wrong_content(const S3Call& call, const HttpReply& reply, std::size_t received_before) {
  if (call.into.empty()) return {};
  const std::size_t wanted = call.into.size() - received_before;
  // One that is shorter for good, because the object ends there, shows in `received`.
  if (reply.status == 206 && !begins_at(reply, call.offset + received_before)) {
    return "the store sent another range than it was asked for";
  }
  if (reply.status == 200 && (call.offset + received_before != 0 || reply.received != wanted)) {
    return "the store does not honour ranges";
  }
  return {};
}

}  // namespace

std::shared_ptr<S3Clock> make_system_clock() { return std::make_shared<SystemClock>(); }

std::uint64_t backoff_limit_ms(std::uint32_t attempt) {
  const std::uint32_t doublings = std::min<std::uint32_t>(attempt > 0 ? attempt - 1 : 0, 16);
  return std::min(kMaxBackoffMs, kFirstBackoffMs << doublings);
}

bool is_transient(int status, std::string_view code) {
  switch (status) {
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504: return true;
    case 409: return code == "ConditionalRequestConflict" || code == "OperationAborted";
    case 400:
      return code == "RequestTimeout" || code == "BadDigest" || code == "IncompleteBody" ||
             code == "XAmzContentSHA256Mismatch";
    case 200:  // an error found after the status had been sent
      return code == "InternalError" || code == "SlowDown" || code == "ServiceUnavailable" ||
             code == "RequestTimeout" || code == "OperationAborted";
    default: return false;
  }
}

Result<S3Credentials> S3Client::credentials() {
  const std::lock_guard guard(mutex_);
  if (!credentials_) {
    RK_TRY_ASSIGN(credentials_, options_.credentials());
  }
  return *credentials_;
}

bool S3Client::reload_credentials(const S3Credentials& refused) {
  const std::lock_guard guard(mutex_);
  auto now = options_.credentials();
  if (!now || *now == refused) return false;
  credentials_ = *std::move(now);
  return true;
}

HttpReply S3Client::attempt(const S3Call& call, const S3Credentials& credentials,
                            std::size_t received, std::uint64_t timeout_ms) {
  const std::int64_t now = clock_->unix_seconds();
  SigningInput input{.method = call.method,
                     .path = uri_encode(endpoint_.path_prefix + "/" + call.key, true),
                     .query = canonical_query(call.query),
                     .headers = call.headers,
                     .body_hash = sha256_hex(call.body)};
  input.headers.emplace_back("host", endpoint_.host);
  input.headers.emplace_back("x-amz-content-sha256", input.body_hash);
  input.headers.emplace_back("x-amz-date", amz_date(now));
  if (!credentials.session_token.empty()) {
    input.headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  const auto rest = call.into.subspan(received);
  if (!rest.empty()) {
    const std::uint64_t first = call.offset + received;
    input.headers.emplace_back(
        "range", "bytes=" + std::to_string(first) + "-" + std::to_string(first + rest.size() - 1));
  }
  const Signature signature = sign_v4(credentials, options_.region, "s3", now, input);
  HttpRequest request{
      .method = call.method,
      .url = endpoint_.origin + input.path + (input.query.empty() ? "" : "?" + input.query),
      .headers = std::move(input.headers),
      .body = call.body,
      .into = rest,
      .timeout_ms = timeout_ms,
      .stall_s = std::clamp<std::uint64_t>(options_.deadline_ms / 10'000, 1, 30)};
  request.headers.emplace_back("authorization", signature.authorization);
  return transport_->send(request);
}

Result<S3Reply> S3Client::perform(const S3Call& call) {
  RK_TRY_ASSIGN(auto keys, credentials());
  const std::uint64_t began = clock_->monotonic_ms();
  const std::uint32_t attempts = call.max_attempts != 0 ? call.max_attempts : options_.max_attempts;
  std::size_t received = 0;
  bool is_after_silence = false;
  bool was_reloaded = false;
  std::string last_failure;
  for (std::uint32_t number = 1;; ++number) {
    const std::uint64_t spent = clock_->monotonic_ms() - began;
    const std::uint64_t left = options_.deadline_ms > spent ? options_.deadline_ms - spent : 0;
    if (left == 0) break;
    S3Reply reply;
    reply.http = attempt(call, keys, received, left);
    HttpReply& http = reply.http;
    const bool is_cut_off = !http.failure.empty();
    if (!is_cut_off) http.failure = wrong_content(call, http, received);
    std::uint64_t asked_ms = 0;
    if (http.failure.empty()) {
      received += http.received;
      reply.status = http.status;
      const bool can_be_error = http.status >= 300 || call.method == "POST";
      reply.code = can_be_error ? parse_error_code(http.body) : std::string();
      reply.is_after_silence = is_after_silence;
      http.received = received;
      const bool is_expired = reply.code == "ExpiredToken" || reply.code == "TokenRefreshRequired";
      if (is_expired && !was_reloaded && reload_credentials(keys)) {
        was_reloaded = true;
        RK_TRY_ASSIGN(keys, credentials());
        continue;
      }
      if (!is_transient(http.status, reply.code)) return reply;
      last_failure = std::to_string(http.status) + (reply.code.empty() ? "" : " " + reply.code);
      asked_ms = retry_after_ms(http);
      is_after_silence = true;
      if (number >= attempts) break;
    } else {
      last_failure = http.failure;
      if (!http.can_retry) {
        return fail(ErrorCode::io, "cannot reach the store of " + describe(call.key) + " at " +
                                       endpoint_.origin + ": " + last_failure);
      }
      const bool is_start = http.status == 206 && begins_at(http, call.offset + received);
      if (is_cut_off && is_start) received += http.received;
      is_after_silence = true;
      if (number >= attempts) break;
      // The connection broke exactly at the end: nothing is left to ask for.
      if (!call.into.empty() && received == call.into.size()) {
        reply.status = 206;
        http.failure.clear();
        http.received = received;
        return reply;
      }
    }
    const auto chance = static_cast<std::uint64_t>(clock_->uniform() *
                                                   static_cast<double>(backoff_limit_ms(number)));
    const std::uint64_t wait = std::max(chance, asked_ms);
    const std::uint64_t now_spent = clock_->monotonic_ms() - began;
    if (now_spent + wait >= options_.deadline_ms) break;
    clock_->sleep_ms(wait);
  }
  return fail(ErrorCode::io, "the store of " + describe(call.key) + " at " + endpoint_.origin +
                                 " did not answer within the attempts and " +
                                 std::to_string(options_.deadline_ms / 1000) + " s allowed (" +
                                 last_failure + "): check the network and AWS_ENDPOINT_URL_S3");
}

}  // namespace rk::checkpoint
