// A reading as a screen of text. Figures per second are differences to the previous reading.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "duration.hpp"
#include "telemetry.hpp"

namespace rk::tools {
namespace {

using nlohmann::json;

constexpr double kLongHandlerS = 1;  ///< from here on a handler that runs is worth a word
constexpr std::size_t kLinesAroundWorkers = 3;

template <class... Args>
void print(std::string& out, const char* format, Args... args) {
  char line[320];
  const int length = std::snprintf(line, sizeof(line), format, args...);
  out.append(line, std::min(static_cast<std::size_t>(std::max(length, 0)), sizeof(line) - 1));
}

/// "950", "12.3k", "4.56M"
std::string short_count(double value) {
  char text[32];
  const char* unit = "";
  for (const char* next : {"k", "M", "G", "T"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  const int digits = unit[0] == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  std::snprintf(text, sizeof(text), "%.*f%s", digits, value, unit);
  return text;
}

std::string short_time(double seconds) {
  char text[32];
  const char* unit = "s";
  double value = seconds;
  if (seconds < 1e-6) {
    value = seconds * 1e9, unit = "ns";
  } else if (seconds < 1e-3) {
    value = seconds * 1e6, unit = "us";
  } else if (seconds < 1) {
    value = seconds * 1e3, unit = "ms";
  }
  std::snprintf(text, sizeof(text), "%.3g %s", value, unit);
  return text;
}

/// Readings that belong together: the newest, and an older one if it is the same process's.
class Readings {
 public:
  Readings(const std::string& now, const std::string& before) : now_(json::parse(now)) {
    if (before.empty()) return;
    before_ = json::parse(before);
    if (before_.at("pid") != now_.at("pid")) before_ = nullptr;
    if (!before_.is_null()) {
      seconds_ = (now_.at("time_us").get<double>() - before_.at("time_us").get<double>()) / 1e6;
      if (seconds_ <= 0) before_ = nullptr;
    }
  }
  [[nodiscard]] const json& now() const { return now_; }
  /// Of a counter, per second; over the whole run if there is no older reading.
  [[nodiscard]] double rate(const json::json_pointer& counter) const {
    const double value = now_.at(counter).get<double>();
    if (has_before(counter)) return (value - before_.at(counter).get<double>()) / seconds_;
    const double uptime = now_.at("uptime_s").get<double>();
    return uptime > 0 ? value / uptime : 0;
  }
  /// The `share` of a histogram's values since the older reading, or of all.
  [[nodiscard]] double percentile(const json::json_pointer& buckets, double share) const {
    std::map<double, double> counts;
    for (const json& bucket : now_.at(buckets)) counts[bucket.at(0)] += bucket.at(1).get<double>();
    if (has_before(buckets)) {
      for (const json& bucket : before_.at(buckets))
        counts[bucket.at(0)] -= bucket.at(1).get<double>();
    }
    double total = 0;
    for (const auto& [bound, count] : counts) total += count;
    double seen = 0;
    double last = 0;
    for (const auto& [bound, count] : counts) {
      if (count <= 0) continue;
      seen += count;
      last = bound;
      if (seen >= share * total) break;
    }
    return last;
  }

 private:
  [[nodiscard]] bool has_before(const json::json_pointer& what) const {
    return !before_.is_null() && before_.contains(what);
  }
  json now_;
  json before_;
  double seconds_ = 0;
};

json::json_pointer at(const std::string& list, std::size_t i, const std::string& member) {
  return json::json_pointer("/" + list + "/" + std::to_string(i) + "/" + member);
}

void render_head(std::string& out, const Readings& readings) {
  const json& now = readings.now();
  double messages = 0;
  double rate = 0;
  for (std::size_t t = 0; t < now.at("types").size(); ++t) {
    messages += now.at(at("types", t, "handled")).get<double>();
    rate += readings.rate(at("types", t, "handled"));
  }
  print(out, "%s  pid %llu  %s  %zu workers  up %s  %s messages  %s/s%s\n",
        now.at("job").get<std::string>().c_str(),
        static_cast<unsigned long long>(now.at("pid").get<std::uint64_t>()),
        now.at("executor").get<std::string>().c_str(), now.at("workers").size(),
        short_time(now.at("uptime_s").get<double>()).c_str(), short_count(messages).c_str(),
        short_count(rate).c_str(), now.at("running").get<bool>() ? "" : "  NOT RUNNING");
  const json& checkpoint = now.at("checkpoint");
  print(out, "checkpoints %u (%u increments, %u failed)",
        checkpoint.at("checkpoints").get<unsigned>(), checkpoint.at("increments").get<unsigned>(),
        checkpoint.at("failures").get<unsigned>());
  if (checkpoint.at("age_s").is_number()) {
    print(out, "  newest %s ago, %s in files, the longest took %s",
          short_time(checkpoint.at("age_s").get<double>()).c_str(),
          format_bytes(checkpoint.at("file_bytes").get<std::uint64_t>()).c_str(),
          short_time(checkpoint.at("longest_s").get<double>()).c_str());
  }
  out += "\n\n";
}

void render_types(std::string& out, const Readings& readings) {
  print(out, "%-24s %9s %9s %9s %7s %7s | %8s %8s %8s | %8s %8s\n", "TYPE", "MSG/S", "MESSAGES",
        "SENDS/S", "FAILED", "DEAD", "WAIT p50", "p99", "p99.9", "RUN p50", "p99");
  const json& types = readings.now().at("types");
  for (std::size_t t = 0; t < types.size(); ++t) {
    const json& type = types[t];
    const auto dead = type.at("dead_letters").get<double>();
    if (t + 1 == types.size() && dead == 0) break;  // what has no type
    const auto wait = [&](double share) {
      return short_time(readings.percentile(at("types", t, "latency_us/buckets"), share) / 1e6);
    };
    const auto run = [&](double share) {
      return short_time(readings.percentile(at("types", t, "handler_ns/buckets"), share) / 1e9);
    };
    print(out, "%-24.24s %9s %9s %9s %7s %7s | %8s %8s %8s | %8s %8s\n",
          type.at("type").get<std::string>().c_str(),
          short_count(readings.rate(at("types", t, "handled"))).c_str(),
          short_count(type.at("handled").get<double>()).c_str(),
          short_count(readings.rate(at("types", t, "sends"))).c_str(),
          short_count(type.at("failures").get<double>()).c_str(), short_count(dead).c_str(),
          wait(0.5).c_str(), wait(0.99).c_str(), wait(0.999).c_str(), run(0.5).c_str(),
          run(0.99).c_str());
  }
  out += "\n";
}

/// What a worker is stuck in, if it is.
std::string describe_now(const json& worker) {
  const json& running = worker.at("running");
  if (running.is_null() || worker.at("running_s").get<double>() < kLongHandlerS) return "";
  return running.at("type").get<std::string>() + " " +
         std::to_string(running.at("actor").get<std::uint32_t>()) + ", tag " +
         std::to_string(running.at("tag").get<unsigned>()) + ", for " +
         short_time(worker.at("running_s").get<double>());
}

void render_workers(std::string& out, const Readings& readings, std::size_t most) {
  print(out, "%6s %9s %9s %8s %8s %8s %9s %6s  %s\n", "WORKER", "MSG/S", "MESSAGES", "INBOX",
        "OUTBOX", "STASH", "FULL/S", "BUSY", "INSIDE");
  const json& workers = readings.now().at("workers");
  for (std::size_t w = 0; w < std::min(most, workers.size()); ++w) {
    const json& worker = workers[w];
    double busy = 0;
    for (const auto& [name, type] : worker.at("types").items()) {
      // a type's name may hold a slash, which a pointer takes apart
      const json::json_pointer members = at("workers", w, "types") / name / "handler_s";
      busy += readings.rate(members);
    }
    print(out, "%6zu %9s %9s %8s %8s %8s %9s %5.0f%%  %s\n", w,
          short_count(readings.rate(at("workers", w, "received"))).c_str(),
          short_count(worker.at("received").get<double>()).c_str(),
          short_count(worker.at("inbox").get<double>()).c_str(),
          short_count(worker.at("outbox").get<double>()).c_str(),
          short_count(worker.at("stash").get<double>()).c_str(),
          short_count(readings.rate(at("workers", w, "full_inbox_total"))).c_str(),
          100 * std::min(busy, 1.0), describe_now(worker).c_str());
  }
  if (workers.size() > most) print(out, "       and %zu more\n", workers.size() - most);
}

}  // namespace

std::string render_telemetry(const std::string& telemetry, const std::string& previous,
                             std::size_t lines) {
  const Readings readings(telemetry, previous);
  std::string out;
  render_head(out, readings);
  render_types(out, readings);
  const std::size_t used =
      static_cast<std::size_t>(std::count(out.begin(), out.end(), '\n')) + kLinesAroundWorkers;
  render_workers(out, readings, lines > used ? lines - used : 1);
  return out;
}

}  // namespace rk::tools
