#include "storage_contract.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <ringkernel/checkpoint/memory_storage.hpp>
#include <ringkernel/checkpoint/shm_storage.hpp>
#include <thread>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::internal : result.error().code;
}

Result<void> put(Storage& storage, const std::string& path, Bytes bytes) {
  RK_TRY_ASSIGN(const auto file, storage.create(path));
  RK_TRY(file->append(bytes));
  return file->sync();
}

std::vector<std::byte> get(Storage& storage, const std::string& path) {
  const auto content = read_all(storage, path, std::uint64_t{1} << 30);
  EXPECT_TRUE(content.has_value()) << (content ? "" : content.error().message);
  return content ? *content : std::vector<std::byte>{};
}

TEST_P(StorageContract, invalid_names_are_refused_by_every_call) {
  ASSERT_OK(storage_->create_root());
  std::vector<std::byte> out(1);
  const std::string too_long(kMaxNameBytes + 1, 'x');
  for (const std::string& path :
       {std::string("../x"), std::string("/x"), std::string("a/../x"), std::string("a/b/c"),
        std::string("a//b"), std::string("a/"), std::string("."), std::string(".."),
        std::string(".lock"), std::string("a/.b"), std::string("a b"), std::string("a\nb"),
        std::string("\xc3\xb6"), std::string("a\0b", 3), too_long, "a/" + too_long}) {
    EXPECT_EQ(code_of(storage_->create(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->publish(path, out, Overwrite::replace)),
              ErrorCode::invalid_argument)
        << path;
    EXPECT_EQ(code_of(storage_->make_directory(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->remove(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->remove_directory(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->sync_directory(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->list(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->file_bytes(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage_->read(path, 0, out)), ErrorCode::invalid_argument) << path;
  }
  const std::string longest(kMaxNameBytes, 'x');
  EXPECT_EQ(code_of(storage_->publish(longest, out, Overwrite::replace)),
            ErrorCode::invalid_argument)
      << "no room for a temporary name";
  ASSERT_OK(storage_->make_directory(longest));
  ASSERT_OK(put(*storage_, longest + "/" + longest, pattern(3, 1)));
  EXPECT_EQ(get(*storage_, longest + "/" + longest), pattern(3, 1));
  EXPECT_EQ(storage_->list("")->size(), 1u) << "nothing else was made";
}

TEST_P(StorageContract, an_absent_root_is_empty_and_creating_it_twice_is_fine) {
  const auto before = storage_->list("");
  ASSERT_OK(before);
  EXPECT_TRUE(before->empty());
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->create_root());
  const auto after = storage_->list("");
  ASSERT_OK(after);
  EXPECT_TRUE(after->empty());
  EXPECT_FALSE(storage_->describe("").empty());
  EXPECT_NE(storage_->describe("some/thing").find("some/thing"), std::string::npos);
}

TEST_P(StorageContract, what_was_synced_is_read_back_whole_and_in_ranges) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->make_directory("d"));
  {
    auto file = storage_->create("d/f");
    ASSERT_OK(file);
    ASSERT_OK((*file)->append(bytes_of("hello ")));
    ASSERT_OK((*file)->append({}));
    ASSERT_OK((*file)->append(bytes_of("world")));
    ASSERT_OK((*file)->sync());
  }
  ASSERT_OK(storage_->sync_directory("d"));
  ASSERT_OK(storage_->sync_directory(""));
  for (const auto& reader : {storage_, another()}) {
    EXPECT_EQ(*reader->file_bytes("d/f"), 11u);
    std::vector<std::byte> part(5);
    ASSERT_OK(reader->read("d/f", 6, part));
    EXPECT_EQ(part, bytes_of("world"));
    ASSERT_OK(reader->read("d/f", 0, part));
    EXPECT_EQ(part, bytes_of("hello"));
    ASSERT_OK(reader->read("d/f", 11, std::span<std::byte>()));
    EXPECT_EQ(code_of(reader->read("d/f", 7, part)), ErrorCode::corrupt);
    EXPECT_EQ(code_of(reader->read("d/f", 12, part)), ErrorCode::corrupt);
    EXPECT_EQ(code_of(reader->read("d/f", std::uint64_t{1} << 40, part)), ErrorCode::corrupt);
    EXPECT_EQ(code_of(reader->file_bytes("d/missing")), ErrorCode::not_found);
    EXPECT_EQ(code_of(reader->read("d/missing", 0, part)), ErrorCode::not_found);
    EXPECT_EQ(code_of(reader->file_bytes("absent/f")), ErrorCode::not_found);
  }
}

TEST_P(StorageContract, empty_files_exist) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(put(*storage_, "empty", {}));
  ASSERT_OK(storage_->publish("also", {}, Overwrite::refuse));
  EXPECT_EQ(*storage_->file_bytes("empty"), 0u);
  EXPECT_EQ(*storage_->file_bytes("also"), 0u);
  EXPECT_TRUE(get(*storage_, "empty").empty());
  EXPECT_EQ(storage_->list("")->size(), 2u);
}

TEST_P(StorageContract, a_big_file_in_odd_pieces_with_a_head_that_comes_last) {
  ASSERT_OK(storage_->create_root());
  auto expected = pattern(13'000'003, 7);
  {
    auto file = storage_->create("big");
    ASSERT_OK(file);
    std::size_t piece = 1;
    for (std::size_t at = 0; at < expected.size();) {
      const std::size_t count = std::min(piece, expected.size() - at);
      ASSERT_OK((*file)->append(Bytes(expected).subspan(at, count)));
      at += count;
      piece = piece * 3 % 700'001 + 1;
    }
    const auto head = pattern(kRewritableBytes, 8);
    ASSERT_OK((*file)->rewrite_head(head));
    ASSERT_OK((*file)->rewrite_head(Bytes(head).first(64)));
    ASSERT_OK((*file)->sync());
    std::copy(head.begin(), head.end(), expected.begin());
  }
  const auto reader = another();
  ASSERT_EQ(*reader->file_bytes("big"), expected.size());
  EXPECT_TRUE(get(*reader, "big") == expected);
  for (std::size_t at = 4093; at + 70'001 < expected.size(); at += 1'313'131) {
    std::vector<std::byte> part(70'001);
    ASSERT_OK(reader->read("big", at, part));
    EXPECT_TRUE(
        std::equal(part.begin(), part.end(), expected.begin() + static_cast<std::ptrdiff_t>(at)))
        << at;
  }
}

TEST_P(StorageContract, only_an_appended_head_can_be_rewritten_and_nothing_follows_sync) {
  ASSERT_OK(storage_->create_root());
  auto file = storage_->create("f");
  ASSERT_OK(file);
  EXPECT_EQ(code_of((*file)->rewrite_head(bytes_of("x"))), ErrorCode::invalid_argument);
  ASSERT_OK((*file)->append(pattern(kRewritableBytes + 10, 1)));
  EXPECT_EQ(code_of((*file)->rewrite_head(pattern(kRewritableBytes + 1, 2))),
            ErrorCode::invalid_argument);
  ASSERT_OK((*file)->rewrite_head(bytes_of("head")));
  ASSERT_OK((*file)->sync());
  EXPECT_EQ(code_of((*file)->append(bytes_of("x"))), ErrorCode::closed);
  EXPECT_EQ(code_of((*file)->rewrite_head(bytes_of("x"))), ErrorCode::closed);
  EXPECT_EQ(code_of((*file)->sync()), ErrorCode::closed);
  file->reset();
  auto expected = pattern(kRewritableBytes + 10, 1);
  const auto head = bytes_of("head");
  std::copy(head.begin(), head.end(), expected.begin());
  EXPECT_EQ(get(*storage_, "f"), expected);
}

TEST_P(StorageContract, create_never_overwrites) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(put(*storage_, "f", bytes_of("first")));
  const auto second = put(*storage_, "f", bytes_of("second"));
  ASSERT_FALSE(second.has_value());
  EXPECT_TRUE(is_already_there(second.error())) << second.error().message;
  EXPECT_EQ(get(*storage_, "f"), bytes_of("first"));
}

TEST_P(StorageContract, publish_refuses_or_replaces_whole) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->make_directory("d"));
  for (const std::string path : {"f", "d/f"}) {
    ASSERT_OK(storage_->publish(path, bytes_of("one"), Overwrite::refuse));
    EXPECT_EQ(get(*storage_, path), bytes_of("one"));
    const auto refused = storage_->publish(path, bytes_of("three"), Overwrite::refuse);
    ASSERT_FALSE(refused.has_value());
    EXPECT_TRUE(is_already_there(refused.error())) << refused.error().message;
    EXPECT_EQ(get(*storage_, path), bytes_of("one"));
    ASSERT_OK(storage_->publish(path, bytes_of("a longer two"), Overwrite::replace));
    EXPECT_EQ(get(*storage_, path), bytes_of("a longer two"));
    ASSERT_OK(storage_->publish(path, bytes_of("4"), Overwrite::replace));
    EXPECT_EQ(get(*another(), path), bytes_of("4"));
  }
  ASSERT_OK(storage_->publish("new", bytes_of("x"), Overwrite::replace));
  const auto entries = storage_->list("");
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), 3u) << "no temporary file stays";
}

TEST_P(StorageContract, a_name_that_create_made_is_refused_by_publish) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(put(*storage_, "f", bytes_of("first")));
  const auto refused = storage_->publish("f", bytes_of("second"), Overwrite::refuse);
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(is_already_there(refused.error()));
  ASSERT_OK(storage_->publish("f", bytes_of("second"), Overwrite::replace));
  EXPECT_EQ(get(*storage_, "f"), bytes_of("second"));
}

TEST_P(StorageContract, lists_are_sorted_by_name_with_kinds_and_sizes) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->make_directory("m"));
  for (const char* name : {"z", "A", "b-1", "b.2", "b_3", "a10", "a9"}) {
    ASSERT_OK(put(*storage_, name, pattern(std::string(name).size(), 1)));
    ASSERT_OK(put(*storage_, "m/" + std::string(name), pattern(20, 1)));
  }
  const std::vector<std::string> files{"A", "a10", "a9", "b-1", "b.2", "b_3", "z"};
  std::vector<std::string> names;
  const auto root = another()->list("");
  ASSERT_OK(root);
  for (const auto& entry : *root) {
    names.push_back(entry.name);
    if (entry.name == "m") {
      EXPECT_EQ(entry.kind, StorageEntry::Kind::directory);
      continue;
    }
    EXPECT_EQ(entry.kind, StorageEntry::Kind::file) << entry.name;
    EXPECT_EQ(entry.bytes, entry.name.size());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"A", "a10", "a9", "b-1", "b.2", "b_3", "m", "z"}));
  names.clear();
  const auto inner = storage_->list("m");
  ASSERT_OK(inner);
  for (const auto& entry : *inner) {
    names.push_back(entry.name);
    EXPECT_EQ(entry.bytes, 20u);
  }
  EXPECT_EQ(names, files);
  const auto absent = storage_->list("absent");
  if (absent) {
    EXPECT_TRUE(absent->empty());
    EXPECT_FALSE(GetParam().has_directories);
  } else {
    EXPECT_EQ(absent.error().code, ErrorCode::not_found);
  }
}

TEST_P(StorageContract, more_entries_than_one_page_of_a_listing) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->make_directory("d"));
  constexpr int kFiles = 230;
  for (int i = 0; i < kFiles; ++i) {
    ASSERT_OK(storage_->publish("d/f" + std::to_string(1000 + i), {}, Overwrite::replace));
  }
  const auto entries = storage_->list("d");
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), static_cast<std::size_t>(kFiles));
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_EQ((*entries)[static_cast<std::size_t>(i)].name, "f" + std::to_string(1000 + i));
  }
}

TEST_P(StorageContract, removed_names_are_gone_and_can_be_made_again) {
  ASSERT_OK(storage_->create_root());
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(storage_->make_directory("d"));
    ASSERT_OK(put(*storage_, "d/f", pattern(100'000, 1)));
    ASSERT_OK(storage_->publish("d/g", bytes_of("g"), Overwrite::refuse));
    ASSERT_OK(storage_->remove("d/f"));
    EXPECT_EQ(code_of(storage_->file_bytes("d/f")), ErrorCode::not_found);
    ASSERT_EQ(storage_->list("d")->size(), 1u);
    ASSERT_OK(put(*storage_, "d/f", pattern(70'000, 2)));
    EXPECT_EQ(get(*storage_, "d/f"), pattern(70'000, 2));
    if (GetParam().has_directories) {
      EXPECT_FALSE(storage_->remove_directory("d").has_value()) << "it is not empty";
      EXPECT_FALSE(storage_->make_directory("d").has_value()) << "it exists";
      EXPECT_EQ(code_of(storage_->remove("absent")), ErrorCode::not_found);
    }
    ASSERT_OK(storage_->remove("d/f"));
    ASSERT_OK(storage_->remove("d/g"));
    ASSERT_OK(storage_->remove_directory("d"));
    ASSERT_OK(storage_->sync_directory(""));
    EXPECT_TRUE(storage_->list("")->empty());
  }
}

TEST_P(StorageContract, a_file_dropped_without_sync_counts_for_nothing) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->make_directory("d"));
  {
    auto file = storage_->create("d/f");
    ASSERT_OK(file);
    ASSERT_OK((*file)->append(pattern(300'000, 1)));
  }
  // Absent or short: a caller removes what is listed and goes on.
  const auto left = storage_->list("d");
  if (left) {
    for (const auto& entry : *left) ASSERT_OK(storage_->remove("d/" + entry.name));
  }
  ASSERT_OK(put(*storage_, "d/f", bytes_of("again")));
  EXPECT_EQ(get(*storage_, "d/f"), bytes_of("again"));
}

TEST_P(StorageContract, several_threads_write_and_read_different_files) {
  ASSERT_OK(storage_->create_root());
  ASSERT_OK(storage_->make_directory("d"));
  constexpr std::uint32_t kThreads = 4;
  std::vector<std::string> errors(kThreads);
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto work = [&]() -> Result<void> {
        for (std::uint32_t n = 0; n < 4; ++n) {
          const std::string path = "d/f" + std::to_string(t) + "_" + std::to_string(n);
          const auto bytes = pattern(200'000 + 1000 * t, 10 * t + n);
          {
            RK_TRY_ASSIGN(const auto file, storage_->create(path));
            for (std::size_t at = 0; at < bytes.size(); at += 50'000) {
              RK_TRY(file->append(
                  Bytes(bytes).subspan(at, std::min<std::size_t>(50'000, bytes.size() - at))));
            }
            RK_TRY(file->sync());
          }
          RK_TRY(storage_->list("d"));
          RK_TRY_ASSIGN(const auto back, read_all(*storage_, path, bytes.size()));
          if (back != bytes) return fail(ErrorCode::corrupt, path + " has other bytes");
          if (n % 2 == 0) RK_TRY(storage_->remove(path));
        }
        return {};
      };
      if (const auto done = work(); !done) errors[t] = done.error().message;
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) EXPECT_EQ(error, "");
  EXPECT_EQ(storage_->list("d")->size(), 2 * kThreads);
}

TEST_P(StorageContract, one_writer_holds_the_lock) {
  ASSERT_OK(storage_->create_root());
  auto held = storage_->lock();
  ASSERT_OK(held);
  const auto other = another();
  if (GetParam().has_locks) {
    EXPECT_EQ(code_of(other->lock()), ErrorCode::locked);
    EXPECT_EQ(code_of(storage_->lock()), ErrorCode::locked);
  }
  ASSERT_OK(put(*storage_, "f", bytes_of("x")));
  EXPECT_EQ(get(*other, "f"), bytes_of("x")) << "reading needs no lock";
  held->reset();
  ASSERT_OK(other->lock());
}

TEST_P(StorageContract, checkpoints_are_committed_verified_retained_and_found_again) {
  {
    auto directory = CheckpointDirectory::open(storage_, "sim");
    ASSERT_OK(directory);
    const auto lock = directory->lock_writer();
    ASSERT_OK(lock);
    for (std::uint64_t epoch = 1; epoch <= 5; ++epoch) {
      ASSERT_EQ(*directory->next_epoch(), epoch);
      ASSERT_OK(write_checkpoint(*directory, epoch, "run1", static_cast<std::uint32_t>(epoch)));
      const auto kept = directory->retain({.keep = 2, .run_id = "run1", .trusted_epoch = epoch});
      ASSERT_OK(kept);
      EXPECT_TRUE(kept->failures.empty());
    }
    // A commit that never ended.
    auto unfinished = directory->begin(6, "run1");
    ASSERT_OK(unfinished);
    auto shards = unfinished->make_shard_set(sample_metadata(), {});
    ASSERT_OK(shards.append_chunk(ChunkType::custom, 1, pattern(1000, 1)));
    ASSERT_OK(shards.finish());
    EXPECT_EQ(*directory->next_epoch(), 7u);
  }
  auto directory = CheckpointDirectory::open(another(), "sim");
  ASSERT_OK(directory);
  const auto entries = directory->list(Depth::shards);
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].state, CheckpointState::valid) << (*entries)[0].reason;
  EXPECT_EQ((*entries)[1].state, CheckpointState::valid) << (*entries)[1].reason;
  EXPECT_EQ((*entries)[2].state, CheckpointState::incomplete);
  const auto found = directory->newest_valid();
  ASSERT_OK(found);
  ASSERT_TRUE(found->entry.has_value());
  EXPECT_EQ(found->entry->name.epoch, 5u);
  const auto reader = directory->open_checkpoint(*found->entry);
  ASSERT_OK(reader);
  std::size_t rows = 0;
  ASSERT_OK(reader->for_each_row(
      ChunkType::device_memory, [&](std::uint64_t, const RowView& row) -> Result<void> {
        ++rows;
        const auto state = pattern(40, 5 + row.header.id / 2);
        EXPECT_TRUE(std::equal(row.payload.begin(), row.payload.end(), state.begin(), state.end()));
        return {};
      }));
  EXPECT_EQ(rows, 6u);
  // A second commit under the same name is refused and the first one stays as it is.
  auto again = write_checkpoint(*directory, 5, "run1", 99);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(directory->newest_valid()->entry->name.epoch, 5u);
}

ContractStore file_store() {
  return {.name = "File", .make_root = [] {
            auto temporary = std::make_shared<TemporaryDirectory>();
            return ContractRoot{.open = [temporary] {
              return open_storage((temporary->path() / "root").string());
            }};
          }};
}

ContractStore memory_store() {
  return {.name = "Memory", .make_root = [] {
            auto storage = std::make_shared<MemoryStorage>();
            return ContractRoot{
                .open = [storage]() -> Result<std::shared_ptr<Storage>> { return {storage}; }};
          }};
}

ContractStore shm_store() {
  return {.name = "Shm", .has_directories = false, .make_root = [] {
            static int counter = 0;
            const std::string name =
                "rk-contract-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
            return ContractRoot{.open = [name] { return open_storage("shm:" + name + "?mib=24"); },
                                .discard = [name] { (void)ShmStorage::remove_arena(name); }};
          }};
}

std::vector<ContractStore> environment_stores() {
  const char* text = std::getenv("RK_STORAGE_CONTRACT");
  if (text == nullptr || *text == '\0') return {};
  return {contract_store_at("Environment", text)};
}

const auto kNameOf = [](const auto& info) { return info.param.name; };

INSTANTIATE_TEST_SUITE_P(Builtin, StorageContract,
                         ::testing::Values(file_store(), memory_store(), shm_store()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Env, StorageContract, ::testing::ValuesIn(environment_stores()), kNameOf);

}  // namespace
}  // namespace rk::checkpoint::test
