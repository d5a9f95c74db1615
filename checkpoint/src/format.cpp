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

struct Structure {
  StoredFile file;
  FileFooter footer;
};

bool is_known_codec(std::uint32_t compression) {
  return compression <= static_cast<std::uint32_t>(Codec::zstd);
}

// How a chunk is stored; its sizes and flags must say the same. Of a codec that we do not know
// nothing can be said, the file is refused later.
Result<Codec> codec_of(const FileHeader& header, const ChunkHeader& chunk) {
  if (!is_known_codec(header.compression)) return Codec::none;
  const auto codec = static_cast<Codec>(header.compression);
  const std::uint32_t allowed_flags = codec == Codec::none ? 0 : kChunkStoredRaw;
  if ((chunk.flags & ~allowed_flags) != 0) {
    return corrupt("a chunk has flags that version 1 does not define");
  }
  if (codec == Codec::none || chunk.flags == kChunkStoredRaw) {
    if (chunk.uncompressed_bytes == chunk.stored_bytes) return Codec::none;
    return corrupt("an uncompressed chunk has two different sizes");
  }
  if (chunk.stored_bytes >= chunk.uncompressed_bytes ||
      chunk.uncompressed_bytes > max_uncompressed_bytes(codec, chunk.stored_bytes)) {
    return corrupt("a compressed chunk has sizes that its codec cannot give");
  }
  return codec;
}

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
    RK_TRY_ASSIGN(const Codec codec, codec_of(header, chunk));
    out.file.chunks.push_back({.type = static_cast<ChunkType>(chunk.type),
                               .codec = codec,
                               .id = chunk.id,
                               .uncompressed_bytes = chunk.uncompressed_bytes,
                               .stored = bytes.subspan(position, chunk.stored_bytes)});
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
  if (!is_known_codec(header.compression)) {
    return fail(ErrorCode::incompatible, "the file uses codec " +
                                             std::to_string(header.compression) +
                                             "; this build reads 0 (none), 1 (lz4) and 2 (zstd)");
  }
  // Only our writers compress, and they always write one.
  if (header.compression != 0 && !structure.file.has_footer) {
    return corrupt("a compressed file has no footer");
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

Result<void> check_limit(const StoredFile& file, std::uint64_t max_uncompressed_bytes) {
  std::uint64_t left = std::min(max_uncompressed_bytes, kMaxFileBytes);
  for (const auto& chunk : file.chunks) {
    if (chunk.uncompressed_bytes > left) {
      return fail(ErrorCode::incompatible, "the file holds more data than the limit of " +
                                               std::to_string(max_uncompressed_bytes) + " bytes");
    }
    left -= chunk.uncompressed_bytes;
  }
  return {};
}

}  // namespace

bool is_known(ChunkType type) {
  const auto raw = static_cast<std::uint32_t>(type);
  return (raw >= 1 && raw <= 8) || raw == 100;
}

Result<StoredFile> decode_stored(Bytes file, const DecodeOptions& options) {
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
  if (options.integrity == Integrity::check) RK_TRY(check_integrity(file, *structure));
  RK_TRY(check_fields(file.size(), *structure));
  RK_TRY(check_limit(structure->file, options.max_uncompressed_bytes));
  return std::move(structure->file);
}

Result<void> decompress_into(const StoredChunk& chunk, std::span<std::byte> out) {
  if (out.size() != chunk.uncompressed_bytes) {
    return fail(ErrorCode::invalid_argument, "the buffer for a chunk does not have its size");
  }
  if (chunk.codec != Codec::none) return Decompressor().decompress(chunk.codec, chunk.stored, out);
  if (!out.empty()) std::memcpy(out.data(), chunk.stored.data(), out.size());
  return {};
}

Result<ChunkView> ChunkReader::read(const StoredChunk& chunk) {
  ChunkView view{.type = chunk.type, .id = chunk.id, .data = chunk.stored};
  if (chunk.codec == Codec::none) return view;
  if (buffer_.size() < chunk.uncompressed_bytes) buffer_.resize(chunk.uncompressed_bytes);
  const auto out = std::span(buffer_).first(chunk.uncompressed_bytes);
  RK_TRY(decompressor_.decompress(chunk.codec, chunk.stored, out));
  view.data = out;
  return view;
}

Result<DecodedFile> decode(Bytes bytes, const DecodeOptions& options) {
  auto file = decode_stored(bytes, options);
  if (!file) return unexpected(file.error());
  DecodedFile out{.header = file->header,
                  .metadata = std::move(file->metadata),
                  .has_footer = file->has_footer};
  std::uint64_t compressed_bytes = 0;
  for (const auto& chunk : file->chunks) {
    if (chunk.codec != Codec::none) compressed_bytes += chunk.uncompressed_bytes;
  }
  std::span<std::byte> free;
  if (compressed_bytes != 0) {
    const auto memory = std::make_shared_for_overwrite<std::byte[]>(compressed_bytes);
    free = {memory.get(), compressed_bytes};
    out.memory = memory;
  }
  Decompressor decompressor;
  out.chunks.reserve(file->chunks.size());
  for (const auto& chunk : file->chunks) {
    ChunkView view{.type = chunk.type, .id = chunk.id, .data = chunk.stored};
    if (chunk.codec != Codec::none) {
      const auto data = free.first(chunk.uncompressed_bytes);
      RK_TRY(decompressor.decompress(chunk.codec, chunk.stored, data));
      free = free.subspan(data.size());
      view.data = data;
    }
    out.chunks.push_back(view);
  }
  return out;
}

std::uint32_t content_digest(std::span<const ChunkView> chunks) {
  std::uint32_t crc = 0;
  for (const auto& chunk : chunks) crc = content_digest(crc, chunk);
  return crc;
}

std::uint32_t content_digest(std::uint32_t before, const ChunkView& chunk) {
  if (!is_known(chunk.type)) return before;
  const bool has_id = chunk.type == ChunkType::device_memory || chunk.type == ChunkType::custom;
  struct {
    std::uint32_t type;
    std::uint32_t id[2];
    std::uint32_t zero;
  } identity{static_cast<std::uint32_t>(chunk.type), {0, 0}, 0};
  if (has_id) std::memcpy(identity.id, &chunk.id, sizeof(chunk.id));
  return crc32(chunk.data, crc32(bytes_of(identity), before));
}

}  // namespace rk::checkpoint
