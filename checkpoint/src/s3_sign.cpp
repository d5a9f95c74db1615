#include "s3_sign.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace rk::checkpoint {
namespace {

constexpr char kLowerDigits[] = "0123456789abcdef";
constexpr char kUpperDigits[] = "0123456789ABCDEF";

std::string digest(const EVP_MD* kind, Bytes bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int length = 0;
  RK_ASSERT(EVP_Digest(bytes.data(), bytes.size(), out.data(), &length, kind, nullptr) == 1);
  return {reinterpret_cast<const char*>(out.data()), length};
}

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Outer blanks go and inner runs become one, as the canonical form demands.
std::string trimmed(std::string_view value) {
  std::string out;
  bool owes_space = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t') {
      owes_space = !out.empty();
      continue;
    }
    if (owes_space) out += ' ';
    owes_space = false;
    out += c;
  }
  return out;
}

}  // namespace

std::string hex_of(std::string_view raw) {
  std::string out;
  out.reserve(2 * raw.size());
  for (const char c : raw) {
    const auto byte = static_cast<unsigned char>(c);
    out += kLowerDigits[byte >> 4];
    out += kLowerDigits[byte & 15];
  }
  return out;
}

std::string sha256_hex(Bytes bytes) { return hex_of(digest(EVP_sha256(), bytes)); }

std::string md5(Bytes bytes) { return digest(EVP_md5(), bytes); }

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int length = 0;
  RK_ASSERT(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                 reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data(),
                 &length) != nullptr);
  return {reinterpret_cast<const char*>(out.data()), length};
}

std::string uri_encode(std::string_view text, bool keep_slash) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_unreserved(c) || (c == '/' && keep_slash)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kUpperDigits[byte >> 4];
    out += kUpperDigits[byte & 15];
  }
  return out;
}

std::string uri_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? digit_value(text[i + 1]) : -1;
    const int low = high >= 0 ? digit_value(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::string canonical_query(const NameValues& query) {
  NameValues encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(uri_encode(name, false), uri_encode(value, false));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

std::string amz_date(std::int64_t unix_seconds) {
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  RK_ASSERT(::gmtime_r(&time, &parts) != nullptr);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return {text.data(), length};
}

Signature sign_v4(const S3Credentials& credentials, std::string_view region,
                  std::string_view service, std::int64_t unix_seconds, const SigningInput& input) {
  NameValues headers = input.headers;
  std::sort(headers.begin(), headers.end());
  std::string names;
  Signature out;
  out.canonical_request = input.method + "\n" + input.path + "\n" + input.query + "\n";
  for (const auto& [name, value] : headers) {
    out.canonical_request += name + ":" + trimmed(value) + "\n";
    if (!names.empty()) names += ';';
    names += name;
  }
  out.canonical_request += "\n" + names + "\n" + input.body_hash;

  const std::string date = amz_date(unix_seconds);
  const std::string day = date.substr(0, 8);
  const std::string scope =
      day + "/" + std::string(region) + "/" + std::string(service) + "/aws4_request";
  out.string_to_sign = "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" +
                       sha256_hex(as_bytes(out.canonical_request));

  const std::string day_key = hmac_sha256("AWS4" + credentials.secret_access_key, day);
  const std::string region_key = hmac_sha256(day_key, region);
  const std::string service_key = hmac_sha256(region_key, service);
  const std::string key = hmac_sha256(service_key, "aws4_request");
  out.authorization = "AWS4-HMAC-SHA256 Credential=" + credentials.access_key_id + "/" + scope +
                      ",SignedHeaders=" + names +
                      ",Signature=" + hex_of(hmac_sha256(key, out.string_to_sign));
  return out;
}

}  // namespace rk::checkpoint
