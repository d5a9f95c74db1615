// The work that `rk bench format` and the benchmark program time: one file of DeviceMemory chunks.
// Everything is allocated and touched before; what is timed allocates next to nothing.
#pragma once

#include <ringkernel/checkpoint/directory.hpp>
#include <ringkernel/checkpoint/format.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace rk::bench {

class FormatWorkload {
 public:
  /// State of `state_bytes` in chunks of `chunk_bytes`; `compressible`: with long repeats.
  FormatWorkload(std::size_t state_bytes, std::size_t chunk_bytes,
                 checkpoint::Compression compression = {}, bool compressible = false)
      : state_(state_bytes) {
    options_.compression = compression;
    std::uint64_t word = 1;
    for (std::size_t i = 0; i < state_.size(); ++i) {
      word = word * 6364136223846793005u + 1442695040888963407u;
      if (!compressible || i % 64 < 16) state_[i] = static_cast<std::byte>(word >> 56);
    }
    for (std::size_t at = 0; at < state_.size(); at += chunk_bytes) {
      const auto left = std::min(chunk_bytes, state_.size() - at);
      chunks_.push_back({.type = checkpoint::ChunkType::device_memory,
                         .id = at,
                         .data = checkpoint::Bytes(state_).subspan(at, left)});
    }
    metadata_.kernel_id = "bench";
    file_.resize(checkpoint::encoded_bytes(metadata_, chunks_, options_).value());
    encoded_ = checkpoint::encode_into(file_, metadata_, chunks_, options_).value();
  }

  [[nodiscard]] std::size_t state_bytes() const { return state_.size(); }
  [[nodiscard]] std::uint64_t file_bytes() const { return encoded_; }

  /// The peer of encode and decode: one copy of the state into the same warm buffer.
  void copy() { std::memcpy(file_.data(), state_.data(), state_.size()); }
  [[nodiscard]] Result<void> encode() {
    RK_TRY_ASSIGN(encoded_, checkpoint::encode_into(file_, metadata_, chunks_, options_));
    return {};
  }
  /// Precondition: the buffer holds a file, that is, the last call was not `copy`.
  [[nodiscard]] Result<void> decode() const {
    RK_TRY(checkpoint::decode(checkpoint::Bytes(file_).first(encoded_)));
    return {};
  }

  /// One durable checkpoint of the state, committed as every checkpoint is.
  [[nodiscard]] Result<void> save(const std::shared_ptr<checkpoint::Storage>& storage,
                                  std::uint64_t epoch) const {
    RK_TRY_ASSIGN(auto directory, checkpoint::CheckpointDirectory::open(storage, "bench"));
    RK_TRY_ASSIGN(auto writer, directory.begin(epoch, "bench"));
    auto shards = writer.make_shard_set(metadata_, {.compression = options_.compression});
    for (const auto& chunk : chunks_) {
      RK_TRY(shards.append_chunk(chunk.type, chunk.id, chunk.data));
    }
    checkpoint::Manifest manifest;
    manifest.executor = "host";
    manifest.workers = 1;
    RK_TRY_ASSIGN(manifest.shards, shards.finish());
    RK_TRY(writer.commit(std::move(manifest)));
    return {};
  }
  /// The peer of `save`: as many bytes in one new file, written and synced, nothing else.
  [[nodiscard]] Result<void> write_and_sync(const std::string& path) const {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return checkpoint::system_error("create", path, errno);
    std::size_t at = 0;
    int native = 0;
    while (at < encoded_ && native == 0) {
      const ::ssize_t written = ::write(fd, file_.data() + at, encoded_ - at);
      if (written > 0) at += static_cast<std::size_t>(written);
      if (written < 0 && errno != EINTR) native = errno;
    }
    if (native == 0 && ::fsync(fd) != 0) native = errno;
    ::close(fd);
    if (native != 0) return checkpoint::system_error("write", path, native);
    return {};
  }

 private:
  checkpoint::EncodeOptions options_;
  checkpoint::Metadata metadata_;
  std::vector<std::byte> state_;
  std::vector<checkpoint::ChunkView> chunks_;
  std::vector<std::byte> file_;  // the warm buffer; holds an encoded file
  std::uint64_t encoded_ = 0;
};

}  // namespace rk::bench
