// The oracle of the cut. Prints `PASS|FAIL claim measured bound`, exits with 1 if any claim failed.
//
//   bank_oracle                          everything
//   bank_oracle CLAIM [N [DEADLINE_S]]   one claim with N cuts: what the programs with a planted
//   bug are run with
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "stuck.hpp"

using namespace rk;
using namespace rk::bank;
using namespace rk::bank::test;

namespace {

struct Claim {
  const char* name;
  Variant variant;
  std::uint32_t workers;
  std::uint32_t lanes;
  std::uint32_t accounts;
  std::uint64_t transfers;
  std::uint32_t cuts;
  std::uint32_t full_every = 1;
};

// 200 cuts each; the transfers last for most of them, more rounds follow if they do not
constexpr Claim kClaims[] = {
    {"random_1_worker", Variant::random, 1, 1, 3'000, 1'500'000, 200},
    {"random_2_workers", Variant::random, 2, 1, 3'000, 1'500'000, 200},
    {"random_4_workers", Variant::random, 4, 1, 3'000, 1'500'000, 200},
    {"peers_1_worker", Variant::peers, 1, 1, 2'000, 1'500'000, 200},
    {"peers_2_workers", Variant::peers, 2, 1, 2'000, 1'500'000, 200},
    {"peers_4_workers", Variant::peers, 4, 1, 2'000, 1'500'000, 200},
    {"random_100000_accounts", Variant::random, 2, 1, 100'000, 2'000'000, 20},
    {"random_increments", Variant::random, 2, 1, 3'000, 1'500'000, 100, 8},
    {"peers_increments", Variant::peers, 4, 1, 2'000, 1'500'000, 100, 8},
    {"peers_groups_of_4", Variant::peers, 2, 4, 200, 20'000, 20},
};

bool failed = false;

void print(bool passed, const std::string& claim, const std::string& measured,
           const std::string& bound) {
  failed = failed || !passed;
  std::printf("%s %s %s %s\n", passed ? "PASS" : "FAIL", claim.c_str(), measured.c_str(),
              bound.c_str());
  std::fflush(stdout);
}

TrialOptions trial_of(const Claim& claim) {
  TrialOptions trial;
  trial.settings = {.accounts = claim.accounts,
                    .transfers = claim.transfers,
                    .seed = 20260101,
                    .deposits = claim.transfers / 150,
                    .variant = claim.variant};
  trial.workers = claim.workers;
  trial.lanes = claim.lanes;
  trial.cuts = claim.cuts;
  trial.full_every = claim.full_every;
  return trial;
}

void check(const Claim& claim, std::uint32_t cuts, std::chrono::seconds deadline) {
  TrialOptions trial = trial_of(claim);
  trial.cuts = cuts;
  trial.deadline = deadline;
  const auto report = run_trial(trial);
  const std::string name = std::string("every_cut_of_") + claim.name + "_balances";
  if (!report) return print(false, name, "\"" + report.error().message + "\"", "all");
  char measured[256];
  std::snprintf(measured, sizeof(measured),
                "%u_cuts_in_%u_rounds,in_flight:%llu_transfers+%llu_acks+%llu_deposits+%llu_starts,"
                "restored:%u",
                report->cuts, report->rounds,
                static_cast<unsigned long long>(report->caught.transfers),
                static_cast<unsigned long long>(report->caught.acks),
                static_cast<unsigned long long>(report->caught.deposits),
                static_cast<unsigned long long>(report->caught.starts), report->restored);
  // without messages in flight a cut proves nothing
  const bool busy = report->cuts_with_messages * 10 >= report->cuts * 9 &&
                    report->caught.transfers > 0 && report->caught.acks > 0 &&
                    report->caught.deposits > 0;
  print(busy && report->cuts >= cuts && report->restored > 0, name, measured,
        "all,>=" + std::to_string(cuts) + "_cuts,>=90%_with_messages");
}

void check_stuck(std::uint32_t workers) {
  const auto report = rescue_stuck(workers);
  const std::string name = "cut_completes_while_stuck_" + std::to_string(workers) + "_workers";
  if (!report) return print(false, name, "\"" + report.error().message + "\"", "completes");
  print(report->caught > 0 && report->handled_at_end == report->expected, name,
        std::to_string(report->caught) +
            "_in_flight,restored_with_larger_queues:" + std::to_string(report->handled_at_end),
        std::to_string(report->expected));
}

void check_paused(const Claim& claim) {
  const auto messages = cut_while_paused(trial_of(claim));
  const std::string name = std::string("cut_completes_while_paused_") + claim.name;
  if (!messages) return print(false, name, "\"" + messages.error().message + "\"", "completes");
  print(*messages > 0, name, std::to_string(*messages) + "_in_flight", ">0");
}

}  // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 ? argv[1] : nullptr;
  bool known = only == nullptr;
  for (const Claim& claim : kClaims) {
    if (only != nullptr && std::strcmp(only, claim.name) != 0) continue;
    known = true;
    check(claim,
          argc > 2 ? static_cast<std::uint32_t>(std::max(1, std::atoi(argv[2]))) : claim.cuts,
          std::chrono::seconds(argc > 3 ? std::max(1, std::atoi(argv[3])) : 20));
  }
  if (only == nullptr) {
    for (const std::uint32_t workers : {1u, 2u, 4u}) check_stuck(workers);
    check_paused({"random_2_workers", Variant::random, 2, 1, 10'000, 200'000, 3});
    check_paused({"peers_4_workers", Variant::peers, 4, 1, 5'000, 200'000, 3});
  }
  if (!known) {
    std::fprintf(stderr, "bank_oracle: no claim is called %s\n", only);
    return 2;
  }
  return failed ? 1 : 0;
}
