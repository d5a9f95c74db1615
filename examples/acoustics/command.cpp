// `rk run acoustics`: a sound through a room.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/tools/backend.hpp>
#include <ringkernel/tools/example.hpp>

#include "png.hpp"
#include "simulation.hpp"
#include "wav.hpp"

namespace rk::acoustics {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string input, output, slice;
  std::string room = "5x4x3";
  std::string absorption = "0.1";
  std::uint32_t rate_hz = 8000;
  std::string source;
  std::vector<std::string> mics;
  double seconds = 0.0;
  bool seconds_given = false;
  double cell_m = 0.0;
  std::string tile;
};

/// A job as read and checked, and what identifies it in checkpoints.
struct Plan {
  Job job;
  std::map<std::string, std::string> identity;
};

Result<std::array<std::uint32_t, 3>> parse_tile(const std::string& text) {
  std::array<std::uint32_t, 3> sides{};
  if (text.empty()) return sides;
  RK_TRY_ASSIGN(const Point values, parse_room(text));
  for (int axis = 0; axis < 3; ++axis) {
    if (!(values[axis] >= 1.0 && values[axis] <= 4096.0) ||
        values[axis] != std::floor(values[axis])) {
      return fail(ErrorCode::invalid_argument,
                  "--tile " + text + ": the sides are whole numbers of cells, from 1 to 4096");
    }
    sides[axis] = static_cast<std::uint32_t>(values[axis]);
  }
  return sides;
}

Result<RoomSpec> make_spec(const Options& options) {
  RoomSpec spec;
  RK_TRY_ASSIGN(spec.size_m, parse_room(options.room));
  RK_TRY_ASSIGN(spec.absorption, parse_absorption(options.absorption));
  spec.rate_hz = options.rate_hz;
  spec.cell_m = options.cell_m;
  RK_TRY_ASSIGN(spec.source_m, parse_point(options.source));
  for (const std::string& mic : options.mics) {
    RK_TRY_ASSIGN(const Point point, parse_point(mic));
    spec.mics_m.push_back(point);
  }
  return spec;
}

Result<void> check_paths(const Options& options) {
  std::error_code ignored;
  if (fs::equivalent(options.input, options.output, ignored)) {
    return fail(ErrorCode::invalid_argument, "--output would overwrite --input: " + options.output);
  }
  for (const std::string& path : {options.output, options.slice}) {
    if (path.empty()) continue;
    const fs::path folder = fs::path(path).parent_path();
    if (!folder.empty() && !fs::is_directory(folder, ignored)) {
      return fail(ErrorCode::not_found,
                  "cannot write " + path + ": there is no folder " + folder.string());
    }
    if (fs::is_directory(path, ignored))
      return fail(ErrorCode::invalid_argument, path + " is a folder; name a file");
  }
  return {};
}

/// The input at the simulation's rate, and the number of steps that are wanted.
Result<std::pair<std::vector<float>, std::size_t>> read_input(const Options& options) {
  if (options.seconds_given && !(std::isfinite(options.seconds) && options.seconds > 0.0 &&
                                 options.seconds * options.rate_hz < 2147483647.0)) {
    return fail(ErrorCode::invalid_argument,
                "--seconds must be positive and give fewer than 2^31 steps");
  }
  RK_TRY_ASSIGN(Sound sound, read_wav(options.input, options.rate_hz));
  std::size_t steps = sound.samples.size();
  if (options.seconds_given) {
    steps = static_cast<std::size_t>(std::ceil(options.seconds * options.rate_hz));
  }
  return std::pair(std::move(sound.samples), steps);
}

/// The shortest text that reads back as `value`.
std::string text_of(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

template <class Values>
std::string join(const Values& values, const char* separator) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : separator) + text_of(value);
  return text;
}

Result<Plan> make_plan(const Options& options) {
  RK_TRY(check_paths(options));
  RK_TRY_ASSIGN(const RoomSpec spec, make_spec(options));
  Plan plan;
  RK_TRY_ASSIGN(plan.job.grid, make_grid(spec));
  RK_TRY_ASSIGN(const auto sides, parse_tile(options.tile));
  RK_TRY_ASSIGN(plan.job.tiling, make_tiling(plan.job.grid, sides));
  RK_TRY_ASSIGN(auto input, read_input(options));
  auto& [samples, steps] = input;
  const std::string input_hash = to_hex(checkpoint::xxh3_128(std::as_bytes(std::span(samples))));
  samples.resize(steps, 0.0F);
  plan.job.drive = make_drive(plan.job.grid, samples);
  plan.job.sink_path = options.output + ".part";

  const Tiling& tiling = plan.job.tiling;
  std::string mics;
  for (const Point& mic : spec.mics_m) mics += (mics.empty() ? "" : " ") + join(mic, ",");
  plan.identity = {
      {"room_m", join(spec.size_m, "x")},
      {"absorption", join(spec.absorption, ",")},
      {"rate_hz", std::to_string(options.rate_hz)},
      {"cell_m", text_of(plan.job.grid.dx)},
      {"source_m", join(spec.source_m, ",")},
      {"mics_m", mics},
      {"steps", std::to_string(steps)},
      {"input", input_hash},
      {"tiles", std::to_string(tiling.count[0]) + "x" + std::to_string(tiling.count[1]) + "x" +
                    std::to_string(tiling.count[2])},
  };
  return plan;
}

/// What the user gets to know at the end.
nlohmann::ordered_json summarize(const Options& options, const Job& job, Simulation& simulation,
                                 bool resumed, std::uint32_t first_step, double seconds) {
  const RuntimeStats stats = simulation.runtime().stats();
  const double steps = static_cast<double>(job.drive.size() - first_step);
  nlohmann::ordered_json out;
  out["output"] = options.output;
  if (!options.slice.empty()) out["slice"] = options.slice;
  out["backend"] = simulation.runtime().executor_name();
  out["workers"] = simulation.runtime().workers();
  out["grid"] = {job.grid.nx, job.grid.ny, job.grid.nz};
  out["tiles"] = job.tiling.tiles();
  out["steps"] = job.drive.size();
  out["resumed"] = resumed;
  out["steps_this_run"] = steps;
  out["seconds"] = seconds;
  out["steps_per_second"] = steps / seconds;
  out["cells_per_second"] = steps / seconds * static_cast<double>(job.grid.cells());
  out["checkpoints"] = stats.checkpoints;
  out["increments"] = stats.increments;
  out["checkpoint_failures"] = stats.checkpoint_failures;
  if (!stats.last_failure.empty()) out["last_checkpoint_failure"] = stats.last_failure;
  out["checkpoint_interval_s"] = std::chrono::duration<double>(stats.checkpoint_interval).count();
  out["checkpoint_backoff"] = stats.checkpoint_backoff;
  out["longest_checkpoint_ms"] =
      std::chrono::duration<double, std::milli>(stats.longest_checkpoint).count();
  out["ring_stalls"] = stats.stalls;
  out["ring_stalled_ticks"] = stats.stalled_ticks;
  out["drained_bytes"] = stats.drained_bytes;
  out["checkpoint_file_bytes"] = stats.file_bytes;
  out["messages"] = stats.received;
  out["dead_letters"] = stats.dead;
  return out;
}

void print_summary(const nlohmann::ordered_json& s) {
  const auto number = [&](const char* key) { return s.at(key).get<double>(); };
  std::printf("%s: %s on %.0f workers, %.0f tiles of a %sx%sx%s grid\n",
              s.at("output").get<std::string>().c_str(), s.at("backend").get<std::string>().c_str(),
              number("workers"), number("tiles"), s["grid"][0].dump().c_str(),
              s["grid"][1].dump().c_str(), s["grid"][2].dump().c_str());
  std::printf("  %.0f of %.0f steps in %.2f s: %.0f steps/s, %.1f million cells/s\n",
              number("steps_this_run"), number("steps"), number("seconds"),
              number("steps_per_second"), number("cells_per_second") / 1e6);
  std::printf(
      "  %.0f checkpoints (%.0f increments, %.0f failed), the longest %.1f ms until durable, %.1f "
      "MB "
      "drained, %.1f MB in files; %.0f waits for ring room\n",
      number("checkpoints"), number("increments"), number("checkpoint_failures"),
      number("longest_checkpoint_ms"), number("drained_bytes") / 1e6,
      number("checkpoint_file_bytes") / 1e6, number("ring_stalls"));
  if (s.contains("peak"))
    std::printf("  peak pressure %.4g, written with gain %.4g\n", number("peak"), number("gain"));
}

class AcousticsExample final : public tools::Example {
 public:
  [[nodiscard]] std::string name() const override { return "acoustics"; }
  [[nodiscard]] std::string description() const override {
    return "a sound through a room, heard by microphones";
  }

  void add_options(CLI::App& app) override {
    app.add_option("--input", options_.input, "WAV to play at the source")->required();
    app.add_option("--output", options_.output, "WAV to write: PCM 24, one channel per microphone")
        ->required();
    app.add_option("--slice", options_.slice,
                   "PNG to write: pressure at the end, at the source's height");
    app.add_option("--room", options_.room, "size in metres, LxWxH")->capture_default_str();
    app.add_option("--absorption", options_.absorption,
                   "0..1, one for all walls or six: x0,x1,y0,y1,z0,z1")
        ->capture_default_str();
    app.add_option("--rate", options_.rate_hz, "time steps per second = rate of the output")
        ->capture_default_str();
    app.add_option("--source", options_.source, "x,y,z in metres from the corner")->required();
    app.add_option("--mic", options_.mics, "x,y,z of a microphone; any number")->required();
    app.add_option_function<double>(
        "--seconds",
        [this](double seconds) {
          options_.seconds = seconds;
          options_.seconds_given = true;
        },
        "length of the recording; default: that of the input");
    app.add_option("--cell", options_.cell_m,
                   "edge of a cell in metres; default: the smallest stable one");
    app.add_option("--tile", options_.tile, "largest tile in cells, XxYxZ");
  }

  int run(const tools::RunOptions& run) override {
    auto status = simulate(run);
    return status ? *status : tools::report(status.error());
  }

 private:
  Result<int> simulate(const tools::RunOptions& run) {
    RK_TRY_ASSIGN(Plan plan, make_plan(options_));
    const Job job = plan.job;
    RK_TRY_ASSIGN(auto executor, tools::make_executor(run.backend, name(),
                                                      [] { return make_host_executor<Tile>(); }));
    RK_TRY_ASSIGN(
        const auto simulation,
        Simulation::create(std::move(plan.job), std::move(executor),
                           tools::runtime_options(run, "acoustics", std::move(plan.identity))));
    Runtime& runtime = simulation->runtime();
    RK_TRY_ASSIGN(const RestoreReport restored, tools::restore_loudly(runtime));
    if (!restored.restored) RK_TRY(simulation->begin());

    const std::uint32_t first_step = simulation->step();
    const auto began = Clock::now();
    RK_TRY_ASSIGN(const RunReport report, tools::run_with_signals(runtime, run, [&] {
                    return progress(*simulation, job, first_step, began);
                  }));
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    if (report.reason != StopReason::quiescent) {
      RK_TRY(runtime.stop());
      if (simulation->failure()) return unexpected(*simulation->failure());
      return tools::stopped_exit_code(report);
    }
    int status = 0;
    if (!run.checkpoint_dir.empty()) {
      // so that the same command, given again, finds the job done even when it was killed while
      // writing the output
      if (auto last = runtime.checkpoint_now(); !last) {
        status = exit_code(last.error().code);
        std::fprintf(stderr, "rk: the output is complete, but the run could not be saved: %s\n",
                     last.error().message.c_str());
      }
    }
    RK_TRY_ASSIGN(const Recording recording, simulation->finish());
    auto summary = summarize(options_, job, *simulation, restored.restored, first_step, seconds);
    RK_TRY(write_files(job, recording, summary));
    if (status == 0) simulation->discard_sink();
    if (run.json) {
      std::printf("%s\n", summary.dump().c_str());
    } else {
      print_summary(summary);
    }
    return status;
  }

  Result<void> write_files(const Job& job, const Recording& recording,
                           nlohmann::ordered_json& summary) const {
    if (recording.mics.empty()) {
      std::error_code ignored;
      if (!fs::is_regular_file(options_.output, ignored)) {
        return fail(ErrorCode::not_found, "this job was finished before, but " + options_.output +
                                              " is gone; start over with --fresh");
      }
      std::fprintf(stderr,
                   "rk: this job was finished before; %s stays as it is (--fresh starts over)\n",
                   options_.output.c_str());
    } else {
      RK_TRY_ASSIGN(const WavLevels levels,
                    write_wav(options_.output, options_.rate_hz, recording.mics));
      summary["peak"] = levels.peak;
      summary["gain"] = levels.gain;
    }
    if (options_.slice.empty()) return {};
    RK_TRY_ASSIGN(const Slice slice,
                  horizontal_slice(job.grid, recording.field, job.grid.source.z));
    return write_png(options_.slice, slice);
  }

  static std::string progress(const Simulation& simulation, const Job& job,
                              std::uint32_t first_step, Clock::time_point began) {
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    const std::uint32_t step = simulation.step();
    std::array<char, 128> line{};
    std::snprintf(line.data(), line.size(), "step %u of %zu (%.0f%%), %.0f steps/s", step,
                  job.drive.size(), 100.0 * step / static_cast<double>(job.drive.size()),
                  (step - first_step) / seconds);
    return line.data();
  }

  Options options_;
};

const tools::Registration registration(std::make_unique<AcousticsExample>());

}  // namespace
}  // namespace rk::acoustics
