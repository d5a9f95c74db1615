#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/inspect.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::internal : result.error().code;
}

class Inspect : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = open_directory(temporary_.path());
    ASSERT_OK(write_checkpoint(*directory, 1, "run1", 1));
    ASSERT_OK(write_checkpoint(*directory, 2, "run1", 2));
  }
  TemporaryDirectory temporary_;
};

TEST_F(Inspect, a_file_gives_the_json_of_the_seeds_sidecars) {
  const auto folder = std::filesystem::path(RK_TEST_DATA_DIR) / "vectors";
  const auto json = inspect_json(folder / "009.rkcp");
  ASSERT_OK(json);
  EXPECT_EQ(*json, read_text(folder / "009.json"));
}

TEST_F(Inspect, a_checkpoint_gives_its_manifest_and_chunks) {
  const auto text = inspect_json(temporary_ / "sim-2-run1");
  ASSERT_OK(text);
  const auto json = nlohmann::json::parse(*text);
  EXPECT_EQ(json.at("manifest").at("epoch"), 2);
  ASSERT_EQ(json.at("shards").size(), 2u);
  EXPECT_EQ(json.at("shards")[0].at("name"), "shard-00-0000.rkcp");
  EXPECT_EQ(json.at("shards")[0].at("chunks")[0].at("type"), 5);
}

TEST_F(Inspect, a_directory_gives_its_checkpoints_oldest_first) {
  const auto text = inspect_json(temporary_.path());
  ASSERT_OK(text);
  const auto json = nlohmann::json::parse(*text);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0].at("epoch"), 1);
  EXPECT_EQ(json[1].at("state"), "valid");
  EXPECT_EQ(json[1].at("hlc"), "8192");
}

TEST_F(Inspect, verify_accepts_what_is_sound_at_every_level) {
  EXPECT_EQ(verify_path(temporary_.path())->checkpoints, 2u);
  EXPECT_EQ(verify_path(temporary_ / "sim-2-run1")->files, 2u);
  EXPECT_EQ(verify_path(temporary_ / "sim-2-run1" / "")->files, 2u);
  EXPECT_EQ(verify_path(temporary_ / "sim-2-run1" / "shard-00-0000.rkcp")->files, 1u);
  EXPECT_TRUE(verify_path(temporary_ / "sim-2-run1" / "MANIFEST").has_value());
}

TEST_F(Inspect, verify_catches_every_truncation_of_a_checkpoint) {
  for (const char* name : {"MANIFEST", "shard-00-0000.rkcp", "shard-01-0000.rkcp"}) {
    const auto path = temporary_ / "sim-2-run1" / name;
    const auto bytes = read_bytes(path);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      write_bytes(path, Bytes(bytes).first(size));
      ASSERT_EQ(code_of(verify_path(temporary_.path())), ErrorCode::corrupt) << name << size;
    }
    write_bytes(path, bytes);
  }
  EXPECT_TRUE(verify_path(temporary_.path()).has_value());
}

TEST_F(Inspect, an_unfinished_commit_is_a_note_but_not_a_checkpoint) {
  std::filesystem::remove(temporary_ / "sim-2-run1" / "MANIFEST");
  const auto report = verify_path(temporary_.path());
  ASSERT_OK(report);
  EXPECT_EQ(report->checkpoints, 1u);
  EXPECT_EQ(report->incomplete.size(), 1u);
  EXPECT_EQ(code_of(verify_path(temporary_ / "sim-2-run1")), ErrorCode::corrupt);
}

TEST_F(Inspect, what_is_not_there_or_empty_is_not_found) {
  EXPECT_EQ(code_of(inspect_json(temporary_ / "nothing")), ErrorCode::not_found);
  EXPECT_EQ(code_of(verify_path(temporary_ / "nothing")), ErrorCode::not_found);
  TemporaryDirectory empty;
  EXPECT_EQ(code_of(verify_path(empty.path())), ErrorCode::not_found);
  write_bytes(temporary_ / "text", bytes_of("this is no checkpoint, but it is longer than a header "
                                            "and ends somewhere"));
  EXPECT_EQ(code_of(inspect_json(temporary_ / "text")), ErrorCode::corrupt);
  write_bytes(temporary_ / "empty", {});
  EXPECT_EQ(code_of(verify_path(temporary_ / "empty")), ErrorCode::corrupt);
}

}  // namespace
}  // namespace rk::checkpoint::test
