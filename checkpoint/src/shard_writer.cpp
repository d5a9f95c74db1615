#include <ringkernel/checkpoint/shard_writer.hpp>

#include <algorithm>
#include <ringkernel/checkpoint/src/packed_chunk.hpp>

namespace rk::checkpoint {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;

template <class T>
Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

}  // namespace

Hash128 shard_hash(Bytes file) {
  StreamHash hash;
  const auto header_bytes = std::min<std::size_t>(file.size(), kHeaderBytes);
  hash.update_strong(file.subspan(header_bytes));
  hash.update_strong(file.first(header_bytes));
  return hash.strong();
}

ShardWriter::ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter& ShardWriter::operator=(ShardWriter&&) noexcept = default;
ShardWriter::~ShardWriter() = default;

Result<ShardWriter> ShardWriter::create(Storage& storage, const std::string& directory,
                                        const std::string& name, const Metadata& metadata,
                                        std::uint64_t created_at_us, Compression compression) {
  RK_TRY(check_compression(compression));
  RK_TRY_ASSIGN(const auto encoded_metadata, encode_metadata(metadata));
  ShardWriter writer;
  RK_TRY_ASSIGN(writer.file_, storage.create(directory + "/" + name));
  writer.name_ = name;
  writer.header_.created_at_us = created_at_us;
  writer.header_.compression = static_cast<std::uint32_t>(compression.codec);
  if (compression.codec != Codec::none) {
    writer.packed_ = std::make_unique<PackedChunk>(compression);
  }
  writer.buffer_.reserve(kBufferBytes);
  // Room for the header; zeros are no magic, so an unfinished file never decodes.
  RK_TRY(writer.file_->append(bytes_of(std::array<std::byte, kHeaderBytes>{})));
  writer.position_ = kHeaderBytes;
  RK_TRY(writer.put(bytes_of(static_cast<std::uint32_t>(encoded_metadata.size()))));
  RK_TRY(writer.put(encoded_metadata));
  return writer;
}

Result<void> ShardWriter::flush() {
  if (buffer_.empty()) return {};
  hash_.update(buffer_);
  auto written = file_->append(buffer_);
  buffer_.clear();
  return written;
}

Result<void> ShardWriter::put(Bytes bytes) {
  position_ += bytes.size();
  if (bytes.size() >= kBufferBytes) {
    RK_TRY(flush());
    while (!bytes.empty()) {
      const Bytes block = bytes.first(std::min(bytes.size(), 4 * kBufferBytes));
      hash_.update(block);
      RK_TRY(file_->append(block));
      bytes = bytes.subspan(block.size());
    }
    return {};
  }
  while (!bytes.empty()) {
    const Bytes part = bytes.first(std::min(bytes.size(), kBufferBytes - buffer_.size()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    if (buffer_.size() == kBufferBytes) RK_TRY(flush());
  }
  return {};
}

Result<void> ShardWriter::append_chunk(ChunkType type, std::uint64_t id, Bytes data) {
  return append_chunk(type, id, std::span<const Bytes>(&data, 1));
}

Result<void> ShardWriter::append_chunk(ChunkType type, std::uint64_t id,
                                       std::span<const Bytes> pieces) {
  if (file_ == nullptr) return fail(ErrorCode::closed, "the shard " + name_ + " is closed");
  std::uint64_t data_bytes = 0;
  for (const Bytes piece : pieces) data_bytes += piece.size();
  const std::uint64_t taken = std::max(bytes() + kChunkHeaderBytes, uncompressed_bytes_);
  if (data_bytes > kMaxFileBytes || taken + data_bytes > kMaxFileBytes) {
    return fail(ErrorCode::invalid_argument, "a shard holds at most 1 GiB: split the chunk of " +
                                                 std::to_string(data_bytes) + " bytes");
  }
  Result<void> written;
  if (packed_ != nullptr) {
    written = put_packed(type, id, pieces);
  } else {
    written = put(bytes_of(ChunkHeader{.type = static_cast<std::uint32_t>(type),
                                       .uncompressed_bytes = data_bytes,
                                       .stored_bytes = data_bytes,
                                       .id = id}));
    for (const Bytes piece : pieces) {
      if (written) written = put(piece);
    }
  }
  // What reached the file is unknown now: never let it be finished.
  if (!written) file_.reset();
  if (written) ++header_.chunk_count;
  uncompressed_bytes_ += data_bytes;
  return written;
}

Result<void> ShardWriter::put_packed(ChunkType type, std::uint64_t id,
                                     std::span<const Bytes> pieces) {
  Bytes data;
  if (pieces.size() == 1) {
    data = pieces.front();
  } else {
    joined_.clear();
    for (const Bytes piece : pieces) joined_.insert(joined_.end(), piece.begin(), piece.end());
    data = joined_;
  }
  RK_TRY(packed_->pack(type, id, data));
  RK_TRY(put(bytes_of(packed_->header())));
  return put(packed_->stored());
}

Result<ShardInfo> ShardWriter::finish() {
  if (file_ == nullptr) return fail(ErrorCode::closed, "the shard " + name_ + " is closed");
  const auto file = std::move(file_);
  if (!buffer_.empty()) {
    hash_.update(buffer_);
    RK_TRY(file->append(buffer_));
    buffer_.clear();
  }
  header_.total_size = position_ + kFooterBytes - 8;
  FileFooter footer{.chunk_count = header_.chunk_count};
  StreamHash covered = hash_;
  covered.update_strong(bytes_of(footer).first(kFooterHashedBytes));
  covered.update_strong(bytes_of(header_));
  footer.hash_low = covered.strong().low;
  footer.hash_high = covered.strong().high;
  hash_.update(bytes_of(footer));
  RK_TRY(file->append(bytes_of(footer)));
  position_ += kFooterBytes;

  header_.crc = hash_.crc();
  hash_.update_strong(bytes_of(header_));
  RK_TRY(file->rewrite_head(bytes_of(header_)));
  RK_TRY(file->sync());
  return ShardInfo{.name = name_, .bytes = position_, .hash = hash_.strong()};
}

}  // namespace rk::checkpoint
