#include "s3_config.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace rk::checkpoint {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

std::string_view trim(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_bucket(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && is_lower_or_digit(name.front()) &&
         is_lower_or_digit(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
           return is_lower_or_digit(c) || c == '.' || c == '-';
         });
}

bool is_prefix_component(std::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
                  c == '-' || c == '=' || c == '+' || c == '~';
         });
}

// The profile of both files, the credentials file first.
std::map<std::string, std::string> load_profile(const S3Surroundings& from,
                                                const std::string& profile) {
  const std::string home = from.variable("HOME").value_or("");
  const std::string credentials =
      from.variable("AWS_SHARED_CREDENTIALS_FILE").value_or(home + "/.aws/credentials");
  const std::string config = from.variable("AWS_CONFIG_FILE").value_or(home + "/.aws/config");
  std::map<std::string, std::string> values;
  for (const auto& path : {credentials, config}) {
    const auto text = from.file(path);
    if (!text) continue;
    const auto sections = parse_profile_file(*text);
    const auto section = sections.find(profile);
    if (section != sections.end()) values.insert(section->second.begin(), section->second.end());
  }
  return values;
}

std::string profile_name(const S3Surroundings& from) {
  return from.variable("AWS_PROFILE").value_or("default");
}

Result<std::uint64_t> number_from(const S3Surroundings& from, const std::string& name,
                                  std::uint64_t otherwise, std::uint64_t least,
                                  std::uint64_t most) {
  const auto text = from.variable(name);
  if (!text) return otherwise;
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text->data() + text->size() || value < least ||
      value > most) {
    return fail(
        ErrorCode::invalid_argument,
        name + " must be a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

bool is_address(const std::string& host) {
  in6_addr ignored{};
  return !host.empty() && (host.front() == '[' || host == "localhost" ||
                           ::inet_pton(AF_INET, host.c_str(), &ignored) == 1);
}

}  // namespace

S3Surroundings process_surroundings() {
  return {.variable = [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr || *value == '\0') return std::nullopt;
            return std::string(value);
          },
          .file = [](const std::string& path) -> std::optional<std::string> {
            std::ifstream stream(path, std::ios::binary);
            if (!stream) return std::nullopt;
            return std::string(std::istreambuf_iterator<char>(stream), {});
          }};
}

Result<S3Address> parse_s3_address(std::string_view address) {
  // Never repeated in the message: what stands before an '@' may be a secret.
  if (address.find('@') != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument,
                "credentials do not belong into an s3:// address: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE");
  }
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorCode::invalid_argument,
                "'s3:" + std::string(address) + "' is no place for checkpoints: " + why);
  };
  if (!address.starts_with("//")) return refuse("write s3://BUCKET[/PREFIX]");
  address.remove_prefix(2);
  const auto slash = std::min(address.find('/'), address.size());
  S3Address out{.bucket = std::string(address.substr(0, slash)), .prefix = {}};
  std::string_view prefix = address.substr(std::min(slash + 1, address.size()));
  address = {};
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (!is_bucket(out.bucket)) {
    return fail(
        ErrorCode::invalid_argument,
        "'" + out.bucket + "' cannot be a bucket: 3 to 63 lower-case letters, digits, '.' and '-'");
  }
  out.prefix = std::string(prefix);
  while (!prefix.empty()) {
    const auto end = std::min(prefix.find('/'), prefix.size());
    const bool ends_in_slash = end + 1 == prefix.size();
    if (!is_prefix_component(prefix.substr(0, end)) || ends_in_slash) {
      return fail(ErrorCode::invalid_argument,
                  "'" + out.prefix +
                      "' cannot be a prefix: names of letters, digits and '._-=+~', with one '/' "
                      "between");
    }
    prefix.remove_prefix(std::min(end + 1, prefix.size()));
  }
  if (out.prefix.size() > 512) {
    return fail(ErrorCode::invalid_argument, "an s3:// prefix has at most 512 characters");
  }
  return out;
}

ProfileFile parse_profile_file(std::string_view text) {
  ProfileFile sections;
  std::map<std::string, std::string>* section = nullptr;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view line = trim(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      std::string_view name = trim(line.substr(1, std::min(line.find(']'), line.size()) - 1));
      if (name.starts_with("profile ")) name = trim(name.substr(8));
      section = &sections[std::string(name)];
      continue;
    }
    const auto equals = line.find('=');
    const bool is_nested = raw.front() == ' ' || raw.front() == '\t';
    if (section == nullptr || equals == std::string_view::npos || is_nested) continue;
    (*section)[std::string(trim(line.substr(0, equals)))] =
        std::string(trim(line.substr(equals + 1)));
  }
  return sections;
}

Result<S3Credentials> load_s3_credentials(const S3Surroundings& from) {
  const auto id = from.variable("AWS_ACCESS_KEY_ID");
  const auto secret = from.variable("AWS_SECRET_ACCESS_KEY");
  if (id && secret) {
    return S3Credentials{.access_key_id = *id,
                         .secret_access_key = *secret,
                         .session_token = from.variable("AWS_SESSION_TOKEN").value_or("")};
  }
  if (id || secret) {
    return fail(
        ErrorCode::invalid_argument,
        "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither to use a profile");
  }
  const std::string name = profile_name(from);
  const auto values = load_profile(from, name);
  const auto profile_id = values.find("aws_access_key_id");
  const auto profile_secret = values.find("aws_secret_access_key");
  if (profile_id == values.end() || profile_secret == values.end()) {
    return fail(ErrorCode::invalid_argument,
                "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put "
                "aws_access_key_id and aws_secret_access_key of the profile '" +
                    name + "' into ~/.aws/credentials");
  }
  const auto token = values.find("aws_session_token");
  return S3Credentials{.access_key_id = profile_id->second,
                       .secret_access_key = profile_secret->second,
                       .session_token = token == values.end() ? "" : token->second};
}

Result<S3Options> load_s3_options(std::string_view address, const S3Surroundings& from) {
  RK_TRY_ASSIGN(const auto at, parse_s3_address(address));
  S3Options options{.bucket = at.bucket, .prefix = at.prefix};
  const auto profile = load_profile(from, profile_name(from));
  const auto first_of = [&](std::initializer_list<const char*> names, const char* key) {
    for (const char* name : names) {
      if (auto value = from.variable(name)) return *value;
    }
    const auto value = profile.find(key);
    return value == profile.end() ? std::string() : value->second;
  };
  options.endpoint = first_of({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}, "endpoint_url");
  const std::string region = first_of({"AWS_REGION", "AWS_DEFAULT_REGION"}, "region");
  if (!region.empty()) options.region = region;
  if (options.endpoint.empty()) {
    if (region.empty()) {
      return fail(ErrorCode::invalid_argument,
                  "set AWS_REGION to the bucket's region, or AWS_ENDPOINT_URL_S3 to the address of "
                  "another S3 server");
    }
    options.endpoint = "https://s3." + region + ".amazonaws.com";
    if (region.starts_with("cn-")) options.endpoint += ".cn";
  }
  options.ca_bundle = first_of({"AWS_CA_BUNDLE"}, "ca_bundle");
  const std::string style = from.variable("RK_S3_ADDRESSING").value_or("automatic");
  if (style == "path") {
    options.addressing = S3Options::Addressing::path;
  } else if (style == "virtual") {
    options.addressing = S3Options::Addressing::virtual_host;
  } else if (style != "automatic") {
    return fail(ErrorCode::invalid_argument, "RK_S3_ADDRESSING must be path, virtual or automatic");
  }
  RK_TRY_ASSIGN(const auto part_mib, number_from(from, "RK_S3_PART_MIB", 8, 5, 64));
  options.part_bytes = part_mib * kMiB;
  RK_TRY_ASSIGN(const auto timeout_s, number_from(from, "RK_S3_TIMEOUT_S", 300, 1, 86'400));
  options.deadline_ms = timeout_s * 1000;
  RK_TRY_ASSIGN(
      options.abort_uploads_after_s,
      number_from(from, "RK_S3_ABORT_UPLOADS_AFTER_S", options.abort_uploads_after_s, 0, 1u << 30));
  options.credentials = [from] { return load_s3_credentials(from); };
  RK_TRY(check_s3_options(options));
  return options;
}

Result<void> check_s3_options(const S3Options& options) {
  RK_TRY(parse_s3_address("//" + options.bucket + "/" + options.prefix));
  const bool is_region_ok =
      !options.region.empty() && options.region.size() <= 64 &&
      std::all_of(options.region.begin(), options.region.end(), [](char c) {
        return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
      });
  if (!is_region_ok) {
    return fail(ErrorCode::invalid_argument,
                "'" + options.region + "' is no region: write it as in us-east-1");
  }
  if (options.part_bytes < 5 * kMiB || options.part_bytes > 64 * kMiB) {
    return fail(ErrorCode::invalid_argument, "parts of an S3 upload have 5 MiB to 64 MiB");
  }
  if (options.max_attempts == 0 || options.deadline_ms == 0 || !options.credentials) {
    return fail(ErrorCode::invalid_argument,
                "S3 options need credentials, at least one attempt and a deadline");
  }
  return resolve_endpoint(options) ? Result<void>{}
                                   : Result<void>(unexpected(resolve_endpoint(options).error()));
}

Result<S3Endpoint> resolve_endpoint(const S3Options& options) {
  std::string_view url = options.endpoint;
  const std::string_view scheme = url.starts_with("https://")  ? "https://"
                                  : url.starts_with("http://") ? "http://"
                                                               : "";
  url.remove_prefix(scheme.size());
  if (url.ends_with('/')) url.remove_suffix(1);
  const bool is_clean = std::all_of(url.begin(), url.end(), [](char c) {
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == ':' ||
           c == '[' || c == ']';
  });
  if (scheme.empty() || url.empty() || !is_clean) {
    return fail(ErrorCode::invalid_argument,
                "an S3 endpoint is http://HOST[:PORT] or https://HOST[:PORT] without a path or "
                "credentials: correct AWS_ENDPOINT_URL_S3");
  }
  const bool is_v6 = url.front() == '[';
  std::string host(url.substr(0, is_v6 ? std::min(url.find(']') + 1, url.size()) : url.find(':')));
  const bool is_path = options.addressing == S3Options::Addressing::path ||
                       (options.addressing == S3Options::Addressing::automatic &&
                        (is_address(host) || options.bucket.find('.') != std::string::npos));
  // The default port is left out, as the HTTP library does.
  std::string authority(url);
  const std::string_view port = std::string_view(authority).substr(host.size());
  if ((scheme == "https://" && port == ":443") || (scheme == "http://" && port == ":80")) {
    authority = host;
  }
  if (!is_path) authority = options.bucket + "." + authority;
  return S3Endpoint{.origin = std::string(scheme) + authority,
                    .host = authority,
                    .path_prefix = is_path ? "/" + options.bucket : ""};
}

Result<S3Options> s3_options_from_environment(std::string_view address) {
  return load_s3_options(address, process_surroundings());
}

}  // namespace rk::checkpoint
