// Copies into a file's buffer and hashes what it copies, in one pass over memory.
//
// Small pieces are gathered in a block that stays in the first-level cache; large ones are hashed
// where they lie, block by block, and copied while the block is still in the cache. A large output
// is written around the caches where the processor can (x86-64 with its baseline SSE2): a plain
// store would first read each line of the output, a third of all memory traffic.
//
// Thread-safety: one thread. The output is complete after `finish`.
#pragma once

#include <ringkernel/checkpoint/hash.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace rk::checkpoint {

class FusedWriter {
 public:
  /// Starts behind the first `skip` bytes of `out`, which are neither written nor hashed.
  FusedWriter(std::span<std::byte> out, std::size_t skip)
      : out_(out), flushed_(skip), gathered_(kBlockBytes), streams_(out.size() >= kStreamedBytes) {}

  void append(Bytes bytes) {
    // What was gathered must end where a line of the output begins, else large pieces would share
    // lines with it.
    while (!bytes.empty()) {
      const bool is_large = bytes.size() >= 2 * kBlockBytes;
      if (is_large && used_ == 0 && is_line(flushed_)) {
        const Bytes block = bytes.first(kBlockBytes);
        write(block);
        bytes = bytes.subspan(block.size());
        continue;
      }
      std::size_t room = kBlockBytes - used_;
      if (is_large) room = std::min(room, to_line(flushed_ + used_));
      if (is_large && room == 0) {
        flush();
        continue;
      }
      const Bytes part = bytes.first(std::min(room, bytes.size()));
      std::memcpy(gathered_.data() + used_, part.data(), part.size());
      used_ += part.size();
      bytes = bytes.subspan(part.size());
      if (used_ == kBlockBytes) flush();
    }
  }

  /// Of everything appended; later appends go on.
  const StreamHash& hash() {
    flush();
    return hash_;
  }
  void finish() {
    flush();
#if defined(__x86_64__)
    _mm_sfence();  // streamed stores are weakly ordered: other threads may be handed the buffer
#endif
  }
  [[nodiscard]] std::uint64_t position() const { return flushed_ + used_; }

 private:
  static constexpr std::size_t kLineBytes = 64;
  static constexpr std::size_t kBlockBytes = 8 * 1024;
  // Smaller outputs stay in a cache, where whoever writes them to a file wants them.
  static constexpr std::size_t kStreamedBytes = std::size_t{8} << 20;

  [[nodiscard]] std::size_t to_line(std::size_t position) const {
    const auto address = reinterpret_cast<std::uintptr_t>(out_.data()) + position;
    return (kLineBytes - address % kLineBytes) % kLineBytes;
  }
  [[nodiscard]] bool is_line(std::size_t position) const { return to_line(position) == 0; }

  void flush() {
    if (used_ == 0) return;
    write(Bytes(gathered_).first(used_));
    used_ = 0;
  }

  void write(Bytes block) {
    hash_.update(block);
    std::byte* to = out_.data() + flushed_;
    if (streams_) {
      copy_around_caches(to, block, to_line(flushed_));
    } else {
      std::memcpy(to, block.data(), block.size());
    }
    flushed_ += block.size();
  }

  static void copy_around_caches(std::byte* to, Bytes block, std::size_t head) {
#if defined(__x86_64__)
    head = std::min(head, block.size());
    std::memcpy(to, block.data(), head);
    to += head;
    block = block.subspan(head);
    const std::size_t body = block.size() / kLineBytes * kLineBytes;
    for (std::size_t at = 0; at < body; at += kLineBytes) {
      const auto* from = reinterpret_cast<const __m128i*>(block.data() + at);
      auto* line = reinterpret_cast<__m128i*>(to + at);
      const __m128i a = _mm_loadu_si128(from);
      const __m128i b = _mm_loadu_si128(from + 1);
      const __m128i c = _mm_loadu_si128(from + 2);
      const __m128i d = _mm_loadu_si128(from + 3);
      _mm_stream_si128(line, a);
      _mm_stream_si128(line + 1, b);
      _mm_stream_si128(line + 2, c);
      _mm_stream_si128(line + 3, d);
    }
    std::memcpy(to + body, block.data() + body, block.size() - body);
#else
    (void)head;
    std::memcpy(to, block.data(), block.size());
#endif
  }

  std::span<std::byte> out_;
  std::size_t flushed_;  // bytes of the output that are written and hashed
  std::size_t used_ = 0;
  std::vector<std::byte> gathered_;
  bool streams_;
  StreamHash hash_;
};

}  // namespace rk::checkpoint
