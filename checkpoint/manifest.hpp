// The MANIFEST: what a checkpoint consists of. Its presence under this name is what makes a
// checkpoint valid, and it is the last thing a commit writes.
//
//   { ...JSON, keys sorted, two spaces of indent... }\n
//   xxh3-128 <32 lower-case hexadecimal digits>\n
//
// The last line is the XXH3-128 of all bytes before it. Text is deterministic: equal manifests give
// equal bytes. Numbers that may exceed 2^53 are strings, because many JSON readers round them.
//
// Errors of `parse_manifest`: `corrupt` for anything but exactly such text, `incompatible` for a
// verified manifest of another format version.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/checkpoint/shard_writer.hpp>
#include <ringkernel/runtime/region.hpp>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::uint32_t kManifestVersion = 1;
inline constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kMaxEpoch = 0xFFFFFFFE;  // records carry 32 bits

struct ActorTypeInfo {
  std::uint32_t index = 0;
  std::string name;  ///< region_id(name) is the id of the type's chunks
  std::uint64_t type_hash = 0;
  std::uint32_t version = 0;
  std::uint64_t state_bytes = 0;
  std::vector<Region> regions{};  ///< declared ones; manifests without any have no such key
  /// What trails its actors' fields (TrailLayout); manifests of types without it have no such key.
  bool supervised = false;
  std::uint32_t max_links = 0;
  friend bool operator==(const ActorTypeInfo&, const ActorTypeInfo&) = default;
};

struct Manifest {
  std::string prefix;
  std::string run_id;
  std::uint64_t epoch = 0;
  std::optional<std::uint64_t> parent;  ///< epoch this one is an increment of
  std::uint64_t hlc = 0;                ///< packed stamp of the cut
  std::uint64_t created_at_us = 0;      ///< since 1970
  std::string executor;
  std::uint32_t workers = 0;
  std::uint64_t seed = 0;
  std::map<std::string, std::string> app;  ///< the application's own part that is small text
  std::vector<ActorTypeInfo> types;
  std::vector<ShardInfo> shards;
  std::uint64_t slots = 0;  ///< that an actor lives in, once this is laid over its parents
  std::uint64_t messages = 0;
  std::uint64_t host_bytes = 0;
  Hash128 content_digest;
  friend bool operator==(const Manifest&, const Manifest&) = default;

  [[nodiscard]] std::uint64_t shard_bytes() const;
};

/// `invalid_argument` when a name is not valid or a string is not UTF-8.
[[nodiscard]] Result<std::string> format_manifest(const Manifest& manifest);
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view text);

}  // namespace rk::checkpoint
