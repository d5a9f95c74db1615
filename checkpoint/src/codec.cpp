#include <ringkernel/checkpoint/codec.hpp>

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <vector>

namespace rk::checkpoint {
namespace {

// An lz4 length grows by at most 255 with each of its bytes.
constexpr std::uint64_t kLz4MaxRatio = 255;
// A zstd block yields at most 128 KiB and costs at least its 3-byte header and one byte.
constexpr std::uint64_t kZstdBlockBytes = 128 * 1024;
constexpr std::uint64_t kZstdBlockCost = 4;

const char* chars(Bytes bytes) { return reinterpret_cast<const char*>(bytes.data()); }
char* chars(std::span<std::byte> bytes) { return reinterpret_cast<char*>(bytes.data()); }

int level_of(const Compression& compression) {
  return compression.level == 0 ? kDefaultZstdLevel : compression.level;
}

unexpected no_memory() {
  return fail(ErrorCode::internal, "there is no memory for the codec's working state");
}

unexpected does_not_decompress(std::string_view why) {
  return fail(ErrorCode::corrupt, "a chunk does not decompress: " + std::string(why));
}

}  // namespace

Result<Compression> parse_compression(std::string_view text) {
  if (text == "none") return Compression{};
  if (text == "lz4") return Compression{.codec = Codec::lz4};
  if (text == "zstd") return Compression{.codec = Codec::zstd};
  constexpr std::string_view kZstd = "zstd:";
  if (text.substr(0, kZstd.size()) == kZstd) {
    const std::string_view digits = text.substr(kZstd.size());
    Compression out{.codec = Codec::zstd};
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out.level);
    const bool is_number = parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size();
    if (is_number && out.level >= 1 && out.level <= kMaxZstdLevel) return out;
  }
  return fail(ErrorCode::invalid_argument,
              "'" + std::string(text) +
                  "' is no compression; use none, lz4, zstd or zstd:LEVEL with a level from 1 to " +
                  std::to_string(kMaxZstdLevel));
}

std::string to_string(const Compression& compression) {
  switch (compression.codec) {
    case Codec::none: return "none";
    case Codec::lz4: return "lz4";
    case Codec::zstd: return "zstd:" + std::to_string(level_of(compression));
  }
  return "unknown";
}

Result<void> check_compression(const Compression& compression) {
  const bool has_levels = compression.codec == Codec::zstd;
  const int highest = has_levels ? kMaxZstdLevel : 0;
  if (static_cast<std::uint32_t>(compression.codec) > static_cast<std::uint32_t>(Codec::zstd) ||
      compression.level < 0 || compression.level > highest) {
    return fail(ErrorCode::invalid_argument,
                "a codec is none, lz4 or zstd, and only zstd has levels, from 1 to " +
                    std::to_string(kMaxZstdLevel));
  }
  return {};
}

std::uint64_t max_uncompressed_bytes(Codec codec, std::uint64_t stored_bytes) {
  const std::uint64_t factor = codec == Codec::lz4    ? kLz4MaxRatio
                               : codec == Codec::zstd ? kZstdBlockBytes
                                                      : 1;
  const std::uint64_t units = codec == Codec::zstd ? stored_bytes / kZstdBlockCost : stored_bytes;
  if (units > std::numeric_limits<std::uint64_t>::max() / factor) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  return units * factor;
}

struct Compressor::State {
  struct Free {
    void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  };
  std::vector<std::uint64_t> lz4;
  std::unique_ptr<ZSTD_CCtx, Free> zstd;
};

Compressor::Compressor(Compression compression) : compression_(compression) {}
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;
Compressor::~Compressor() = default;

Result<std::size_t> Compressor::compress(Bytes data, std::span<std::byte> out) {
  if (compression_.codec == Codec::none || data.empty() || out.empty()) return std::size_t{0};
  RK_TRY(check_compression(compression_));
  if (data.size() > LZ4_MAX_INPUT_SIZE) {
    return fail(ErrorCode::invalid_argument, "a chunk is too large for its codec: split it");
  }
  if (state_ == nullptr) state_ = std::make_unique<State>();
  if (compression_.codec == Codec::lz4) {
    state_->lz4.resize((static_cast<std::size_t>(LZ4_sizeofState()) + 7) / 8);
    const auto room = std::min<std::size_t>(out.size(), LZ4_MAX_INPUT_SIZE);
    const int written =
        LZ4_compress_fast_extState(state_->lz4.data(), chars(data), chars(out),
                                   static_cast<int>(data.size()), static_cast<int>(room), 1);
    return static_cast<std::size_t>(std::max(written, 0));
  }
  if (state_->zstd == nullptr) state_->zstd.reset(ZSTD_createCCtx());
  if (state_->zstd == nullptr) return no_memory();
  const std::size_t written = ZSTD_compressCCtx(state_->zstd.get(), out.data(), out.size(),
                                                data.data(), data.size(), level_of(compression_));
  if (ZSTD_isError(written) == 0) return written;
  // The only errors left for valid parameters are a lack of room and a lack of memory, and raw
  // storage serves both.
  return std::size_t{0};
}

struct Decompressor::State {
  struct Free {
    void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> zstd;
};

Decompressor::Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

Result<void> Decompressor::decompress(Codec codec, Bytes stored, std::span<std::byte> out) {
  constexpr std::size_t kMost = LZ4_MAX_INPUT_SIZE;
  if (stored.empty() || out.empty() || stored.size() > kMost || out.size() > kMost) {
    return does_not_decompress("its sizes are out of range");
  }
  if (codec == Codec::lz4) {
    const int got = LZ4_decompress_safe(chars(stored), chars(out), static_cast<int>(stored.size()),
                                        static_cast<int>(out.size()));
    if (got < 0 || static_cast<std::size_t>(got) != out.size()) {
      return does_not_decompress("it is no lz4 block of its size");
    }
    return {};
  }
  if (codec != Codec::zstd) return does_not_decompress("it has no codec");
  // One frame that states its size and ends where the chunk ends: nothing can hide behind it.
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != out.size() ||
      ZSTD_findFrameCompressedSize(stored.data(), stored.size()) != stored.size()) {
    return does_not_decompress("it is no zstd frame of its size");
  }
  if (state_ == nullptr) state_ = std::make_unique<State>();
  if (state_->zstd == nullptr) state_->zstd.reset(ZSTD_createDCtx());
  if (state_->zstd == nullptr) return no_memory();
  const std::size_t got =
      ZSTD_decompressDCtx(state_->zstd.get(), out.data(), out.size(), stored.data(), stored.size());
  if (ZSTD_isError(got) != 0) return does_not_decompress(ZSTD_getErrorName(got));
  if (got != out.size()) return does_not_decompress("it is shorter than it says");
  return {};
}

}  // namespace rk::checkpoint
