// The program of scripts/check_migration and tests/e2e/migration.py.
//
//   layout_versions v1|v2|v3|without|refusing DIRECTORY [half-way]
//
// Prints one line of JSON, or the error on stderr; exits as `rk` does.
#include <cstdio>
#include <string_view>

#include "layout_run.hpp"

namespace {

using namespace rk::layouts;

rk::Result<Ended> run(std::string_view program, const std::string& directory, bool half_way) {
  if (program == "v1") return run_version<v1::Cell>(directory, half_way);
  if (program == "v2") return run_version<v2::Cell>(directory, half_way);
  if (program == "v3") return run_version<v3::Cell>(directory, half_way);
  if (program == "without") return run_version<Wide>(directory, half_way);
  if (program == "refusing") return run_version<v2::Refusing>(directory, half_way);
  return rk::fail(rk::ErrorCode::invalid_argument, "there is no such version");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: layout_versions v1|v2|v3|without|refusing DIRECTORY [half-way]\n");
    return 2;
  }
  const auto ended = run(argv[1], argv[2], argc > 3 && std::string_view(argv[3]) == "half-way");
  if (!ended) {
    std::fprintf(stderr, "%s\n", ended.error().message.c_str());
    return rk::exit_code(ended.error().code);
  }
  std::string told;
  for (const std::string& line : ended->restored.migrated)
    told += (told.empty() ? "" : "; ") + line;
  std::printf(
      "{\"restored\":%s,\"from\":\"%s\",\"told\":\"%s\",\"migrated\":%u,\"in_flight\":%llu,"
      "\"visits\":%llu,"
      "\"expected_visits\":%llu,\"energy\":%.17g,\"field\":%.17g}\n",
      ended->restored.restored ? "true" : "false", ended->restored.directory.c_str(), told.c_str(),
      ended->migrated, static_cast<unsigned long long>(ended->in_flight),
      static_cast<unsigned long long>(ended->visits), static_cast<unsigned long long>(kVisits),
      ended->energy, ended->field);
  return 0;
}
