#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/storage.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::internal : result.error().code;
}

unsigned mode_of(const std::filesystem::path& path) {
  struct ::stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777u : 0u;
}

TEST(Storage, names_are_restricted_to_one_plain_component) {
  for (const char* good : {"a", "A-9_z.rkcp", "MANIFEST", "sim_0-12-ab"}) {
    EXPECT_TRUE(is_valid_name(good)) << good;
  }
  for (const char* bad :
       {"", ".", "..", ".hidden", "a/b", "/etc/passwd", "a b", "a\n", "\xc3\xb6", "a\\b"}) {
    EXPECT_FALSE(is_valid_name(bad)) << bad;
  }
  EXPECT_TRUE(is_valid_name(std::string(128, 'x')));
  EXPECT_FALSE(is_valid_name(std::string(129, 'x')));
  EXPECT_FALSE(is_valid_name(std::string_view("a\0b", 3)));
}

TEST(SeedDefect, names_with_dots_and_absolute_names_do_not_escape) {
  TemporaryDirectory temporary;
  FileStorage storage(temporary / "root");
  ASSERT_OK(storage.create_root());
  for (const char* path : {"../escape", "/tmp/escape", "a/../../escape", "d/../escape", "a/b/c",
                           "/escape", "d/", ".lock"}) {
    EXPECT_EQ(code_of(storage.create(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage.remove(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage.file_bytes(path)), ErrorCode::invalid_argument) << path;
    EXPECT_EQ(code_of(storage.rename("a", path, Overwrite::replace)), ErrorCode::invalid_argument)
        << path;
    EXPECT_EQ(code_of(storage.publish(path, bytes_of("x"), Overwrite::replace)),
              ErrorCode::invalid_argument)
        << path;
  }
  EXPECT_FALSE(std::filesystem::exists(temporary / "escape"));
}

TEST(SeedDefect, listing_an_absent_directory_is_empty_not_an_error) {
  TemporaryDirectory temporary;
  FileStorage storage(temporary / "never" / "made");
  const auto entries = storage.list("");
  ASSERT_OK(entries);
  EXPECT_TRUE(entries->empty());
  EXPECT_FALSE(std::filesystem::exists(temporary / "never")) << "listing must create nothing";
}

TEST(Storage, files_are_private_and_never_overwritten) {
  TemporaryDirectory temporary;
  FileStorage storage(temporary / "a" / "b");
  ASSERT_OK(storage.create_root());
  ASSERT_OK(storage.create_root());
  ASSERT_OK(storage.make_directory("d"));
  {
    auto file = storage.create("d/f");
    ASSERT_OK(file);
    ASSERT_OK((*file)->append(bytes_of("hello ")));
    ASSERT_OK((*file)->append(bytes_of("world")));
    ASSERT_OK((*file)->rewrite_head(bytes_of("J")));
    ASSERT_OK((*file)->sync());
  }
  ASSERT_OK(storage.sync_directory("d"));
  ASSERT_OK(storage.sync_directory(""));
  EXPECT_EQ(mode_of(temporary / "a"), 0700u);
  EXPECT_EQ(mode_of(temporary / "a" / "b" / "d"), 0700u);
  EXPECT_EQ(mode_of(temporary / "a" / "b" / "d" / "f"), 0600u);
  EXPECT_EQ(code_of(storage.create("d/f")), ErrorCode::io);
  EXPECT_EQ(read_text(temporary / "a" / "b" / "d" / "f"), "Jello world");
  EXPECT_EQ(*storage.file_bytes("d/f"), 11u);

  std::vector<std::byte> part(5);
  ASSERT_OK(storage.read("d/f", 6, part));
  EXPECT_EQ(part, bytes_of("world"));
  part.resize(6);
  EXPECT_EQ(code_of(storage.read("d/f", 6, part)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(storage.file_bytes("d/missing")), ErrorCode::not_found);
  EXPECT_EQ(code_of(read_all(storage, "d/f", 10)), ErrorCode::corrupt);
}

TEST(Storage, modes_are_private_whatever_the_umask) {
  for (const ::mode_t mask : {0777u, 0000u, 0027u}) {
    TemporaryDirectory temporary;
    FileStorage storage(temporary / "a" / "b");
    const ::mode_t old = ::umask(mask);
    const auto made = [&]() -> Result<void> {
      RK_TRY(storage.create_root());
      RK_TRY(storage.make_directory("d"));
      RK_TRY(storage.publish("d/f", bytes_of("x"), Overwrite::refuse));
      RK_TRY(storage.lock());
      return {};
    }();
    ::umask(old);
    ASSERT_OK(made);
    for (const char* directory : {"a", "a/b", "a/b/d"}) {
      EXPECT_EQ(mode_of(temporary / directory), 0700u) << directory << " umask " << mask;
    }
    EXPECT_EQ(mode_of(temporary / "a/b/d/f"), 0600u) << "umask " << mask;
    EXPECT_EQ(mode_of(temporary / "a/b/.lock"), 0600u) << "umask " << mask;
  }
}

TEST(Storage, publish_removes_what_a_killed_publish_left_and_keeps_the_old_file_on_failure) {
  TemporaryDirectory temporary;
  const auto files = std::make_shared<FileStorage>(temporary.path());
  write_bytes(temporary / "f.tmp", bytes_of("left by a kill"));
  ASSERT_OK(files->publish("f", bytes_of("one"), Overwrite::refuse));
  EXPECT_EQ(read_text(temporary / "f"), "one");
  EXPECT_FALSE(std::filesystem::exists(temporary / "f.tmp"));

  const auto refused = files->publish("f", bytes_of("two"), Overwrite::refuse);
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(is_already_there(refused.error())) << refused.error().message;
  EXPECT_EQ(read_text(temporary / "f"), "one");
  EXPECT_FALSE(std::filesystem::exists(temporary / "f.tmp"));

  for (std::uint64_t at = 1; at <= 4; ++at) {  // create, append, sync, rename
    FaultyStorage faulty(files, {.at_call = at});
    EXPECT_EQ(code_of(faulty.publish("f", bytes_of("two"), Overwrite::replace)),
              ErrorCode::no_space);
    EXPECT_EQ(read_text(temporary / "f"), "one") << "step " << at;
    EXPECT_FALSE(std::filesystem::exists(temporary / "f.tmp")) << "step " << at;
  }
  FaultyStorage faulty(files, {.at_call = 5});  // sync_directory
  EXPECT_EQ(code_of(faulty.publish("f", bytes_of("two"), Overwrite::replace)), ErrorCode::no_space);
  EXPECT_EQ(read_text(temporary / "f"), "two");
}

TEST(Storage, a_file_ends_with_its_sync_and_only_its_head_can_change) {
  TemporaryDirectory temporary;
  FileStorage storage(temporary.path());
  auto file = storage.create("f");
  ASSERT_OK(file);
  EXPECT_EQ(code_of((*file)->rewrite_head(bytes_of("x"))), ErrorCode::invalid_argument);
  ASSERT_OK((*file)->append(pattern(2 * kRewritableBytes, 1)));
  EXPECT_EQ(code_of((*file)->rewrite_head(pattern(kRewritableBytes + 1, 2))),
            ErrorCode::invalid_argument);
  ASSERT_OK((*file)->rewrite_head(pattern(kRewritableBytes, 2)));
  ASSERT_OK((*file)->sync());
  EXPECT_EQ(code_of((*file)->append(bytes_of("x"))), ErrorCode::closed);
  EXPECT_EQ(code_of((*file)->rewrite_head(bytes_of("x"))), ErrorCode::closed);
  EXPECT_EQ(code_of((*file)->sync()), ErrorCode::closed);
}

TEST(Storage, symbolic_links_below_the_root_are_not_followed) {
  TemporaryDirectory temporary;
  FileStorage storage(temporary / "root");
  ASSERT_OK(storage.create_root());
  write_bytes(temporary / "secret", bytes_of("secret"));
  std::filesystem::create_directory(temporary / "outside");
  std::filesystem::create_symlink(temporary / "secret", temporary / "root" / "link");
  std::filesystem::create_directory_symlink(temporary / "outside", temporary / "root" / "dir");

  std::vector<std::byte> out(6);
  EXPECT_EQ(code_of(storage.read("link", 0, out)), ErrorCode::io);
  EXPECT_EQ(code_of(storage.file_bytes("link")), ErrorCode::io);
  EXPECT_EQ(code_of(storage.create("dir/new")), ErrorCode::io);
  EXPECT_EQ(code_of(storage.list("dir")), ErrorCode::io);
  EXPECT_TRUE(std::filesystem::is_empty(temporary / "outside"));
  const auto entries = storage.list("");
  ASSERT_OK(entries);
  for (const auto& entry : *entries) {
    EXPECT_EQ(entry.kind, StorageEntry::Kind::other) << entry.name;
  }
  ASSERT_OK(storage.remove("link"));
  EXPECT_TRUE(std::filesystem::exists(temporary / "secret")) << "the link goes, not its target";
}

TEST(Storage, a_root_given_through_a_link_works) {
  TemporaryDirectory temporary;
  std::filesystem::create_directory(temporary / "real");
  std::filesystem::create_directory_symlink(temporary / "real", temporary / "link");
  FileStorage storage(temporary / "link" / "");
  ASSERT_OK(storage.create_root());
  ASSERT_OK(storage.make_directory("d"));
  EXPECT_TRUE(std::filesystem::is_directory(temporary / "real" / "d"));
}

TEST(Storage, a_second_writer_is_refused_until_the_first_lets_go) {
  TemporaryDirectory temporary;
  FileStorage first(temporary.path());
  FileStorage second(temporary.path());
  auto held = first.lock();
  ASSERT_OK(held);
  const auto refused = second.lock();
  ASSERT_EQ(code_of(refused), ErrorCode::locked);
  EXPECT_NE(refused.error().message.find(std::to_string(::getpid())), std::string::npos)
      << refused.error().message;
  held->reset();
  EXPECT_TRUE(second.lock().has_value());
}

TEST(Storage, the_lock_ends_with_its_process) {
  TemporaryDirectory temporary;
  FileStorage storage(temporary.path());
  const ::pid_t child = ::fork();
  if (child == 0) {
    const auto held = storage.lock();
    ::raise(held ? SIGKILL : SIGABRT);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(storage.lock().has_value());
}

TEST(SeedDefect, a_full_or_read_only_disk_gives_an_error_that_says_what_to_do) {
  const auto full = system_error("write", "/x", ENOSPC);
  Result<void> result = full;
  EXPECT_EQ(result.error().code, ErrorCode::no_space);
  EXPECT_EQ(result.error().native, ENOSPC);
  EXPECT_NE(result.error().message.find("free some space"), std::string::npos);
  result = system_error("create", "/x", EROFS);
  EXPECT_EQ(result.error().code, ErrorCode::io);
  EXPECT_NE(result.error().message.find("writable"), std::string::npos);
  result = system_error("create", "/x", EACCES);
  EXPECT_EQ(result.error().code, ErrorCode::io);
  EXPECT_NE(result.error().message.find("owns"), std::string::npos);
}

TEST(Storage, a_write_that_the_system_cuts_off_is_reported_as_no_space) {
  TemporaryDirectory temporary;
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const ::rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    FileStorage storage(temporary.path());
    const auto file = storage.create("f");
    if (!file) ::_exit(1);
    const auto written = (*file)->append(pattern(10'000, 1));
    ::_exit(code_of(written) == ErrorCode::no_space ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Storage, a_file_where_the_directory_should_be_is_a_clear_error) {
  TemporaryDirectory temporary;
  write_bytes(temporary / "file", bytes_of("x"));
  FileStorage storage(temporary / "file");
  EXPECT_EQ(code_of(storage.create_root()), ErrorCode::io);
  EXPECT_EQ(code_of(storage.list("")), ErrorCode::io);
}

TEST(FaultyStorage, counts_mutating_calls_and_fails_the_chosen_one) {
  TemporaryDirectory temporary;
  auto inner = std::make_shared<FileStorage>(temporary.path());
  FaultyStorage storage(inner, {.at_call = 3});
  ASSERT_OK(storage.make_directory("d"));  // 1
  auto file = storage.create("d/f");       // 2
  ASSERT_OK(file);
  EXPECT_EQ(code_of((*file)->append(bytes_of("x"))), ErrorCode::no_space);  // 3
  ASSERT_OK((*file)->append(bytes_of("y")));                                // 4
  ASSERT_OK(storage.list("d"));
  EXPECT_EQ(storage.calls(), 4u);
  EXPECT_EQ(read_text(temporary / "d" / "f"), "y");
}

TEST(FaultyStorage, the_environment_selects_the_call_to_die_at) {
  TemporaryDirectory temporary;
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::setenv("RK_STORAGE_KILL_AT", "2", 1);
    const auto storage = with_environment_faults(std::make_shared<FileStorage>(temporary.path()));
    (void)storage->make_directory("first");
    (void)storage->make_directory("second");
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(std::filesystem::exists(temporary / "first"));
  EXPECT_FALSE(std::filesystem::exists(temporary / "second"));
}

}  // namespace
}  // namespace rk::checkpoint::test
