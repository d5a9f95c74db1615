#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <mutex>

#include "http_transport.hpp"

namespace rk::checkpoint {
namespace {

constexpr long kConnectTimeoutMs = 10'000;

struct CurlFree {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, CurlFree>;
using HeaderList = std::unique_ptr<curl_slist, CurlFree>;

// What the callbacks of one exchange share.
struct Exchange {
  const HttpRequest* request;
  HttpReply reply;
  std::size_t sent = 0;
  bool overflows = false;
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {
    // A new header block (after 100 Continue) replaces the one before.
    exchange.reply.headers.clear();
    const auto space = line.find(' ');
    exchange.reply.status =
        space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space)).c_str());
    return line.size();
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
  exchange.reply.headers[name] = std::string(value);
  return line.size();
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::size_t bytes = size * count;
  HttpReply& reply = exchange.reply;
  const bool is_content = reply.status == 200 || reply.status == 206;
  if (is_content && !exchange.request->into.empty()) {
    const auto room = exchange.request->into.subspan(reply.received);
    if (bytes > room.size()) {
      exchange.overflows = true;
      return 0;
    }
    std::memcpy(room.data(), data, bytes);
    reply.received += bytes;
    return bytes;
  }
  if (reply.body.size() + bytes > kMaxReplyBytes) {
    exchange.overflows = true;
    return 0;
  }
  reply.body.append(data, bytes);
  return bytes;
}

std::size_t on_send(char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const Bytes rest = exchange.request->body.subspan(exchange.sent);
  const std::size_t bytes = std::min(rest.size(), size * count);
  std::memcpy(data, rest.data(), bytes);
  exchange.sent += bytes;
  return bytes;
}

// libcurl begins again when a kept connection turns out to be closed.
int on_seek(void* user, curl_off_t offset, int origin) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_FAIL;
  exchange.sent = std::min(static_cast<std::size_t>(offset), exchange.request->body.size());
  return CURL_SEEKFUNC_OK;
}

bool is_worth_a_retry(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_WRITE_ERROR: return false;
    default: return true;
  }
}

class CurlTransport final : public HttpTransport {
 public:
  explicit CurlTransport(std::string ca_bundle) : ca_bundle_(std::move(ca_bundle)) {
    static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
    (void)started;
  }

  HttpReply send(const HttpRequest& request) override {
    Exchange exchange{.request = &request, .reply = {}};
    Handle handle = take();
    if (handle == nullptr) {
      exchange.reply.failure = "libcurl does not start";
      exchange.reply.can_retry = false;
      return std::move(exchange.reply);
    }
    HeaderList headers;
    for (const auto& [name, value] : request.headers) add(headers, name + ": " + value);
    // Set by libcurl unasked; the first costs a round trip, the others are not signed.
    for (const char* absent : {"Expect:", "Accept:", "Content-Type:"}) add(headers, absent);
    prepare(handle.get(), request, headers.get(), exchange);
    char detail[CURL_ERROR_SIZE]{};
    curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, detail);
    const CURLcode code = curl_easy_perform(handle.get());
    HttpReply& reply = exchange.reply;
    if (exchange.overflows) {
      reply.failure = "the reply is larger than what was asked for";
      reply.can_retry = false;
    } else if (code != CURLE_OK) {
      reply.failure = detail[0] != '\0' ? detail : curl_easy_strerror(code);
      reply.can_retry = is_worth_a_retry(code);
    } else if (reply.status == 0) {
      reply.failure = "the reply has no status";
    }
    if (code == CURLE_OK) give_back(std::move(handle));
    return std::move(reply);
  }

 private:
  static void add(HeaderList& headers, const std::string& line) {
    if (curl_slist* longer = curl_slist_append(headers.get(), line.c_str())) {
      (void)headers.release();
      headers.reset(longer);
    }
  }

  void prepare(CURL* handle, const HttpRequest& request, curl_slist* headers, Exchange& exchange) {
    curl_easy_reset(handle);
    curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "ringkernel");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_s));
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout_ms));
    if (!ca_bundle_.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, ca_bundle_.c_str());
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
    if (request.method == "HEAD") {
      curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    } else if (request.method == "PUT" || request.method == "POST") {
      curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(handle, CURLOPT_READFUNCTION, &on_send);
      curl_easy_setopt(handle, CURLOPT_READDATA, &exchange);
      curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, &on_seek);
      curl_easy_setopt(handle, CURLOPT_SEEKDATA, &exchange);
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    } else {
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
  }

  Handle take() {
    const std::lock_guard guard(mutex_);
    if (idle_.empty()) return Handle(curl_easy_init());
    Handle handle = std::move(idle_.back());
    idle_.pop_back();
    return handle;
  }

  void give_back(Handle handle) {
    constexpr std::size_t kMaxIdle = 16;
    const std::lock_guard guard(mutex_);
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(handle));
  }

  std::string ca_bundle_;
  std::mutex mutex_;
  std::vector<Handle> idle_;
};

}  // namespace

std::shared_ptr<HttpTransport> make_curl_transport(std::string ca_bundle) {
  return std::make_shared<CurlTransport>(std::move(ca_bundle));
}

}  // namespace rk::checkpoint
