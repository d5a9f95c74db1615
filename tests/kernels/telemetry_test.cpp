// What a running system tells about itself agrees with what it did, and a stall names its cause.
#include <ringkernel/kernels/telemetry.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

#include "programs.hpp"
#include "temp_dir.hpp"

namespace rk::test {
namespace {

class TelemetryOf : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, TelemetryOf,
                         testing::Values(Shape{1, 1}, Shape{3, 1}, Shape{2, 4}), shape_name);

constexpr std::uint32_t kPopulation = 30;
constexpr std::uint32_t kTokens = 20;
constexpr std::uint32_t kHops = 300;

std::unique_ptr<Runtime> hopping_runtime(const Shape& shape, RuntimeOptions options = {}) {
  auto runtime = make_runtime<Hopper, Counter>(shape, std::move(options));
  auto hoppers = runtime->spawn<Hopper>(
      kPopulation, [](std::uint32_t, Hopper& h) { h.population = kPopulation; });
  EXPECT_TRUE(hoppers);
  runtime->on_output<Token>([](const Token&, const OutputInfo&) {});
  runtime->on_feed([fed = 0u, hoppers = *hoppers](Feed& feed) mutable {
    while (fed < kTokens && feed.send(hoppers[fed % kPopulation], Token{kHops})) ++fed;
    return fed < kTokens ? FeedState::more : FeedState::ended;
  });
  return runtime;
}

TEST_P(TelemetryOf, CountersAgreeWithTheRunsOwnAfterItsEnd) {
  for (const bool tiny : {false, true}) {
    RuntimeOptions options;
    if (tiny) options.capacity = tiny_capacities();
    auto runtime = hopping_runtime(GetParam(), options);
    auto report = runtime->run();
    ASSERT_TRUE(report) << report.error().message;
    expect_ok(runtime->stop());
    const auto telemetry = runtime->telemetry();
    ASSERT_TRUE(telemetry);
    const RuntimeStats stats = runtime->stats();
    ASSERT_EQ(telemetry->types,
              (std::vector<std::string>{"test.hopper", "test.counter", "(unknown)"}));
    ASSERT_EQ(telemetry->workers.size(), GetParam().workers);
    const TypeTelemetry hopper = telemetry->of_type(0);
    EXPECT_EQ(hopper.handled, std::uint64_t{kTokens} * (kHops + 1));
    EXPECT_EQ(hopper.sends, hopper.handled) << "a hop or an output by each";
    EXPECT_EQ(hopper.failures, 0u);
    EXPECT_EQ(telemetry->host_sent, kTokens);
    EXPECT_EQ(telemetry->host_received, kTokens);
    EXPECT_EQ(hopper.handled + telemetry->host_received, stats.received);
    EXPECT_EQ(telemetry->of_type(1).handled, 0u);
    std::uint64_t received = 0;
    for (const WorkerTelemetry& worker : telemetry->workers) {
      EXPECT_EQ(worker.types[0].handled, worker.received);
      // a sample stands for messages before it; the last ones wait for theirs
      for (const Histogram& samples : {worker.types[0].duration, worker.types[0].latency}) {
        EXPECT_LE(samples.count(), worker.types[0].handled);
        EXPECT_GT(samples.count() + 2 * TelemetryWriter::kSampleGap, worker.types[0].handled);
      }
      EXPECT_FALSE(worker.running);
      EXPECT_FALSE(worker.stashed);
      EXPECT_FALSE(worker.arrived);
      received += worker.received;
    }
    EXPECT_EQ(received, hopper.handled);
    EXPECT_GT(hopper.handler_ns, 0u);
    EXPECT_FALSE(telemetry->running);
  }
}

TEST(Telemetry, ReadingsWhileItRunsOnlyGrow) {
  auto runtime = hopping_runtime({2, 1});
  std::atomic<bool> ended{false};
  std::thread reader([&] {
    TypeTelemetry last;
    while (!ended) {
      const auto telemetry = runtime->telemetry();
      ASSERT_TRUE(telemetry);
      const TypeTelemetry now = telemetry->of_type(0);
      EXPECT_GE(now.handled, last.handled);
      EXPECT_GE(now.sends, last.sends);
      EXPECT_GE(now.latency_us, last.latency_us);
      for (std::uint32_t i = 0; i < kHistogramBuckets; ++i)
        EXPECT_GE(now.latency.counts[i], last.latency.counts[i]);
      last = now;
    }
  });
  auto report = runtime->run();
  EXPECT_TRUE(report);
  expect_ok(runtime->stop());
  ended = true;
  reader.join();
}

TEST(Telemetry, BeforeTheStartThereAreTypesAndNoWorkers) {
  auto runtime = hopping_runtime({2, 1});
  const auto telemetry = runtime->telemetry();
  ASSERT_TRUE(telemetry);
  EXPECT_EQ(telemetry->types.size(), 3u);
  EXPECT_TRUE(telemetry->workers.empty());
  EXPECT_FALSE(telemetry->checkpoint.age_s);
}

TEST(Telemetry, SwitchedOffTheWorkersCountNothingAndRunAllTheSame) {
  auto runtime = hopping_runtime({2, 1}, {.telemetry = false});
  ASSERT_TRUE(runtime->run());
  expect_ok(runtime->stop());
  const auto telemetry = runtime->telemetry();
  ASSERT_TRUE(telemetry);
  EXPECT_EQ(telemetry->of_type(0).handled, 0u);
  EXPECT_EQ(telemetry->workers[0].received + telemetry->workers[1].received,
            std::uint64_t{kTokens} * (kHops + 1));
}

TEST(Telemetry, CheckpointsAreToldWithTheirAge) {
  const TempDir dir;
  auto runtime = hopping_runtime({2, 1}, {.checkpoint = {.dir = dir.path()}});
  expect_ok(runtime->start());
  const auto cost = runtime->checkpoint_now();
  ASSERT_TRUE(cost);
  const auto telemetry = runtime->telemetry();
  ASSERT_TRUE(telemetry);
  EXPECT_EQ(telemetry->checkpoint.checkpoints, 1u);
  EXPECT_EQ(telemetry->checkpoint.newest, cost->directory);
  ASSERT_TRUE(telemetry->checkpoint.age_s);
  EXPECT_GE(*telemetry->checkpoint.age_s, 0);
}

TEST(Telemetry, MessagesThatACheckpointBroughtBackDoNotCountAsLate) {
  const TempDir dir;
  const RuntimeOptions options{.checkpoint = {.dir = dir.path()}};
  {
    auto runtime = make_runtime<Hopper>({2, 1}, options);
    auto hoppers = runtime->spawn<Hopper>(
        kPopulation, [](std::uint32_t, Hopper& h) { h.population = kPopulation; });
    ASSERT_TRUE(hoppers);
    expect_ok(runtime->start(true));
    for (std::uint32_t i = 0; i < kTokens; ++i)
      expect_ok(runtime->send((*hoppers)[i], Token{kHops}));
    const auto cost = runtime->checkpoint_now();
    ASSERT_TRUE(cost);
    ASSERT_EQ(cost->messages, kTokens);
  }
  // not for the test to pass: for it to fail if the wait counted
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto began = std::chrono::system_clock::now();
  auto runtime = make_runtime<Hopper>({2, 1}, options);
  runtime->on_output<Token>([](const Token&, const OutputInfo&) {});
  const auto restored = runtime->restore_latest();
  ASSERT_TRUE(restored && restored->restored);
  ASSERT_TRUE(runtime->run());
  expect_ok(runtime->stop());
  const auto telemetry = runtime->telemetry();
  ASSERT_TRUE(telemetry);
  const TypeTelemetry hopper = telemetry->of_type(0);
  EXPECT_EQ(hopper.handled, std::uint64_t{kTokens} * (kHops + 1));
  EXPECT_LT(hopper.latency.count(), hopper.handled);
  const auto lasted = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now() - began);
  EXPECT_LE(histogram_lowest(histogram_bucket(hopper.latency.percentile(1))),
            static_cast<std::uint64_t>(lasted.count()));
}

/// Sends to an id that was never given out, and fails when told to.
struct Word {
  static constexpr std::uint8_t tag = 5;
  std::uint32_t what;
};
struct Odd {
  using messages = handles<Word>;
  static constexpr const char* name = "test.odd";
  std::uint32_t unused;
  template <class Ctx>
  RK_FN void on(const Word& word, Ctx& ctx) {
    if (word.what == 1) ctx.send(ref<Odd>{ActorId::make(999, 0)}, Word{0});
    if (word.what == 2) ctx.fail(7);
  }
};

TEST(Telemetry, DeadLettersAndFailuresAreCounted) {
  auto runtime = make_runtime<Odd>({1, 1});
  auto odd = runtime->spawn<Odd>(1, [](std::uint32_t, Odd&) {});
  ASSERT_TRUE(odd);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*odd)[0], Word{1}));
  ASSERT_TRUE(runtime->run());
  expect_ok(runtime->send((*odd)[0], Word{2}));
  EXPECT_FALSE(runtime->run());
  expect_ok(runtime->stop());
  const auto telemetry = runtime->telemetry();
  ASSERT_TRUE(telemetry);
  EXPECT_EQ(telemetry->of_type(0).handled, 2u);
  EXPECT_EQ(telemetry->of_type(0).failures, 1u);
  std::uint64_t dead = 0;
  for (std::size_t t = 0; t < telemetry->types.size(); ++t)
    dead += telemetry->of_type(t).dead_letters;
  EXPECT_EQ(dead, 1u);
  EXPECT_EQ(dead, telemetry->workers[0].dead);
}

std::atomic<bool> released{false};

struct Wait {
  static constexpr std::uint8_t tag = 77;
};
struct Sleeper {
  using messages = handles<Wait>;
  static constexpr const char* name = "test.sleeper";
  std::uint32_t unused;
  template <class Ctx>
  void on(const Wait&, Ctx&) {
    while (!released) std::this_thread::yield();
  }
};

TEST(Telemetry, AStallNamesTheHandlerThatDoesNotReturn) {
  released = false;
  auto runtime =
      make_runtime<Hopper, Sleeper>({2, 1}, {.stall_deadline = std::chrono::milliseconds(200)});
  ASSERT_TRUE(runtime->spawn<Hopper>(2, [](std::uint32_t, Hopper& h) { h.population = 2; }));
  auto sleepers = runtime->spawn<Sleeper>(6, [](std::uint32_t, Sleeper&) {});
  ASSERT_TRUE(sleepers);
  expect_ok(runtime->start());
  expect_ok(runtime->send((*sleepers)[4], Wait{}));
  auto report = runtime->run({.max_walltime = std::chrono::seconds(100)});
  ASSERT_FALSE(report);
  const std::string& told = report.error().message;
  const auto telemetry = runtime->telemetry();
  released = true;
  EXPECT_EQ(report.error().code, ErrorCode::deadline_exceeded);
  EXPECT_NE(told.find("inside the handler of message tag 77 to actor 6 ('test.sleeper')"),
            std::string::npos)
      << told;
  ASSERT_TRUE(telemetry);
  const auto& running = telemetry->workers[1].running;
  ASSERT_TRUE(running);
  EXPECT_EQ(running->tag, 77);
  EXPECT_EQ(running->receiver.index(), 6u);
  EXPECT_GT(running->age_s, 0);
  EXPECT_GT(telemetry->workers[1].running_s, 0);
  EXPECT_FALSE(telemetry->workers[0].running);
}

// --- serving
// -----------------------------------------------------------------------------------------------

/// What a client reads until the server closes, after it sent `request`.
std::string talk(const std::string& path, const std::string& request) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  // a server that has heard enough closes before all is sent, and has answered
  (void)::send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(n));
  ::close(fd);
  return answer;
}

Result<Telemetry> nothing() {
  Telemetry telemetry;
  telemetry.types = {"a \"quoted\"\\\ntype", "(unknown)"};
  telemetry.workers.resize(1);
  telemetry.workers[0].types.resize(2);
  return telemetry;
}

TEST(MetricsServer, LabelsAreEscaped) {
  const std::string text = prometheus_text(*nothing());
  EXPECT_NE(text.find(R"(type="a \"quoted\"\\\ntype"} 0)"), std::string::npos) << text;
}

TEST(MetricsServer, WhatIsNoGetRequestIsRefusedAndTheNextOneServed) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  auto server = MetricsServer::create({.socket = path}, nothing);
  ASSERT_TRUE(server) << server.error().message;
  struct stat made {};
  ASSERT_EQ(::lstat(path.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777, 0600u);
  const auto status = [&](const std::string& request) { return talk(path, request).substr(0, 12); };
  EXPECT_EQ(status("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200");
  EXPECT_EQ(status("GET /telemetry HTTP/1.0\r\n\r\n"), "HTTP/1.1 200");
  EXPECT_EQ(status("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404");
  EXPECT_EQ(status("HEAD /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405");
  EXPECT_EQ(status("DELETE /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405");
  EXPECT_EQ(status("\x01\x02\x03 nonsense\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), "HTTP/1.1 400");
  EXPECT_EQ(
      status("GET /metrics HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n").substr(0, 8),
      "HTTP/1.1");
  EXPECT_EQ(status("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200");
}

TEST(MetricsServer, AClientThatHangsKeepsNobodyElseWaiting) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  auto server = MetricsServer::create({.socket = path}, nothing);
  ASSERT_TRUE(server);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int silent = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(silent, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_TRUE(fetch_telemetry(path, std::chrono::seconds(60)));
  // and one that goes away with its answer on the way
  const int rude = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(rude, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
  EXPECT_GT(::send(rude, request, sizeof(request) - 1, MSG_NOSIGNAL), 0);
  ::close(rude);
  EXPECT_TRUE(fetch_telemetry(path, std::chrono::seconds(60)));
  ::close(silent);
}

TEST(MetricsServer, ASocketThatNobodyListensOnIsReplacedAnotherIsRefused) {
  const TempDir dir;
  const std::string path = dir.path() + "/s";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int left = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(left, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ::close(left);
  EXPECT_EQ(fetch_telemetry(path, std::chrono::seconds(60)).error().code, ErrorCode::closed);
  {
    auto server = MetricsServer::create({.socket = path}, nothing);
    ASSERT_TRUE(server) << server.error().message;
    EXPECT_TRUE(fetch_telemetry(path, std::chrono::seconds(60)));
    EXPECT_EQ(MetricsServer::create({.socket = path}, nothing).error().code, ErrorCode::locked);
    EXPECT_TRUE(fetch_telemetry(path, std::chrono::seconds(60)));
  }
  EXPECT_EQ(fetch_telemetry(path, std::chrono::seconds(60)).error().code, ErrorCode::not_found);
  std::ofstream(path) << "no socket";
  EXPECT_EQ(MetricsServer::create({.socket = path}, nothing).error().code,
            ErrorCode::invalid_argument);
}

TEST(MetricsServer, APortInUseIsRefusedAndAnAddressNeedsNumbers) {
  auto first = MetricsServer::create({.http = "127.0.0.1:0"}, nothing);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_NE((*first)->http_port(), 0);
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->http_port());
  EXPECT_EQ(MetricsServer::create({.http = taken}, nothing).error().code, ErrorCode::locked);
  for (const char* wrong : {"localhost:9", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                            "127.0.0.1:70000", ":80", "[::1:80"}) {
    const auto refused = MetricsServer::create({.http = wrong}, nothing);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument) << wrong;
  }
}

TEST(MetricsServer, TheFileHoldsTheLastReadingWhenItIsGone) {
  const TempDir dir;
  const std::string path = dir.path() + "/job.prom";
  std::atomic<std::uint64_t> sent{1};
  const auto source = [&]() -> Result<Telemetry> {
    auto telemetry = nothing();
    telemetry->host_sent = sent;
    return telemetry;
  };
  const auto told = [&] {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  {
    auto server =
        MetricsServer::create({.textfile = path, .textfile_every = std::chrono::hours(1)}, source);
    ASSERT_TRUE(server);
    EXPECT_NE(told().find("{direction=\"sent\"} 1\n"), std::string::npos);
    sent = 42;
  }
  EXPECT_NE(told().find("{direction=\"sent\"} 42\n"), std::string::npos);
  EXPECT_FALSE(MetricsServer::create({.textfile = dir.path() + "/no/job.prom"}, nothing));
}

}  // namespace
}  // namespace rk::test
