// Checkpoints in a bucket of an S3-compatible object store.
//
//   s3://BUCKET[/PREFIX]     keys are PREFIX/<checkpoint>/<file>; the bucket must exist
//
// Invariants:
//  1. An object appears whole or not at all: one PUT, or a multipart upload that is completed last.
//     A killed writer leaves at most an upload in parts, which no reader sees.
//  2. A file counts once `sync` has returned: its object was acknowledged, and its size was read
//     back if it went up in parts.
//  3. `publish(refuse)` is one PUT with `If-None-Match: *` where the server honours it, which is
//     found out once per store with an object `PREFIX/.conditional-put-probe` that stays there.
//     Other servers get a HEAD before the PUT; two writers are then kept apart only by the run id
//     in the checkpoint's name.
//  4. Secrets come from the environment or the profile files alone, and reach no message.
//
// There are no directories and no locks: make_directory, sync_directory do nothing, `lock` excludes
// nobody. `lock` and `remove_directory` abort uploads that a killed writer left behind.
//
// Thread-safety: as every Storage. Each open file holds at most two parts in memory.
//
// Errors: `not_found` (key or bucket), `no_space` (quota), `invalid_argument` (address, settings),
// `io` with the HTTP status in `native` for the rest: refused credentials, or a server that could
// not be reached within the deadline in spite of retries.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ringkernel/checkpoint/storage.hpp>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <string_view>

namespace rk::checkpoint {

struct S3Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  ///< empty: long-lived keys
  friend bool operator==(const S3Credentials&, const S3Credentials&) = default;
};

struct S3Options {
  enum class Addressing : std::uint8_t {
    automatic,     ///< path style for an endpoint that is an address or localhost, and for buckets
                   ///< with dots
    path,          ///< https://endpoint/bucket/key
    virtual_host,  ///< https://bucket.endpoint/key
  };
  std::string bucket{};
  std::string prefix{};    ///< no slash at either end; may be empty
  std::string endpoint{};  ///< http[s]://host[:port]
  std::string region = "us-east-1";
  Addressing addressing = Addressing::automatic;
  std::string ca_bundle{};  ///< PEM file; empty: the system's
  /// Asked at the first request and again when the store says that a session has expired.
  std::function<Result<S3Credentials>()> credentials{};

  std::uint64_t part_bytes = 8u << 20;  ///< 5 MiB to 64 MiB
  std::uint32_t max_attempts = 10;      ///< per operation, the first included
  std::uint64_t deadline_ms = 300'000;  ///< per operation, retries included
  /// `lock` aborts uploads below the prefix that are older; a live writer's must never be.
  std::uint64_t abort_uploads_after_s = 86'400;
};

/// Settings for `address` ("//BUCKET[/PREFIX]", what follows "s3:") from AWS_ENDPOINT_URL_S3,
/// AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AWS_PROFILE and its files, AWS_CA_BUNDLE,
/// RK_S3_ADDRESSING, RK_S3_PART_MIB, RK_S3_TIMEOUT_S and RK_S3_ABORT_UPLOADS_AFTER_S. Asks no
/// server.
[[nodiscard]] Result<S3Options> s3_options_from_environment(std::string_view address);

/// `invalid_argument` for settings out of range. Asks no server.
[[nodiscard]] Result<std::shared_ptr<Storage>> open_s3_storage(S3Options options);

}  // namespace rk::checkpoint
