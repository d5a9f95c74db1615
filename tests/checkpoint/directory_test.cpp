#include <gtest/gtest.h>

#include <ringkernel/checkpoint/directory.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

class Directory : public testing::Test {
 protected:
  void commit(std::uint64_t epoch, const std::string& run_id = "run1") {
    ASSERT_OK(write_checkpoint(directory_, epoch, run_id, static_cast<std::uint32_t>(epoch)));
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    const auto entries = directory_.storage().list("");
    for (const auto& entry : *entries) out.push_back(entry.name);
    return out;
  }
  void flip(const std::string& file, std::size_t at) {
    auto bytes = read_bytes(temporary_.path() / file);
    bytes.at(at) ^= std::byte{1};
    write_bytes(temporary_.path() / file, bytes);
  }
  std::uint64_t newest_epoch() {
    const auto found = directory_.newest_valid();
    return found && found->entry ? found->entry->name.epoch : 0;
  }

  TemporaryDirectory temporary_;
  CheckpointDirectory directory_ = *open_directory(temporary_.path());
};

TEST(CheckpointName, only_its_own_text_is_accepted) {
  for (const char* good : {"sim-1-run1", "sim_0-12-ab", "a-b-3-c", "x.y-4294967294-z"}) {
    const auto name = parse_checkpoint_name(good);
    ASSERT_TRUE(name.has_value()) << good;
    EXPECT_EQ(format_checkpoint_name(*name), good);
  }
  EXPECT_EQ(parse_checkpoint_name("a-b-3-c")->prefix, "a-b");
  for (const char* bad :
       {"sim", "sim-1", "sim--run", "sim-0-run", "sim-01-run", "sim-+1-run", "sim-1x-run", "-1-run",
        "sim-1-", "sim-4294967295-r", "sim-18446744073709551617-r", ".sim-1-r", "sim-1-.r"}) {
    EXPECT_FALSE(parse_checkpoint_name(bad).has_value()) << bad;
  }
}

TEST_F(Directory, a_committed_checkpoint_reads_back) {
  commit(1);
  const auto found = directory_.newest_valid();
  ASSERT_OK(found);
  ASSERT_TRUE(found->entry.has_value());
  EXPECT_TRUE(found->skipped.empty());
  EXPECT_EQ(found->entry->manifest->slots, 6u);
  EXPECT_EQ(found->entry->manifest->shards.size(), 2u);
  const auto reader = directory_.open_checkpoint(*found->entry);
  ASSERT_OK(reader);
  std::map<std::uint32_t, std::size_t> seen;
  ASSERT_OK(reader->for_each_row(ChunkType::device_memory,
                                 [&](std::uint64_t id, const RowView& row) -> Result<void> {
                                   EXPECT_EQ(id, region_id("Cell"));
                                   seen[row.header.id] = row.payload.size();
                                   return {};
                                 }));
  EXPECT_EQ(seen.size(), 6u);
  const auto stopped = reader->for_each_chunk(
      [](const ChunkView&) -> Result<void> { return fail(ErrorCode::closed, "stop"); });
  EXPECT_EQ(stopped.error().code, ErrorCode::closed);
}

TEST_F(Directory, an_absent_or_empty_directory_is_a_fresh_start) {
  auto nowhere = open_directory(temporary_ / "not" / "there");
  ASSERT_OK(nowhere);
  EXPECT_TRUE(nowhere->list()->empty());
  EXPECT_EQ(*nowhere->next_epoch(), 1u);
  const auto found = nowhere->newest_valid();
  ASSERT_OK(found);
  EXPECT_FALSE(found->entry.has_value());
}

TEST(SeedDefect, the_newest_is_the_greatest_number_not_the_greatest_text) {
  TemporaryDirectory temporary;
  auto directory = open_directory(temporary.path());
  for (std::uint64_t epoch : {900u, 10000u, 99u}) {
    ASSERT_OK(write_checkpoint(*directory, epoch, "run1", 1));
  }
  auto restarted = open_directory(temporary.path());
  const auto found = restarted->newest_valid();
  ASSERT_OK(found);
  EXPECT_EQ(found->entry->name.epoch, 10000u);
  const auto entries = restarted->list();
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ(entries->front().name.epoch, 99u);
  EXPECT_EQ(*restarted->next_epoch(), 10001u);
}

TEST(SeedDefect, retention_works_across_restarts) {
  TemporaryDirectory temporary;
  for (std::uint64_t epoch = 1; epoch <= 12; ++epoch) {
    auto directory = open_directory(temporary.path());
    ASSERT_OK(write_checkpoint(*directory, epoch, "run1", 1));
    ASSERT_OK(directory->retain({.keep = 3, .run_id = "run1", .trusted_epoch = epoch}));
  }
  auto directory = open_directory(temporary.path());
  const auto entries = directory->list();
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ(entries->front().name.epoch, 10u);
}

TEST(SeedDefect, saving_an_epoch_again_is_refused_and_destroys_nothing) {
  TemporaryDirectory temporary;
  auto directory = open_directory(temporary.path());
  ASSERT_OK(write_checkpoint(*directory, 5, "run1", 1));
  EXPECT_FALSE(write_checkpoint(*directory, 5, "run1", 2).has_value());
  ASSERT_OK(directory->retain({.keep = 1}));
  const auto found = directory->newest_valid();
  ASSERT_TRUE(found->entry.has_value());
  EXPECT_EQ(found->entry->manifest->seed, 1u);
}

TEST(SeedDefect, prefixes_that_begin_alike_never_match_each_other) {
  TemporaryDirectory temporary;
  const auto storage = std::make_shared<FileStorage>(temporary.path());
  auto sim = CheckpointDirectory::open(storage, "sim");
  auto sim_0 = CheckpointDirectory::open(storage, "sim_0");
  auto sim_dash = CheckpointDirectory::open(storage, "sim-7");
  for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
    ASSERT_OK(write_checkpoint(*sim, epoch, "run1", 1));
    ASSERT_OK(write_checkpoint(*sim_0, epoch, "run1", 1));
    ASSERT_OK(write_checkpoint(*sim_dash, epoch, "run1", 1));
  }
  EXPECT_EQ(sim->list()->size(), 3u);
  ASSERT_OK(sim->retain({.keep = 1}));
  EXPECT_EQ(sim->list()->size(), 1u);
  EXPECT_EQ(sim_0->list()->size(), 3u);
  EXPECT_EQ(sim_dash->list()->size(), 3u);
  EXPECT_EQ(list_checkpoints(*storage, Depth::manifest)->size(), 7u);
}

TEST(SeedDefect, a_torn_newest_checkpoint_falls_back_and_says_so) {
  for (const bool torn_manifest : {true, false}) {
    TemporaryDirectory temporary;
    auto directory = open_directory(temporary.path());
    ASSERT_OK(write_checkpoint(*directory, 1, "run1", 1));
    ASSERT_OK(write_checkpoint(*directory, 2, "run1", 2));
    const auto file =
        temporary.path() / "sim-2-run1" / (torn_manifest ? "MANIFEST" : "shard-01-0000.rkcp");
    std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
    const auto found = directory->newest_valid();
    ASSERT_OK(found);
    ASSERT_TRUE(found->entry.has_value());
    EXPECT_EQ(found->entry->name.epoch, 1u);
    ASSERT_EQ(found->skipped.size(), 1u);
    EXPECT_EQ(found->skipped[0].directory, "sim-2-run1");
    EXPECT_EQ(found->skipped[0].state, CheckpointState::corrupt);
    EXPECT_FALSE(found->skipped[0].reason.empty());
  }
}

TEST_F(Directory, every_flipped_bit_of_a_checkpoint_is_found_in_depth) {
  commit(1);
  const auto entries = directory_.list();
  ASSERT_EQ(entries->size(), 1u);
  const auto& entry = entries->front();
  const auto items = directory_.storage().list(entry.directory);
  ASSERT_EQ(items->size(), 3u);
  for (const auto& item : *items) {
    const auto path = temporary_.path() / entry.directory / item.name;
    auto bytes = read_bytes(path);
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 3) {
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      write_bytes(path, bytes);
      const auto now = directory_.verify(entry, Depth::shards);
      ASSERT_OK(now);
      ASSERT_EQ(now->state, CheckpointState::corrupt) << item.name << " bit " << bit;
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
    write_bytes(path, bytes);
  }
  EXPECT_EQ(directory_.verify(entry, Depth::shards)->state, CheckpointState::valid);
}

TEST_F(Directory, a_missing_shard_or_a_renamed_directory_is_corrupt) {
  commit(1);
  commit(2);
  std::filesystem::remove(temporary_ / "sim-1-run1" / "shard-00-0000.rkcp");
  std::filesystem::rename(temporary_ / "sim-2-run1", temporary_ / "sim-3-run1");
  const auto entries = directory_.list();
  ASSERT_OK(entries);
  EXPECT_EQ(entries->at(0).state, CheckpointState::corrupt);
  EXPECT_EQ(entries->at(1).state, CheckpointState::corrupt);
  EXPECT_NE(entries->at(1).reason.find("another checkpoint"), std::string::npos);
}

TEST_F(Directory, epochs_of_abandoned_and_foreign_checkpoints_are_never_used_again) {
  commit(1);
  ASSERT_OK(directory_.begin(7, "run1"));
  EXPECT_EQ(*directory_.next_epoch(), 8u);
  EXPECT_EQ(newest_epoch(), 1u);
  auto other = open_directory(temporary_.path(), "other");
  EXPECT_EQ(*other->next_epoch(), 8u);
  commit(8);
  ASSERT_OK(directory_.retain({.keep = 1}));
  EXPECT_EQ(names(), std::vector<std::string>{"sim-8-run1"});
  EXPECT_EQ(*directory_.next_epoch(), 9u);
}

TEST_F(Directory, incomplete_ones_newer_than_the_newest_valid_are_kept) {
  commit(1);
  ASSERT_OK(directory_.begin(2, "run1"));
  const auto retained = directory_.retain({.keep = 1});
  ASSERT_OK(retained);
  EXPECT_TRUE(retained->removed.empty());
  const auto found = directory_.newest_valid();
  ASSERT_EQ(found->skipped.size(), 1u);
  EXPECT_EQ(found->skipped[0].state, CheckpointState::incomplete);
}

TEST_F(Directory, retention_never_deletes_the_last_one_that_verifies) {
  commit(1);
  commit(2);
  commit(3);
  flip("sim-3-run1/shard-00-0000.rkcp", 200);
  flip("sim-2-run1/shard-00-0000.rkcp", 200);
  const auto retained = directory_.retain({.keep = 1});
  ASSERT_OK(retained);
  EXPECT_TRUE(std::filesystem::exists(temporary_ / "sim-1-run1"));
  EXPECT_EQ(newest_epoch(), 1u);
  EXPECT_FALSE(directory_.retain({.keep = 0}).has_value());
  EXPECT_EQ(newest_epoch(), 1u);
}

TEST_F(Directory, retention_with_nothing_valid_deletes_nothing) {
  commit(1);
  flip("sim-1-run1/MANIFEST", 10);
  ASSERT_OK(directory_.begin(2, "run1"));
  EXPECT_TRUE(directory_.retain({.keep = 1})->removed.empty());
  EXPECT_EQ(names().size(), 2u);
}

TEST_F(Directory, retention_keeps_the_parents_of_a_kept_increment) {
  commit(1);
  ASSERT_OK(write_checkpoint(directory_, 2, "run1", 2, 1));
  ASSERT_OK(write_checkpoint(directory_, 3, "run1", 3, 2));
  commit(4);
  ASSERT_OK(write_checkpoint(directory_, 5, "run1", 5, 3));
  const auto retained = directory_.retain({.keep = 1});
  ASSERT_OK(retained);
  EXPECT_EQ(retained->removed, std::vector<std::string>{"sim-4-run1"});
}

TEST_F(Directory, a_fresh_run_does_not_delete_the_checkpoints_of_another) {
  commit(1, "old");
  commit(2, "old");
  commit(3, "new");
  commit(4, "new");
  ASSERT_OK(directory_.retain({.keep = 1, .run_id = "new", .trusted_epoch = 4}));
  EXPECT_EQ(names(), (std::vector<std::string>{"sim-1-old", "sim-2-old", "sim-4-new"}));
}

TEST_F(Directory, a_dry_run_says_what_would_go_and_removes_nothing) {
  commit(1);
  commit(2);
  const auto plan = directory_.retain({.keep = 1, .dry_run = true});
  ASSERT_OK(plan);
  EXPECT_EQ(plan->removed, std::vector<std::string>{"sim-1-run1"});
  EXPECT_EQ(names().size(), 2u);
}

TEST_F(Directory, retention_by_age_removes_only_what_is_known_to_be_older) {
  constexpr std::uint64_t kMadeAt = 1700000000000000;  // commit(n) was made n us later
  commit(1);
  ASSERT_OK(directory_.begin(2, "run1"));
  commit(3);
  ASSERT_OK(directory_.begin(4, "run1"));
  commit(5);
  commit(6);
  const auto removed = [&](std::uint64_t only_before_us) {
    return directory_.retain({.keep = 1, .only_before_us = only_before_us, .dry_run = true})
        ->removed;
  };
  EXPECT_EQ(removed(kMadeAt + 1), std::vector<std::string>{});
  EXPECT_EQ(removed(kMadeAt + 2), std::vector<std::string>{"sim-1-run1"});
  EXPECT_EQ(removed(kMadeAt + 4),
            (std::vector<std::string>{"sim-1-run1", "sim-2-run1", "sim-3-run1"}));
  EXPECT_EQ(removed(kMadeAt + 5).size(), 3u);
  EXPECT_EQ(removed(kMadeAt + 100).size(), 5u) << "the newest valid one stays whatever its age";
}

TEST_F(Directory, retention_by_age_keeps_the_parents_of_a_young_increment) {
  commit(1);
  ASSERT_OK(write_checkpoint(directory_, 2, "run1", 2, 1));
  commit(3);
  const auto retained =
      directory_.retain({.keep = 1, .only_before_us = 1700000000000002, .dry_run = true});
  ASSERT_OK(retained);
  EXPECT_TRUE(retained->removed.empty());
}

TEST_F(Directory, removal_does_not_follow_links_and_spares_foreign_folders) {
  commit(1);
  commit(2);
  commit(3);
  std::filesystem::create_directory(temporary_ / "keep");
  write_bytes(temporary_ / "keep" / "precious", bytes_of("x"));
  std::filesystem::create_directory_symlink(temporary_ / "keep", temporary_ / "sim-1-run1" / "l");
  std::filesystem::create_directory(temporary_ / "sim-2-run1" / "mine");
  const auto retained = directory_.retain({.keep = 1});
  ASSERT_OK(retained);
  EXPECT_EQ(retained->removed, std::vector<std::string>{"sim-1-run1"});
  EXPECT_EQ(retained->failures.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(temporary_ / "keep" / "precious"));
  EXPECT_TRUE(std::filesystem::exists(temporary_ / "sim-2-run1" / "mine"));
}

TEST_F(Directory, a_linked_checkpoint_directory_is_not_one) {
  TemporaryDirectory elsewhere;
  auto other = open_directory(elsewhere.path());
  ASSERT_OK(write_checkpoint(*other, 9, "run1", 1));
  commit(1);
  std::filesystem::create_directory_symlink(elsewhere / "sim-9-run1", temporary_ / "sim-9-run1");
  EXPECT_EQ(newest_epoch(), 1u);
  EXPECT_EQ(*directory_.next_epoch(), 10u);
}

TEST_F(Directory, a_newer_format_version_stops_the_walk_back) {
  commit(1);
  commit(2);
  const auto path = temporary_ / "sim-2-run1" / "MANIFEST";
  std::string text = read_text(path);
  text.resize(text.rfind("xxh3-128 "));
  text.replace(text.rfind("\"version\": 1"), 12, "\"version\": 2");
  text += "xxh3-128 " + to_hex(xxh3_128(as_bytes(text))) + "\n";
  write_bytes(path, bytes_of(text));
  const auto found = directory_.newest_valid();
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::incompatible);
  EXPECT_EQ(directory_.list()->back().state, CheckpointState::incompatible);
}

TEST_F(Directory, an_abandoned_checkpoint_leaves_nothing) {
  commit(1);
  auto writer = directory_.begin(2, "run1");
  ASSERT_OK(writer);
  auto shards = writer->make_shard_set(sample_metadata(), {.batch_bytes = 4096});
  ASSERT_OK(shards.add_row(ChunkType::device_memory, 1, {.id = 1}, pattern(10'000, 1)));
  writer->abandon();
  EXPECT_EQ(names(), std::vector<std::string>{"sim-1-run1"});
}

TEST_F(Directory, invalid_prefixes_and_run_ids_are_refused) {
  const auto storage = std::make_shared<FileStorage>(temporary_.path());
  for (const char* bad : {"", "../x", "a/b", ".x", "a b"}) {
    EXPECT_FALSE(CheckpointDirectory::open(storage, bad).has_value()) << bad;
    EXPECT_FALSE(directory_.begin(1, bad).has_value()) << bad;
  }
  EXPECT_FALSE(directory_.begin(1, "a-b").has_value());
  EXPECT_FALSE(directory_.begin(0, "run1").has_value());
  EXPECT_FALSE(directory_.begin(kMaxEpoch + 1, "run1").has_value());
  EXPECT_TRUE(is_valid_run_id(make_run_id(1, 2)));
  EXPECT_NE(make_run_id(1, 2), make_run_id(1, 3));
}

TEST_F(Directory, the_writer_lock_makes_the_directory_and_is_exclusive) {
  auto first = open_directory(temporary_ / "deep" / "dir");
  auto second = open_directory(temporary_ / "deep" / "dir");
  const auto held = first->lock_writer();
  ASSERT_OK(held);
  const auto refused = second->lock_writer();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::locked);
  EXPECT_TRUE(second->list()->empty()) << "reading needs no lock and does not see it";
}

}  // namespace
}  // namespace rk::checkpoint::test
