// `rk diff`: how two checkpoints differ.
#include <CLI/CLI.hpp>
#include <ringkernel/checkpoint/diff.hpp>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "example.hpp"
#include "place.hpp"
#include "store_commands.hpp"

namespace rk::tools {
namespace {

using checkpoint::CheckpointDiff;
using nlohmann::ordered_json;

constexpr int kDiffer = 1;
constexpr std::size_t kShownActors = 20;

struct DiffCommand {
  std::string a, b;
  std::string prefix;
  double tolerance = 0;
  bool json = false;
};

unsigned long long number(std::uint64_t value) { return value; }

ordered_json ids(const std::vector<ActorId>& actors) {
  auto out = ordered_json::array();
  for (const ActorId actor : actors) out.push_back(actor.index());
  return out;
}

ordered_json to_json(const CheckpointDiff& diff, double tolerance) {
  auto regions = ordered_json::array();
  for (const auto& region : diff.regions) {
    ordered_json item{{"type", region.type},
                      {"region", region.region},
                      {"actors", region.actors},
                      {"elements", region.elements},
                      {"bytes", region.bytes},
                      {"beyond_tolerance", region.beyond_tolerance},
                      {"other_shape", region.other_shape}};
    if (region.is_float) item["max_abs_difference"] = region.max_abs_difference;
    regions.push_back(std::move(item));
  }
  return {{"equal", diff.equal()},
          {"tolerance", tolerance},
          {"slots",
           {{"only_a", ids(diff.only_a)},
            {"only_b", ids(diff.only_b)},
            {"changed", ids(diff.changed)},
            {"other_layout", diff.other_layout},
            {"state_bytes", diff.state_bytes},
            {"field_bytes", diff.field_bytes},
            {"within_tolerance", diff.within_tolerance},
            {"same", diff.same}}},
          {"regions", std::move(regions)},
          {"messages",
           {{"only_a", diff.messages.only_a},
            {"only_b", diff.messages.only_b},
            {"changed", diff.messages.changed}}},
          {"host_bytes", diff.host_bytes},
          {"not_compared",
           {{"slots_with_other_stamps", diff.other_stamps},
            {"slots_with_other_counters", diff.other_counters},
            {"graves_of_one_only", diff.other_graves},
            {"messages_with_other_stamps", diff.messages.other_stamps}}}};
}

void print_ids(const char* what, const std::vector<ActorId>& actors) {
  if (actors.empty()) return;
  std::printf("%s: %zu:", what, actors.size());
  for (std::size_t i = 0; i < actors.size() && i < kShownActors; ++i)
    std::printf(" %u", actors[i].index());
  std::printf("%s\n", actors.size() > kShownActors ? " ..." : "");
}

void print(const CheckpointDiff& diff) {
  print_ids("actors only in A", diff.only_a);
  print_ids("actors only in B", diff.only_b);
  print_ids("actors that differ", diff.changed);
  if (diff.other_layout != 0) {
    std::printf("  of these %llu have another type, version or size\n", number(diff.other_layout));
  }
  if (diff.state_bytes + diff.field_bytes != 0) {
    std::printf("  %llu bytes of state and %llu bytes of trailing fields differ\n",
                number(diff.state_bytes), number(diff.field_bytes));
  }
  for (const auto& region : diff.regions) {
    std::printf("  %s.%s: %llu elements in %llu actors differ, %llu bytes", region.type.c_str(),
                region.region.c_str(), number(region.elements), number(region.actors),
                number(region.bytes));
    if (region.is_float) {
      std::printf("; %llu beyond the tolerance, at most by %.9g", number(region.beyond_tolerance),
                  region.max_abs_difference);
    }
    if (region.other_shape != 0)
      std::printf("; %llu actors have another shape", number(region.other_shape));
    std::printf("\n");
  }
  if (diff.within_tolerance != 0)
    std::printf("actors within the tolerance: %llu\n", number(diff.within_tolerance));
  const auto& messages = diff.messages;
  if (messages.only_a + messages.only_b + messages.changed != 0) {
    std::printf("messages in flight: %llu only in A, %llu only in B, %llu differ\n",
                number(messages.only_a), number(messages.only_b), number(messages.changed));
  }
  if (diff.host_bytes != 0) std::printf("host state: %llu bytes differ\n", number(diff.host_bytes));
  if (diff.equal()) std::printf("equal: %llu actors\n", number(diff.same + diff.within_tolerance));
  if (diff.other_stamps + diff.other_counters + messages.other_stamps != 0) {
    std::printf(
        "not compared: %llu actors have other time stamps, %llu other message counters; %llu "
        "messages have other time stamps\n",
        number(diff.other_stamps), number(diff.other_counters), number(messages.other_stamps));
  }
  if (diff.other_graves != 0)
    std::printf("not compared: %llu actors are known to be dead in only one of the two\n",
                number(diff.other_graves));
}

int run(const DiffCommand& command) {
  const auto a = load_place(command.a, command.prefix);
  if (!a) return report(a.error());
  const auto b = load_place(command.b, command.prefix);
  if (!b) return report(b.error());
  const auto diff = checkpoint::diff_checkpoints(*a, *b, {.tolerance = command.tolerance});
  if (!diff) return report(diff.error());
  if (command.json) {
    std::printf("%s\n", to_json(*diff, command.tolerance).dump().c_str());
  } else {
    print(*diff);
  }
  return diff->equal() ? 0 : kDiffer;
}

}  // namespace

void add_diff(CLI::App& app, int& status) {
  auto* sub = app.add_subcommand("diff", "how two checkpoints differ; exits with 1 if they do");
  const auto command = std::make_shared<DiffCommand>();
  sub->add_option("A", command->a, "a checkpoint, or a directory: its newest valid one")
      ->required();
  sub->add_option("B", command->b, "the other")->required();
  sub->add_option("--tolerance", command->tolerance,
                  "elements of floating-point regions that differ by at most this are equal")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--prefix", command->prefix, "whose checkpoint, where a directory has several");
  sub->add_flag("--json", command->json, "result as JSON");
  sub->callback([&status, command] { status = run(*command); });
}

}  // namespace rk::tools
