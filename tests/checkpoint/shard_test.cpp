#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/shard_set.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

class Shard : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(storage_->make_directory("c")); }

  TemporaryDirectory temporary_;
  std::shared_ptr<FileStorage> storage_ = std::make_shared<FileStorage>(temporary_.path());
};

TEST_F(Shard, streamed_bytes_equal_the_in_memory_encoder_and_the_recorded_hash) {
  const auto big = pattern(3'000'001, 1);
  const auto small = pattern(777, 2);
  auto writer = ShardWriter::create(*storage_, "c", "s.rkcp", sample_metadata(), 99);
  ASSERT_OK(writer);
  ASSERT_OK(writer->append_chunk(ChunkType::device_memory, 1, Bytes(big)));
  const std::vector<Bytes> pieces{Bytes(small).first(100), Bytes(big).first(300'000), Bytes{},
                                  Bytes(small).subspan(100)};
  ASSERT_OK(writer->append_chunk(ChunkType::custom, 2, pieces));
  ASSERT_OK(writer->append_chunk(ChunkType::hlc_state, 0, Bytes{}));
  const auto expected_bytes = writer->bytes();
  const auto info = writer->finish();
  ASSERT_OK(info);

  std::vector<std::byte> joined;
  for (const Bytes piece : pieces) joined.insert(joined.end(), piece.begin(), piece.end());
  const std::vector<ChunkView> chunks{{.type = ChunkType::device_memory, .id = 1, .data = big},
                                      {.type = ChunkType::custom, .id = 2, .data = joined},
                                      {.type = ChunkType::hlc_state, .id = 0}};
  const auto reference = encode(sample_metadata(), chunks, {.created_at_us = 99});
  const auto file = read_bytes(temporary_ / "c" / "s.rkcp");
  EXPECT_EQ(file, *reference);
  EXPECT_EQ(info->bytes, file.size());
  EXPECT_EQ(info->bytes, expected_bytes);
  EXPECT_EQ(info->hash, shard_hash(file));
  EXPECT_FALSE(writer->finish().has_value()) << "a finished writer must not finish twice";
}

TEST_F(Shard, an_unfinished_file_does_not_decode) {
  auto writer = ShardWriter::create(*storage_, "c", "s.rkcp", sample_metadata(), 1);
  ASSERT_OK(writer);
  ASSERT_OK(writer->append_chunk(ChunkType::custom, 1, pattern(1'000'000, 1)));
  EXPECT_FALSE(decode(read_bytes(temporary_ / "c" / "s.rkcp")).has_value());
}

TEST_F(Shard, rolls_over_at_the_limit_and_keeps_every_row) {
  constexpr std::uint64_t kLimit = 64 * 1024;
  ShardSet set(*storage_, "c", sample_metadata(),
               {.writer = 3, .shard_bytes = kLimit, .batch_bytes = 4096});
  std::map<std::uint32_t, std::vector<std::byte>> expected;
  for (std::uint32_t i = 0; i < 500; ++i) {
    const std::size_t size = i % 97 == 0 ? 20'000 : i % 1500;
    expected[i] = pattern(size, i);
    const std::vector<Bytes> pieces{Bytes(expected[i]).first(size / 2),
                                    Bytes(expected[i]).subspan(size / 2)};
    ASSERT_OK(
        set.add_row(ChunkType::device_memory, i % 3, {.id = i, .version = 2, .flags = 7}, pieces));
  }
  EXPECT_EQ(set.rows(), 500u);
  const auto shards = set.finish();
  ASSERT_OK(shards);
  EXPECT_GT(shards->size(), 3u);
  std::size_t rows = 0;
  for (const auto& shard : *shards) {
    EXPECT_LE(shard.bytes, kLimit);
    const auto content = read_bytes(temporary_ / "c" / shard.name);
    EXPECT_EQ(shard_hash(content), shard.hash);
    const auto file = decode(content);
    ASSERT_OK(file);
    EXPECT_EQ(file->metadata.custom.at("ringkernel.shard.writer"), "3");
    for (const auto& chunk : file->chunks) {
      RowCursor cursor(chunk.data);
      RowView row;
      while (*cursor.next(row)) {
        ++rows;
        EXPECT_EQ(chunk.id, row.header.id % 3);
        EXPECT_EQ(row.header.flags, 7u);
        const auto& state = expected.at(row.header.id);
        EXPECT_TRUE(std::equal(row.payload.begin(), row.payload.end(), state.begin(), state.end()));
      }
    }
  }
  EXPECT_EQ(rows, 500u);
}

TEST_F(Shard, a_row_larger_than_a_shard_gets_a_shard_of_its_own) {
  ShardSet set(*storage_, "c", sample_metadata(), {.shard_bytes = 8192, .batch_bytes = 4096});
  ASSERT_OK(set.add_row(ChunkType::device_memory, 1, {.id = 1}, pattern(100, 1)));
  ASSERT_OK(set.add_row(ChunkType::device_memory, 1, {.id = 2}, pattern(100'000, 2)));
  ASSERT_OK(set.add_row(ChunkType::device_memory, 1, {.id = 3}, pattern(100, 3)));
  const auto shards = set.finish();
  ASSERT_OK(shards);
  EXPECT_EQ(shards->size(), 3u);
}

TEST_F(Shard, a_set_without_chunks_has_no_shards) {
  ShardSet set(*storage_, "c", sample_metadata(), {});
  EXPECT_TRUE(set.finish()->empty());
  EXPECT_TRUE(storage_->list("c")->empty());
}

TEST_F(Shard, after_any_failed_call_the_set_never_finishes) {
  const auto write = [this](Storage& storage) {
    ShardSet set(storage, "c", sample_metadata(), {.shard_bytes = 16'384, .batch_bytes = 4096});
    for (std::uint32_t i = 0; i < 40; ++i) {
      (void)set.add_row(ChunkType::device_memory, 1, {.id = i}, pattern(1000, i));
    }
    return set.finish();
  };
  std::uint64_t calls = 0;
  {
    FaultyStorage counting(storage_, {});
    ASSERT_OK(write(counting));
    calls = counting.calls();
  }
  ASSERT_GT(calls, 10u);
  for (std::uint64_t at = 1; at <= calls; ++at) {
    const auto leftovers = storage_->list("c");
    ASSERT_OK(leftovers);
    for (const auto& entry : *leftovers) ASSERT_OK(storage_->remove("c/" + entry.name));
    FaultyStorage faulty(storage_, {.at_call = at});
    const auto shards = write(faulty);
    ASSERT_FALSE(shards.has_value()) << "call " << at;
    EXPECT_EQ(shards.error().code, ErrorCode::no_space) << "call " << at;
  }
}

TEST(Rows, a_cursor_trusts_no_length) {
  ASSERT_TRUE(rc::check([](std::vector<std::uint8_t> noise) {
    std::vector<std::byte> chunk;
    for (auto byte : noise) chunk.push_back(static_cast<std::byte>(byte % 40));
    RowCursor cursor(chunk);
    RowView row;
    for (std::size_t i = 0; i <= chunk.size(); ++i) {
      const auto more = cursor.next(row);
      if (!more || !*more) return;
      RC_ASSERT(row.payload.data() >= chunk.data());
      RC_ASSERT(row.payload.data() + row.payload.size() <= chunk.data() + chunk.size());
    }
    RC_FAIL("the cursor does not end");
  }));
}

}  // namespace
}  // namespace rk::checkpoint::test
