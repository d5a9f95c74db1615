// `rk run factory`: machines that fail and are restarted, and the proof that no job is lost or done
// twice for it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/lifeline.hpp>
#include <ringkernel/runtime/patterns.hpp>
#include <ringkernel/tools/example.hpp>

#include "factory.hpp"

namespace rk::factory {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Settings {
  std::uint32_t jobs = 200'000;
  std::uint32_t areas = 2;
  std::uint32_t lines = 6;
  std::uint32_t machines = 48;
  std::uint32_t pairs = 8;
  std::uint64_t seed = 1;
  std::uint32_t fail_percent = 2;
  std::uint32_t poison_every = 1000;
  std::uint32_t poison_from = 0;
  std::uint32_t max_tries = 3;
  std::string restart = "mixed";
  std::string strategy = "mixed";
  std::uint32_t intensity = 16;
  std::uint32_t area_intensity = 16;
  std::int32_t site_intensity = -1;
  std::uint64_t window_us = 5'000'000;

  [[nodiscard]] Faults faults() const {
    return {seed, fail_percent, poison_every, poison_from, max_tries == 0 ? 2 : max_tries - 1};
  }
  /// Every second machine of the first ones is a helper: it is not restarted, and linked with the
  /// machine before it.
  [[nodiscard]] bool is_helper(std::uint32_t machine) const {
    return machine % 2 == 1 && machine < 2 * pairs;
  }
  [[nodiscard]] Restart restart_of(std::uint32_t machine) const {
    if (restart == "mixed") return machine / 2 % 2 == 0 ? Restart::saved : Restart::fresh;
    return restart == "saved" ? Restart::saved : Restart::fresh;
  }
  [[nodiscard]] SupervisorStrategy strategy_of(std::uint32_t line) const {
    if (strategy == "mixed") return static_cast<SupervisorStrategy>(line % 3);
    return strategy == "one_for_one"   ? SupervisorStrategy::one_for_one
           : strategy == "one_for_all" ? SupervisorStrategy::one_for_all
                                       : SupervisorStrategy::rest_for_one;
  }
  [[nodiscard]] std::uint32_t machine_of(std::uint32_t job) const {
    return static_cast<std::uint32_t>(mix(seed ^ mix(job) ^ 0x6A6F62u) % machines);
  }
  // ids, in the order of spawning
  [[nodiscard]] static ref<Ledger> ledger() { return {ActorId::make(0, 0)}; }
  [[nodiscard]] static ref<Machine> machine(std::uint32_t i) { return {ActorId::make(1 + i, 0)}; }
  [[nodiscard]] ref<Supervisor> line(std::uint32_t i) const {
    return {ActorId::make(1 + machines + i, 0)};
  }
  [[nodiscard]] ref<Supervisor> area(std::uint32_t i) const { return line(lines + i); }
  [[nodiscard]] ref<Supervisor> site() const { return line(lines + areas); }
};

/// Jobs under way at a time, so that the queues of any number of workers hold them.
constexpr std::uint32_t kWindow = 4096;

/// The host's part of a checkpoint: where the input is, and what became of it.
struct Position {
  std::uint32_t paired = 0;      ///< links asked for
  std::uint32_t next = 0;        ///< job
  std::uint32_t booked = 0;      ///< the ledger's word for it
  std::uint32_t unexpected = 0;  ///< dead letters that should not be
  std::uint32_t again = 0;       ///< jobs sent again because their helper was dead
  std::vector<std::uint32_t> poisoned{};
  std::vector<std::uint32_t> waiting{};  ///< pairs of job and machine: to be sent again

  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::uint32_t> words{
        paired, next, booked, unexpected, again, static_cast<std::uint32_t>(poisoned.size())};
    words.insert(words.end(), poisoned.begin(), poisoned.end());
    words.insert(words.end(), waiting.begin(), waiting.end());
    const auto view = std::as_bytes(std::span(words));
    return {view.begin(), view.end()};
  }
  [[nodiscard]] bool read(std::span<const std::byte> bytes) {
    std::vector<std::uint32_t> words(bytes.size() / 4);
    std::memcpy(words.data(), bytes.data(), words.size() * 4);
    if (words.size() < 6 || words.size() - 6 < words[5]) return false;
    paired = words[0], next = words[1], booked = words[2], unexpected = words[3], again = words[4];
    const auto middle = words.begin() + 6 + words[5];
    poisoned.assign(words.begin() + 6, middle);
    waiting.assign(middle, words.end());
    return true;
  }
};

/// What is there when the run has ended.
struct Outcome {
  std::uint32_t finished = 0;  ///< jobs in the ledger
  std::uint32_t helpers_lost = 0;
  std::uint64_t machine_restarts = 0;
  std::uint64_t line_restarts = 0;
  std::uint64_t area_restarts = 0;
  std::uint64_t digest = 0;  ///< of finished and poisoned jobs
  std::vector<std::string> wrong{};
};

class FactoryCommand final : public tools::Example {
 public:
  [[nodiscard]] std::string name() const override { return "factory"; }
  [[nodiscard]] std::string description() const override {
    return "supervised machines that fail on jobs; none is lost or done twice";
  }
  void add_options(CLI::App& app) override {
    Settings& s = settings_;
    app.add_option("--jobs", s.jobs, "to be done")
        ->check(CLI::Range(1u, 50'000'000u))
        ->capture_default_str();
    app.add_option("--areas", s.areas, "supervisors of lines")
        ->check(CLI::Range(1u, 100u))
        ->capture_default_str();
    app.add_option("--lines", s.lines, "supervisors of machines")
        ->check(CLI::Range(1u, 1000u))
        ->capture_default_str();
    app.add_option("--machines", s.machines, "of all lines")
        ->check(CLI::Range(1u, 10'000u))
        ->capture_default_str();
    app.add_option("--pairs", s.pairs,
                   "machines linked with a helper on another line, which is not restarted")
        ->capture_default_str();
    app.add_option("--seed", s.seed, "of all faults")->capture_default_str();
    app.add_option("--fail-percent", s.fail_percent, "of tries that fail")
        ->check(CLI::Range(0u, 100u))
        ->capture_default_str();
    app.add_option("--poison-every", s.poison_every,
                   "one job in so many fails wherever it is tried; 0: none")
        ->capture_default_str();
    app.add_option("--poison-from", s.poison_from, "first job that may")->capture_default_str();
    app.add_option("--max-tries", s.max_tries,
                   "failures after which a job is a dead letter; 0: tried for ever")
        ->check(CLI::Range(0u, 200u))
        ->capture_default_str();
    app.add_option("--restart", s.restart, "what machines restart from: fresh, saved or mixed")
        ->check(CLI::IsMember({"fresh", "saved", "mixed"}))
        ->capture_default_str();
    app.add_option("--strategy", s.strategy,
                   "of lines: one_for_one, one_for_all, rest_for_one or mixed")
        ->check(CLI::IsMember({"one_for_one", "one_for_all", "rest_for_one", "mixed"}))
        ->capture_default_str();
    app.add_option("--intensity", s.intensity, "restarts of a line's machines in a window")
        ->check(CLI::Range(0u, 16u))
        ->capture_default_str();
    app.add_option("--area-intensity", s.area_intensity, "of an area's lines")
        ->check(CLI::Range(0u, 16u))
        ->capture_default_str();
    app.add_option("--site-intensity", s.site_intensity, "of the areas; -1: no limit")
        ->check(CLI::Range(-1, 16))
        ->capture_default_str();
    app.add_option("--window-us", s.window_us, "the window, of all supervisors")
        ->capture_default_str();
  }
  int run(const tools::RunOptions& options) override {
    const auto result = try_run(options);
    return result ? *result : tools::report(result.error());
  }

 private:
  [[nodiscard]] std::map<std::string, std::string> identity() const {
    const Settings& s = settings_;
    const auto text = [](auto number) { return std::to_string(number); };
    return {{"jobs", text(s.jobs)},
            {"areas", text(s.areas)},
            {"lines", text(s.lines)},
            {"machines", text(s.machines)},
            {"pairs", text(s.pairs)},
            {"seed", text(s.seed)},
            {"fail_percent", text(s.fail_percent)},
            {"poison", text(s.poison_every) + " from " + text(s.poison_from)},
            {"max_tries", text(s.max_tries)},
            {"restart", s.restart},
            {"strategy", s.strategy},
            {"intensity", text(s.intensity) + " " + text(s.area_intensity) + " " +
                              text(s.site_intensity) + " in " + text(s.window_us)}};
  }

  Result<int> try_run(const tools::RunOptions& options) {
    const Settings& s = settings_;
    if (options.backend == "cuda")
      return fail(ErrorCode::invalid_argument, "the factory runs on the host: --backend host");
    if (2 * s.pairs > s.machines || s.lines < s.areas || (s.pairs != 0 && s.lines < 2))
      return fail(ErrorCode::invalid_argument,
                  "a pair takes two machines on two lines, and an area at least one line");
    RuntimeOptions runtime_options = tools::runtime_options(options, "factory", identity());
    runtime_options.placement = Placement::spread;
    runtime_options.capacity.slab_blocks = 1;
    RK_TRY_ASSIGN(runtime_, Runtime::create(make_host_executor<Ledger, Machine, Supervisor>(),
                                            std::move(runtime_options)));
    listen();
    RK_TRY_ASSIGN(const RestoreReport restored, tools::restore_loudly(*runtime_));
    if (!restored.restored) RK_TRY(build());
    RK_TRY(runtime_->start(true));
    if (restored.restored) remember();
    const auto begin = Clock::now();
    RK_TRY_ASSIGN(const RunReport report, tools::run_with_signals(*runtime_, options, [this] {
                    return "factory: " + std::to_string(runtime_->stats().received) + " messages";
                  }));
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    RK_TRY(runtime_->stop());
    return finish(options, restored, report, elapsed.count());
  }

  void listen() {
    runtime_->on_cut([this] { return position_.bytes(); },
                     [this](std::span<const std::byte> bytes) -> Result<void> {
                       if (!position_.read(bytes))
                         return fail(ErrorCode::incompatible,
                                     "the checkpoint holds another factory");
                       return {};
                     });
    runtime_->on_output<Booked>([this](const Booked&, const OutputInfo&) { ++position_.booked; });
    runtime_->on_dead_letter([this](const DeadLetter& letter) { bury(letter); });
    runtime_->on_feed([this](Feed& out) { return feed(out); });
  }
  /// A poison job has its end here; one whose helper is dead goes to the helper's partner.
  void bury(const DeadLetter& letter) {
    const std::uint32_t machine = letter.to.index() - 1;
    if (letter.tag != Job::tag || letter.is_command) {
      ++position_.unexpected;
      return;
    }
    std::uint32_t job = 0;
    std::memcpy(&job, letter.payload.data(), sizeof(job));
    if (letter.reason == DeadReason::poisoned) {
      position_.poisoned.push_back(job);
    } else if (letter.reason == DeadReason::dead && settings_.is_helper(machine)) {
      position_.waiting.push_back(job);
      position_.waiting.push_back(machine - 1);
      ++position_.again;
    } else {
      ++position_.unexpected;
    }
  }
  FeedState feed(Feed& out) {
    const Settings& s = settings_;
    Position& at = position_;
    for (; at.paired < s.pairs; ++at.paired) {
      const std::uint32_t first = 2 * at.paired;
      if (!out.send(s.machine(first), Pair{s.machine(first + 1).id})) return FeedState::more;
    }
    while (!at.waiting.empty()) {
      const std::uint32_t job = at.waiting[at.waiting.size() - 2];
      if (!out.send(s.machine(at.waiting.back()), Job{job})) return FeedState::more;
      at.waiting.resize(at.waiting.size() - 2);
    }
    const std::size_t ended = at.booked + at.poisoned.size() + at.unexpected;
    for (; at.next < s.jobs && at.next < ended + kWindow; ++at.next) {
      if (!out.send(s.machine(s.machine_of(at.next)), Job{at.next})) return FeedState::more;
    }
    // until all are accounted for, one may come back as a dead letter
    return ended >= s.jobs ? FeedState::ended : FeedState::more;
  }

  Result<void> build() {
    const Settings& s = settings_;
    RK_TRY(runtime_->spawn<Ledger>(1,
                                   [&s](std::uint32_t, Ledger& ledger) {
                                     ledger.jobs = s.jobs;
                                     ledger.machines = s.machines;
                                   },
                                   {.field_bytes = Ledger::field_bytes(s.jobs, s.machines)}));
    std::vector<std::vector<Child>> of_line(s.lines);
    for (std::uint32_t i = 0; i < s.machines; ++i) {
      const std::uint32_t line = i % s.lines;
      of_line[line].push_back(
          {s.machine(i).id, s.is_helper(i) ? ChildMode::temporary : ChildMode::permanent});
      RK_TRY(runtime_->spawn<Machine>(
          1,
          [&s, i](std::uint32_t, Machine& machine) {
            machine.faults = s.faults();
            machine.ledger = s.ledger();
            machine.number = i;
          },
          {.policy = {.supervisor = s.line(line).id,
                      .restart = s.restart_of(i),
                      .max_tries = static_cast<std::uint8_t>(s.max_tries)}}));
    }
    std::vector<std::vector<Child>> of_area(s.areas);
    for (std::uint32_t l = 0; l < s.lines; ++l) {
      of_area[l % s.areas].push_back({s.line(l).id});
      RK_TRY(spawn(s.strategy_of(l), s.intensity, of_line[l], s.area(l % s.areas).id));
    }
    std::vector<Child> of_site;
    for (std::uint32_t a = 0; a < s.areas; ++a) {
      of_site.push_back({s.area(a).id});
      RK_TRY(spawn(SupervisorStrategy::one_for_one, s.area_intensity, of_area[a], s.site().id));
    }
    return spawn(
        SupervisorStrategy::one_for_one,
        s.site_intensity < 0 ? Supervisor::kNoLimit : static_cast<std::uint32_t>(s.site_intensity),
        of_site, kNoActor);
  }
  Result<void> spawn(SupervisorStrategy strategy, std::uint32_t intensity,
                     std::vector<Child> children, ActorId above) {
    const auto room = static_cast<std::uint32_t>(std::max<std::size_t>(children.size(), 1));
    RK_TRY(spawn_supervisor(*runtime_, {.strategy = strategy,
                                        .intensity = intensity,
                                        .window_us = settings_.window_us,
                                        .max_children = room,
                                        .children = std::move(children),
                                        .policy = {.supervisor = above}}));
    return {};
  }

  /// What machines that restart from the newest cut can never fall behind again.
  void remember() {
    for (std::uint32_t i = 0; i < settings_.machines; ++i) {
      const auto machine = runtime_->read(settings_.machine(i));
      restored_done_.push_back(machine ? machine->done : 0);
    }
  }

  Result<Outcome> look() {
    Outcome out;
    const Settings& s = settings_;
    RK_TRY_ASSIGN(const Ledger ledger, runtime_->read(s.ledger()));
    RK_TRY_ASSIGN(const auto slot, runtime_->read_slot(s.ledger().id));
    const std::byte* field =
        slot.data() + sizeof(SlotHeader) + align_up(sizeof(Ledger), kSlotAlignment);
    std::vector<std::uint8_t> times(s.jobs);
    std::vector<std::uint32_t> by(s.machines);
    std::memcpy(times.data(), field, times.size());
    std::memcpy(by.data(), field + (s.jobs + 3) / 4 * 4, by.size() * 4);
    std::vector<std::uint32_t> poisoned(s.jobs);
    for (const std::uint32_t job : position_.poisoned) ++poisoned[job];
    complain_about_jobs(out, ledger, times, poisoned);
    for (std::uint32_t i = 0; i < s.machines; ++i) RK_TRY(look_at_machine(out, i, by[i]));
    for (std::uint32_t l = 0; l < s.lines; ++l) {
      RK_TRY_ASSIGN(const Lifeline life, lifeline_of<Supervisor>(s.line(l).id));
      out.line_restarts += life.restarts;
    }
    for (std::uint32_t a = 0; a < s.areas; ++a) {
      RK_TRY_ASSIGN(const Lifeline life, lifeline_of<Supervisor>(s.area(a).id));
      out.area_restarts += life.restarts;
    }
    return out;
  }
  void complain_about_jobs(Outcome& out, const Ledger& ledger,
                           const std::vector<std::uint8_t>& times,
                           const std::vector<std::uint32_t>& poisoned) const {
    const Faults faults = settings_.faults();
    std::uint64_t products = 0;
    std::uint32_t wrong = 0;
    for (std::uint32_t job = 0; job < settings_.jobs; ++job) {
      const std::uint32_t poison = faults.is_poison(job) ? 1 : 0;
      if (times[job] != 1 - poison || poisoned[job] != poison) ++wrong;
      out.finished += times[job] != 0 ? 1 : 0;
      out.digest = mix(out.digest ^ times[job] ^ poisoned[job] << 8);
      if (times[job] != 0) products += product_of(faults.seed, job);
    }
    out.digest = mix(out.digest ^ ledger.products);
    if (wrong != 0)
      out.wrong.push_back(std::to_string(wrong) +
                          " jobs were not finished exactly once, or not poisoned exactly once");
    if (products != ledger.products || ledger.twice != 0 || ledger.booked != out.finished ||
        position_.booked != out.finished)
      out.wrong.push_back("the ledger's sums differ from its entries");
    if (position_.unexpected != 0)
      out.wrong.push_back(std::to_string(position_.unexpected) +
                          " messages died of something else");
  }
  Result<void> look_at_machine(Outcome& out, std::uint32_t i, std::uint32_t finished) {
    const auto machine = runtime_->read(settings_.machine(i));
    const std::string who = "machine " + std::to_string(i);
    if (!machine) {
      if (!settings_.is_helper(i)) out.wrong.push_back(who + " is dead");
      ++out.helpers_lost;
      return {};
    }
    RK_TRY_ASSIGN(const Lifeline life, lifeline_of<Machine>(settings_.machine(i).id));
    out.machine_restarts += life.restarts;
    if (machine->torn != 0 || machine->begun != 0)
      out.wrong.push_back(who + " kept a change of a handler that failed");
    if (machine->done > finished) out.wrong.push_back(who + " remembers more than it did");
    if (life.restarts == 0 && machine->done != finished)
      out.wrong.push_back(who + " was never restarted, but forgot something");
    if (!restored_done_.empty() && life.restart == Restart::saved &&
        machine->done < restored_done_[i])
      out.wrong.push_back(who + " fell behind the checkpoint it was restored from");
    return {};
  }
  template <class A>
  Result<Lifeline> lifeline_of(ActorId id) {
    RK_TRY_ASSIGN(auto slot, runtime_->read_slot(id));
    return Trail(*reinterpret_cast<SlotHeader*>(slot.data()), detail::trail_layout<A>()).lifeline();
  }

  Result<int> finish(const tools::RunOptions& options, const RestoreReport& restored,
                     const RunReport& report, double seconds) {
    const RuntimeStats stats = runtime_->stats();
    const bool complete = report.reason == StopReason::quiescent;
    Outcome out;
    if (complete) {
      RK_TRY_ASSIGN(out, look());
    }
    char digest[17];
    std::snprintf(digest, sizeof(digest), "%016llx", static_cast<unsigned long long>(out.digest));
    const ordered_json result{
        {"example", "factory"},
        {"jobs", settings_.jobs},
        {"complete", complete},
        {"finished", complete ? ordered_json(out.finished) : ordered_json()},
        {"poisoned", position_.poisoned.size()},
        {"sent_again", position_.again},
        {"helpers_lost", out.helpers_lost},
        {"machine_restarts", out.machine_restarts},
        {"line_restarts", out.line_restarts},
        {"area_restarts", out.area_restarts},
        {"digest", complete ? ordered_json(digest) : ordered_json()},
        {"workers", runtime_->workers()},
        {"restored_epoch", restored.restored ? ordered_json(restored.epoch) : ordered_json()},
        {"seconds", seconds},
        {"messages", stats.received},
        {"checkpoints", stats.checkpoints},
        {"checkpoint_failures", stats.checkpoint_failures}};
    if (options.json) {
      std::printf("%s\n", result.dump().c_str());
    } else {
      std::printf(
          "%llu messages in %.2f s, %u workers, %u checkpoints; restarts: %llu machines, %llu "
          "lines, "
          "%llu areas\n",
          static_cast<unsigned long long>(stats.received), seconds, runtime_->workers(),
          stats.checkpoints, static_cast<unsigned long long>(out.machine_restarts),
          static_cast<unsigned long long>(out.line_restarts),
          static_cast<unsigned long long>(out.area_restarts));
      if (complete)
        std::printf("%u jobs finished, %zu poisoned\ndigest %s\n", out.finished,
                    position_.poisoned.size(), digest);
    }
    for (const std::string& what : out.wrong)
      std::fprintf(stderr, "rk: the factory is wrong: %s\n", what.c_str());
    return out.wrong.empty() ? tools::stopped_exit_code(report) : 1;
  }

  Settings settings_;
  Position position_;                         ///< under the lane's lock
  std::vector<std::uint64_t> restored_done_;  ///< by machine
  std::unique_ptr<Runtime> runtime_;
};

const tools::Registration registration{std::make_unique<FactoryCommand>()};

}  // namespace
}  // namespace rk::factory
