#include <ringkernel/checkpoint/shard_set.hpp>

#include <algorithm>
#include <array>

namespace rk::checkpoint {
namespace {

constexpr std::array<std::byte, kRowAlignment> kZeros{};

std::string padded(std::uint64_t number, std::size_t digits) {
  std::string text = std::to_string(number);
  if (text.size() < digits) text.insert(0, digits - text.size(), '0');
  return text;
}

void append(std::vector<std::byte>& to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

ShardSet::ShardSet(Storage& storage, std::string directory, Metadata metadata,
                   ShardSetOptions options)
    : storage_(&storage),
      directory_(std::move(directory)),
      metadata_(std::move(metadata)),
      options_(options) {
  options_.batch_bytes = std::clamp<std::uint64_t>(options_.batch_bytes, 4096, kMaxBatchBytes);
  metadata_.custom["ringkernel.shard.writer"] = std::to_string(options_.writer);
}

Result<void> ShardSet::append_chunk(ChunkType type, std::uint64_t id, Bytes data) {
  return append_chunk(type, id, std::span<const Bytes>(&data, 1));
}

Result<void> ShardSet::append_chunk(ChunkType type, std::uint64_t id,
                                    std::span<const Bytes> pieces) {
  // A chunk lost to an error must never be followed by a successful finish().
  if (failure_) return unexpected(*failure_);
  auto written = write_chunk(type, id, pieces);
  if (!written) failure_ = written.error();
  return written;
}

Result<void> ShardSet::write_chunk(ChunkType type, std::uint64_t id,
                                   std::span<const Bytes> pieces) {
  std::uint64_t bytes = kChunkHeaderBytes;
  for (const Bytes piece : pieces) bytes += piece.size();
  // Compressed shards are judged before compression would help: at worst they end a chunk early.
  const bool is_full = current_ && current_->chunk_count() > 0 &&
                       (current_->bytes() + bytes > options_.shard_bytes ||
                        current_->uncompressed_bytes() + bytes > kMaxFileBytes);
  if (is_full) {
    RK_TRY_ASSIGN(auto info, current_->finish());
    finished_.push_back(std::move(info));
    current_.reset();
  }
  if (!current_) {
    const std::string number = padded(finished_.size(), 4);
    metadata_.custom["ringkernel.shard.number"] = std::to_string(finished_.size());
    RK_TRY_ASSIGN(current_, ShardWriter::create(
                                *storage_, directory_,
                                "shard-" + padded(options_.writer, 2) + "-" + number + ".rkcp",
                                metadata_, options_.created_at_us, options_.compression));
  }
  return current_->append_chunk(type, id, pieces);
}

Result<void> ShardSet::add_row(ChunkType type, std::uint64_t id, RowHeader header, Bytes payload) {
  return add_row(type, id, header, std::span<const Bytes>(&payload, 1));
}

Result<void> ShardSet::add_row(ChunkType type, std::uint64_t id, RowHeader header,
                               std::span<const Bytes> payload) {
  std::uint64_t length = 0;
  for (const Bytes piece : payload) length += piece.size();
  if (length > kMaxFileBytes) {
    failure_ = Error{.code = ErrorCode::invalid_argument,
                     .message =
                         "one actor's state is larger than the 1 GiB of a shard: split it "
                         "over several actors"};
    return unexpected(*failure_);
  }
  header.length_bytes = static_cast<std::uint32_t>(length);
  ++rows_;
  payload_bytes_ += length;
  const Bytes head = std::as_bytes(std::span<const RowHeader>(&header, 1));
  const Bytes tail = Bytes(kZeros).first(row_padding(length));

  auto& batch = batches_[{type, id}];
  if (batch.size() + row_bytes(length) > options_.batch_bytes) RK_TRY(flush({type, id}, batch));
  if (row_bytes(length) >= options_.batch_bytes) {
    std::vector<Bytes> pieces;
    pieces.reserve(payload.size() + 2);
    pieces.push_back(head);
    pieces.insert(pieces.end(), payload.begin(), payload.end());
    pieces.push_back(tail);
    return append_chunk(type, id, pieces);
  }
  if (batch.capacity() == 0) batch.reserve(options_.batch_bytes);
  append(batch, head);
  for (const Bytes piece : payload) append(batch, piece);
  append(batch, tail);
  return {};
}

Result<void> ShardSet::flush(const BatchKey& key, std::vector<std::byte>& batch) {
  if (batch.empty()) return {};
  auto written = append_chunk(key.first, key.second, Bytes(batch));
  batch.clear();
  return written;
}

Result<std::vector<ShardInfo>> ShardSet::finish() {
  for (auto& [key, batch] : batches_) RK_TRY(flush(key, batch));
  if (failure_) return unexpected(*failure_);
  if (current_) {
    RK_TRY_ASSIGN(auto info, current_->finish());
    finished_.push_back(std::move(info));
    current_.reset();
  }
  return std::move(finished_);
}

}  // namespace rk::checkpoint
