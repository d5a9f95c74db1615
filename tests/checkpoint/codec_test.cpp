#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>
#include <ringkernel/checkpoint/inspect.hpp>
#include <ringkernel/checkpoint/shard_set.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

constexpr Compression kLz4{.codec = Codec::lz4};
constexpr Compression kZstd{.codec = Codec::zstd};
constexpr Compression kZstd9{.codec = Codec::zstd, .level = 9};
const std::vector<Compression> kCodecs{kLz4, kZstd, kZstd9};

// Compresses well, but not to nothing.
std::vector<std::byte> text_like(std::size_t size, std::uint32_t seed) {
  auto out = pattern(size, seed);
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 64 >= 8) out[i] = static_cast<std::byte>((i / 64) % 7);
  }
  return out;
}

struct Sample {
  std::vector<std::vector<std::byte>> data{text_like(10'000, 1),
                                           pattern(5000, 2),
                                           {},
                                           std::vector<std::byte>(100'000, std::byte{7}),
                                           pattern(1, 3)};
  std::vector<ChunkView> chunks;
  Sample() {
    for (std::size_t i = 0; i < data.size(); ++i) {
      chunks.push_back({.type = i % 2 == 0 ? ChunkType::device_memory : ChunkType::custom,
                        .id = i,
                        .data = data[i]});
    }
  }
};

std::vector<std::byte> file_of(const Compression& compression, bool footer = true) {
  const Sample sample;
  return encode(sample_metadata(), sample.chunks,
                {.created_at_us = 77, .footer = footer, .compression = compression})
      .value();
}

// Header fields of the chunk `index`, in a copy that is made whole again after a change.
struct Surgeon {
  std::vector<std::byte> file;

  std::size_t chunk_at(std::uint32_t index) const {
    std::uint32_t metadata_bytes = 0;
    std::memcpy(&metadata_bytes, file.data() + 64, 4);
    std::size_t at = 68 + metadata_bytes;
    for (; index > 0; --index) at += kChunkHeaderBytes + header(at).stored_bytes;
    return at;
  }
  ChunkHeader header(std::size_t at) const {
    ChunkHeader chunk;
    std::memcpy(&chunk, file.data() + at, sizeof(chunk));
    return chunk;
  }
  void change(std::uint32_t index, const std::function<void(ChunkHeader&)>& edit) {
    const auto at = chunk_at(index);
    auto chunk = header(at);
    edit(chunk);
    std::memcpy(file.data() + at, &chunk, sizeof(chunk));
    make_whole();
  }
  void make_whole() {
    const auto hashed = file.size() - kFooterBytes + kFooterHashedBytes;
    std::vector<std::byte> covered(file.begin() + 64, file.begin() + static_cast<long>(hashed));
    std::memset(file.data() + 32, 0, 4);
    covered.insert(covered.end(), file.begin(), file.begin() + 64);
    const Hash128 strong = xxh3_128(covered);
    std::memcpy(file.data() + hashed, &strong, sizeof(strong));
    const std::uint32_t crc = crc32(Bytes(file).subspan(64));
    std::memcpy(file.data() + 32, &crc, 4);
  }
  ErrorCode error() const {
    const auto result = decode(file);
    return result ? ErrorCode::internal : result.error().code;
  }
};

TEST(Codec, names_and_levels_are_read_strictly) {
  EXPECT_EQ(parse_compression("none").value(), Compression{});
  EXPECT_EQ(parse_compression("lz4").value(), kLz4);
  EXPECT_EQ(parse_compression("zstd").value(), kZstd);
  EXPECT_EQ(parse_compression("zstd:9").value(), kZstd9);
  EXPECT_EQ(to_string(kZstd), "zstd:3");
  EXPECT_EQ(to_string(kLz4), "lz4");
  for (const char* bad : {"", "LZ4", "lz4:1", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:3x",
                          "zstd: 3", "gzip", "none:1", "zstd:99999999999"}) {
    const auto result = parse_compression(bad);
    ASSERT_FALSE(result.has_value()) << bad;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_FALSE(check_compression({.codec = Codec::lz4, .level = 1}).has_value());
  EXPECT_FALSE(check_compression({.codec = static_cast<Codec>(3)}).has_value());
}

TEST(Codec, every_content_comes_back_and_equal_input_gives_equal_bytes) {
  ASSERT_TRUE(rc::check([](std::vector<std::pair<std::uint8_t, std::uint16_t>> runs) {
    std::vector<std::byte> data;
    for (const auto& [byte, length] : runs) {
      if (byte % 3 == 0) {
        const auto noise = pattern(length % 3000, byte);
        data.insert(data.end(), noise.begin(), noise.end());
      } else {
        data.insert(data.end(), length % 5000, static_cast<std::byte>(byte));
      }
    }
    const std::vector<ChunkView> chunks{{.type = ChunkType::custom, .id = 4, .data = data}};
    for (const auto& compression : kCodecs) {
      const auto file = encode(sample_metadata(), chunks, {.compression = compression});
      RC_ASSERT(file.has_value());
      const auto back = decode(*file);
      RC_ASSERT(back.has_value());
      RC_ASSERT(back->chunks.size() == 1u);
      RC_ASSERT(std::equal(back->chunks[0].data.begin(), back->chunks[0].data.end(), data.begin(),
                           data.end()));
      RC_ASSERT(*encode(sample_metadata(), chunks, {.compression = compression}) == *file);
      // The worst case is one flag per chunk: no larger than without a codec.
      RC_ASSERT(file->size() <= encode(sample_metadata(), chunks, {})->size());
    }
  }));
}

TEST(Codec, what_does_not_shrink_is_stored_raw_and_what_shrinks_is_not) {
  const Sample sample;
  for (const auto& compression : kCodecs) {
    const auto file = file_of(compression);
    const auto stored = decode_stored(file);
    ASSERT_OK(stored);
    ASSERT_EQ(stored->chunks.size(), 5u);
    EXPECT_EQ(stored->header.compression, static_cast<std::uint32_t>(compression.codec));
    const std::vector<Codec> expected{compression.codec, Codec::none, Codec::none,
                                      compression.codec, Codec::none};
    const Surgeon surgeon{file};
    for (std::uint32_t i = 0; i < 5; ++i) {
      EXPECT_EQ(stored->chunks[i].codec, expected[i]) << i;
      EXPECT_EQ(surgeon.header(surgeon.chunk_at(i)).flags,
                expected[i] == Codec::none ? kChunkStoredRaw : 0u);
      std::vector<std::byte> out(sample.data[i].size());
      ASSERT_OK(decompress_into(stored->chunks[i], out));
      EXPECT_EQ(out, sample.data[i]);
      out.push_back(std::byte{0});
      EXPECT_FALSE(decompress_into(stored->chunks[i], out).has_value());
    }
    // Raw chunks are views into the file, compressed ones are not.
    const auto whole = decode(file);
    ASSERT_OK(whole);
    const auto lies_in_file = [&](Bytes data) {
      return data.data() >= file.data() && data.data() < file.data() + file.size();
    };
    EXPECT_TRUE(lies_in_file(whole->chunks[1].data));
    EXPECT_FALSE(lies_in_file(whole->chunks[0].data));
  }
}

TEST(Codec, the_description_of_a_file_does_not_depend_on_its_codec) {
  const auto plain = file_json(*decode_stored(file_of({})));
  ASSERT_OK(plain);
  for (const auto& compression : kCodecs) {
    EXPECT_EQ(*file_json(*decode_stored(file_of(compression))), *plain);
  }
}

TEST(Codec, every_single_bit_flip_of_a_compressed_file_is_caught) {
  for (const auto& compression : {kLz4, kZstd}) {
    auto file =
        encode(
            sample_metadata(),
            std::vector<ChunkView>{{.type = ChunkType::custom, .id = 1, .data = Sample().data[0]}},
            {.compression = compression})
            .value();
    for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
      file[bit / 8] ^= std::byte{1} << (bit % 8);
      const auto result = decode_stored(file);
      ASSERT_FALSE(result.has_value()) << "bit " << bit;
      ASSERT_EQ(result.error().code, ErrorCode::corrupt) << "bit " << bit;
      file[bit / 8] ^= std::byte{1} << (bit % 8);
    }
  }
}

TEST(Codec, sizes_and_flags_that_lie_are_refused_even_when_every_hash_is_right) {
  for (const auto& compression : kCodecs) {
    const auto sound = file_of(compression);
    const auto refused = [&](const char* what, std::uint32_t chunk, auto edit) {
      Surgeon surgeon{sound};
      surgeon.change(chunk, edit);
      EXPECT_EQ(surgeon.error(), ErrorCode::corrupt) << what;
    };
    Surgeon untouched{sound};
    untouched.change(0, [](ChunkHeader&) {});
    EXPECT_EQ(untouched.file, sound) << "the surgeon's own hashes must be right";

    refused("longer", 0, [](ChunkHeader& c) { c.uncompressed_bytes += 1; });
    refused("shorter", 0, [](ChunkHeader& c) { c.uncompressed_bytes -= 1; });
    refused("bomb", 0, [](ChunkHeader& c) { c.uncompressed_bytes = std::uint64_t{1} << 29; });
    refused("endless", 0, [](ChunkHeader& c) { c.uncompressed_bytes = ~std::uint64_t{0}; });
    refused("empty", 0, [](ChunkHeader& c) { c.uncompressed_bytes = 0; });
    refused("claims to be raw", 0, [](ChunkHeader& c) { c.flags = kChunkStoredRaw; });
    refused("raw that claims to be packed", 1, [](ChunkHeader& c) { c.flags = 0; });
    refused("raw with two sizes", 1, [](ChunkHeader& c) { c.uncompressed_bytes += 1; });
    refused("unknown flag", 0, [](ChunkHeader& c) { c.flags = 2; });
    refused("unknown flag beside raw", 1, [](ChunkHeader& c) { c.flags = 3; });
    refused("stored size of 2^64-1", 0, [](ChunkHeader& c) { c.stored_bytes = ~std::uint64_t{0}; });
  }
  Surgeon plain{file_of({})};
  plain.change(0, [](ChunkHeader& c) { c.flags = kChunkStoredRaw; });
  EXPECT_EQ(plain.error(), ErrorCode::corrupt) << "plain files have no flags";
}

TEST(Codec, the_other_codecs_data_is_refused) {
  Surgeon lz4{file_of(kLz4)};
  lz4.file[28] = std::byte{2};
  lz4.make_whole();
  EXPECT_EQ(lz4.error(), ErrorCode::corrupt);
  Surgeon zstd{file_of(kZstd)};
  zstd.file[28] = std::byte{1};
  zstd.make_whole();
  EXPECT_EQ(zstd.error(), ErrorCode::corrupt);
  Surgeon unknown{file_of(kZstd)};
  unknown.file[28] = std::byte{3};
  unknown.make_whole();
  EXPECT_EQ(unknown.error(), ErrorCode::incompatible);
}

TEST(Codec, garbage_in_a_compressed_chunk_never_writes_outside) {
  ASSERT_TRUE(rc::check([](std::uint32_t seed, std::uint8_t which) {
    Surgeon surgeon{file_of(kCodecs[which % kCodecs.size()])};
    const auto at = surgeon.chunk_at(0);
    const auto size = surgeon.header(at).stored_bytes;
    const auto noise = pattern(8, seed);
    for (const auto byte : noise) {
      const auto offset = (seed += 7919) % size;
      surgeon.file[at + kChunkHeaderBytes + offset] = byte;
    }
    surgeon.make_whole();
    const auto result = decode(surgeon.file);
    // lz4 has no checksum of its own: other data of the right size may come out.
    if (!result) RC_ASSERT(result.error().code == ErrorCode::corrupt);
  }));
}

TEST(Codec, a_second_frame_or_bytes_behind_the_frame_are_refused) {
  const auto data = text_like(10'000, 1);
  for (const auto& compression : {kLz4, kZstd}) {
    Compressor compressor(compression);
    std::vector<std::byte> stored(data.size() - 1);
    const auto bytes = compressor.compress(data, stored);
    ASSERT_OK(bytes);
    ASSERT_GT(*bytes, 0u);
    stored.resize(*bytes);
    std::vector<std::byte> out(data.size());
    Decompressor decompressor;
    ASSERT_OK(decompressor.decompress(compression.codec, stored, out));
    EXPECT_EQ(out, data);
    auto longer = stored;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decompressor.decompress(compression.codec, longer, out).has_value());
    auto twice = stored;
    twice.insert(twice.end(), stored.begin(), stored.end());
    EXPECT_FALSE(decompressor.decompress(compression.codec, twice, out).has_value());
    EXPECT_FALSE(decompressor.decompress(compression.codec, Bytes(stored).first(*bytes - 1), out)
                     .has_value());
    EXPECT_FALSE(decompressor.decompress(compression.codec, {}, out).has_value());
    EXPECT_FALSE(decompressor.decompress(compression.codec, stored, std::span(out).first(9'999))
                     .has_value());
  }
}

TEST(Codec, the_callers_limit_holds_before_anything_is_decompressed) {
  const Sample sample;
  std::uint64_t total = 0;
  for (const auto& data : sample.data) total += data.size();
  for (const auto& compression : {Compression{}, kLz4, kZstd}) {
    const auto file = file_of(compression);
    EXPECT_TRUE(decode(file, {.max_uncompressed_bytes = total}).has_value());
    const auto refused = decode(file, {.max_uncompressed_bytes = total - 1});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::incompatible);
  }
}

TEST(Codec, a_compressed_file_without_a_footer_is_neither_written_nor_read) {
  const Sample sample;
  const auto result =
      encode(sample_metadata(), sample.chunks, {.footer = false, .compression = kLz4});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);

  Surgeon surgeon{file_of(kLz4)};
  surgeon.file.resize(surgeon.file.size() - kFooterBytes);
  const std::uint64_t total = surgeon.file.size() - 8;
  std::memcpy(surgeon.file.data() + 16, &total, 8);
  const std::uint32_t crc = crc32(Bytes(surgeon.file).subspan(64));
  std::memcpy(surgeon.file.data() + 32, &crc, 4);
  EXPECT_EQ(surgeon.error(), ErrorCode::corrupt);
}

class CodecShard : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(storage_->make_directory("c")); }
  TemporaryDirectory temporary_;
  std::shared_ptr<FileStorage> storage_ = std::make_shared<FileStorage>(temporary_.path());
};

TEST_F(CodecShard, streamed_bytes_equal_the_in_memory_encoder) {
  const Sample sample;
  for (const auto& compression : kCodecs) {
    const std::string name =
        to_string(compression).substr(0, 4) + std::to_string(compression.level);
    auto writer = ShardWriter::create(*storage_, "c", name, sample_metadata(), 77, compression);
    ASSERT_OK(writer);
    for (const auto& chunk : sample.chunks) {
      const std::size_t half = chunk.data.size() / 2;
      const std::vector<Bytes> pieces{chunk.data.first(half), chunk.data.subspan(half)};
      ASSERT_OK(writer->append_chunk(chunk.type, chunk.id, pieces));
    }
    const auto info = writer->finish();
    ASSERT_OK(info);
    const auto file = read_bytes(temporary_ / "c" / name);
    EXPECT_EQ(file, file_of(compression));
    EXPECT_EQ(info->hash, shard_hash(file));
  }
}

TEST_F(CodecShard, a_compressed_checkpoint_reads_and_verifies_like_a_plain_one) {
  for (const auto& compression : kCodecs) {
    const TemporaryDirectory place;
    auto directory = open_directory(place.path());
    ASSERT_OK(directory);
    auto writer = directory->begin(1, "run1");
    ASSERT_OK(writer);
    auto shards = writer->make_shard_set(sample_metadata(), {.compression = compression});
    std::map<std::uint32_t, std::vector<std::byte>> expected;
    for (std::uint32_t i = 0; i < 40; ++i) {
      expected[i] = text_like(100 + 3000 * (i % 5), i);
      ASSERT_OK(shards.add_row(ChunkType::device_memory, 9, {.id = i}, Bytes(expected[i])));
    }
    Manifest manifest;
    manifest.slots = 40;
    manifest.workers = 1;
    manifest.executor = "host";
    manifest.shards = *shards.finish();
    std::uint64_t plain_bytes = 0;
    for (const auto& [id, state] : expected) plain_bytes += state.size();
    EXPECT_LT(manifest.shard_bytes(), plain_bytes / 2) << to_string(compression);
    ASSERT_OK(writer->commit(manifest));

    const auto found = directory->newest_valid(Depth::shards);
    ASSERT_OK(found);
    ASSERT_TRUE(found->entry.has_value());
    const auto reader = directory->open_checkpoint(*found->entry);
    ASSERT_OK(reader);
    std::size_t rows = 0;
    ASSERT_OK(reader->for_each_row(
        ChunkType::device_memory, [&](std::uint64_t id, const RowView& row) -> Result<void> {
          ++rows;
          EXPECT_EQ(id, 9u);
          const auto& state = expected.at(row.header.id);
          EXPECT_TRUE(
              std::equal(row.payload.begin(), row.payload.end(), state.begin(), state.end()));
          return {};
        }));
    EXPECT_EQ(rows, 40u);
    EXPECT_TRUE(verify_path(place.path()).has_value());
    ASSERT_OK(inspect_json(place / "sim-1-run1"));
  }
}

}  // namespace
}  // namespace rk::checkpoint::test
