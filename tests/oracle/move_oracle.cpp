// Moves: random programs whose actors change their workers under traffic keep every order and lose
// nothing. Prints `PASS|FAIL claim measured bound`, exits with 1 if any claim failed.
//
//   move_oracle [RUNS] [FIRST_SEED] [PATIENCE_S]    default 100 1 60
//
// PATIENCE_S is how long the tokens of a program may come no further before it counts as stuck.
// A seed that fails is printed to stderr with what is wrong; `move_oracle 1 SEED` repeats it.
#include "move_trial.hpp"

#include <cstdio>
#include <cstdlib>

using namespace rk;

namespace {

bool failed = false;

void print(bool passed, const char* claim, const std::string& measured, const std::string& bound) {
  failed = failed || !passed;
  std::printf("%s %s %s %s\n", passed ? "PASS" : "FAIL", claim, measured.c_str(), bound.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const std::uint64_t runs = argument(1, 100);
  const std::uint64_t first = argument(2, 1);
  const std::chrono::seconds patience(argument(3, 60));
  std::uint64_t wrong = 0;
  moves::Report all;
  for (std::uint64_t seed = first; seed < first + runs; ++seed) {
    moves::Settings settings = moves::settings_of(seed);
    settings.patience = patience;
    const auto report = moves::run_trial(settings);
    if (!report) {
      ++wrong;
      std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed),
                   report.error().message.c_str());
      continue;
    }
    all.moved += report->moved;
    all.refused += report->refused;
    all.cuts += report->cuts;
    all.messages += report->messages;
    all.stashed += report->stashed;
    all.full_inboxes += report->full_inboxes;
  }
  print(wrong == 0, "moves_keep_order_and_lose_nothing",
        std::to_string(wrong) + "_of_" + std::to_string(runs), "0");
  if (runs >= 100) {
    // trials that never met what they are about would prove nothing
    const bool busy = all.moved > 10 * runs && all.cuts > 0 && all.messages > 0 &&
                      all.stashed > 0 && all.full_inboxes > 0;
    print(busy, "moves_meet_traffic_cuts_and_full_queues",
          std::to_string(all.moved) + "_moves," + std::to_string(all.refused) + "_refused_tries," +
              std::to_string(all.cuts) + "_cuts," + std::to_string(all.messages) + "_in_flight," +
              std::to_string(all.stashed) + "_stashed," + std::to_string(all.full_inboxes) +
              "_full_inboxes",
          ">" + std::to_string(10 * runs) + "_moves,rest>0");
  }
  return failed ? 1 : 0;
}
