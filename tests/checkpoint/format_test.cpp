#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cstring>
#include <ringkernel/checkpoint/format.hpp>
#include <ringkernel/checkpoint/inspect.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

std::vector<std::byte> small_file(bool footer) {
  const auto data = bytes_of("0123456789");
  const auto other = bytes_of("xyz");
  const std::vector<ChunkView> chunks{
      {.type = ChunkType::device_memory, .id = region_id("pressure"), .data = data},
      {.type = ChunkType::hlc_state, .id = 0, .data = {}},
      {.type = ChunkType::custom, .id = 17, .data = other}};
  return encode(sample_metadata(), chunks, {.created_at_us = 123456789, .footer = footer}).value();
}

void put_u32(std::vector<std::byte>& file, std::size_t at, std::uint32_t value) {
  std::memcpy(file.data() + at, &value, 4);
}
void put_u64(std::vector<std::byte>& file, std::size_t at, std::uint64_t value) {
  std::memcpy(file.data() + at, &value, 8);
}
void fix_crc(std::vector<std::byte>& file) { put_u32(file, 32, crc32(Bytes(file).subspan(64))); }
ErrorCode decode_error(Bytes file) {
  const auto result = decode(file);
  return result ? ErrorCode::internal : result.error().code;
}

TEST(Hash, region_ids_equal_those_of_the_seed) {
  EXPECT_EQ(region_id("actor_state"), 0x542f03691ad5552du);
  EXPECT_EQ(region_id("pressure"), 0xaca6a1f20a241e2au);
  EXPECT_EQ(region_id(""), 0x30406ea523c53defu);
}

TEST(Hash, crc_is_ieee_and_continues) {
  const auto data = bytes_of("123456789");
  EXPECT_EQ(crc32(data), 0xCBF43926u);
  EXPECT_EQ(crc32(Bytes(data).subspan(4), crc32(Bytes(data).first(4))), 0xCBF43926u);
  EXPECT_EQ(crc32({}), 0u);
}

TEST(Hash, stream_equals_one_shot_for_any_split) {
  ASSERT_TRUE(rc::check([](const std::vector<std::uint8_t>& raw) {
    std::vector<std::byte> data = pattern(raw.size() * 700, 3);
    const auto cut = data.empty() ? 0 : *rc::gen::inRange<std::size_t>(0, data.size());
    StreamHash hash;
    hash.update(Bytes(data).first(cut));
    const StreamHash copy = hash;
    hash.update(Bytes(data).subspan(cut));
    RC_ASSERT(hash.strong() == xxh3_128(data));
    RC_ASSERT(hash.crc() == crc32(data));
    RC_ASSERT(copy.strong() == xxh3_128(Bytes(data).first(cut)));
  }));
}

TEST(Hash, hex_accepts_only_what_it_writes) {
  const Hash128 hash{.low = 0x0123456789abcdef, .high = 0xfedcba9876543210};
  EXPECT_EQ(to_hex(hash), "fedcba98765432100123456789abcdef");
  EXPECT_EQ(hash128_from_hex(to_hex(hash)), hash);
  EXPECT_FALSE(hash128_from_hex("FEDCBA98765432100123456789abcdef"));
  EXPECT_FALSE(hash128_from_hex("fedcba98765432100123456789abcde"));
  EXPECT_FALSE(u64_from_hex("0x00000000000001"));
}

TEST(Format, every_vector_of_the_seed_decodes_to_its_sidecar) {
  std::size_t seen = 0;
  const std::filesystem::path folder = std::filesystem::path(RK_TEST_DATA_DIR) / "vectors";
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    if (item.path().extension() != ".rkcp") continue;
    ++seen;
    const auto content = read_bytes(item.path());
    const auto file = decode(content);
    ASSERT_OK(file);
    EXPECT_FALSE(file->has_footer);
    auto sidecar = item.path();
    EXPECT_EQ(*file_json(*decode_stored(content)), read_text(sidecar.replace_extension(".json")))
        << item.path();

    // What we write without a footer differs from the seed's bytes in key order at most.
    const auto again = encode(file->metadata, file->chunks,
                              {.created_at_us = file->header.created_at_us, .footer = false});
    ASSERT_OK(again);
    EXPECT_EQ(again->size(), content.size());
    if (file->metadata.custom.size() < 2) {
      EXPECT_EQ(*again, content) << item.path();
    }
  }
  EXPECT_GE(seen, 12u);
}

TEST(Format, encode_then_decode_is_identity) {
  ASSERT_TRUE(rc::check([](std::map<int, int> custom, std::vector<std::vector<std::uint8_t>> parts,
                           std::uint64_t created, std::uint64_t step, bool footer) {
    Metadata metadata = sample_metadata();
    metadata.step = step;
    metadata.custom.clear();
    for (auto [key, value] : custom) {
      metadata.custom["k" + std::to_string(key)] = "v\n" + std::to_string(value);
    }
    std::vector<Chunk> chunks;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Chunk chunk{.type = static_cast<ChunkType>(i % 8 + 1), .id = i * 7};
      for (auto byte : parts[i]) chunk.data.push_back(static_cast<std::byte>(byte));
      chunks.push_back(std::move(chunk));
    }
    std::vector<ChunkView> views;
    for (const auto& chunk : chunks) views.push_back(chunk.view());
    const auto file = encode(metadata, views, {.created_at_us = created, .footer = footer});
    RC_ASSERT(file.has_value());
    const auto back = decode(*file);
    RC_ASSERT(back.has_value());
    RC_ASSERT(back->metadata == metadata);
    RC_ASSERT(back->has_footer == footer);
    RC_ASSERT(back->header.created_at_us == created);
    RC_ASSERT(back->chunks.size() == chunks.size());
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      RC_ASSERT(back->chunks[i].type == chunks[i].type);
      RC_ASSERT(back->chunks[i].id == chunks[i].id);
      RC_ASSERT(std::equal(back->chunks[i].data.begin(), back->chunks[i].data.end(),
                           chunks[i].data.begin(), chunks[i].data.end()));
    }
    RC_ASSERT(*encode(metadata, views, {.created_at_us = created, .footer = footer}) == *file);
  }));
}

TEST(Format, large_files_are_the_same_at_every_alignment_of_the_buffer_and_of_the_chunks) {
  const auto data = pattern(9'500'000, 4);
  std::vector<ChunkView> chunks;
  std::size_t at = 0;
  for (const std::size_t size : {1u, 31u, 8'191u, 16'384u, 16'385u, 40'000u, 7u, 0u, 9'000'001u}) {
    chunks.push_back(
        {.type = ChunkType::custom, .id = size, .data = Bytes(data).subspan(at, size)});
    at += size;
  }
  const auto total = encoded_bytes(sample_metadata(), chunks, {});
  ASSERT_OK(total);
  std::vector<std::byte> buffer(*total + 128, std::byte{0xAB});
  std::vector<std::byte> first;
  for (const std::size_t offset : {0u, 1u, 8u, 63u}) {
    ASSERT_OK(
        encode_into(std::span(buffer).subspan(offset, *total), sample_metadata(), chunks, {}));
    const Bytes file = Bytes(buffer).subspan(offset, *total);
    if (first.empty()) first.assign(file.begin(), file.end());
    EXPECT_TRUE(std::equal(file.begin(), file.end(), first.begin(), first.end())) << offset;
    EXPECT_EQ(buffer[offset + *total], std::byte{0xAB}) << "nothing is written behind the end";
    const auto back = decode(file);
    ASSERT_OK(back);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      EXPECT_TRUE(std::equal(back->chunks[i].data.begin(), back->chunks[i].data.end(),
                             chunks[i].data.begin(), chunks[i].data.end()));
    }
    std::fill(buffer.begin(), buffer.end(), std::byte{0xAB});
  }
}

TEST(SeedDefect, the_time_of_creation_is_kept_on_a_copy) {
  const auto file = small_file(true);
  const auto original = decode(file);
  ASSERT_OK(original);
  const auto copy = encode(original->metadata, original->chunks,
                           {.created_at_us = original->header.created_at_us});
  ASSERT_OK(copy);
  EXPECT_EQ(decode(*copy)->header.created_at_us, 123456789u);
  EXPECT_EQ(*copy, file);
}

TEST(Format, every_single_bit_flip_is_caught_with_a_footer) {
  auto file = small_file(true);
  ASSERT_OK(decode(file));
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    file[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_EQ(decode_error(file), ErrorCode::corrupt) << "bit " << bit;
    file[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(Format, without_a_footer_only_time_and_the_two_accepted_sizes_escape) {
  auto file = small_file(false);
  std::vector<std::size_t> escaped;
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    file[bit / 8] ^= std::byte{1} << (bit % 8);
    if (decode(file)) escaped.push_back(bit);
    file[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  for (auto bit : escaped) {
    const auto byte = bit / 8;
    EXPECT_TRUE((byte >= 40 && byte < 48) || (byte >= 16 && byte < 24)) << "byte " << byte;
  }
  EXPECT_LE(escaped.size(), 65u);
}

TEST(Format, every_truncation_and_extension_is_caught) {
  for (bool footer : {true, false}) {
    const auto file = small_file(footer);
    for (std::size_t size = 0; size < file.size(); ++size) {
      EXPECT_EQ(decode_error(Bytes(file).first(size)), ErrorCode::corrupt) << size;
    }
    auto longer = file;
    for (int extra = 0; extra < 70; ++extra) {
      longer.push_back(std::byte{0});
      EXPECT_EQ(decode_error(longer), ErrorCode::corrupt) << extra;
    }
  }
}

TEST(Format, arbitrary_bytes_never_crash_the_decoder) {
  ASSERT_TRUE(rc::check([](std::vector<std::uint8_t> noise, std::uint8_t where) {
    auto file = small_file(where % 2 == 0);
    std::size_t at = 64 + where;
    for (auto byte : noise) {
      file[at % file.size()] = static_cast<std::byte>(byte);
      at += 1 + byte % 5;
    }
    fix_crc(file);
    (void)decode(file);
  }));
}

TEST(Format, both_header_sizes_and_both_total_sizes_are_accepted) {
  auto file = small_file(false);
  put_u32(file, 12, 64);
  EXPECT_TRUE(decode(file).has_value());
  put_u64(file, 16, file.size());
  EXPECT_TRUE(decode(file).has_value());
  put_u64(file, 16, file.size() - 7);
  EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
}

TEST(SeedDefect, chunk_count_lowered_in_the_header_does_not_drop_data) {
  for (bool footer : {true, false}) {
    auto file = small_file(footer);
    put_u32(file, 24, 2);
    EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
    put_u32(file, 24, 4);
    EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
    put_u32(file, 24, 0xFFFFFFFF);
    EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
  }
}

TEST(SeedDefect, versions_0_and_2_are_refused) {
  for (std::uint32_t version : {0u, 2u, 0xFFFFFFFFu}) {
    auto file = small_file(false);
    put_u32(file, 8, version);
    EXPECT_EQ(decode_error(file), ErrorCode::incompatible);
  }
}

TEST(SeedDefect, compressed_files_are_not_taken_for_plain_ones) {
  for (std::uint32_t codec : {1u, 2u}) {
    auto file = small_file(false);
    put_u32(file, 28, codec);
    EXPECT_EQ(decode_error(file), ErrorCode::corrupt) << codec;
  }
  for (std::uint32_t codec : {3u, 0xFFFFFFFFu}) {
    auto file = small_file(false);
    put_u32(file, 28, codec);
    EXPECT_EQ(decode_error(file), ErrorCode::incompatible) << codec;
  }
}

TEST(SeedDefect, a_stored_size_of_2_to_the_64_minus_1_is_an_error_not_a_crash) {
  for (std::uint64_t size : {~std::uint64_t{0}, ~std::uint64_t{0} - 31, std::uint64_t{1} << 63}) {
    auto file = small_file(false);
    std::uint32_t metadata_bytes = 0;
    std::memcpy(&metadata_bytes, file.data() + 64, 4);
    const std::size_t chunk = 68 + metadata_bytes;
    put_u64(file, chunk + 8, size);
    put_u64(file, chunk + 16, size);
    fix_crc(file);
    EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
  }
}

TEST(SeedDefect, the_uncompressed_size_is_checked) {
  auto file = small_file(false);
  std::uint32_t metadata_bytes = 0;
  std::memcpy(&metadata_bytes, file.data() + 64, 4);
  put_u64(file, 68 + metadata_bytes + 8, 11);
  fix_crc(file);
  EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
}

TEST(SeedDefect, bytes_are_deterministic_and_metadata_keys_sorted) {
  Metadata metadata = sample_metadata();
  metadata.custom = {{"zeta", "1"}, {"alpha", "2"}};
  const auto file = encode(metadata, {}, {.created_at_us = 1});
  ASSERT_OK(file);
  EXPECT_EQ(*file, *encode(metadata, {}, {.created_at_us = 1}));
  const std::string text(reinterpret_cast<const char*>(file->data()), file->size());
  EXPECT_LT(text.find("alpha"), text.find("zeta"));
}

TEST(SeedDefect, the_size_limit_holds_when_writing) {
  const auto data = pattern(16, 1);
  // Views may overlap, so a huge file can be asked for without the memory for it.
  const Bytes huge(data.data(), (std::size_t{1} << 30) - 10);
  const std::vector<ChunkView> chunks{{.type = ChunkType::custom, .id = 1, .data = huge}};
  const auto result = encoded_bytes(sample_metadata(), chunks, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
}

TEST(Format, a_nested_file_with_a_footer_is_not_mistaken_for_the_outer_footer) {
  const auto inner = small_file(true);
  const std::vector<ChunkView> chunks{{.type = ChunkType::custom, .id = 1, .data = inner}};
  const auto outer = encode(sample_metadata(), chunks, {.footer = false});
  ASSERT_OK(outer);
  const auto back = decode(*outer);
  ASSERT_OK(back);
  EXPECT_FALSE(back->has_footer);
}

TEST(Format, metadata_that_is_not_utf8_is_refused_by_writer_and_reader) {
  Metadata metadata = sample_metadata();
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80"}) {
    metadata.kernel_id = bad;
    EXPECT_FALSE(encode(metadata, {}, {}).has_value());
  }
  metadata.kernel_id = "h\xc3\xb6he \xf0\x9f\x94\x94";
  EXPECT_TRUE(encode(metadata, {}, {}).has_value());

  auto file = small_file(false);
  file[72] = std::byte{0xFF};  // first letter of kernel_id
  fix_crc(file);
  EXPECT_EQ(decode_error(file), ErrorCode::corrupt);
}

}  // namespace
}  // namespace rk::checkpoint::test
