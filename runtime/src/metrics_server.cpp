// One thread, one io_context: HTTP on TCP and on a socket of the file system, and the file.
//
// Asio writes with MSG_NOSIGNAL, so a client that goes away is an error here and no SIGPIPE.
#include <ringkernel/runtime/metrics.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
// one thread needs no fences between handlers, and ThreadSanitizer knows none
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>

namespace rk {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using asio::local::stream_protocol;
using boost::system::error_code;
using Steady = std::chrono::steady_clock;

constexpr std::uint32_t kMaxClients = 16;
constexpr std::uint32_t kMaxRequestBytes = 8192;
constexpr auto kClientTimeout = std::chrono::seconds(5);
constexpr auto kAcceptRetry = std::chrono::milliseconds(100);
/// A reading serves whoever asks within this time of it.
constexpr auto kReadingAge = std::chrono::milliseconds(50);
constexpr std::uint64_t kMaxAnswerBytes = 256ull << 20;
constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

template <class Protocol>
using Stream = beast::basic_stream<Protocol, asio::any_io_executor, beast::unlimited_rate_policy>;

std::string why(int native) { return std::generic_category().message(native); }

Result<tcp::endpoint> parse_address(const std::string& text) {
  const auto bad = [&] {
    return fail(ErrorCode::invalid_argument,
                "'" + text + "' is no numeric ADDRESS:PORT such as 127.0.0.1:9180 or [::1]:9180");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return bad();
  std::string address = text.substr(0, colon);
  if (address.size() >= 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data() + colon + 1, end, port);
  error_code error;
  const auto parsed = asio::ip::make_address(address, error);
  if (error || fault != std::errc{} || stop != end || colon + 1 == text.size()) return bad();
  return tcp::endpoint(parsed, port);
}

/// 0: somebody listens there. Else errno; ECONNREFUSED: nobody any more.
int probe_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = connected == 0 || errno == EAGAIN ? 0 : errno;
  ::close(fd);
  return error;
}

/// The name appears when the socket listens: nobody finds one that refuses.
class SocketName {
 public:
  ~SocketName() {
    struct stat now {};
    // only what this process put there
    if (inode_ != 0 && ::lstat(path_.c_str(), &now) == 0 && now.st_ino == inode_)
      ::unlink(path_.c_str());
  }
  Result<void> open(stream_protocol::acceptor& acceptor, const std::string& path) {
    const std::string draft = path + ".new";
    if (draft.size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(ErrorCode::invalid_argument,
                  "'" + path + "' is too long for a socket: " +
                      std::to_string(sizeof(sockaddr_un::sun_path) - 5) + " bytes at most");
    }
    RK_TRY(check_free(path));
    ::unlink(draft.c_str());
    error_code error;
    acceptor.open(stream_protocol{}, error);
    if (!error) acceptor.bind(stream_protocol::endpoint(draft), error);
    if (!error && ::chmod(draft.c_str(), 0600) != 0)
      error.assign(errno, boost::system::system_category());
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    struct stat made {};
    if (!error &&
        (::lstat(draft.c_str(), &made) != 0 || ::rename(draft.c_str(), path.c_str()) != 0))
      error.assign(errno, boost::system::system_category());
    if (error) {
      ::unlink(draft.c_str());
      return fail(ErrorCode::io, "cannot listen on " + path + ": " + error.message(),
                  error.value());
    }
    path_ = path;
    inode_ = made.st_ino;
    return {};
  }

 private:
  static Result<void> check_free(const std::string& path) {
    struct stat there {};
    if (::lstat(path.c_str(), &there) != 0) {
      if (errno == ENOENT) return {};
      return fail(ErrorCode::io, "cannot use " + path + ": " + why(errno), errno);
    }
    if (!S_ISSOCK(there.st_mode)) {
      return fail(ErrorCode::invalid_argument,
                  path + " exists and is no socket: name another, or remove it");
    }
    const int error = probe_socket(path);
    if (error == ECONNREFUSED || error == ENOENT) return {};  // its process is gone: replaced
    if (error == 0) {
      return fail(ErrorCode::locked,
                  path + " is in use: another process serves its telemetry there; name another");
    }
    return fail(ErrorCode::io, "cannot use " + path + ": " + why(error), error);
  }

  std::string path_;
  ino_t inode_ = 0;
};

Result<void> replace_file(const std::string& path, const std::string& text) {
  const std::string draft = path + ".new";  // the collector reads *.prom
  const auto failed = [&](const char* what) {
    const int native = errno;
    ::unlink(draft.c_str());
    return fail(native == ENOSPC || native == EDQUOT ? ErrorCode::no_space : ErrorCode::io,
                std::string("cannot ") + what + " " + path + ": " + why(native), native);
  };
  const int fd = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return failed("write");
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(fd, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int native = errno;
      ::close(fd);
      errno = native;
      return failed("write");
    }
    at += static_cast<std::size_t>(written);
  }
  if (::close(fd) != 0) return failed("write");
  if (::rename(draft.c_str(), path.c_str()) != 0) return failed("replace");
  return {};
}

}  // namespace

struct MetricsServer::Impl {
  MetricsOptions options;
  Source source;

  // the server's thread; before `io`, whose last clients count themselves off
  std::uint32_t clients = 0;
  std::optional<Telemetry> reading;
  Steady::time_point read_at{};
  bool file_failed = false;

  asio::io_context io{1};
  tcp::acceptor tcp_acceptor{io};
  stream_protocol::acceptor local_acceptor{io};
  asio::steady_timer accept_timer{io};
  asio::steady_timer file_timer{io};
  SocketName socket_name;
  std::uint16_t port = 0;
  std::thread thread;

  Result<void> open();
  Result<void> open_http();
  Result<void> start();
  void serve();
  Result<const Telemetry*> read();
  Result<void> write_file();
  void write_file_again();
  template <class Acceptor>
  void accept(Acceptor& acceptor);
  [[nodiscard]] http::response<http::string_body> answer(
      const http::request<http::empty_body>& request);
};

namespace {

http::response<http::string_body> make_response(http::status status, const char* type,
                                                std::string body) {
  http::response<http::string_body> response(status, 11);
  response.set(http::field::content_type, type);
  response.set(http::field::cache_control, "no-store");
  response.keep_alive(false);
  response.body() = std::move(body);
  response.prepare_payload();
  return response;
}
http::response<http::string_body> refuse(http::status status, std::string reason) {
  auto response = make_response(status, "text/plain; charset=utf-8", std::move(reason) + "\n");
  if (status == http::status::method_not_allowed) response.set(http::field::allow, "GET");
  return response;
}

/// One request, one answer. Lives as long as an operation of it is under way.
template <class Protocol, class Server>
class Session : public std::enable_shared_from_this<Session<Protocol, Server>> {
 public:
  Session(Server& server, typename Protocol::socket socket)
      : server_(server), stream_(std::move(socket)) {
    ++server_.clients;
    parser_.header_limit(kMaxRequestBytes);
    parser_.body_limit(0);
  }
  ~Session() { --server_.clients; }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void run() {
    stream_.expires_after(kClientTimeout);
    http::async_read(stream_, buffer_, parser_,
                     [self = this->shared_from_this()](error_code error, std::size_t) {
                       self->received(error);
                     });
  }

 private:
  void received(error_code error) {
    if (!error) return reply(server_.answer(parser_.get()));
    // time-outs and lost connections have nobody to tell
    if (error.category() != make_error_code(http::error::bad_method).category()) return;
    if (error == http::error::end_of_stream || error == http::error::partial_message) return;
    reply(refuse(http::status::bad_request, "not a GET request: " + error.message()));
  }
  void reply(http::response<http::string_body> response) {
    response_ = std::move(response);
    stream_.expires_after(kClientTimeout);
    http::async_write(stream_, response_,
                      [self = this->shared_from_this()](error_code error, std::size_t) {
                        if (!error) {
                          self->stream_.socket().shutdown(asio::socket_base::shutdown_send, error);
                        }
                      });
  }

  Server& server_;
  Stream<Protocol> stream_;
  beast::flat_buffer buffer_{2 * kMaxRequestBytes};
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
};

}  // namespace

Result<const Telemetry*> MetricsServer::Impl::read() {
  const auto now = Steady::now();
  if (!reading || now - read_at >= kReadingAge) {
    RK_TRY_ASSIGN(Telemetry fresh, source());
    fresh.job = options.job;
    fresh.pid = static_cast<std::uint64_t>(::getpid());
    reading = std::move(fresh);
    read_at = now;
  }
  return &*reading;
}

http::response<http::string_body> MetricsServer::Impl::answer(
    const http::request<http::empty_body>& request) {
  if (request.method() != http::verb::get)
    return refuse(http::status::method_not_allowed, "GET only");
  const auto target = request.target();
  const bool wants_text = target == "/metrics";
  if (!wants_text && target != "/telemetry")
    return refuse(http::status::not_found, "there are /metrics and /telemetry");
  const auto telemetry = read();
  if (!telemetry) return refuse(http::status::service_unavailable, telemetry.error().message);
  return wants_text
             ? make_response(http::status::ok, kPrometheusType, prometheus_text(**telemetry))
             : make_response(http::status::ok, "application/json", telemetry_json(**telemetry));
}

template <class Acceptor>
void MetricsServer::Impl::accept(Acceptor& acceptor) {
  using Protocol = typename Acceptor::protocol_type;
  acceptor.async_accept([this, &acceptor](error_code error, typename Protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {  // out of descriptors, for instance
      accept_timer.expires_after(kAcceptRetry);
      accept_timer.async_wait([this, &acceptor](error_code) { accept(acceptor); });
      return;
    }
    if (clients < kMaxClients)
      std::make_shared<Session<Protocol, Impl>>(*this, std::move(socket))->run();
    accept(acceptor);
  });
}

Result<void> MetricsServer::Impl::write_file() {
  RK_TRY_ASSIGN(const Telemetry* const telemetry, read());
  return replace_file(options.textfile, prometheus_text(*telemetry));
}

/// Says that it failed when it begins to.
void MetricsServer::Impl::write_file_again() {
  const auto written = write_file();
  if (!written && !file_failed)
    std::fprintf(stderr, "ringkernel: metrics: %s\n", written.error().message.c_str());
  file_failed = !written;
  file_timer.expires_after(options.textfile_every);
  file_timer.async_wait([this](error_code error) {
    if (!error) write_file_again();
  });
}

Result<void> MetricsServer::Impl::open_http() {
  RK_TRY_ASSIGN(const tcp::endpoint endpoint, parse_address(options.http));
  error_code error;
  tcp_acceptor.open(endpoint.protocol(), error);
  // for a port whose last connections linger; one that somebody listens on is still refused
  if (!error) tcp_acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) tcp_acceptor.bind(endpoint, error);
  if (!error) tcp_acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return fail(ErrorCode::locked,
                "cannot serve metrics at " + options.http + ": the port is in use; name another",
                error.value());
  }
  if (error) {
    return fail(ErrorCode::io, "cannot serve metrics at " + options.http + ": " + error.message(),
                error.value());
  }
  port = tcp_acceptor.local_endpoint(error).port();
  return {};
}

Result<void> MetricsServer::Impl::open() {
  if (!options.http.empty()) RK_TRY(open_http());
  if (!options.socket.empty()) RK_TRY(socket_name.open(local_acceptor, options.socket));
  if (!options.textfile.empty()) RK_TRY(write_file());
  if (tcp_acceptor.is_open()) accept(tcp_acceptor);
  if (local_acceptor.is_open()) accept(local_acceptor);
  if (!options.textfile.empty()) write_file_again();
  return start();
}

Result<void> MetricsServer::Impl::start() {
  // the application's signals are for its own threads
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> started;
  try {
    thread = std::thread([this] { serve(); });
  } catch (const std::system_error& error) {
    started = fail(ErrorCode::no_space, std::string("cannot start a thread: ") + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void MetricsServer::Impl::serve() {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {  // out of memory: that client gets no answer
      std::fprintf(stderr, "ringkernel: metrics: %s\n", error.what());
    }
  }
}

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<MetricsServer>> MetricsServer::create(MetricsOptions options,
                                                             Source source) {
  try {
    auto impl = std::make_unique<Impl>();
    impl->options = std::move(options);
    impl->source = std::move(source);
    RK_TRY(impl->open());
    return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
  } catch (const std::exception& error) {  // Asio's constructors: no descriptors left
    return fail(ErrorCode::io, std::string("cannot serve metrics: ") + error.what());
  }
}

MetricsServer::~MetricsServer() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  if (impl_->options.textfile.empty()) return;
  impl_->reading.reset();
  if (const auto written = impl_->write_file(); !written)
    std::fprintf(stderr, "ringkernel: metrics: %s\n", written.error().message.c_str());
}

std::uint16_t MetricsServer::http_port() const { return impl_->port; }

Result<std::string> fetch_telemetry(const std::string& socket, std::chrono::nanoseconds timeout) {
  if (socket.size() >= sizeof(sockaddr_un::sun_path))
    return fail(ErrorCode::not_found, "'" + socket + "' is too long for a socket");
  asio::io_context io{1};
  Stream<stream_protocol> stream(io);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswerBytes);
  http::request<http::empty_body> request(http::verb::get, "/telemetry", 11);
  request.set(http::field::host, "localhost");
  error_code outcome = asio::error::would_block;
  stream.expires_after(timeout);
  stream.async_connect(stream_protocol::endpoint(socket), [&](error_code error) {
    outcome = error;
    if (error) return;
    http::async_write(stream, request, [&](error_code written, std::size_t) {
      outcome = written;
      if (written) return;
      http::async_read(stream, buffer, parser,
                       [&](error_code read, std::size_t) { outcome = read; });
    });
  });
  io.run();
  const auto failed = [&](ErrorCode code, const std::string& text) {
    return fail(code, socket + ": " + text, outcome.value());
  };
  if (outcome == boost::system::errc::no_such_file_or_directory)
    return failed(ErrorCode::not_found, "no job has its telemetry there");
  if (outcome == asio::error::connection_refused)
    return failed(ErrorCode::closed, "the job has ended");
  if (outcome == beast::error::timeout)
    return failed(ErrorCode::deadline_exceeded, "the job does not answer");
  if (outcome) return failed(ErrorCode::io, outcome.message());
  if (parser.get().result() != http::status::ok) return failed(ErrorCode::io, parser.get().body());
  return std::move(parser.get().body());
}

}  // namespace rk
