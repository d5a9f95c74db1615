// The codecs of `.rkcp` chunks: none, lz4 (a block without a frame) and zstd (one frame with its
// content size). Each chunk is compressed by itself; one that does not shrink is stored raw.
//
// Equal input, codec, level and library version give equal bytes.
//
// Ownership: a Compressor or Decompressor owns its codec's working memory and reuses it: about
// 16 KiB for lz4, up to a few MiB for zstd (more at levels above 9). Thread-safety: one thread at a
// time each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/result.hpp>
#include <span>
#include <string>
#include <string_view>

namespace rk::checkpoint {

/// As the file's header stores it.
enum class Codec : std::uint32_t { none = 0, lz4 = 1, zstd = 2 };

inline constexpr int kDefaultZstdLevel = 3;
inline constexpr int kMaxZstdLevel = 19;

/// How chunks are written.
struct Compression {
  Codec codec = Codec::none;
  int level = 0;  ///< zstd: 1 to 19, 0 for the default of 3; the others have no levels: 0
  friend bool operator==(const Compression&, const Compression&) = default;
};

/// `none`, `lz4`, `zstd` or `zstd:LEVEL`; anything else is `invalid_argument`.
[[nodiscard]] Result<Compression> parse_compression(std::string_view text);
[[nodiscard]] std::string to_string(const Compression& compression);
/// `invalid_argument` when codec or level is out of range.
[[nodiscard]] Result<void> check_compression(const Compression& compression);

/// The most bytes that `stored_bytes` of a codec can stand for. A chunk that claims more is damaged
/// and is refused before anything is allocated for it.
[[nodiscard]] std::uint64_t max_uncompressed_bytes(Codec codec, std::uint64_t stored_bytes);

class Compressor {
 public:
  /// Allocates nothing until the first `compress`.
  explicit Compressor(Compression compression);
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;
  ~Compressor();

  [[nodiscard]] const Compression& compression() const { return compression_; }
  /// Bytes written to `out`, or 0 when the result does not fit there: then the caller stores `data`
  /// raw. `out` of `data.size() - 1` bytes accepts exactly what shrinks. Always 0 for Codec::none.
  [[nodiscard]] Result<std::size_t> compress(Bytes data, std::span<std::byte> out);

 private:
  struct State;
  Compression compression_;
  std::unique_ptr<State> state_;
};

class Decompressor {
 public:
  Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  /// Fills `out`. `corrupt` when `stored` is not exactly one compressed chunk of that size. Writes
  /// nothing outside `out` whatever `stored` holds; what is in `out` after an error is unspecified.
  [[nodiscard]] Result<void> decompress(Codec codec, Bytes stored, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rk::checkpoint
