#include "telemetry.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace rk::tools {
namespace {

constexpr auto kAnswerTimeout = std::chrono::seconds(2);
constexpr const char* kSuffix = ".sock";

bool is_directory(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

/// The directory of sockets, made if it is missing. Another user's is refused: /tmp is everybody's.
Result<std::string> open_directory() {
  const std::string path = telemetry_directory();
  const bool is_made = ::mkdir(path.c_str(), 0700) == 0;
  // whatever the umask
  if (is_made ? ::chmod(path.c_str(), 0700) != 0 : errno != EEXIST) {
    return fail(ErrorCode::io,
                "cannot make " + path + ": " + std::generic_category().message(errno), errno);
  }
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) ||
      found.st_uid != ::geteuid() || (found.st_mode & 077) != 0) {
    return fail(ErrorCode::io, path + " is no directory of yours with mode 0700");
  }
  return path;
}

}  // namespace

std::string telemetry_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/' && is_directory(runtime))
    return std::string(runtime) + "/ringkernel";
  return "/tmp/rk-" + std::to_string(::geteuid());
}

Result<void> serve_telemetry(Runtime& runtime, const RunOptions& options) {
  MetricsOptions wanted{.http = options.metrics,
                        .socket = options.telemetry,
                        .textfile = options.metrics_file,
                        .job = options.example};
  if (options.telemetry == "none") wanted.socket.clear();
  if (options.telemetry != "auto") {
    if (wanted.socket.empty() && wanted.http.empty() && wanted.textfile.empty()) return {};
    return runtime.serve_metrics(std::move(wanted));
  }
  wanted.socket.clear();
  std::string why;
  if (auto directory = open_directory(); directory) {
    MetricsOptions all = wanted;
    all.socket = *directory + "/" + std::to_string(::getpid()) + kSuffix;
    const auto served = runtime.serve_metrics(std::move(all));
    if (served) return {};
    why = served.error().message;
  } else {
    why = directory.error().message;
  }
  if (!wanted.http.empty() || !wanted.textfile.empty())
    RK_TRY(runtime.serve_metrics(std::move(wanted)));
  std::fprintf(stderr, "rk: WARNING: rk top will not find this job: %s\n", why.c_str());
  return {};
}

Result<std::vector<RunningJob>> find_jobs() {
  std::vector<RunningJob> jobs;
  const std::string path = telemetry_directory();
  if (!is_directory(path)) return jobs;
  RK_TRY_ASSIGN(const std::string directory, open_directory());
  std::vector<std::string> names;
  DIR* listing = ::opendir(directory.c_str());
  if (listing == nullptr) {
    return fail(ErrorCode::io,
                "cannot read " + directory + ": " + std::generic_category().message(errno), errno);
  }
  while (const dirent* entry = ::readdir(listing)) {
    if (std::string name = entry->d_name; name.ends_with(kSuffix)) names.push_back(std::move(name));
  }
  ::closedir(listing);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string socket = directory + "/" + name;
    auto telemetry = fetch_telemetry(socket, kAnswerTimeout);
    if (telemetry) {
      jobs.push_back({socket, *std::move(telemetry)});
    } else if (telemetry.error().code == ErrorCode::closed) {
      ::unlink(socket.c_str());  // its process was killed
    } else if (telemetry.error().code != ErrorCode::not_found) {
      std::fprintf(stderr, "rk: WARNING: %s\n", telemetry.error().message.c_str());
    }
  }
  return jobs;
}

}  // namespace rk::tools
