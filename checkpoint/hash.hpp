// The hashes of checkpoint files: CRC-32/IEEE (what `.rkcp` version 1 stores), XXH3-128 (ours: it
// catches accidents, not tampering) and SipHash-1-3 (region ids, as the seed's files have them).
//
// Thread-safety: values; one StreamHash belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct XXH3_state_s;  // xxhash's stream state, opaque here

namespace rk::checkpoint {

using Bytes = std::span<const std::byte>;

[[nodiscard]] inline Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

/// A 128-bit hash. Its text is 32 lower-case hexadecimal digits, most significant first.
struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

[[nodiscard]] std::string to_hex(const Hash128& hash);
[[nodiscard]] std::string to_hex(std::uint64_t value);  ///< 16 digits
[[nodiscard]] std::string to_hex(std::uint32_t value);  ///< 8 digits

/// Only what `to_hex` writes is accepted: exact length, lower case.
[[nodiscard]] std::optional<Hash128> hash128_from_hex(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> u64_from_hex(std::string_view text);

/// CRC-32/IEEE of `bytes`; pass the previous result as `seed` to go on with a stream.
[[nodiscard]] std::uint32_t crc32(Bytes bytes, std::uint32_t seed = 0);

[[nodiscard]] Hash128 xxh3_128(Bytes bytes);

/// Id of a named memory region: SipHash-1-3 with a zero key over the UTF-8 name and one 0xFF byte.
[[nodiscard]] std::uint64_t region_id(std::string_view name);

/// CRC-32 and XXH3-128 of one stream, taken in one pass over memory.
class StreamHash {
 public:
  StreamHash();
  StreamHash(const StreamHash& other);
  StreamHash(StreamHash&&) noexcept = default;
  StreamHash& operator=(StreamHash&&) noexcept = default;
  ~StreamHash() = default;

  void update(Bytes bytes);
  /// Continues only the XXH3-128 half.
  void update_strong(Bytes bytes);
  [[nodiscard]] std::uint32_t crc() const { return crc_; }
  [[nodiscard]] Hash128 strong() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
  std::uint32_t crc_ = 0;
};

}  // namespace rk::checkpoint
