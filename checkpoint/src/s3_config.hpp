// Where S3 settings and credentials come from. The environment and the profile files are passed in,
// so tests need neither.
//
// Thread-safety: functions without shared state.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <ringkernel/checkpoint/s3_storage.hpp>
#include <string>
#include <string_view>

namespace rk::checkpoint {

struct S3Surroundings {
  /// Value of an environment variable; nothing if it is absent or empty.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  /// Content of a file; nothing if it cannot be read.
  std::function<std::optional<std::string>(const std::string& path)> file;
};

/// The process's own.
[[nodiscard]] S3Surroundings process_surroundings();

struct S3Address {
  std::string bucket;
  std::string prefix;
};

/// "//BUCKET[/PREFIX]".
[[nodiscard]] Result<S3Address> parse_s3_address(std::string_view address);

/// Sections of an AWS profile file; a section `[profile x]` is found as "x".
using ProfileFile = std::map<std::string, std::map<std::string, std::string>>;
[[nodiscard]] ProfileFile parse_profile_file(std::string_view text);

[[nodiscard]] Result<S3Credentials> load_s3_credentials(const S3Surroundings& from);
[[nodiscard]] Result<S3Options> load_s3_options(std::string_view address,
                                                const S3Surroundings& from);
/// What `open_s3_storage` demands of its options.
[[nodiscard]] Result<void> check_s3_options(const S3Options& options);

struct S3Endpoint {
  std::string origin;       ///< scheme://host[:port], the bucket in the host if virtual
  std::string host;         ///< value of the Host header
  std::string path_prefix;  ///< "" or "/bucket"
};

[[nodiscard]] Result<S3Endpoint> resolve_endpoint(const S3Options& options);

}  // namespace rk::checkpoint
