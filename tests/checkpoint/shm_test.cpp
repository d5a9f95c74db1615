// The shared-memory arena beyond the contract: death at every store, growth, a full arena, damage.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/shm_storage.hpp>
#include <ringkernel/checkpoint/src/shm_layout.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

class Arena {
 public:
  Arena() {
    static int counter = 0;
    name_ = "rk-test-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { (void)ShmStorage::remove_arena(name_); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::filesystem::path path() const { return "/dev/shm/ringkernel." + name_; }
  [[nodiscard]] std::shared_ptr<ShmStorage> open(ShmOptions options = {
                                                     .bytes = kMinShmBytes}) const {
    auto storage = ShmStorage::open(name_, std::move(options));
    EXPECT_TRUE(storage.has_value());
    return *storage;
  }

 private:
  std::string name_;
};

// Memory that a child's death does not take away.
class SharedWord {
 public:
  SharedWord() {
    word_ = static_cast<std::uint64_t*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  ~SharedWord() { ::munmap(word_, 4096); }
  volatile std::uint64_t& operator*() const { return *word_; }

 private:
  std::uint64_t* word_;
};

constexpr std::uint64_t kCommits = 5;

// Commits and prunes; `acknowledged` is the epoch of the last commit that returned success.
void run(const std::shared_ptr<Storage>& storage, volatile std::uint64_t& acknowledged) {
  auto directory = CheckpointDirectory::open(storage, "sim");
  const auto lock = directory->lock_writer();
  if (!lock) return;
  for (std::uint64_t epoch = 1; epoch <= kCommits; ++epoch) {
    const auto done =
        write_checkpoint(*directory, epoch, "run1", static_cast<std::uint32_t>(epoch));
    if (!done) return;
    acknowledged = epoch;
    const auto kept = directory->retain({.keep = 2, .run_id = "run1", .trusted_epoch = epoch});
    if (!kept || !kept->failures.empty()) return;
    const auto index =
        storage->publish("index", bytes_of(std::to_string(epoch)), Overwrite::replace);
    if (!index) return;
  }
}

// What the next process sees and does; empty if nothing acknowledged is lost.
std::string recover(const std::shared_ptr<Storage>& storage, std::uint64_t acknowledged) {
  auto directory = CheckpointDirectory::open(storage, "sim");
  const auto lock = directory->lock_writer();
  if (!lock) return "the lock stays: " + lock.error().message;
  const auto entries = directory->list(Depth::shards);
  if (!entries) return entries.error().message;
  for (const auto& entry : *entries) {
    if (entry.state == CheckpointState::corrupt) return entry.directory + ": " + entry.reason;
  }
  const auto found = directory->newest_valid();
  if (!found) return found.error().message;
  const std::uint64_t newest = found->entry ? found->entry->name.epoch : 0;
  if (newest < acknowledged) return "an acknowledged checkpoint is lost";
  if (const auto index = read_all(*storage, "index", 100)) {
    const std::string text(reinterpret_cast<const char*>(index->data()), index->size());
    const auto epoch = std::stoull(text);
    if (epoch != acknowledged && epoch + 1 != acknowledged) return "the index says " + text;
  } else if (acknowledged > 1) {
    return "the index is lost: " + index.error().message;
  }
  const auto next = directory->next_epoch();
  if (!next || *next <= newest) return "epochs repeat";
  const auto done = write_checkpoint(*directory, *next, "run1", 77);
  if (!done) return "the next run cannot save: " + done.error().message;
  const auto kept = directory->retain({.keep = 1, .run_id = "run1", .trusted_epoch = *next});
  if (!kept || !kept->failures.empty()) return "debris cannot be removed";
  return "";
}

// Runs `child` in a process of its own; true if it was killed.
template <class F>
bool is_killed(F child) {
  const ::pid_t pid = ::fork();
  if (pid == 0) {
    child();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

TEST(Shm, sigkill_at_any_storage_call_loses_nothing_acknowledged) {
  SharedWord acknowledged;
  std::uint64_t at = 1;
  for (;; ++at) {
    const Arena arena;
    *acknowledged = 0;
    const bool killed = is_killed([&] {
      run(std::make_shared<FaultyStorage>(
              arena.open(), FaultPlan{.at_call = at,
                                      .action = at % 2 == 0 ? FaultPlan::Action::kill
                                                            : FaultPlan::Action::torn_kill}),
          *acknowledged);
    });
    if (killed) {
      ASSERT_EQ(recover(arena.open(), *acknowledged), "") << "call " << at;
      continue;
    }
    EXPECT_EQ(*acknowledged, kCommits);
    break;
  }
  EXPECT_GT(at, 60u);
}

TEST(Shm, sigkill_before_any_store_to_the_arena_loses_nothing_acknowledged) {
  SharedWord acknowledged;
  std::uint64_t at = 1;
  for (;; ++at) {
    const Arena arena;
    *acknowledged = 0;
    const bool killed = is_killed([&] {
      std::uint64_t stores = 0;
      run(arena.open({.bytes = kMinShmBytes,
                      .on_store =
                          [&] {
                            if (++stores == at) ::raise(SIGKILL);
                          }}),
          *acknowledged);
    });
    if (!killed) break;
    ASSERT_EQ(recover(arena.open(), *acknowledged), "") << "store " << at;
  }
  EXPECT_EQ(*acknowledged, kCommits);
  EXPECT_GT(at, 40u);
}

TEST(Shm, death_between_the_two_stores_of_a_replacement_keeps_the_newer_and_frees_the_older) {
  const Arena arena;
  ASSERT_OK(arena.open()->create_root());
  ASSERT_OK(arena.open()->publish("f", pattern(300'000, 1), Overwrite::refuse));
  // Stores of a replacement: its blocks, the new commit word, then clearing the old one.
  ASSERT_TRUE(is_killed([&] {
    int stores = 0;
    auto storage = arena.open({.on_store = [&] {
      if (++stores == 7) ::raise(SIGKILL);
    }});
    (void)storage->publish("f", pattern(300'000, 2), Overwrite::replace);
  }));
  const auto storage = arena.open();
  EXPECT_TRUE(*read_all(*storage, "f", 1 << 20) == pattern(300'000, 2));
  EXPECT_EQ(storage->list("")->size(), 1u) << "one name, not two";
  // Twenty-three blocks: this fits only if the older file's five are free again.
  ASSERT_OK(storage->publish("g", pattern(18 * kShmBlockPayloadBytes, 3), Overwrite::refuse));
  EXPECT_TRUE(*read_all(*storage, "f", 1 << 20) == pattern(300'000, 2));
}

TEST(Shm, a_full_arena_says_which_size_would_do_and_that_size_does) {
  const Arena arena;
  const auto bytes = pattern(3'000'000, 1);
  {
    const auto storage = arena.open();
    ASSERT_OK(storage->create_root());
    ASSERT_OK(storage->publish("small", bytes_of("kept"), Overwrite::refuse));
    auto file = storage->create("f");
    ASSERT_OK(file);
    const auto full = (*file)->append(bytes);
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().code, ErrorCode::no_space);
    EXPECT_NE(full.error().message.find("?mib=4"), std::string::npos) << full.error().message;
    file->reset();
    ASSERT_OK(storage->publish("after", pattern(100'000, 2), Overwrite::refuse));
  }
  const auto reader = arena.open();
  ASSERT_OK(reader->list(""));
  const auto larger = arena.open({.bytes = std::uint64_t{4} << 20});
  ASSERT_OK(larger->publish("f", bytes, Overwrite::refuse));
  EXPECT_TRUE(*read_all(*larger, "f", 1 << 22) == bytes);
  EXPECT_TRUE(*read_all(*reader, "f", 1 << 22) == bytes) << "an open reader follows the growth";
  EXPECT_EQ(*read_all(*reader, "small", 10), bytes_of("kept"));
  EXPECT_EQ(std::filesystem::file_size(arena.path()), std::uint64_t{4} << 20);
  ASSERT_OK(arena.open({.bytes = kMinShmBytes})->publish("x", {}, Overwrite::refuse));
  EXPECT_EQ(std::filesystem::file_size(arena.path()), std::uint64_t{4} << 20) << "never shrinks";
}

TEST(Shm, space_of_removed_files_is_used_again_without_end) {
  const Arena arena;
  const auto storage = arena.open();
  const auto lock = storage->lock();
  ASSERT_OK(lock);
  for (std::uint32_t round = 0; round < 300; ++round) {
    const auto bytes = pattern(200'000 + round, round);
    ASSERT_OK(storage->publish("f", bytes, Overwrite::replace));
    if (round % 50 == 0) {
      EXPECT_TRUE(*read_all(*storage, "f", 1 << 20) == bytes);
    }
    if (round % 3 == 0) ASSERT_OK(storage->remove("f"));
  }
}

TEST(Shm, every_byte_is_reserved_and_the_object_is_private_whatever_the_umask) {
  const Arena arena;
  const ::mode_t old = ::umask(0777);
  const auto made = arena.open()->create_root();
  ::umask(old);
  ASSERT_OK(made);
  struct ::stat status {};
  ASSERT_EQ(::stat(arena.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  EXPECT_GE(static_cast<std::uint64_t>(status.st_blocks) * 512, kMinShmBytes);
}

TEST(Shm, an_arena_that_cannot_be_reserved_is_no_space_and_leaves_nothing_usable_behind) {
  const Arena arena;
  const auto storage = arena.open({.bytes = std::uint64_t{1} << 55});
  const auto made = storage->create_root();
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message.find("?mib="), std::string::npos) << made.error().message;
  ASSERT_OK(arena.open()->create_root());
}

TEST(Shm, a_foreign_object_and_a_damaged_one_are_refused) {
  const Arena arena;
  write_bytes(arena.path(), pattern(kMinShmBytes, 5));
  EXPECT_EQ(arena.open()->create_root().error().code, ErrorCode::corrupt);
  EXPECT_EQ(arena.open()->list("").error().code, ErrorCode::corrupt);
  std::filesystem::remove(arena.path());

  ASSERT_OK(arena.open()->publish("f", pattern(200'000, 1), Overwrite::refuse));
  auto content = read_bytes(arena.path());
  auto damaged = content;
  damaged[kShmTableOffset + offsetof(ShmEntry, bytes)] ^= std::byte{1};
  write_bytes(arena.path(), damaged);
  std::vector<std::byte> out(10);
  EXPECT_EQ(arena.open()->read("f", 0, out).error().code, ErrorCode::corrupt);
  EXPECT_EQ(arena.open()->file_bytes("f").error().code, ErrorCode::corrupt);

  damaged = content;  // a chain that leads out of the arena
  const std::size_t first = 0;
  damaged[kShmDataOffset + first * kShmBlockBytes + 2] = std::byte{0x7f};
  write_bytes(arena.path(), damaged);
  out.resize(200'000);
  EXPECT_EQ(arena.open()->read("f", 0, out).error().code, ErrorCode::corrupt);

  damaged = content;
  damaged[offsetof(ShmHeader, version)] = std::byte{9};
  write_bytes(arena.path(), damaged);
  EXPECT_EQ(arena.open()->list("").error().code, ErrorCode::corrupt);
}

TEST(Shm, a_reader_in_another_process_needs_no_lock_and_a_dead_writer_leaves_none) {
  const Arena arena;
  SharedWord done;
  *done = 0;
  ASSERT_TRUE(is_killed([&] {
    const auto storage = arena.open();
    const auto lock = storage->lock();
    if (!storage->publish("f", bytes_of("from the dead"), Overwrite::refuse)) ::_exit(1);
    // A reader while the writer holds its lock.
    const bool is_read = !is_killed([&] {
      const auto text = read_all(*arena.open(), "f", 100);
      if (!text || *text != bytes_of("from the dead")) ::raise(SIGKILL);
    });
    *done = is_read ? 1 : 0;
    ::raise(SIGKILL);
  }));
  EXPECT_EQ(*done, 1u);
  const auto storage = arena.open();
  ASSERT_OK(storage->lock());
  EXPECT_EQ(*read_all(*storage, "f", 100), bytes_of("from the dead"));
}

}  // namespace
}  // namespace rk::checkpoint::test
