// AWS Signature Version 4 in the Authorization header, and the hashes it is made of.
// Source: "Signature Version 4 signing process", AWS General Reference.
//
// Thread-safety: functions without shared state.
#pragma once

#include <cstdint>
#include <ringkernel/checkpoint/s3_storage.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rk::checkpoint {

using NameValues = std::vector<std::pair<std::string, std::string>>;

[[nodiscard]] std::string sha256_hex(Bytes bytes);
/// The raw 32 bytes.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view message);
/// The raw 16 bytes.
[[nodiscard]] std::string md5(Bytes bytes);
[[nodiscard]] std::string hex_of(std::string_view raw);

/// Percent-encodes all but `A-Za-z0-9-._~` (and '/' if `keep_slash`), with upper-case digits.
[[nodiscard]] std::string uri_encode(std::string_view text, bool keep_slash);
/// Undoes `uri_encode` and '+' for a space; what is no escape stays as it is.
[[nodiscard]] std::string uri_decode(std::string_view text);
/// `a=b&c=d` encoded and sorted as the signature wants it.
[[nodiscard]] std::string canonical_query(const NameValues& query);
/// `YYYYMMDD'T'HHMMSS'Z'`.
[[nodiscard]] std::string amz_date(std::int64_t unix_seconds);

struct SigningInput {
  std::string method;
  std::string path;       ///< encoded, begins with '/'
  std::string query;      ///< canonical_query's
  NameValues headers;     ///< all are signed; names in lower case
  std::string body_hash;  ///< sha256_hex of the body
};

struct Signature {
  std::string canonical_request;
  std::string string_to_sign;
  std::string authorization;  ///< value of the header
};

[[nodiscard]] Signature sign_v4(const S3Credentials& credentials, std::string_view region,
                                std::string_view service, std::int64_t unix_seconds,
                                const SigningInput& input);

}  // namespace rk::checkpoint
