#include <ringkernel/checkpoint/manifest.hpp>
#include <ringkernel/runtime/message.hpp>

#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/regions.hpp>
#include <ringkernel/checkpoint/src/region_json.hpp>
#include <ringkernel/checkpoint/storage.hpp>
#include <set>

namespace rk::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kHashLabel = "xxh3-128 ";
constexpr std::size_t kHashLineBytes = kHashLabel.size() + 32 + 1;

unexpected corrupt(const std::string& what) {
  return fail(ErrorCode::corrupt, "the MANIFEST is damaged: " + what);
}

std::string hash_line(std::string_view body) {
  return std::string(kHashLabel) + to_hex(xxh3_128(as_bytes(body))) + "\n";
}

Json to_json(const Manifest& manifest) {
  Json types = Json::array();
  for (const auto& type : manifest.types) {
    types.push_back({{"index", type.index},
                     {"name", type.name},
                     {"state_bytes", type.state_bytes},
                     {"type_hash", to_hex(type.type_hash)},
                     {"version", type.version}});
    if (!type.regions.empty()) types.back()["regions"] = regions_to_json(type.regions);
    if (type.supervised || type.max_links != 0) {
      types.back()["trail"] = {{"max_links", type.max_links}, {"supervised", type.supervised}};
    }
  }
  Json shards = Json::array();
  for (const auto& shard : manifest.shards) {
    shards.push_back({{"bytes", shard.bytes}, {"hash", to_hex(shard.hash)}, {"name", shard.name}});
  }
  Json out{{"format", "ringkernel checkpoint"},
           {"version", kManifestVersion},
           {"prefix", manifest.prefix},
           {"run_id", manifest.run_id},
           {"epoch", manifest.epoch},
           {"hlc", std::to_string(manifest.hlc)},
           {"created_at_us", manifest.created_at_us},
           {"executor", manifest.executor},
           {"workers", manifest.workers},
           {"seed", std::to_string(manifest.seed)},
           {"app", manifest.app},
           {"types", std::move(types)},
           {"shards", std::move(shards)},
           {"counts",
            {{"slots", manifest.slots},
             {"messages", manifest.messages},
             {"host_bytes", manifest.host_bytes}}},
           {"content_digest", to_hex(manifest.content_digest)}};
  out["parent"] = manifest.parent ? Json(*manifest.parent) : Json();
  return out;
}

// What a valid hash cannot promise: that the writer put sensible values there.
const char* first_fault(const Manifest& manifest) {
  if (!is_valid_name(manifest.prefix)) return "its prefix is not a valid name";
  if (!is_valid_name(manifest.run_id)) return "its run id is not a valid name";
  if (manifest.epoch == 0 || manifest.epoch > kMaxEpoch) return "its epoch is out of range";
  if (manifest.parent && *manifest.parent >= manifest.epoch) return "its parent is not older";
  for (const auto& type : manifest.types) {
    if (!regions_fault(type.regions, type.state_bytes).empty()) {
      return "a region of an actor type is not possible";
    }
    if (type.max_links > kMaxActors) return "an actor type has more links than there are actors";
  }
  std::set<std::string_view> names;
  for (const auto& shard : manifest.shards) {
    if (!is_valid_name(shard.name)) return "a shard's name is not valid";
    if (!names.insert(shard.name).second) return "it names a shard twice";
    if (shard.bytes > kMaxFileBytes) return "a shard is larger than 1 GiB";
  }
  return nullptr;
}

std::uint64_t decimal(const Json& value) {
  const auto& text = value.get_ref<const std::string&>();
  std::size_t used = 0;
  const std::uint64_t number = std::stoull(text, &used);
  if (std::to_string(number) != text) throw std::invalid_argument("not canonical");
  return number;
}

template <class T>
T unsigned_at(const Json& object, const char* key) {
  const Json& value = object.at(key);
  if (!value.is_number_unsigned()) throw std::invalid_argument(key);
  const auto number = value.get<std::uint64_t>();
  if (number > std::numeric_limits<T>::max()) throw std::out_of_range(key);
  return static_cast<T>(number);
}

// Throws what nlohmann-json and std::stoull throw; the caller turns it into an Error.
Manifest from_json(const Json& in) {
  Manifest out;
  out.prefix = in.at("prefix").get<std::string>();
  out.run_id = in.at("run_id").get<std::string>();
  out.epoch = unsigned_at<std::uint64_t>(in, "epoch");
  if (!in.at("parent").is_null()) out.parent = unsigned_at<std::uint64_t>(in, "parent");
  out.hlc = decimal(in.at("hlc"));
  out.created_at_us = unsigned_at<std::uint64_t>(in, "created_at_us");
  out.executor = in.at("executor").get<std::string>();
  out.workers = unsigned_at<std::uint32_t>(in, "workers");
  out.seed = decimal(in.at("seed"));
  out.app = in.at("app").get<std::map<std::string, std::string>>();
  for (const Json& type : in.at("types")) {
    out.types.push_back({.index = unsigned_at<std::uint32_t>(type, "index"),
                         .name = type.at("name").get<std::string>(),
                         .type_hash = u64_from_hex(type.at("type_hash").get<std::string>()).value(),
                         .version = unsigned_at<std::uint32_t>(type, "version"),
                         .state_bytes = unsigned_at<std::uint64_t>(type, "state_bytes")});
    if (type.contains("regions")) out.types.back().regions = regions_from_json(type.at("regions"));
    if (type.contains("trail")) {
      const Json& trail = type.at("trail");
      out.types.back().supervised = trail.at("supervised").get<bool>();
      out.types.back().max_links = unsigned_at<std::uint32_t>(trail, "max_links");
    }
  }
  for (const Json& shard : in.at("shards")) {
    out.shards.push_back({.name = shard.at("name").get<std::string>(),
                          .bytes = unsigned_at<std::uint64_t>(shard, "bytes"),
                          .hash = hash128_from_hex(shard.at("hash").get<std::string>()).value()});
  }
  const Json& counts = in.at("counts");
  out.slots = unsigned_at<std::uint64_t>(counts, "slots");
  out.messages = unsigned_at<std::uint64_t>(counts, "messages");
  out.host_bytes = unsigned_at<std::uint64_t>(counts, "host_bytes");
  out.content_digest = hash128_from_hex(in.at("content_digest").get<std::string>()).value();
  return out;
}

}  // namespace

std::uint64_t Manifest::shard_bytes() const {
  std::uint64_t total = 0;
  for (const auto& shard : shards) total += shard.bytes;
  return total;
}

Result<std::string> format_manifest(const Manifest& manifest) {
  if (const char* fault = first_fault(manifest)) {
    return fail(ErrorCode::invalid_argument,
                std::string("the manifest cannot be written: ") + fault);
  }
  try {
    std::string text = to_json(manifest).dump(2) + "\n";
    text += hash_line(text);
    if (text.size() > kMaxManifestBytes) {
      return fail(ErrorCode::invalid_argument, "the manifest is larger than 64 MiB");
    }
    return text;
  } catch (const std::exception&) {
    return fail(ErrorCode::invalid_argument,
                "the manifest cannot be written: application values and names must be UTF-8 text");
  }
}

Result<Manifest> parse_manifest(std::string_view text) {
  if (text.size() <= kHashLineBytes || text.size() > kMaxManifestBytes) {
    return corrupt("its size cannot be right");
  }
  const std::string_view body = text.substr(0, text.size() - kHashLineBytes);
  // Compared as text: a digit in the wrong case is damage, too.
  if (text.substr(body.size()) != hash_line(body)) return corrupt("its hash does not match");
  try {
    const Json json = Json::parse(body);
    if (json.at("format") != "ringkernel checkpoint") return corrupt("it is something else");
    const auto version = unsigned_at<std::uint32_t>(json, "version");
    if (version != kManifestVersion) {
      return fail(ErrorCode::incompatible, "the MANIFEST has format version " +
                                               std::to_string(version) +
                                               "; this build reads version 1");
    }
    Manifest manifest = from_json(json);
    if (const char* fault = first_fault(manifest)) return corrupt(fault);
    return manifest;
  } catch (const std::exception&) {
    return corrupt("a field is missing or of the wrong kind");
  }
}

}  // namespace rk::checkpoint
