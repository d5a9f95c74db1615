// `rk bench NAME`: measurements a user can repeat on his own machine. Each is one entry of `kAll`.
#include <CLI/CLI.hpp>
#include <ringkernel/bench/format_workload.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench_kinds.hpp"
#include "commands.hpp"
#include "example.hpp"

namespace rk::tools {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct Bench {
  const char* name;
  const char* what;
  Result<ordered_json> (*run)(const BenchOptions& options);
};

/// A folder of our own below `parent`, removed at the end with all that is in it.
class WorkFolder {
 public:
  static Result<WorkFolder> create(const std::string& parent) {
    std::error_code error;
    const fs::path base = parent.empty() ? fs::temp_directory_path(error) : fs::path(parent);
    std::string path = (base / "rk-bench-XXXXXX").string();
    if (error || ::mkdtemp(path.data()) == nullptr) {
      return checkpoint::system_error("create a folder in", base.string(), errno);
    }
    return WorkFolder(path);
  }
  explicit WorkFolder(fs::path path) : path_(std::move(path)) {}
  WorkFolder(WorkFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

Result<double> seconds_of(const std::function<Result<void>()>& work) {
  const auto start = std::chrono::steady_clock::now();
  RK_TRY(work());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Every kind of work once per repetition, so that a busy moment of the machine hits all alike.
struct Interleaved {
  struct Kind {
    std::string key;
    std::function<Result<void>()> work;
    std::vector<double> seconds{};
  };
  std::vector<Kind> kinds;

  Result<void> repeat(std::uint32_t repetitions) {
    for (std::uint32_t i = 0; i < repetitions; ++i) {
      for (auto& kind : kinds) {
        RK_TRY_ASSIGN(const double seconds, seconds_of(kind.work));
        kind.seconds.push_back(seconds);
      }
    }
    return {};
  }
  void report(ordered_json& out, std::uint64_t bytes) const {
    for (const auto& kind : kinds) {
      out[kind.key + "_gbps"] = static_cast<double>(bytes) / 1e9 / median(kind.seconds);
    }
  }
};

Result<ordered_json> bench_format(const BenchOptions& options) {
  RK_TRY_ASSIGN(const auto folder, WorkFolder::create(options.directory));
  constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
  bench::FormatWorkload workload(std::size_t{options.mib} << 20, kChunkBytes);
  Interleaved memory{{{"encode", [&] { return workload.encode(); }},
                      {"decode", [&] { return workload.decode(); }},
                      {"memcpy", [&]() -> Result<void> {
                         workload.copy();
                         return {};
                       }}}};
  RK_TRY(memory.repeat(options.repetitions));

  const auto storage = std::make_shared<checkpoint::FileStorage>(folder.path());
  std::uint64_t epoch = 0;
  std::uint64_t file = 0;
  // The other's file of the round before goes first: its pages must not be written back meanwhile.
  const auto clear = [&] {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder.path(), ignored)) {
      fs::remove_all(entry.path(), ignored);
    }
  };
  Interleaved durable{{{"save", [&] { return workload.save(storage, ++epoch); }},
                       {"write_fsync", [&] {
                          return workload.write_and_sync(
                              (folder.path() / ("f" + std::to_string(++file))).string());
                        }}}};
  for (std::uint32_t i = 0; i < options.repetitions; ++i) {
    RK_TRY(durable.repeat(1));
    clear();
  }
  ordered_json out;
  memory.report(out, workload.state_bytes());
  durable.report(out, workload.state_bytes());
  return out;
}

constexpr std::array<Bench, 3> kAll{
    {{"format", "encode, decode and durable save of a .rkcp file beside memcpy and write+fsync",
      bench_format},
     {"queues", "rings beside Boost.Lockfree's queues", bench_queues},
     {"actors", "actors on two workers beside CAF's", bench_actors}}};

std::string names() {
  std::string out;
  for (const auto& bench : kAll) out += (out.empty() ? "" : ", ") + std::string(bench.name);
  return out;
}

void print(const ordered_json& result) {
  for (const auto& [key, value] : result.items()) {
    std::printf("%-20s", key.c_str());
    if (value.is_object()) {
      for (const auto& [name, figure] : value.items())
        std::printf(" %s %.3f", name.c_str(), figure.get<double>());
    } else {
      std::printf(" %.3f", value.get<double>());
    }
    std::printf("\n");
  }
}

Result<void> run_bench(const BenchOptions& options) {
  const auto* found = std::find_if(kAll.begin(), kAll.end(),
                                   [&](const Bench& bench) { return options.name == bench.name; });
  if (found == kAll.end()) {
    return fail(ErrorCode::invalid_argument,
                "there is no benchmark '" + options.name + "'; there are: " + names());
  }
  RK_TRY_ASSIGN(const auto result, found->run(options));
  if (options.json == "-") {
    std::printf("%s\n", result.dump().c_str());
    return {};
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << result.dump() << "\n";
    file.flush();
    if (!file) return checkpoint::system_error("write", options.json, errno);
  }
  print(result);
  return {};
}

}  // namespace

void add_bench_command(CLI::App& app, int& status) {
  const auto options = std::make_shared<BenchOptions>();
  auto* sub = app.add_subcommand("bench", "measure: medians of interleaved repetitions");
  sub->add_option("NAME", options->name, names())->required();
  sub->add_option("--mib", options->mib, "size of the state")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  sub->add_option("--repetitions", options->repetitions, "of each kind of work")
      ->check(CLI::Range(1u, 10'000u))
      ->capture_default_str();
  sub->add_option("--messages", options->messages,
                  "of a repetition of queues or actors; default: enough to measure")
      ->check(CLI::Range(1u, 1'000'000'000u));
  sub->add_option("--dir", options->directory, "where files are written; default: a temporary one");
  sub->add_option("--json", options->json, "write the result as JSON to FILE; -: to stdout")
      ->type_name("FILE");
  sub->callback([options, &status] {
    const auto done = run_bench(*options);
    status = done ? 0 : report(done.error());
  });
}

}  // namespace rk::tools
