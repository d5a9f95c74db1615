#include <algorithm>
#include <cstring>
#include <ringkernel/checkpoint/format.hpp>
#include <ringkernel/checkpoint/src/fused_writer.hpp>
#include <ringkernel/checkpoint/src/packed_chunk.hpp>

namespace rk::checkpoint {
namespace {

template <class T>
Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

}  // namespace

Result<std::uint64_t> encoded_bytes(const Metadata& metadata, std::span<const ChunkView> chunks,
                                    const EncodeOptions& options) {
  RK_TRY(check_compression(options.compression));
  if (options.compression.codec != Codec::none && !options.footer) {
    return fail(ErrorCode::invalid_argument, "a compressed file needs its footer");
  }
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
  header.chunk_count = static_cast<std::uint32_t>(chunks.size());
  header.compression = static_cast<std::uint32_t>(options.compression.codec);
  header.created_at_us = options.created_at_us;

  FusedWriter writer(out, kHeaderBytes);
  writer.append(bytes_of(static_cast<std::uint32_t>(encoded_metadata.size())));
  writer.append(encoded_metadata);
  PackedChunk packed(options.compression);
  for (const auto& chunk : chunks) {
    RK_TRY(packed.pack(chunk.type, chunk.id, chunk.data));
    writer.append(bytes_of(packed.header()));
    writer.append(packed.stored());
  }
  header.total_size = writer.position() + (options.footer ? kFooterBytes : 0) - 8;
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
  writer.finish();
  std::memcpy(out.data(), &header, sizeof(header));
  return writer.position();
}

Result<std::vector<std::byte>> encode(const Metadata& metadata, std::span<const ChunkView> chunks,
                                      const EncodeOptions& options) {
  RK_TRY_ASSIGN(const auto total, encoded_bytes(metadata, chunks, options));
  std::vector<std::byte> out(total);
  RK_TRY_ASSIGN(const auto bytes, encode_into(out, metadata, chunks, options));
  out.resize(bytes);
  return out;
}

}  // namespace rk::checkpoint
