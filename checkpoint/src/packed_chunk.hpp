// One chunk on its way into a file: compressed if that makes it smaller, as it is otherwise.
//
// Memory: with a codec a buffer of the largest chunk packed so far. Thread-safety: one thread.
#pragma once

#include <ringkernel/checkpoint/format.hpp>

#include <vector>

namespace rk::checkpoint {

class PackedChunk {
 public:
  explicit PackedChunk(Compression compression) : compressor_(compression) {}

  [[nodiscard]] Result<void> pack(ChunkType type, std::uint64_t id, Bytes data) {
    header_ = {.type = static_cast<std::uint32_t>(type),
               .uncompressed_bytes = data.size(),
               .stored_bytes = data.size(),
               .id = id};
    stored_ = data;
    if (compressor_.compression().codec == Codec::none) return {};
    const std::size_t room = data.empty() ? 0 : data.size() - 1;
    if (buffer_.size() < room) buffer_.resize(room);
    RK_TRY_ASSIGN(const auto bytes, compressor_.compress(data, std::span(buffer_).first(room)));
    if (bytes == 0) {
      header_.flags = kChunkStoredRaw;
    } else {
      header_.stored_bytes = bytes;
      stored_ = Bytes(buffer_).first(bytes);
    }
    return {};
  }

  /// Of the last chunk; `stored` is valid until the next `pack` and as long as its data.
  [[nodiscard]] const ChunkHeader& header() const { return header_; }
  [[nodiscard]] Bytes stored() const { return stored_; }
  [[nodiscard]] const Compression& compression() const { return compressor_.compression(); }

 private:
  Compressor compressor_;
  std::vector<std::byte> buffer_;
  ChunkHeader header_;
  Bytes stored_{};
};

}  // namespace rk::checkpoint
