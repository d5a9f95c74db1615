// Flow control: random programs of cyclic traffic with queues of a few slots must run to their end
// or name their deadlock. Prints `PASS|FAIL claim measured bound`, exits with 1 if any claim
// failed.
//
//   flow_oracle [RUNS] [FIRST_SEED] [PATIENCE_S]    default 400 1 60
//
// A seed that fails is printed to stderr with what is wrong; `flow_oracle 1 SEED` repeats it.
#include "flow_trial.hpp"

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
  const std::uint64_t runs = argument(1, 400);
  const std::uint64_t first = argument(2, 1);
  const std::chrono::seconds patience(argument(3, 60));
  std::uint64_t ended = 0;
  std::uint64_t stuck = 0;
  std::uint64_t hung = 0;
  std::uint64_t wrong = 0;
  for (std::uint64_t seed = first; seed < first + runs; ++seed) {
    const auto ending = flow::run_trial(flow::settings_of(seed), patience);
    if (ending) {
      ++(*ending == flow::Ending::quiescent ? ended : stuck);
      continue;
    }
    ++(ending.error().code == ErrorCode::deadline_exceeded ? hung : wrong);
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed),
                 ending.error().message.c_str());
  }
  const std::string of = "of_" + std::to_string(runs);
  print(hung == 0, "flow_never_hangs", std::to_string(hung) + "_" + of, "0");
  print(wrong == 0, "flow_loses_nothing_and_names_true_cycles", std::to_string(wrong) + "_" + of,
        "0");
  if (runs >= 100) {
    print(ended > 0, "flow_runs_to_the_end", std::to_string(ended) + "_" + of, ">0");
    print(stuck > 0, "flow_deadlocks_are_named", std::to_string(stuck) + "_" + of, ">0");
  }
  return failed ? 1 : 0;
}
