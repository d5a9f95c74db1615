#include <gtest/gtest.h>

#include <ringkernel/checkpoint/manifest.hpp>
#include <ringkernel/runtime/message.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

Manifest sample() {
  Manifest manifest;
  manifest.prefix = "sim";
  manifest.run_id = "0123abcd";
  manifest.epoch = 12;
  manifest.parent = 11;
  manifest.hlc = 0x8000000000000001;
  manifest.created_at_us = 1700000000000000;
  manifest.executor = "host";
  manifest.workers = 4;
  manifest.seed = ~std::uint64_t{0};
  manifest.app = {{"z", "line\n\"quoted\""}, {"a", "h\xc3\xb6he"}};
  manifest.types = {{.index = 0, .name = "Cell", .type_hash = 5, .version = 1, .state_bytes = 64}};
  manifest.shards = {{.name = "shard-00-0000.rkcp", .bytes = 100, .hash = {.low = 1, .high = 2}}};
  manifest.slots = 3;
  manifest.messages = 4;
  manifest.host_bytes = 5;
  manifest.content_digest = {.low = 6, .high = 7};
  return manifest;
}

ErrorCode parse_error(std::string_view text) {
  const auto result = parse_manifest(text);
  return result ? ErrorCode::internal : result.error().code;
}

TEST(Manifest, text_is_deterministic_and_reads_back_equal) {
  const auto text = format_manifest(sample());
  ASSERT_OK(text);
  EXPECT_EQ(*text, *format_manifest(sample()));
  const auto back = parse_manifest(*text);
  ASSERT_OK(back);
  EXPECT_EQ(*back, sample());

  Manifest without = sample();
  without.parent.reset();
  without.app.clear();
  without.shards.clear();
  without.types.clear();
  EXPECT_EQ(*parse_manifest(*format_manifest(without)), without);
}

TEST(Manifest, every_bit_flip_is_caught) {
  std::string text = *format_manifest(sample());
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(parse_error(text), ErrorCode::corrupt) << "bit " << bit;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
  }
}

TEST(Manifest, every_truncation_and_extension_is_caught) {
  const std::string text = *format_manifest(sample());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(parse_error(text.substr(0, size)), ErrorCode::corrupt) << size;
  }
  EXPECT_EQ(parse_error(text + "\n"), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(text + text), ErrorCode::corrupt);
}

TEST(Manifest, an_upper_case_digest_is_damage) {
  std::string text = *format_manifest(sample());
  const auto line = text.rfind("xxh3-128 ");
  bool changed = false;
  for (std::size_t i = line + 9; i < text.size(); ++i) {
    if (text[i] >= 'a' && text[i] <= 'f') text[i] = static_cast<char>(text[i] - 32), changed = true;
  }
  ASSERT_TRUE(changed);
  EXPECT_EQ(parse_error(text), ErrorCode::corrupt);
}

// A text with a right hash, as another program could write it.
std::string sealed(std::string body) {
  body += "\n";
  const auto hash = to_hex(xxh3_128(as_bytes(body)));
  return body + "xxh3-128 " + hash + "\n";
}

std::string with(std::string_view from, std::string_view to) {
  std::string text = *format_manifest(sample());
  text.resize(text.rfind("\nxxh3-128 "));
  text.replace(text.find(from), from.size(), to);
  return sealed(text);
}

TEST(Manifest, verified_text_with_senseless_fields_is_refused) {
  EXPECT_EQ(parse_error(sealed("{}")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(sealed("[1,2")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(sealed(std::string(100'000, '['))), ErrorCode::corrupt);
  EXPECT_TRUE(parse_manifest(with("\"sim\"", "\"sim2\"")).has_value());
  EXPECT_EQ(parse_error(with("\"sim\"", "\"../sim\"")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(with("shard-00-0000.rkcp", "../shard.rkcp")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(with("\"epoch\": 12", "\"epoch\": -12")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(with("\"epoch\": 12", "\"epoch\": 12.5")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(with("\"parent\": 11", "\"parent\": 12")), ErrorCode::corrupt);
  EXPECT_EQ(parse_error(with("\"workers\": 4", "\"workers\": 4294967296")), ErrorCode::corrupt);
}

TEST(Manifest, another_format_version_is_incompatible_not_corrupt) {
  const std::string text = *format_manifest(sample());
  const auto at = text.rfind("\"version\": 1");
  std::string body = text.substr(0, text.rfind("\nxxh3-128 "));
  body.replace(at, 12, "\"version\": 2");
  EXPECT_EQ(parse_error(sealed(body)), ErrorCode::incompatible);
}

Manifest with_regions() {
  Manifest manifest = sample();
  manifest.types[0].regions = {region("energy", ElementType::f64, 8),
                               region("pressure", ElementType::f32, 64, {state_word(0), 3})
                                   .in_field()
                                   .ghosts(1)
                                   .buffered(2, state_word(4))
                                   .placed({state_word(8), 0}, {30, state_word(60)})
                                   .spaced_by("cell_m")};
  return manifest;
}

TEST(Manifest, regions_read_back_equal) {
  const auto text = format_manifest(with_regions());
  ASSERT_OK(text);
  const auto back = parse_manifest(*text);
  ASSERT_OK(back);
  EXPECT_EQ(*back, with_regions());
}

TEST(Manifest, types_without_regions_have_the_bytes_they_always_had) {
  const std::string text = *format_manifest(sample());
  EXPECT_EQ(text.find("region"), std::string::npos);
  ASSERT_OK(parse_manifest(text));
}

TEST(Manifest, what_trails_a_field_reads_back_and_is_silent_where_there_is_nothing) {
  Manifest manifest = sample();
  const std::string without = *format_manifest(manifest);
  EXPECT_EQ(without.find("trail"), std::string::npos);
  manifest.types.front().supervised = true;
  manifest.types.front().max_links = 3;
  const auto text = format_manifest(manifest);
  ASSERT_OK(text);
  const auto back = parse_manifest(*text);
  ASSERT_OK(back);
  EXPECT_EQ(*back, manifest);
  manifest.types.front().max_links = kMaxActors + 1;
  EXPECT_FALSE(format_manifest(manifest).has_value());
}

TEST(Manifest, verified_text_with_impossible_regions_is_refused) {
  const auto changed = [](std::string_view from, std::string_view to) {
    std::string text = *format_manifest(with_regions());
    text.resize(text.rfind("\nxxh3-128 "));
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return parse_error(sealed(text));
  };
  EXPECT_EQ(changed("\"f64\"", "\"f80\""), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"place\": \"field\"", "\"place\": \"disk\""), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"buffers\": 2", "\"buffers\": 0"), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"buffers\": 2", "\"buffers\": -1"), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"offset_bytes\": 8,", "\"offset_bytes\": 57,"), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"state_word\": 60", "\"state_word\": 61"), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"state_word\": 60", "\"state_word\": 4294967296"), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"pressure\"", "\"energy\""), ErrorCode::corrupt);
  EXPECT_EQ(changed("\"pressure\"", "\"../pressure\""), ErrorCode::corrupt);
}

TEST(Manifest, what_cannot_be_read_back_is_not_written) {
  Manifest manifest = sample();
  manifest.app["x"] = "\xff";
  EXPECT_FALSE(format_manifest(manifest).has_value());
  manifest = sample();
  manifest.shards.push_back(manifest.shards.front());
  EXPECT_FALSE(format_manifest(manifest).has_value());
  manifest = sample();
  manifest.epoch = 0;
  EXPECT_FALSE(format_manifest(manifest).has_value());
}

}  // namespace
}  // namespace rk::checkpoint::test
