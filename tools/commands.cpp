#include "commands.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/inspect.hpp>
#include <ringkernel/checkpoint/location.hpp>

#include "duration.hpp"
#include "example.hpp"

namespace rk::tools {
namespace {

using nlohmann::ordered_json;

std::string plural(std::uint64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// As it is, or quoted where it would break the line.
std::string printable(const ordered_json& value) {
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  const bool plain =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
  return plain ? text : value.dump();
}

/// Scalars as they are, arrays of objects as one line each; what a person wants to see of a file.
void print_tree(const ordered_json& node, const std::string& indent) {
  for (const auto& [key, value] : node.items()) {
    const std::string name = node.is_array() ? "-" : printable(key) + ":";
    const bool nested =
        value.is_object() || (value.is_array() && !value.empty() && value.front().is_structured());
    if (value.is_object() && node.is_array()) {
      std::string line;
      bool flat = true;
      for (const auto& [k, v] : value.items()) {
        flat = flat && !v.is_structured();
        line += (line.empty() ? "" : "  ") + k + "=" + printable(v);
      }
      if (flat) {
        std::printf("%s- %s\n", indent.c_str(), line.c_str());
        continue;
      }
    }
    if (nested) {
      std::printf("%s%s\n", indent.c_str(), name.c_str());
      print_tree(value, indent + "  ");
    } else {
      std::printf("%s%s %s\n", indent.c_str(), name.c_str(), printable(value).c_str());
    }
  }
}

}  // namespace

int inspect_command(const std::string& path, bool json) {
  const auto text = checkpoint::inspect_json(path);
  if (!text) return report(text.error());
  if (json) {
    std::printf("%s\n", text->c_str());
    return 0;
  }
  print_tree(ordered_json::parse(*text), "");
  return 0;
}

int verify_command(const std::string& path, bool json) {
  const auto verified = checkpoint::verify_path(path);
  if (!verified) {
    if (json) {
      std::printf("%s\n", ordered_json{{"ok", false},
                                       {"code", to_string(verified.error().code)},
                                       {"message", verified.error().message}}
                              .dump(-1, ' ', false, ordered_json::error_handler_t::replace)
                              .c_str());
    }
    return report(verified.error());
  }
  if (json) {
    ordered_json incomplete = ordered_json::array();
    for (const checkpoint::Skipped& skipped : verified->incomplete)
      incomplete.push_back(skipped.directory);
    std::printf("%s\n", ordered_json{{"ok", true},
                                     {"checkpoints", verified->checkpoints},
                                     {"files", verified->files},
                                     {"bytes", verified->bytes},
                                     {"incomplete", incomplete}}
                            .dump()
                            .c_str());
    return 0;
  }
  std::printf("ok: %s, %s, %s\n", plural(verified->checkpoints, "checkpoint").c_str(),
              plural(verified->files, "file").c_str(), format_bytes(verified->bytes).c_str());
  for (const checkpoint::Skipped& skipped : verified->incomplete) {
    std::printf("incomplete: %s (%s)\n", skipped.directory.c_str(), skipped.reason.c_str());
  }
  return 0;
}

}  // namespace rk::tools
