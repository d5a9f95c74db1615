// The S3 operations a store needs: signed, retried, checked.
//
// Every operation is tried again after a lost connection, a time-out, a cut-off body and the
// statuses 408, 409 (conflict of conditional writes), 429, 500, 502, 503 and 504, with exponential
// back-off and full jitter, until it succeeds, its attempts are used up or its deadline has passed.
//
// A request that was answered by silence may have been carried out. Hence:
//  - PUT, GET, HEAD, DELETE, parts and lists are simply repeated;
//  - a conditional PUT that then fails with "exists" counts as done if what exists is what was
//    sent;
//  - a completion that then fails with "no such upload" counts as done if the object is there with
//    the size and, where stores tell, the ETag of these parts;
//  - a second upload may have been begun: `abort_uploads` finds it by its key.
//
// Thread-safety: as HttpTransport.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <ringkernel/checkpoint/s3_storage.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "http_transport.hpp"
#include "s3_config.hpp"
#include "s3_sign.hpp"
#include "s3_xml.hpp"

namespace rk::checkpoint {

/// Time and chance, so that tests need neither.
class S3Clock {
 public:
  virtual ~S3Clock() = default;
  virtual std::int64_t unix_seconds() = 0;
  virtual std::uint64_t monotonic_ms() = 0;
  virtual void sleep_ms(std::uint64_t duration_ms) = 0;
  /// Uniform in [0, 1).
  virtual double uniform() = 0;
};

[[nodiscard]] std::shared_ptr<S3Clock> make_system_clock();

/// The longest wait before attempt `attempt` (from 1 for the first repetition).
[[nodiscard]] std::uint64_t backoff_limit_ms(std::uint32_t attempt);
[[nodiscard]] bool is_transient(int status, std::string_view code);

struct S3Call {
  std::string method;
  std::string key{};  ///< empty: the bucket
  NameValues query{};
  NameValues headers{};  ///< names in lower case
  Bytes body{};
  /// With `into`: a GET of exactly these bytes from `offset`, resumed where an attempt broke off.
  std::uint64_t offset = 0;
  std::span<std::byte> into{};
  std::uint32_t max_attempts = 0;  ///< 0: the options'
};

struct S3Reply {
  int status = 0;
  std::string code;               ///< of an Error document
  bool is_after_silence = false;  ///< an earlier attempt may have been carried out
  HttpReply http;
};

class S3Client {
 public:
  /// `options` have passed check_s3_options.
  S3Client(S3Options options, std::shared_ptr<HttpTransport> transport,
           std::shared_ptr<S3Clock> clock);

  /// Any final reply with a status is a value, errors of the store included.
  [[nodiscard]] Result<S3Reply> perform(const S3Call& call);

  [[nodiscard]] Result<void> put(const std::string& key, Bytes body);
  /// exists: under this key, with another content. unsupported: the store refuses the condition.
  enum class Put : std::uint8_t { done, exists, unsupported };
  [[nodiscard]] Result<Put> put_if_absent(const std::string& key, Bytes body);
  [[nodiscard]] Result<std::uint64_t> object_bytes(const std::string& key);
  [[nodiscard]] Result<bool> exists(const std::string& key);
  [[nodiscard]] Result<void> get(const std::string& key, std::uint64_t offset,
                                 std::span<std::byte> out);
  [[nodiscard]] Result<void> remove(const std::string& key);
  /// One level below `prefix`, which is empty or ends in '/'. At most `max_keys` if not 0.
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, std::uint32_t max_keys = 0);

  [[nodiscard]] Result<std::string> begin_upload(const std::string& key);
  /// The part's ETag; numbers count from 1.
  [[nodiscard]] Result<std::string> put_part(const std::string& key, const std::string& upload_id,
                                             std::size_t number, Bytes body);
  [[nodiscard]] Result<void> complete_upload(const std::string& key, const std::string& upload_id,
                                             const std::vector<std::string>& etags,
                                             std::uint64_t bytes);
  /// `max_attempts` 0: as for every operation.
  [[nodiscard]] Result<void> abort_upload(const std::string& key, const std::string& upload_id,
                                          std::uint32_t max_attempts = 0);
  /// Aborts uploads below `prefix` that were begun at least `age_s` ago; returns how many.
  [[nodiscard]] Result<std::size_t> abort_uploads(const std::string& prefix, std::uint64_t age_s);

  /// s3://bucket/key.
  [[nodiscard]] std::string describe(std::string_view key) const;
  [[nodiscard]] const S3Options& options() const { return options_; }

 private:
  [[nodiscard]] HttpReply attempt(const S3Call& call, const S3Credentials& credentials,
                                  std::size_t received, std::uint64_t timeout_ms);
  [[nodiscard]] Result<S3Credentials> credentials();
  /// True if newer ones were found.
  [[nodiscard]] bool reload_credentials(const S3Credentials& refused);
  [[nodiscard]] unexpected refused(std::string_view doing, std::string_view key,
                                   const S3Reply& reply) const;
  [[nodiscard]] bool holds(const std::string& key, Bytes body);

  S3Options options_;
  S3Endpoint endpoint_;
  std::shared_ptr<HttpTransport> transport_;
  std::shared_ptr<S3Clock> clock_;
  std::mutex mutex_;  // guards credentials_
  std::optional<S3Credentials> credentials_;
};

}  // namespace rk::checkpoint
