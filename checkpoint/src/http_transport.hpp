// One HTTP exchange, as a seam: libcurl behind it in production, scripts in tests.
//
// Thread-safety: `send` may be called from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ringkernel/checkpoint/hash.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::size_t kMaxReplyBytes = 16u << 20;  ///< of a reply that goes into `body`

struct HttpRequest {
  std::string method;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  Bytes body;
  /// If not empty, the body of a 206 (or 200) goes here; more than fits is a failure.
  std::span<std::byte> into;
  std::uint64_t timeout_ms = 0;
  std::uint64_t stall_s = 30;  ///< no byte either way for so long is a failure
};

struct HttpReply {
  /// Empty if a whole reply arrived; else what went wrong, and nothing but `received` counts.
  std::string failure;
  bool can_retry = true;  ///< of a failure
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  std::size_t received = 0;  ///< bytes in `into`, of a failure with status 206 too

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? std::string() : at->second;
  }
};

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  virtual HttpReply send(const HttpRequest& request) = 0;
};

/// HTTP/1.1 by libcurl with kept connections; verifies TLS certificates, follows no redirect.
[[nodiscard]] std::shared_ptr<HttpTransport> make_curl_transport(std::string ca_bundle);

/// Kills the process with SIGKILL at one exchange, as RK_S3_KILL_AT asks: `before:N`, or `after:N`
/// (reply received, not yet looked at), N from 1. Otherwise returns `transport` as it is.
[[nodiscard]] std::shared_ptr<HttpTransport> with_environment_kills(
    std::shared_ptr<HttpTransport> transport);

}  // namespace rk::checkpoint
