// `.rkcp` version 1: one file of metadata and typed chunks. docs/format.md has the prose.
//
//   0        64           64+4+m                                            len-32     len
//   | header | u32 m, meta | chunk header 32 | data | chunk header | data ... | footer |
//            |<----------------- CRC-32 of the header covers this ------------------->|
//   |<- header (CRC as zero) and body: XXH3-128 in the footer covers this --->|
//
// Invariants:
//  1. Bytes are little-endian and unaligned; equal input and an equal `created_at_us` give equal
//     bytes (metadata keys sorted, chunks in the given order).
//  2. The seed's reader accepts every file we write: it ignores what follows the last chunk.
//  3. `decode` reads nothing outside the input and allocates only after the bounds are checked.
//     What is stored raw is viewed in the input, which must outlive the views; what is compressed
//     is decompressed on demand (`decode_stored`) or into memory of the result (`decode`).
//  4. With a footer every flipped bit is detected. Without one (the seed's files) the body is
//     covered by the CRC and the header by rules: exact version, chunk count, sizes, zero reserve.
//
// Errors: `corrupt` when bytes do not verify, `incompatible` when they verify but are of a version
// or codec we do not read, `invalid_argument` when the input of `encode` cannot be represented.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <ringkernel/checkpoint/codec.hpp>
#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <type_traits>
#include <vector>

namespace rk::checkpoint {

inline constexpr std::uint64_t kMagic = 0x524B434B50543031;        // "RKCKPT01"
inline constexpr std::uint64_t kFooterMagic = 0x524B4346544F4F31;  // "RKCFTOO1"
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint32_t kFooterVersion = 1;
inline constexpr std::uint32_t kHeaderSizeField = 56;  // what the seed writes; 64 is accepted too
inline constexpr std::uint64_t kHeaderBytes = 64;
inline constexpr std::uint64_t kChunkHeaderBytes = 32;
inline constexpr std::uint64_t kFooterBytes = 32;
inline constexpr std::uint64_t kFooterHashedBytes = 16;  // the footer's own part of its hash
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30;
inline constexpr std::uint64_t kMaxMetadataBytes = std::uint64_t{16} << 20;

struct FileHeader {
  std::uint64_t magic = kMagic;
  std::uint32_t version = kFormatVersion;
  std::uint32_t header_size = kHeaderSizeField;
  std::uint64_t total_size = 0;  // file length - 8, as the seed counts; file length is accepted too
  std::uint32_t chunk_count = 0;
  std::uint32_t compression = 0;  // a Codec
  std::uint32_t crc = 0;          // CRC-32/IEEE of bytes [64, end)
  std::uint32_t flags = 0;
  std::uint64_t created_at_us = 0;  // since 1970
  std::array<std::uint64_t, 2> reserved{};
};
static_assert(sizeof(FileHeader) == kHeaderBytes && std::is_trivially_copyable_v<FileHeader>);
static_assert(offsetof(FileHeader, total_size) == 16 && offsetof(FileHeader, crc) == 32 &&
              offsetof(FileHeader, created_at_us) == 40);
static_assert(std::has_unique_object_representations_v<FileHeader>);

/// The only flag of a chunk, in compressed files only: its data did not shrink and is stored raw.
inline constexpr std::uint32_t kChunkStoredRaw = 1;

struct ChunkHeader {
  std::uint32_t type = 0;
  std::uint32_t flags = 0;
  std::uint64_t uncompressed_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t id = 0;
};
static_assert(sizeof(ChunkHeader) == kChunkHeaderBytes);
static_assert(std::has_unique_object_representations_v<ChunkHeader>);

/// After the last chunk. The hash covers body, then the first 16 bytes of the footer, then the
/// header with its CRC field as zero: in that order, so that a writer can stream.
struct FileFooter {
  std::uint64_t magic = kFooterMagic;
  std::uint32_t version = kFooterVersion;
  std::uint32_t chunk_count = 0;
  std::uint64_t hash_low = 0;
  std::uint64_t hash_high = 0;
};
static_assert(sizeof(FileFooter) == kFooterBytes && offsetof(FileFooter, hash_low) == 16);
static_assert(std::has_unique_object_representations_v<FileFooter>);

enum class ChunkType : std::uint32_t {
  control_block = 1,
  h2k_queue = 2,
  k2h_queue = 3,
  hlc_state = 4,
  device_memory = 5,
  k2k_routing = 6,
  halo_buffers = 7,
  telemetry = 8,
  custom = 100,
};

[[nodiscard]] bool is_known(ChunkType type);

/// The exchange form of a hybrid logical clock's stamp. Kept whole, never packed.
struct WideStamp {
  std::uint64_t physical = 0;
  std::uint64_t logical = 0;
  std::uint64_t node = 0;
  friend bool operator==(const WideStamp&, const WideStamp&) = default;
};

struct Metadata {
  std::string kernel_id;
  std::string kernel_type;
  std::uint64_t step = 0;
  std::array<std::uint32_t, 3> grid{};
  std::array<std::uint32_t, 3> tile{};
  WideStamp hlc;
  std::map<std::string, std::string> custom;
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

/// All strings must be UTF-8: the seed's reader refuses anything else.
[[nodiscard]] Result<std::vector<std::byte>> encode_metadata(const Metadata& metadata);
[[nodiscard]] Result<Metadata> decode_metadata(Bytes bytes);
[[nodiscard]] bool is_utf8(std::string_view text);

/// A chunk whose bytes belong to somebody else.
struct ChunkView {
  ChunkType type = ChunkType::custom;
  std::uint64_t id = 0;
  Bytes data{};
};

/// A chunk that owns its bytes.
struct Chunk {
  ChunkType type = ChunkType::custom;
  std::uint64_t id = 0;
  std::vector<std::byte> data{};
  [[nodiscard]] ChunkView view() const { return {.type = type, .id = id, .data = data}; }
};

struct EncodeOptions {
  std::uint64_t created_at_us = 0;
  bool footer = true;  ///< compressed files must have one
  Compression compression{};
};

/// Size of the encoded file, exact without compression and an upper bound with it.
/// `invalid_argument` when it would exceed the format's limits.
[[nodiscard]] Result<std::uint64_t> encoded_bytes(const Metadata& metadata,
                                                  std::span<const ChunkView> chunks,
                                                  const EncodeOptions& options);

/// Encodes into `out` (at least `encoded_bytes`): copy and checksums in one pass, no allocation
/// but the metadata's and, with compression, one buffer of the largest chunk. Returns the bytes
/// written.
[[nodiscard]] Result<std::uint64_t> encode_into(std::span<std::byte> out, const Metadata& metadata,
                                                std::span<const ChunkView> chunks,
                                                const EncodeOptions& options);

[[nodiscard]] Result<std::vector<std::byte>> encode(const Metadata& metadata,
                                                    std::span<const ChunkView> chunks,
                                                    const EncodeOptions& options);

enum class Integrity : std::uint8_t {
  check,    ///< CRC and footer are computed
  assumed,  ///< the caller has verified a hash over the whole file; structure is still checked
};

struct DecodeOptions {
  Integrity integrity = Integrity::check;
  /// Of all chunks together; more is `incompatible`. The format allows no more than 1 GiB.
  std::uint64_t max_uncompressed_bytes = kMaxFileBytes;
};

/// A chunk as it lies in a verified file. Its sizes are plausible for its codec; only decompressing
/// it tells whether its bytes are.
struct StoredChunk {
  ChunkType type = ChunkType::custom;
  Codec codec = Codec::none;  ///< none: `stored` is the data
  std::uint64_t id = 0;
  std::uint64_t uncompressed_bytes = 0;
  Bytes stored{};
};

struct StoredFile {
  FileHeader header;
  Metadata metadata;
  std::vector<StoredChunk> chunks;
  bool has_footer = false;
};

/// Verifies a file and finds its chunks; decompresses nothing. The chunks view `file`.
[[nodiscard]] Result<StoredFile> decode_stored(Bytes file, const DecodeOptions& options = {});

/// Fills `out`, which has exactly `chunk.uncompressed_bytes`.
[[nodiscard]] Result<void> decompress_into(const StoredChunk& chunk, std::span<std::byte> out);

/// Reads chunks one after the other with the memory of one: the largest compressed one so far.
class ChunkReader {
 public:
  /// The view lies in the file or in this reader; it is valid until the next call.
  [[nodiscard]] Result<ChunkView> read(const StoredChunk& chunk);

 private:
  Decompressor decompressor_;
  std::vector<std::byte> buffer_;
};

struct DecodedFile {
  FileHeader header;
  Metadata metadata;
  std::vector<ChunkView> chunks;  ///< views into the input or into `memory`
  bool has_footer = false;
  std::shared_ptr<const std::byte[]> memory;  ///< what was decompressed; null if nothing was
};

/// `decode_stored`, then every compressed chunk decompressed into one allocation.
[[nodiscard]] Result<DecodedFile> decode(Bytes file, const DecodeOptions& options = {});

/// The seed's content digest: CRC-32 over identity and data of each chunk of a known type.
[[nodiscard]] std::uint32_t content_digest(std::span<const ChunkView> chunks);
/// The digest of the chunks before and this one.
[[nodiscard]] std::uint32_t content_digest(std::uint32_t before, const ChunkView& chunk);

}  // namespace rk::checkpoint
