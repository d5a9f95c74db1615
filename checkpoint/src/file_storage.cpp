#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ringkernel/checkpoint/storage.hpp>

namespace rk::checkpoint {
namespace {

constexpr ::mode_t kFileMode = 0600;
constexpr ::mode_t kDirectoryMode = 0700;
constexpr char kLockName[] = ".lock";

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

int open_retrying(int directory, const char* name, int flags, ::mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::openat(directory, name, flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

Result<Descriptor> open_directory(const std::filesystem::path& root, const std::string& directory) {
  Descriptor at(open_retrying(AT_FDCWD, root.c_str(), O_RDONLY | O_DIRECTORY));
  if (!at.is_open()) return system_error("open the directory", root.string(), errno);
  if (directory.empty()) return at;
  Descriptor inner(open_retrying(at.get(), directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!inner.is_open()) {
    return system_error("open the directory", (root / directory).string(), errno);
  }
  return inner;
}

Result<void> write_fully(int fd, Bytes bytes, std::uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ::ssize_t written =
        ::pwrite(fd, bytes.data(), bytes.size(), static_cast<::off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return system_error("write", path, errno);
    }
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

// A umask takes bits away from what was asked for, in the worst case the owner's.
Result<void> set_directory_mode(int at, const char* name, const std::string& shown) {
  struct ::stat status {};
  if (::fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error("look up", shown, errno);
  }
  if ((status.st_mode & 07777) == kDirectoryMode) return {};
  if (::fchmodat(at, name, kDirectoryMode, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error("set the mode of", shown, errno);
  }
  return {};
}

Result<void> sync_fd(int fd, const std::string& path) {
  // Not retried: after a failed fsync the kernel may have dropped the dirty pages.
  if (::fsync(fd) != 0) return system_error("make durable", path, errno);
  return {};
}

class FileOnDisk final : public WritableFile {
 public:
  FileOnDisk(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<void> append(Bytes bytes) override {
    RK_TRY(check_open());
    RK_TRY(write_fully(fd_.get(), bytes, end_, path_));
    end_ += bytes.size();
#ifdef SYNC_FILE_RANGE_WRITE
    // Writing back early keeps the final fsync, which the commit waits for, short. A hint only.
    constexpr std::uint64_t kWindowBytes = 8 << 20;
    if (end_ - flushed_ >= kWindowBytes) {
      (void)::sync_file_range(fd_.get(), static_cast<::off_t>(flushed_),
                              static_cast<::off_t>(end_ - flushed_), SYNC_FILE_RANGE_WRITE);
      flushed_ = end_;
    }
#endif
    return {};
  }
  Result<void> rewrite_head(Bytes bytes) override {
    RK_TRY(check_open());
    RK_TRY(check_head(bytes, end_, path_));
    return write_fully(fd_.get(), bytes, 0, path_);
  }
  Result<void> sync() override {
    RK_TRY(check_open());
    is_synced_ = true;
    return sync_fd(fd_.get(), path_);
  }

 private:
  [[nodiscard]] Result<void> check_open() const {
    if (is_synced_) return fail(ErrorCode::closed, path_ + " was synced: nothing may follow");
    return {};
  }

  Descriptor fd_;
  std::string path_;
  std::uint64_t end_ = 0;
  std::uint64_t flushed_ = 0;
  bool is_synced_ = false;
};

// False with errno if it was refused.
bool rename_refusing(int directory, const std::string& from, const std::string& to) {
  if (::renameat2(directory, from.c_str(), directory, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno != EINVAL && errno != ENOSYS) return false;
  // The file system has no such rename (NFS): a second name is refused as atomically.
  if (::linkat(directory, from.c_str(), directory, to.c_str(), 0) != 0) return false;
  return ::unlinkat(directory, from.c_str(), 0) == 0;
}

class FileLock final : public StorageLock {
 public:
  explicit FileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;
};

// Makes each missing component and makes its name durable in its parent.
Result<void> create_directories_durably(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return {};
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (parent != path) RK_TRY(create_directories_durably(parent));
  if (::mkdir(path.c_str(), kDirectoryMode) != 0) {
    const int native = errno;
    const bool is_there = native == EEXIST && std::filesystem::is_directory(path, ignored);
    if (!is_there) return system_error("create the directory", path.string(), native);
  } else {
    RK_TRY(set_directory_mode(AT_FDCWD, path.c_str(), path.string()));
  }
  RK_TRY_ASSIGN(const auto at, open_directory(parent, {}));
  return sync_fd(at.get(), parent.string());
}

}  // namespace

FileStorage::FileStorage(std::filesystem::path root) : root_(std::move(root)) {
  if (!root_.has_filename() && root_.has_parent_path()) root_ = root_.parent_path();
}

std::string FileStorage::describe(std::string_view path) const {
  return path.empty() ? root_.string() : (root_ / path).string();
}

Result<void> FileStorage::create_root() { return create_directories_durably(root_); }

Result<std::unique_ptr<WritableFile>> FileStorage::create(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, at.directory));
  Descriptor fd(open_retrying(directory.get(), at.name.c_str(),
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kFileMode));
  if (!fd.is_open()) return system_error("create", describe(path), errno);
  if (::fchmod(fd.get(), kFileMode) != 0) {
    return system_error("set the mode of", describe(path), errno);
  }
  return std::unique_ptr<WritableFile>(std::make_unique<FileOnDisk>(std::move(fd), describe(path)));
}

Result<void> FileStorage::make_directory(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, at.directory));
  if (::mkdirat(directory.get(), at.name.c_str(), kDirectoryMode) != 0) {
    return system_error("create the directory", describe(path), errno);
  }
  return set_directory_mode(directory.get(), at.name.c_str(), describe(path));
}

Result<void> FileStorage::rename(std::string_view from, std::string_view to, Overwrite overwrite) {
  RK_TRY_ASSIGN(const auto source, split_path(from));
  RK_TRY_ASSIGN(const auto target, split_path(to));
  if (source.directory != target.directory) {
    return fail(ErrorCode::invalid_argument, "a rename stays in its directory: " + describe(from));
  }
  RK_TRY_ASSIGN(const auto at, open_directory(root_, source.directory));
  const bool is_done =
      overwrite == Overwrite::replace
          ? ::renameat(at.get(), source.name.c_str(), at.get(), target.name.c_str()) == 0
          : rename_refusing(at.get(), source.name, target.name);
  if (!is_done) return system_error("rename to", describe(to), errno);
  return {};
}

Result<void> FileStorage::remove(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, at.directory));
  if (::unlinkat(directory.get(), at.name.c_str(), 0) != 0) {
    return system_error("remove", describe(path), errno);
  }
  return {};
}

Result<void> FileStorage::remove_directory(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, at.directory));
  if (::unlinkat(directory.get(), at.name.c_str(), AT_REMOVEDIR) != 0) {
    return system_error("remove the directory", describe(path), errno);
  }
  return {};
}

Result<void> FileStorage::sync_directory(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, std::string(path)));
  return sync_fd(directory.get(), describe(path));
}

Result<std::vector<StorageEntry>> FileStorage::list(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  auto directory = open_directory(root_, std::string(path));
  if (!directory) {
    const bool absent_root = path.empty() && directory.error().code == ErrorCode::not_found;
    if (absent_root) return std::vector<StorageEntry>{};
    return unexpected(directory.error());
  }
  const int fd = ::fcntl(directory->get(), F_DUPFD_CLOEXEC, 0);
  ::DIR* stream = fd >= 0 ? ::fdopendir(fd) : nullptr;
  if (stream == nullptr) {
    const int native = errno;
    if (fd >= 0) ::close(fd);
    return system_error("list", describe(path), native);
  }
  std::vector<StorageEntry> entries;
  errno = 0;
  while (const ::dirent* item = ::readdir(stream)) {
    if (!is_valid_name(item->d_name)) continue;
    struct ::stat status {};
    if (::fstatat(directory->get(), item->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    StorageEntry entry{.name = item->d_name};
    if (S_ISDIR(status.st_mode)) entry.kind = StorageEntry::Kind::directory;
    if (S_ISREG(status.st_mode)) {
      entry.kind = StorageEntry::Kind::file;
      entry.bytes = static_cast<std::uint64_t>(status.st_size);
    }
    entries.push_back(std::move(entry));
    errno = 0;
  }
  const int native = errno;
  ::closedir(stream);
  if (native != 0) return system_error("list", describe(path), native);
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

Result<std::uint64_t> FileStorage::file_bytes(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, at.directory));
  struct ::stat status {};
  if (::fstatat(directory.get(), at.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error("look up", describe(path), errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::io, describe(path) + " is not a regular file; links are not followed");
  }
  return static_cast<std::uint64_t>(status.st_size);
}

Result<void> FileStorage::read(std::string_view path, std::uint64_t offset,
                               std::span<std::byte> out) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, at.directory));
  // O_NONBLOCK: a FIFO planted under a shard's name must not hang the reader.
  const Descriptor fd(
      open_retrying(directory.get(), at.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.is_open()) return system_error("open", describe(path), errno);
  while (!out.empty()) {
    const ::ssize_t got = ::pread(fd.get(), out.data(), out.size(), static_cast<::off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return system_error("read", describe(path), errno);
    }
    if (got == 0) return fail(ErrorCode::corrupt, describe(path) + " is shorter than expected");
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<std::unique_ptr<StorageLock>> FileStorage::lock() {
  RK_TRY_ASSIGN(const auto directory, open_directory(root_, {}));
  Descriptor fd(
      open_retrying(directory.get(), kLockName, O_RDWR | O_CREAT | O_NOFOLLOW, kFileMode));
  if (!fd.is_open()) return system_error("open the lock of", describe(""), errno);
  (void)::fchmod(fd.get(), kFileMode);  // whatever the umask; of another user's it stays as it is
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_error("lock", describe(""), errno);
    char text[32]{};
    const ::ssize_t got = ::pread(fd.get(), text, sizeof(text) - 1, 0);
    std::string holder(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return fail(ErrorCode::locked,
                describe("") + " is in use by another writer" +
                    (holder.empty() ? std::string() : " (process " + holder + ")") +
                    ": wait for it to end or choose another checkpoint directory",
                EWOULDBLOCK);
  }
  // The number only helps the message above; the lock holds without it.
  const std::string self = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) == 0) (void)!::pwrite(fd.get(), self.data(), self.size(), 0);
  return std::unique_ptr<StorageLock>(std::make_unique<FileLock>(std::move(fd)));
}

}  // namespace rk::checkpoint
