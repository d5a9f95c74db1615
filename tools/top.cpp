// `rk top`: what a running job does, live.
#include <CLI/CLI.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "commands.hpp"
#include "duration.hpp"
#include "telemetry.hpp"

namespace rk::tools {
namespace {

using nlohmann::ordered_json;

constexpr auto kAnswerTimeout = std::chrono::seconds(5);
constexpr std::size_t kDefaultLines = 40;

struct TopOptions {
  std::string job;  ///< a path or a process; empty: whatever runs
  bool json = false;
  bool once = false;
  std::optional<std::chrono::nanoseconds> interval;
  std::optional<std::uint64_t> count;
};

std::size_t terminal_lines() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 10) return kDefaultLines;
  return size.ws_row;
}

void print_jobs(const std::vector<RunningJob>& jobs, bool json) {
  ordered_json all = ordered_json::array();
  for (const RunningJob& job : jobs) {
    const auto telemetry = ordered_json::parse(job.telemetry);
    all.push_back({{"pid", telemetry.at("pid")},
                   {"job", telemetry.at("job")},
                   {"executor", telemetry.at("executor")},
                   {"workers", telemetry.at("workers").size()},
                   {"uptime_s", telemetry.at("uptime_s")},
                   {"socket", job.socket}});
  }
  if (json) {
    std::printf("%s\n", ordered_json{{"jobs", all}}.dump().c_str());
    return;
  }
  std::printf("%10s  %-16s  %-8s  %7s  %10s  %s\n", "PID", "JOB", "EXECUTOR", "WORKERS", "UP",
              "SOCKET");
  for (const ordered_json& job : all) {
    std::printf("%10llu  %-16s  %-8s  %7zu  %8.0f s  %s\n",
                static_cast<unsigned long long>(job["pid"].get<std::uint64_t>()),
                job["job"].get<std::string>().c_str(), job["executor"].get<std::string>().c_str(),
                job["workers"].get<std::size_t>(), job["uptime_s"].get<double>(),
                job["socket"].get<std::string>().c_str());
  }
}

/// The socket to look at; empty: the jobs there are were listed instead.
Result<std::string> choose_socket(const TopOptions& options) {
  const bool is_pid =
      !options.job.empty() && std::all_of(options.job.begin(), options.job.end(),
                                          [](char c) { return c >= '0' && c <= '9'; });
  if (is_pid) return telemetry_directory() + "/" + options.job + ".sock";
  if (!options.job.empty()) return options.job;
  RK_TRY_ASSIGN(const std::vector<RunningJob> jobs, find_jobs());
  if (jobs.empty()) {
    return fail(ErrorCode::not_found, "no job of yours runs here (looked in " +
                                          telemetry_directory() +
                                          "); a job that uses --telemetry PATH is named by it");
  }
  if (jobs.size() == 1) return jobs.front().socket;
  print_jobs(jobs, options.json);
  return std::string();
}

Result<int> watch(const TopOptions& options) {
  RK_TRY_ASSIGN(const std::string socket, choose_socket(options));
  if (socket.empty()) return 0;
  const bool on_terminal = !options.json && ::isatty(STDOUT_FILENO) != 0;
  const auto interval = options.interval.value_or(std::chrono::seconds(1));
  const bool is_single = options.once || (!options.interval && !options.count && !on_terminal);
  const std::uint64_t count = is_single ? 1 : options.count.value_or(0);
  std::string previous;
  for (std::uint64_t shown = 0;;) {
    auto telemetry = fetch_telemetry(socket, kAnswerTimeout);
    if (!telemetry) {
      const ErrorCode code = telemetry.error().code;
      if (shown == 0 || (code != ErrorCode::closed && code != ErrorCode::not_found))
        return unexpected(telemetry.error());
      std::fprintf(stderr, "rk: the job has ended\n");
      return 0;
    }
    if (options.json) {
      std::printf("%s\n", telemetry->c_str());
    } else {
      const std::string screen = render_telemetry(*telemetry, previous, terminal_lines());
      std::printf("%s%s", on_terminal && !options.once ? "\x1b[H\x1b[J" : "", screen.c_str());
    }
    std::fflush(stdout);
    if (++shown == count) return 0;
    previous = *std::move(telemetry);
    std::this_thread::sleep_for(interval);
  }
}

int top(const TopOptions& options) {
  try {
    const auto status = watch(options);
    return status ? *status : report(status.error());
  } catch (const nlohmann::json::exception& error) {
    return report(
        Error{ErrorCode::incompatible, 0,
              std::string("what answers there speaks another language: ") + error.what()});
  }
}

}  // namespace

void add_top_command(CLI::App& app, int& status) {
  auto* sub = app.add_subcommand("top", "what a running job does, live");
  const auto options = std::make_shared<TopOptions>();
  sub->add_option("JOB", options->job,
                  "its process or its socket; default: the only one, or a list of them");
  sub->add_flag("--json", options->json, "readings as lines of JSON; one, unless told otherwise");
  sub->add_flag("--once", options->once, "one reading");
  sub->add_option_function<std::string>(
         "--interval",
         [options](const std::string& text) {
           const auto interval = parse_duration(text);
           if (!interval) throw CLI::ValidationError("--interval", interval.error().message);
           if (*interval < std::chrono::milliseconds(50))
             throw CLI::ValidationError("--interval", "50ms at least");
           options->interval = *interval;
         },
         "between readings, as in 500ms; default: 1s")
      ->type_name("TIME");
  sub->add_option("--count", options->count, "how many readings; default: until the job ends")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  sub->callback([&status, options] { status = top(*options); });
}

}  // namespace rk::tools
