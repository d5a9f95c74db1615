#include <algorithm>
#include <bit>
#include <cstring>
#include <ringkernel/checkpoint/format.hpp>

namespace rk::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "headers are copied as they lie in memory");

template <class T>
Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

unexpected corrupt(std::string what) { return fail(ErrorCode::corrupt, std::move(what)); }

// Copies to the output and hashes what was copied while it is still in the cache.
class FusedWriter {
 public:
  explicit FusedWriter(std::span<std::byte> out) : out_(out), hashed_bytes_(kHeaderBytes) {
    position_ = kHeaderBytes;
  }

  void append(Bytes bytes) {
    constexpr std::size_t kBlockBytes = 8 * 1024;
    while (!bytes.empty()) {
      const Bytes block = bytes.first(std::min(bytes.size(), kBlockBytes));
      std::memcpy(out_.data() + position_, block.data(), block.size());
      position_ += block.size();
      bytes = bytes.subspan(block.size());
      if (position_ - hashed_bytes_ >= kBlockBytes) catch_up();
    }
  }

  const StreamHash& hash() {
    catch_up();
    return hash_;
  }
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  void catch_up() {
    hash_.update(Bytes(out_).subspan(hashed_bytes_, position_ - hashed_bytes_));
    hashed_bytes_ = position_;
  }

  std::span<std::byte> out_;
  std::uint64_t position_ = 0;
  std::uint64_t hashed_bytes_ = 0;
  StreamHash hash_;
};

struct Structure {
  DecodedFile file;
  FileFooter footer;
};

// Everything that decides where bytes lie; nothing that judges what the header's fields mean.
Result<Structure> read_structure(Bytes bytes) {
  Structure out;
  FileHeader& header = out.file.header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::uint64_t position = kHeaderBytes;
  const auto remaining = [&] { return bytes.size() - position; };

  if (remaining() < 4) return corrupt("the file ends before its metadata");
  std::uint32_t metadata_bytes = 0;
  std::memcpy(&metadata_bytes, bytes.data() + position, 4);
  position += 4;
  if (metadata_bytes > remaining()) return corrupt("the file ends inside its metadata");
  RK_TRY_ASSIGN(out.file.metadata, decode_metadata(bytes.subspan(position, metadata_bytes)));
  position += metadata_bytes;

  if (header.chunk_count > remaining() / kChunkHeaderBytes) {
    return corrupt("the header counts more chunks than the file can hold");
  }
  out.file.chunks.reserve(header.chunk_count);
  for (std::uint32_t i = 0; i < header.chunk_count; ++i) {
    if (remaining() < kChunkHeaderBytes) return corrupt("the file ends inside a chunk header");
    ChunkHeader chunk;
    std::memcpy(&chunk, bytes.data() + position, sizeof(chunk));
    position += kChunkHeaderBytes;
    if (chunk.stored_bytes > remaining()) return corrupt("the file ends inside a chunk");
    if (header.compression == 0 && chunk.uncompressed_bytes != chunk.stored_bytes) {
      return corrupt("an uncompressed chunk has two different sizes");
    }
    if (chunk.flags != 0) return corrupt("a chunk has flags that version 1 does not define");
    out.file.chunks.push_back({.type = static_cast<ChunkType>(chunk.type),
                               .id = chunk.id,
                               .data = bytes.subspan(position, chunk.stored_bytes)});
    position += chunk.stored_bytes;
  }

  if (remaining() == 0) return out;
  if (remaining() == kFooterBytes) {
    std::memcpy(&out.footer, bytes.data() + position, sizeof(FileFooter));
    out.file.has_footer = out.footer.magic == kFooterMagic;
  }
  if (!out.file.has_footer) return corrupt("the last chunk is followed by unexplained bytes");
  return out;
}

Result<void> check_integrity(Bytes bytes, const Structure& structure) {
  FileHeader header = structure.file.header;
  if (!structure.file.has_footer) {
    const std::uint32_t crc = crc32(bytes.subspan(kHeaderBytes));
    if (crc != header.crc) return corrupt("the CRC does not match: the file is damaged");
    return {};
  }
  StreamHash hash;
  const Bytes body = bytes.subspan(kHeaderBytes);
  hash.update(body.first(body.size() - kFooterBytes + kFooterHashedBytes));
  const std::uint32_t crc = crc32(body.last(kFooterBytes - kFooterHashedBytes), hash.crc());
  if (crc != header.crc) return corrupt("the CRC does not match: the file is damaged");
  header.crc = 0;
  hash.update_strong(bytes_of(header));
  if (hash.strong() !=
      Hash128{.low = structure.footer.hash_low, .high = structure.footer.hash_high}) {
    return corrupt("the footer's hash does not match: the file is damaged");
  }
  return {};
}

Result<void> check_fields(std::uint64_t file_bytes, const Structure& structure) {
  const FileHeader& header = structure.file.header;
  if (header.version != kFormatVersion) {
    return fail(ErrorCode::incompatible, "the file has format version " +
                                             std::to_string(header.version) +
                                             "; this build reads version 1");
  }
  if (header.compression != 0) {
    return fail(ErrorCode::incompatible, "the file uses codec " +
                                             std::to_string(header.compression) +
                                             "; this build reads uncompressed files");
  }
  if (header.header_size != kHeaderSizeField && header.header_size != kHeaderBytes) {
    return corrupt("the header gives its own size as neither 56 nor 64");
  }
  if (header.total_size != file_bytes && header.total_size != file_bytes - 8) {
    return corrupt("the header's size and the file's length do not agree");
  }
  if (header.flags != 0 || header.reserved != std::array<std::uint64_t, 2>{}) {
    return corrupt("the header has bits set that version 1 keeps at zero");
  }
  if (structure.file.has_footer && (structure.footer.version != kFooterVersion ||
                                    structure.footer.chunk_count != header.chunk_count)) {
    return corrupt("the footer and the header do not agree");
  }
  return {};
}

}  // namespace

bool is_known(ChunkType type) {
  const auto raw = static_cast<std::uint32_t>(type);
  return (raw >= 1 && raw <= 8) || raw == 100;
}

Result<std::uint64_t> encoded_bytes(const Metadata& metadata, std::span<const ChunkView> chunks,
                                    const EncodeOptions& options) {
  RK_TRY_ASSIGN(const auto encoded_metadata, encode_metadata(metadata));
  std::uint64_t total = kHeaderBytes + 4 + encoded_metadata.size();
  if (options.footer) total += kFooterBytes;
  for (const auto& chunk : chunks) {
    if (chunk.data.size() > kMaxFileBytes) total = kMaxFileBytes;
    total += kChunkHeaderBytes + chunk.data.size();
    if (total > kMaxFileBytes) {
      return fail(ErrorCode::invalid_argument,
                  "a .rkcp file holds at most 1 GiB: split the state over several shards");
    }
  }
  return total;
}

Result<std::uint64_t> encode_into(std::span<std::byte> out, const Metadata& metadata,
                                  std::span<const ChunkView> chunks, const EncodeOptions& options) {
  RK_TRY_ASSIGN(const auto total, encoded_bytes(metadata, chunks, options));
  RK_TRY_ASSIGN(const auto encoded_metadata, encode_metadata(metadata));
  if (out.size() < total) {
    return fail(ErrorCode::invalid_argument, "the buffer for the encoded file is too small");
  }
  FileHeader header;
  header.total_size = total - 8;
  header.chunk_count = static_cast<std::uint32_t>(chunks.size());
  header.created_at_us = options.created_at_us;

  FusedWriter writer(out);
  writer.append(bytes_of(static_cast<std::uint32_t>(encoded_metadata.size())));
  writer.append(encoded_metadata);
  for (const auto& chunk : chunks) {
    writer.append(bytes_of(ChunkHeader{.type = static_cast<std::uint32_t>(chunk.type),
                                       .uncompressed_bytes = chunk.data.size(),
                                       .stored_bytes = chunk.data.size(),
                                       .id = chunk.id}));
    writer.append(chunk.data);
  }
  if (options.footer) {
    FileFooter footer{.chunk_count = header.chunk_count};
    StreamHash strong = writer.hash();
    strong.update_strong(bytes_of(footer).first(kFooterHashedBytes));
    strong.update_strong(bytes_of(header));
    footer.hash_low = strong.strong().low;
    footer.hash_high = strong.strong().high;
    writer.append(bytes_of(footer));
  }
  header.crc = writer.hash().crc();
  std::memcpy(out.data(), &header, sizeof(header));
  return writer.position();
}

Result<std::vector<std::byte>> encode(const Metadata& metadata, std::span<const ChunkView> chunks,
                                      const EncodeOptions& options) {
  RK_TRY_ASSIGN(const auto total, encoded_bytes(metadata, chunks, options));
  std::vector<std::byte> out(total);
  RK_TRY(encode_into(out, metadata, chunks, options));
  return out;
}

Result<DecodedFile> decode(Bytes file, Integrity integrity) {
  if (file.size() > kMaxFileBytes) {
    return fail(ErrorCode::incompatible, "the file is larger than the 1 GiB of a .rkcp file");
  }
  if (file.size() < kHeaderBytes) return corrupt("the file is shorter than a .rkcp header");
  std::uint64_t magic = 0;
  std::memcpy(&magic, file.data(), sizeof(magic));
  if (magic != kMagic) return corrupt("this is not a .rkcp file, or its first bytes are damaged");

  // Damage first, meaning second: a flipped bit in the version field is damage, not a new version.
  auto structure = read_structure(file);
  if (!structure) return unexpected(structure.error());
  if (integrity == Integrity::check) RK_TRY(check_integrity(file, *structure));
  RK_TRY(check_fields(file.size(), *structure));
  return std::move(structure->file);
}

std::uint32_t content_digest(std::span<const ChunkView> chunks) {
  std::uint32_t crc = 0;
  for (const auto& chunk : chunks) {
    if (!is_known(chunk.type)) continue;
    const bool has_id = chunk.type == ChunkType::device_memory || chunk.type == ChunkType::custom;
    struct {
      std::uint32_t type;
      std::uint32_t id[2];
      std::uint32_t zero;
    } identity{static_cast<std::uint32_t>(chunk.type), {0, 0}, 0};
    if (has_id) std::memcpy(identity.id, &chunk.id, sizeof(chunk.id));
    crc = crc32(bytes_of(identity), crc);
    crc = crc32(chunk.data, crc);
  }
  return crc;
}

}  // namespace rk::checkpoint
