// Declared regions in the MANIFEST's table of actor types:
//
//   {"name","element","place","offset_bytes","shape":[..],"ghost_layers","buffers","buffer",
//    "origin":[..],"whole":[..],"spacing_key"}       a number is 5 or {"state_word": offset}
//
// `regions_from_json` throws what nlohmann-json throws, or std::exception, for anything else.
#pragma once

#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/regions.hpp>
#include <stdexcept>

namespace rk::checkpoint {

inline nlohmann::json number_to_json(const RegionNumber& number) {
  if (number.from_state) return {{"state_word", number.value}};
  return number.value;
}

inline nlohmann::json numbers_to_json(const std::vector<RegionNumber>& numbers) {
  auto out = nlohmann::json::array();
  for (const RegionNumber& number : numbers) out.push_back(number_to_json(number));
  return out;
}

inline nlohmann::json regions_to_json(const std::vector<Region>& regions) {
  auto out = nlohmann::json::array();
  for (const Region& region : regions) {
    out.push_back({{"name", region.name},
                   {"element", to_string(region.element)},
                   {"place", region.is_in_field ? "field" : "state"},
                   {"offset_bytes", region.offset_bytes},
                   {"shape", numbers_to_json(region.shape)},
                   {"ghost_layers", region.ghost_layers},
                   {"buffers", region.buffers},
                   {"buffer", number_to_json(region.buffer)},
                   {"origin", numbers_to_json(region.origin)},
                   {"whole", numbers_to_json(region.whole)},
                   {"spacing_key", region.spacing_key}});
  }
  return out;
}

inline std::uint32_t word_from_json(const nlohmann::json& in) {
  if (!in.is_number_unsigned() || in.get<std::uint64_t>() > 0xFFFFFFFFu) {
    throw std::invalid_argument("not a 32-bit number");
  }
  return in.get<std::uint32_t>();
}

inline RegionNumber number_from_json(const nlohmann::json& in) {
  if (in.is_object()) return state_word(word_from_json(in.at("state_word")));
  return word_from_json(in);
}

inline std::vector<RegionNumber> numbers_from_json(const nlohmann::json& in) {
  if (!in.is_array()) throw std::invalid_argument("not a list");
  std::vector<RegionNumber> out;
  for (const auto& number : in) out.push_back(number_from_json(number));
  return out;
}

inline std::vector<Region> regions_from_json(const nlohmann::json& in) {
  if (!in.is_array() || in.empty()) throw std::invalid_argument("not a list of regions");
  std::vector<Region> out;
  for (const auto& item : in) {
    Region region;
    region.name = item.at("name").get<std::string>();
    if (!element_type_from(item.at("element").get<std::string>(), region.element)) {
      throw std::invalid_argument("unknown element");
    }
    const auto place = item.at("place").get<std::string>();
    if (place != "state" && place != "field") throw std::invalid_argument("unknown place");
    region.is_in_field = place == "field";
    region.offset_bytes = word_from_json(item.at("offset_bytes"));
    region.shape = numbers_from_json(item.at("shape"));
    region.ghost_layers = word_from_json(item.at("ghost_layers"));
    region.buffers = word_from_json(item.at("buffers"));
    region.buffer = number_from_json(item.at("buffer"));
    region.origin = numbers_from_json(item.at("origin"));
    region.whole = numbers_from_json(item.at("whole"));
    region.spacing_key = item.at("spacing_key").get<std::string>();
    out.push_back(std::move(region));
  }
  return out;
}

}  // namespace rk::checkpoint
