// What the fuzzer runs on every input, and what the regression test replays on every input kept:
// the decoder of files, its codecs, metadata, rows and the MANIFEST. It aborts when a result breaks
// a promise; the sanitizers watch the rest.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ringkernel/checkpoint/format.hpp>
#include <ringkernel/checkpoint/manifest.hpp>
#include <ringkernel/checkpoint/rows.hpp>

namespace rk::checkpoint::fuzz {

/// Of one input's chunks together: keeps a decompression bomb from being the test of the machine.
inline constexpr std::uint64_t kMaxUncompressedBytes = std::uint64_t{16} << 20;

inline void require(bool promise, const char* what) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

inline bool equal(Bytes a, Bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

inline void walk_rows(Bytes chunk) {
  RowCursor cursor(chunk);
  RowView row;
  std::size_t rows = 0;
  while (true) {
    const auto more = cursor.next(row);
    if (!more || !*more) return;
    require(++rows <= chunk.size(), "a cursor ends");
    require(row.payload.size() == row.header.length_bytes, "a row has its length");
    require(row.payload.empty() ||
                (row.payload.data() >= chunk.data() &&
                 row.payload.data() + row.payload.size() <= chunk.data() + chunk.size()),
            "a row lies in its chunk");
  }
}

// Whatever decodes must be representable again, in every codec, and come back the same.
inline void round_trip(const DecodedFile& file, const Compression& compression) {
  const EncodeOptions options{.created_at_us = file.header.created_at_us,
                              .compression = compression};
  const auto again = encode(file.metadata, file.chunks, options);
  if (!again) {
    // Only room can be missing: a footer more, or metadata at its limit.
    require(again.error().code == ErrorCode::invalid_argument, "encode refuses with a reason");
    return;
  }
  const auto back = decode(*again);
  require(back.has_value(), "what was encoded decodes");
  require(back->metadata == file.metadata, "metadata comes back");
  require(back->chunks.size() == file.chunks.size(), "every chunk comes back");
  for (std::size_t i = 0; i < file.chunks.size(); ++i) {
    require(back->chunks[i].type == file.chunks[i].type && back->chunks[i].id == file.chunks[i].id,
            "a chunk keeps its identity");
    require(equal(back->chunks[i].data, file.chunks[i].data), "a chunk keeps its data");
  }
  require(content_digest(back->chunks) == content_digest(file.chunks), "the digest stays");
}

inline void decode_file(Bytes input, Integrity integrity) {
  const DecodeOptions options{.integrity = integrity,
                              .max_uncompressed_bytes = kMaxUncompressedBytes};
  const auto stored = decode_stored(input, options);
  const auto whole = decode(input, options);
  require(stored.has_value() || !whole.has_value(), "decode is no laxer than decode_stored");
  if (!stored) return;
  ChunkReader reader;
  std::uint64_t total = 0;
  std::uint32_t digest = 0;
  bool sound = true;
  for (const auto& chunk : stored->chunks) {
    const auto view = reader.read(chunk);
    if (!view) {
      require(view.error().code == ErrorCode::corrupt, "bad data is corrupt");
      sound = false;
      continue;
    }
    require(view->data.size() == chunk.uncompressed_bytes, "a chunk has its size");
    total += view->data.size();
    digest = content_digest(digest, *view);
    walk_rows(view->data);
  }
  require(total <= kMaxUncompressedBytes, "the limit holds");
  require(whole.has_value() == sound, "both ways to decode agree");
  if (!whole) return;
  require(content_digest(whole->chunks) == digest, "both ways give the same data");
  constexpr std::uint64_t kSmallBytes = 64 * 1024;
  if (total > kSmallBytes) return;
  for (const auto codec : {Codec::none, Codec::lz4, Codec::zstd}) {
    round_trip(*whole, {.codec = codec});
  }
}

inline void parse_as_manifest(std::string_view text) {
  const auto manifest = parse_manifest(text);
  if (!manifest) return;
  const auto again = format_manifest(*manifest);
  require(again.has_value(), "what was parsed can be formatted");
  const auto back = parse_manifest(*again);
  require(back.has_value() && *back == *manifest, "a manifest comes back");
}

inline void run(Bytes input) {
  decode_file(input, Integrity::check);
  // As if CRC and hash were right: nothing behind them may rely on that.
  decode_file(input, Integrity::assumed);
  walk_rows(input);
  if (const auto metadata = decode_metadata(input)) {
    const auto again = encode_metadata(*metadata);
    require(!again || decode_metadata(*again).value() == *metadata, "metadata comes back");
  }
  const std::string text(reinterpret_cast<const char*>(input.data()), input.size());
  parse_as_manifest(text);
  parse_as_manifest(text + "xxh3-128 " + to_hex(xxh3_128(input)) + "\n");
}

}  // namespace rk::checkpoint::fuzz
