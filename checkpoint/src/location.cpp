#include <ringkernel/checkpoint/location.hpp>
#include <ringkernel/checkpoint/shm_storage.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <ringkernel/checkpoint/s3_storage.hpp>

namespace rk::checkpoint {
namespace {

using Opened = Result<std::shared_ptr<Storage>>;

struct Scheme {
  std::string_view prefix;  ///< what the text begins with, ':' included
  std::string_view usage;
  Opened (*open)(const Location& location);
};

Result<void> refuse_options_but(const Location& location, std::string_view known) {
  for (const auto& [key, value] : location.options) {
    if (key == known) continue;
    return fail(ErrorCode::invalid_argument, "'" + key + "' is not an option of " +
                                                 location.scheme + ": it takes " +
                                                 std::string(known));
  }
  return {};
}

Opened open_shm(const Location& location) {
  constexpr std::uint64_t kMaxMib = std::uint64_t{1} << 24;
  RK_TRY(refuse_options_but(location, "mib"));
  ShmOptions options;
  if (const auto mib = location.options.find("mib"); mib != location.options.end()) {
    const std::string& text = mib->second;
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_number = parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
    if (!is_number || value == 0 || value > kMaxMib) {
      return fail(ErrorCode::invalid_argument,
                  "'mib=" + text + "' of shm: is no size: give a whole number of MiB");
    }
    options.bytes = value << 20;
  }
  RK_TRY_ASSIGN(auto storage, ShmStorage::open(location.rest, std::move(options)));
  return std::shared_ptr<Storage>(std::move(storage));
}

Opened open_s3(const Location& location) {
  if (!location.options.empty()) {
    return fail(ErrorCode::invalid_argument,
                "an s3:// address takes no options: its settings come from the environment");
  }
  RK_TRY_ASSIGN(auto options, s3_options_from_environment(location.rest));
  return open_s3_storage(std::move(options));
}

// One line per kind of store; the opener checks `rest` and every option it is given.
constexpr std::array kSchemes{
    Scheme{.prefix = "shm:", .usage = "shm:NAME[?mib=N]", .open = open_shm},
    Scheme{.prefix = "s3:", .usage = "s3://BUCKET[/PREFIX]", .open = open_s3},
};

const Scheme* find_scheme(std::string_view text) {
  const auto at = std::find_if(kSchemes.begin(), kSchemes.end(), [&](const Scheme& scheme) {
    return text.starts_with(scheme.prefix);
  });
  return at == kSchemes.end() ? nullptr : &*at;
}

// True for `letters://`, which no path should mean.
bool looks_like_a_url(std::string_view text) {
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  return std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  });
}

std::string known_locations() {
  std::string text = "PATH";
  for (const Scheme& scheme : kSchemes) text += ", " + std::string(scheme.usage);
  return text;
}

Result<std::map<std::string, std::string>> parse_options(std::string_view text,
                                                         std::string_view whole) {
  std::map<std::string, std::string> options;
  while (!text.empty()) {
    const auto end = std::min(text.find('&'), text.size());
    const std::string_view item = text.substr(0, end);
    const auto equals = item.find('=');
    const bool is_pair = equals != std::string_view::npos && equals > 0;
    if (!is_pair || !options.emplace(item.substr(0, equals), item.substr(equals + 1)).second) {
      return fail(ErrorCode::invalid_argument,
                  "'" + std::string(item) + "' in '" + std::string(whole) +
                      "' is not an option: write KEY=VALUE, each key once, with '&' between");
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return options;
}

}  // namespace

Result<Location> parse_location(std::string_view text) {
  if (text.empty()) {
    return fail(ErrorCode::invalid_argument,
                "a place for checkpoints has no name: give " + known_locations());
  }
  const Scheme* scheme = find_scheme(text);
  if (scheme == nullptr) {
    if (looks_like_a_url(text)) {
      return fail(
          ErrorCode::invalid_argument,
          "'" + std::string(text) + "' is no place for checkpoints: give " + known_locations());
    }
    return Location{.rest = std::string(text)};
  }
  Location location{.scheme = std::string(text.substr(0, scheme->prefix.find(':')))};
  const std::string_view rest = text.substr(scheme->prefix.size());
  const auto question = std::min(rest.find('?'), rest.size());
  location.rest = std::string(rest.substr(0, question));
  if (question < rest.size()) {
    RK_TRY_ASSIGN(location.options, parse_options(rest.substr(question + 1), text));
  }
  return location;
}

Result<std::shared_ptr<Storage>> open_storage(std::string_view text) {
  RK_TRY_ASSIGN(const auto location, parse_location(text));
  if (const Scheme* scheme = find_scheme(text)) return scheme->open(location);
  return std::shared_ptr<Storage>(std::make_shared<FileStorage>(location.rest));
}

}  // namespace rk::checkpoint
