// What increments write, and what they restore to. Prints `PASS|FAIL claim measured bound`, exits
// with 1 if any claim failed.
//
//   increment_oracle              everything
//   increment_oracle running [N]  only the claim about running systems, with N checkpoints: what
//   the
//                                 programs with a planted bug are run with
#include <ringkernel/checkpoint/compact.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/page_hash.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

#include "painter.hpp"

using namespace rk;

namespace {

using painting::Paint;
using painting::Painter;

bool failed = false;

void print(bool passed, const std::string& claim, const std::string& measured,
           const std::string& bound) {
  failed = failed || !passed;
  std::printf("%s %s %s %s\n", passed ? "PASS" : "FAIL", claim.c_str(), measured.c_str(),
              bound.c_str());
  std::fflush(stdout);
}

[[noreturn]] void give_up(const Error& error) {
  std::printf("FAIL increment_oracle \"%s\" comes_to_its_end\n", error.message.c_str());
  std::exit(1);
}
template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error());
  return *std::move(result);
}
void must(const Result<void>& result) {
  if (!result) give_up(result.error());
}

/// Sends as soon as the ring has room.
void send(Runtime& runtime, std::uint32_t actor, std::uint32_t paints) {
  for (;;) {
    const auto sent = runtime.send(ref<Painter>{ActorId::make(actor, 0)}, Paint{paints - 1});
    if (sent) return;
    if (sent.error().code != ErrorCode::would_block) give_up(sent.error());
    std::this_thread::yield();
  }
}

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rk-increment-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] checkpoint::CheckpointDirectory open() const {
    return must(checkpoint::CheckpointDirectory::open(
        std::make_shared<checkpoint::FileStorage>(path_), "checkpoint"));
  }

 private:
  std::string path_;
};

std::unique_ptr<Runtime> make(const Folder& folder, std::uint32_t workers, std::uint32_t full_every,
                              std::uint32_t actors, std::uint32_t words) {
  RuntimeOptions options;
  options.workers = workers;
  options.checkpoint.dir = folder.path();
  options.checkpoint.keep = 1000;
  options.checkpoint.full_every = full_every;
  auto runtime = must(Runtime::create(make_host_executor<Painter>(), std::move(options)));
  must(runtime->spawn<Painter>(actors,
                               [words](std::uint32_t i, Painter& painter) {
                                 painter.seed = i + 1;
                                 painter.words = words;
                               },
                               {.field_bytes = words * 8}));
  must(runtime->start());
  return runtime;
}

checkpoint::LoadedCheckpoint load(const Folder& folder, const std::string& name) {
  auto directory = folder.open();
  return must(checkpoint::load_checkpoint(
      directory, {.name = *checkpoint::parse_checkpoint_name(name), .directory = name}));
}

std::vector<std::byte> body_of(const checkpoint::LoadedSlot& slot) {
  std::vector<std::byte> body(align_up(slot.state.size(), kSlotAlignment));
  std::copy(slot.state.begin(), slot.state.end(), body.begin());
  body.insert(body.end(), slot.field.begin(), slot.field.end());
  body.resize(align_up(body.size(), kSlotAlignment));
  return body;
}

/// Bytes of the 4 KiB pages that differ; of a slot that is not larger than a page, the whole slot.
std::uint64_t difference(const checkpoint::LoadedCheckpoint& a,
                         const checkpoint::LoadedCheckpoint& b) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < a.slots.size(); ++i) {
    const auto before = body_of(a.slots[i]);
    const auto after = body_of(b.slots[i]);
    if (before.size() <= kPageBytes) {
      if (before != after) bytes += sizeof(SlotHeader) + after.size();
      continue;
    }
    for (std::size_t at = 0; at < before.size(); at += kPageBytes) {
      const std::size_t length = page_bytes(before.size(), at);
      if (std::memcmp(&before[at], &after[at], length) != 0) bytes += length;
    }
  }
  return bytes;
}

bool same_slots(const checkpoint::LoadedCheckpoint& a, const checkpoint::LoadedCheckpoint& b) {
  return std::equal(
      a.slots.begin(), a.slots.end(), b.slots.begin(), b.slots.end(),
      [](const auto& x, const auto& y) {
        return x.id.word == y.id.word && x.version == y.version &&
               std::memcmp(&x.row, &y.row, sizeof(x.row)) == 0 &&
               std::equal(x.state.begin(), x.state.end(), y.state.begin(), y.state.end()) &&
               std::equal(x.field.begin(), x.field.end(), y.field.begin(), y.field.end());
      });
}

struct Population {
  const char* name;
  std::uint32_t actors;
  std::uint32_t words;
};

/// Two directories see the same paints: one takes full checkpoints, whose pages are compared, the
/// other an increment. `dirty` is the share of the pages (of small slots: of the slots) painted.
void check_bytes(const Population& population, double dirty) {
  const bool small = population.words * 8 + sizeof(Painter) <= kPageBytes;
  const double pages =
      small ? population.actors
            : population.actors * static_cast<double>(population.words) * 8 / kPageBytes;
  // a painter takes its pages at random: to reach nearly all of them it needs more paints
  const double repeats = !small && dirty == 1.0 ? 8 : 1;
  const auto paints = static_cast<std::uint32_t>(std::max(1.0, pages * dirty * repeats));
  const std::uint32_t touched = std::min(population.actors, paints);
  const auto paint = [&](Runtime& runtime) {
    for (std::uint32_t k = 0; k < touched; ++k) {
      const auto actor = static_cast<std::uint32_t>(std::uint64_t{k} * population.actors / touched);
      send(runtime, actor, paints / touched);
    }
    must(runtime.run());
  };
  const Folder full;
  std::uint64_t ideal = 0;
  {
    auto runtime = make(full, 2, 1, population.actors, population.words);
    const auto before = must(runtime->checkpoint_now()).directory;
    paint(*runtime);
    const auto after = must(runtime->checkpoint_now()).directory;
    must(runtime->stop());
    ideal = difference(load(full, before), load(full, after));
  }
  const Folder folder;
  auto runtime = make(folder, 2, 100, population.actors, population.words);
  must(runtime->checkpoint_now());
  paint(*runtime);
  const CheckpointCost cost = must(runtime->checkpoint_now());
  must(runtime->stop());

  const double ratio = static_cast<double>(cost.file_bytes) / static_cast<double>(ideal);
  char measured[200];
  std::snprintf(measured, sizeof(measured), "%.3f_(%llu_of_%llu_bytes;_ring_%.3f)", ratio,
                static_cast<unsigned long long>(cost.file_bytes),
                static_cast<unsigned long long>(ideal),
                static_cast<double>(cost.drained_bytes) / static_cast<double>(ideal));
  char claim[120];
  std::snprintf(claim, sizeof(claim), "increment_bytes_over_changed_%s_%s_%g%%_dirty",
                small ? "slots" : "pages", population.name, dirty * 100);
  print(cost.parent != 0 && ratio <= 1.05, claim, measured, "<=1.05");
}

/// A chain of 16 increments, the full checkpoint after it, and the chain folded.
void check_chain(std::uint32_t workers) {
  constexpr std::uint32_t kIncrements = 16;
  const Folder folder;
  auto runtime = make(folder, workers, kIncrements + 1, 64, 20'000);
  CheckpointCost last = must(runtime->checkpoint_now());
  std::uint32_t increments = 0;
  for (std::uint32_t i = 0; i < kIncrements; ++i) {
    for (std::uint32_t k = 0; k < 8; ++k) {
      send(*runtime, (i * 11 + k * 7) % 64, 21 + i);
    }
    if (i + 1 == kIncrements) must(runtime->run());
    last = must(runtime->checkpoint_now());
    increments += last.parent != 0 ? 1 : 0;
  }
  const CheckpointCost full = must(runtime->checkpoint_now());
  must(runtime->stop());
  runtime.reset();
  const auto chain = load(folder, last.directory);
  const auto whole = load(folder, full.directory);
  const std::string suffix = "_" + std::to_string(workers) + "_workers";
  print(increments == kIncrements && full.parent == 0 && same_slots(chain, whole),
        "restore_of_a_chain_equals_the_full_one" + suffix,
        std::to_string(increments) + "_increments," + std::to_string(chain.slots.size()) + "_slots",
        "equal");

  std::filesystem::remove_all(std::filesystem::path(folder.path()) / full.directory);
  auto directory = folder.open();
  const auto newest = must(directory.newest_valid());
  const auto compacted = must(checkpoint::compact(directory, *newest.entry));
  const auto folded = load(folder, compacted.directory);
  const auto found = must(directory.newest_valid());
  print(compacted.folded == kIncrements + 1 && !folded.manifest.parent &&
            same_slots(folded, whole) && found.entry->directory == compacted.directory,
        "compact_folds_the_chain_into_a_full_one" + suffix,
        std::to_string(compacted.folded) + "_folded," + std::to_string(compacted.bytes) + "_bytes",
        "equal");
}

void limit_files(rlim_t bytes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) std::abort();
  limit.rlim_cur = std::min(bytes, limit.rlim_max);
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) std::abort();
}

/// Paints done, and those that the messages in flight still order.
std::uint64_t paints_in(const checkpoint::LoadedCheckpoint& loaded) {
  std::uint64_t paints = 0;
  for (const auto& slot : loaded.slots) paints += slot.row.handled;
  for (const auto& message : loaded.messages) {
    Paint paint;
    std::memcpy(&paint, message.slot.data() + sizeof(MessageHeader), sizeof(paint));
    paints += paint.left + 1;
  }
  return paints;
}

/// Every increment of a system at work holds, slot by slot, what that many messages make of it; in
/// between checkpoints fail, whose hashes must not become a baseline.
void check_running(std::uint32_t workers, std::uint32_t checkpoints) {
  const Folder folder;
  constexpr std::uint32_t kActors = 48;
  constexpr std::uint32_t kPaints = 20'000;
  auto runtime = make(folder, workers, 1000, kActors, 6'000);
  std::uint64_t ordered = 0;
  std::map<std::uint64_t, std::uint64_t> expected;  // paints ordered before each checkpoint
  std::uint32_t refused = 0;
  std::uint64_t in_flight = 0;
  for (std::uint32_t i = 0; i < checkpoints; ++i) {
    for (std::uint32_t k = 0; k < 4; ++k) {
      send(*runtime, (i * 13 + k * 5) % kActors, kPaints);
      ordered += kPaints;
    }
    // no file may grow: everything is serialized and hashed, but cannot become durable
    const bool fails = i % 3 == 1;
    if (fails) limit_files(64);
    const auto cost = runtime->checkpoint_now();
    if (fails) limit_files(RLIM_INFINITY);
    if (cost) {
      expected[cost->epoch] = ordered;
      in_flight += cost->messages;
    } else {
      ++refused;
    }
  }
  must(runtime->stop());
  auto directory = folder.open();
  std::string wrong;
  std::uint32_t increments = 0;
  std::uint32_t checked = 0;
  for (const auto& entry : must(directory.list())) {
    if (entry.state != checkpoint::CheckpointState::valid) continue;
    const auto loaded = must(checkpoint::load_checkpoint(directory, entry));
    increments += loaded.manifest.parent ? 1 : 0;
    ++checked;
    if (paints_in(loaded) != expected[loaded.manifest.epoch] && wrong.empty()) {
      wrong = entry.directory + ":_" + std::to_string(paints_in(loaded)) + "_paints_done_or_due,_" +
              std::to_string(expected[loaded.manifest.epoch]) + "_ordered";
    }
    for (const auto& slot : loaded.slots) {
      if (const auto why = painting::check_painter(slot); wrong.empty() && !why.empty()) {
        wrong = entry.directory + ":_" + why;
      }
    }
  }
  std::replace(wrong.begin(), wrong.end(), ' ', '_');
  print(wrong.empty() && increments * 2 > checkpoints && refused > 0 && in_flight > 0,
        "increments_of_a_running_system_" + std::to_string(workers) + "_workers",
        wrong.empty() ? std::to_string(checked) + "_checkpoints," + std::to_string(increments) +
                            "_increments," + std::to_string(refused) + "_failed_between," +
                            std::to_string(in_flight) + "_in_flight"
                      : wrong,
        "every_slot_right");
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error, not the end
  const bool only_running = argc > 1 && std::strcmp(argv[1], "running") == 0;
  if (argc > 1 && !only_running) {
    std::fprintf(stderr, "increment_oracle: the claim '%s' is not known: running\n", argv[1]);
    return 2;
  }
  const std::uint32_t checkpoints =
      argc > 2 ? static_cast<std::uint32_t>(std::max(1, std::atoi(argv[2]))) : 60;
  for (const std::uint32_t workers : {1u, 2u, 4u}) check_running(workers, checkpoints);
  if (!only_running) {
    for (const std::uint32_t workers : {1u, 3u}) check_chain(workers);
    const Population populations[] = {{"256_B_slots", 200'000, 29},
                                      {"16_KiB_slots", 2'000, 2'045},
                                      {"256_KiB_slots", 200, 32'765}};
    for (const Population& population : populations) {
      for (const double dirty : {0.001, 0.01, 0.1, 1.0}) check_bytes(population, dirty);
    }
  }
  return failed ? 1 : 0;
}
