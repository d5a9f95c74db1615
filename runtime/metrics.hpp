// Telemetry for other programs: as Prometheus' text format, as JSON, over HTTP, over a socket of
// the file system and as a file.
//
//   auto served = runtime->serve_metrics({.http = "127.0.0.1:9180"});
//
// The server has one thread of its own and touches nothing of the run but Runtime::telemetry(),
// which it asks at most twenty times a second, however many ask it. There is no authentication and
// no encryption: whoever reaches the address reads the figures, which hold no payload.
#pragma once

#include <ringkernel/runtime/result.hpp>
#include <ringkernel/runtime/telemetry.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace rk {

/// Prometheus' text exposition format 0.0.4.
[[nodiscard]] std::string prometheus_text(const Telemetry& telemetry);
/// One line of JSON; docs/telemetry.md lists its members.
[[nodiscard]] std::string telemetry_json(const Telemetry& telemetry);

/// What to serve; all may be set.
struct MetricsOptions {
  /// "ADDRESS:PORT" with a numeric address ([::1]:PORT for IPv6); port 0: any free one, see
  /// MetricsServer::http_port. Empty: no HTTP.
  std::string http;
  /// A path for a socket; replaced if nobody listens on it any more. Empty: none.
  std::string socket;
  /// A file for node_exporter's textfile collector, replaced as a whole at each interval and at the
  /// end. Empty: none.
  std::string textfile;
  std::chrono::nanoseconds textfile_every = std::chrono::seconds(5);
  std::string job;  ///< name of the application, for people
};

/// Serves GET /metrics (Prometheus) and GET /telemetry (JSON) until it is destroyed. A client has
/// five seconds for its request and five to take the answer; at most 16 are served at a time,
/// further ones are sent away.
class MetricsServer {
 public:
  using Source = std::function<Result<Telemetry>()>;

  /// `source` is called on the server's thread. locked: the address or the socket is in use by
  /// another process; invalid_argument; io.
  static Result<std::unique_ptr<MetricsServer>> create(MetricsOptions options, Source source);
  /// Writes the file a last time, closes, removes the socket.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  [[nodiscard]] std::uint16_t http_port() const;  ///< 0: no HTTP

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The JSON that the process behind a socket serves. not_found: there is no socket; closed: nobody
/// listens on it; deadline_exceeded, io, corrupt.
[[nodiscard]] Result<std::string> fetch_telemetry(const std::string& socket,
                                                  std::chrono::nanoseconds timeout);

}  // namespace rk
