// The `rk` command line. Results go to stdout, progress and errors to stderr. Exit codes: see
// docs/cli.md.
#include <CLI/CLI.hpp>
#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/runtime/result.hpp>

#include <iostream>

#include "commands.hpp"
#include "duration.hpp"
#include "example.hpp"
#include "store_commands.hpp"

namespace {

constexpr int kExitUsage = 2;

template <class Target>
CLI::Option* add_duration(CLI::App& app, const std::string& name, Target& target,
                          const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [&target, name](const std::string& text) {
            const auto duration = rk::tools::parse_duration(text);
            if (!duration) throw CLI::ValidationError(name, duration.error().message);
            target = *duration;
          },
          help)
      ->type_name("TIME");
}

void add_compression(CLI::App& app, const std::string& name, rk::checkpoint::Compression& target) {
  app.add_option_function<std::string>(
         name,
         [&target, name](const std::string& text) {
           const auto compression = rk::checkpoint::parse_compression(text);
           if (!compression) throw CLI::ValidationError(name, compression.error().message);
           target = *compression;
         },
         "none, lz4, zstd or zstd:LEVEL (1 to 19)")
      ->type_name("CODEC");
}

void add_run_options(CLI::App& app, rk::tools::RunOptions& options) {
  app.add_option("--backend", options.backend, "where actors run: auto, host or cuda")
      ->check(CLI::IsMember({"auto", "host", "cuda"}))
      ->capture_default_str();
  app.add_option("--workers", options.workers,
                 "threads (host) or blocks (cuda); 0: one per core or as many as fit")
      ->check(CLI::Range(0u, 255u))
      ->capture_default_str();
  auto* dir = app.add_option("--checkpoint-dir", options.checkpoint_dir,
                             "where checkpoints go; the same command resumes");
  add_duration(app, "--checkpoint-every", options.checkpoint_every,
               "interval between checkpoints, as in 500ms; 0: on demand");
  app.get_option("--checkpoint-every")->needs(dir);
  add_compression(app, "--checkpoint-compress", options.checkpoint_compress);
  app.add_option("--checkpoint-every-messages", options.checkpoint_every_messages,
                 "messages handled between checkpoints; 0: not counted")
      ->check(CLI::NonNegativeNumber)
      ->needs(dir);
  app.add_option("--checkpoint-every-steps", options.checkpoint_every_steps,
                 "steps of a simulation between checkpoints; 0: not counted")
      ->check(CLI::NonNegativeNumber)
      ->needs(dir);
  add_duration(app, "--mtbf", options.mtbf,
               "mean time between failures, as in 6h: the interval that loses least, from what "
               "checkpoints are measured to take")
      ->needs(dir)
      ->excludes("--checkpoint-every");
  app.add_option("--keep", options.keep, "newest checkpoints to keep")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  app.add_option("--full-every", options.full_every,
                 "one checkpoint in so many is full, the others hold what changed; 1: all are full")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  app.add_option("--tier", options.tiers,
                 "a further place that checkpoints are copied to; repeat for more, nearest first")
      ->type_name("PLACE")
      ->needs(dir);
  app.add_option("--tier-keep", options.tier_keep,
                 "newest checkpoints to keep in each tier; 0: as --keep")
      ->check(CLI::Range(0u, 1'000'000u))
      ->capture_default_str();
  app.add_option("--ack", options.ack,
                 "place that must hold a checkpoint before it counts: --checkpoint-dir or a --tier")
      ->type_name("PLACE")
      ->needs(dir);
  app.add_flag("--fresh", options.fresh, "do not resume; older checkpoints stay");
  add_duration(app, "--max-walltime", options.max_walltime,
               "save and stop (exit 85) before this time is over");
  add_duration(app, "--save-margin", options.save_margin,
               "how long before the end of --max-walltime to stop; default: twice the longest "
               "checkpoint so far")
      ->needs("--max-walltime")
      ->needs(dir);
  app.add_option("--telemetry", options.telemetry,
                 "socket for rk top: a path; auto: where rk top looks for it; none")
      ->type_name("PATH")
      ->capture_default_str();
  app.add_option("--metrics", options.metrics,
                 "serve Prometheus metrics at this address, without authentication")
      ->type_name("ADDRESS:PORT");
  app.add_option("--metrics-file", options.metrics_file,
                 "write Prometheus metrics there every 5 s, for node_exporter's textfile collector")
      ->type_name("FILE");
  app.add_flag("!--no-telemetry", options.counting,
               "workers count nothing: for measuring what it costs");
  app.add_flag("--json", options.json, "result as one line of JSON");
  // a script appends its own settings to a command it was given
  for (CLI::Option* option : app.get_options())
    if (option->get_name() != "--tier")
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"ringkernel: persistent actors that are checkpointed while they run", "rk"};
  app.set_version_flag("--version", std::string("rk ") + RK_VERSION);
  app.require_subcommand(1);
  int status = 0;

  auto* run = app.add_subcommand("run", "start an example, or resume it from --checkpoint-dir");
  run->require_subcommand(1);
  rk::tools::RunOptions run_options;
  for (const auto& example : rk::tools::examples()) {
    auto* sub = run->add_subcommand(example->name(), example->description());
    add_run_options(*sub, run_options);
    example->add_options(*sub);
    sub->callback([&status, &run_options, &example] {
      if (run_options.save_margin && *run_options.save_margin >= run_options.max_walltime)
        throw CLI::ValidationError("--save-margin", "must be shorter than --max-walltime");
      rk::tools::catch_signals();
      run_options.example = example->name();
      status = example->run(run_options);
    });
  }

  std::string path;
  bool json = false;
  const auto command = [&](const char* name, const char* help, const char* argument,
                           int (*f)(const std::string&, bool)) {
    auto* sub = app.add_subcommand(name, help);
    sub->add_option(argument, path, "what to look at")->required();
    sub->add_flag("--json", json, "result as JSON");
    sub->callback([&status, &path, &json, f] { status = f(path, json); });
  };
  rk::tools::add_store_commands(app, status);
  command("inspect", "show what a file, a checkpoint or a directory holds", "PATH",
          rk::tools::inspect_command);
  command("verify", "read every byte and check it against its hashes", "PATH",
          rk::tools::verify_command);
  rk::checkpoint::Compression compression;
  auto* compact = app.add_subcommand(
      "compact", "fold the newest checkpoint and the chain it builds on into a full one");
  compact->add_option("DIR", path, "what to look at")->required();
  add_compression(*compact, "--compress", compression);
  compact->add_flag("--json", json, "result as JSON");
  compact->callback([&] { status = rk::tools::compact_command(path, compression, json); });

  auto* doctor =
      app.add_subcommand("doctor", "what this machine has, what is missing and how to get it");
  std::string disk = ".";
  doctor->add_option("--dir", disk, "whose disk to report")->capture_default_str();
  doctor->add_flag("--json", json, "result as JSON");
  doctor->callback([&] { status = rk::tools::doctor_command(disk, json); });

  rk::tools::add_convert_command(app, status);
  rk::tools::add_bench_command(app, status);
  rk::tools::add_top_command(app, status);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? 0 : kExitUsage;
  }
  return status;
}
