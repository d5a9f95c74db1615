#include <ringkernel/checkpoint/memory_storage.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

namespace rk::checkpoint {

struct MemoryStorage::State {
  struct File {
    std::vector<std::byte> bytes;
    bool has_name = true;
  };
  using Directory = std::map<std::string, std::shared_ptr<File>>;

  std::mutex mutex;  // covers what follows, the files' bytes included
  std::uint64_t max_bytes;
  std::uint64_t used_bytes = 0;  // of files with a name
  bool is_locked = false;
  std::map<std::string, Directory> directories{{"", {}}};

  Result<Directory*> find(const std::string& directory, std::string_view doing) {
    const auto at = directories.find(directory);
    if (at == directories.end()) return system_error(doing, describe(directory), ENOENT);
    return &at->second;
  }
  Result<std::shared_ptr<File>> open(std::string_view path) {
    RK_TRY_ASSIGN(const auto at, split_path(path));
    RK_TRY_ASSIGN(auto* const directory, find(at.directory, "open"));
    const auto file = directory->find(at.name);
    if (file == directory->end()) return system_error("open", describe(path), ENOENT);
    return file->second;
  }
  // What is still open goes on without counting.
  void drop_name(File& file) {
    used_bytes -= file.bytes.size();
    file.has_name = false;
  }
  static std::string describe(std::string_view path) { return "memory:" + std::string(path); }
};

namespace {

using State = MemoryStorage::State;

class MemoryFile final : public WritableFile {
 public:
  MemoryFile(std::shared_ptr<State> state, std::shared_ptr<State::File> file, std::string path)
      : state_(std::move(state)), file_(std::move(file)), path_(std::move(path)) {}

  Result<void> append(Bytes bytes) override {
    const std::lock_guard lock(state_->mutex);
    RK_TRY(check_open());
    if (bytes.size() > state_->max_bytes - state_->used_bytes) {
      return system_error("write", path_, ENOSPC);
    }
    if (file_->has_name) state_->used_bytes += bytes.size();
    file_->bytes.insert(file_->bytes.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<void> rewrite_head(Bytes bytes) override {
    const std::lock_guard lock(state_->mutex);
    RK_TRY(check_open());
    RK_TRY(check_head(bytes, file_->bytes.size(), path_));
    std::copy(bytes.begin(), bytes.end(), file_->bytes.begin());
    return {};
  }
  Result<void> sync() override {
    const std::lock_guard lock(state_->mutex);
    RK_TRY(check_open());
    is_synced_ = true;
    return {};
  }

 private:
  [[nodiscard]] Result<void> check_open() const {
    if (is_synced_) return fail(ErrorCode::closed, path_ + " was synced: nothing may follow");
    return {};
  }

  std::shared_ptr<State> state_;
  std::shared_ptr<State::File> file_;
  std::string path_;
  bool is_synced_ = false;
};

class MemoryLock final : public StorageLock {
 public:
  explicit MemoryLock(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~MemoryLock() override {
    const std::lock_guard lock(state_->mutex);
    state_->is_locked = false;
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

MemoryStorage::MemoryStorage(std::uint64_t max_bytes) : state_(std::make_shared<State>()) {
  state_->max_bytes = max_bytes;
}

std::string MemoryStorage::describe(std::string_view path) const { return State::describe(path); }

Result<void> MemoryStorage::create_root() { return {}; }

Result<std::unique_ptr<WritableFile>> MemoryStorage::create(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  const std::lock_guard lock(state_->mutex);
  RK_TRY_ASSIGN(auto* const directory, state_->find(at.directory, "create in"));
  const bool is_taken = directory->contains(at.name) ||
                        (at.directory.empty() && state_->directories.contains(at.name));
  if (is_taken) return system_error("create", describe(path), EEXIST);
  auto file = std::make_shared<State::File>();
  directory->emplace(at.name, file);
  return std::unique_ptr<WritableFile>(
      std::make_unique<MemoryFile>(state_, std::move(file), describe(path)));
}

Result<void> MemoryStorage::make_directory(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  const std::lock_guard lock(state_->mutex);
  if (!at.directory.empty()) return system_error("create the directory", describe(path), ENOENT);
  const bool is_taken =
      state_->directories[""].contains(at.name) || state_->directories.contains(at.name);
  if (is_taken) return system_error("create the directory", describe(path), EEXIST);
  state_->directories.emplace(at.name, State::Directory{});
  return {};
}

Result<void> MemoryStorage::rename(std::string_view from, std::string_view to,
                                   Overwrite overwrite) {
  RK_TRY_ASSIGN(const auto source, split_path(from));
  RK_TRY_ASSIGN(const auto target, split_path(to));
  const std::lock_guard lock(state_->mutex);
  if (source.directory != target.directory) {
    return fail(ErrorCode::invalid_argument, "a rename stays in its directory: " + describe(from));
  }
  RK_TRY_ASSIGN(auto* const directory, state_->find(source.directory, "rename in"));
  const auto file = directory->find(source.name);
  if (file == directory->end()) return system_error("rename", describe(from), ENOENT);
  const auto old = directory->find(target.name);
  if (old != directory->end()) {
    if (overwrite == Overwrite::refuse) return system_error("rename to", describe(to), EEXIST);
    state_->drop_name(*old->second);
  }
  (*directory)[target.name] = file->second;
  directory->erase(source.name);
  return {};
}

Result<void> MemoryStorage::remove(std::string_view path) {
  RK_TRY_ASSIGN(const auto at, split_path(path));
  const std::lock_guard lock(state_->mutex);
  RK_TRY_ASSIGN(auto* const directory, state_->find(at.directory, "remove from"));
  const auto file = directory->find(at.name);
  if (file == directory->end()) return system_error("remove", describe(path), ENOENT);
  state_->drop_name(*file->second);
  directory->erase(file);
  return {};
}

Result<void> MemoryStorage::remove_directory(std::string_view path) {
  RK_TRY(split_path(path));
  const std::lock_guard lock(state_->mutex);
  RK_TRY_ASSIGN(auto* const directory, state_->find(std::string(path), "remove the directory"));
  if (!directory->empty()) {
    return system_error("remove the directory", describe(path), ENOTEMPTY);
  }
  state_->directories.erase(std::string(path));
  return {};
}

Result<void> MemoryStorage::sync_directory(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  const std::lock_guard lock(state_->mutex);
  RK_TRY(state_->find(std::string(path), "make durable"));
  return {};
}

Result<std::vector<StorageEntry>> MemoryStorage::list(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  const std::lock_guard lock(state_->mutex);
  RK_TRY_ASSIGN(auto* const directory, state_->find(std::string(path), "list"));
  std::vector<StorageEntry> entries;
  for (const auto& [name, file] : *directory) {
    entries.push_back({.name = name,
                       .kind = StorageEntry::Kind::file,
                       .bytes = std::uint64_t{file->bytes.size()}});
  }
  for (const auto& [name, inner] : state_->directories) {
    if (path.empty() && !name.empty()) {
      entries.push_back({.name = name, .kind = StorageEntry::Kind::directory, .bytes = 0});
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

Result<std::uint64_t> MemoryStorage::file_bytes(std::string_view path) {
  const std::lock_guard lock(state_->mutex);
  RK_TRY_ASSIGN(const auto file, state_->open(path));
  return std::uint64_t{file->bytes.size()};
}

Result<void> MemoryStorage::read(std::string_view path, std::uint64_t offset,
                                 std::span<std::byte> out) {
  const std::lock_guard lock(state_->mutex);
  RK_TRY_ASSIGN(const auto file, state_->open(path));
  if (offset > file->bytes.size() || out.size() > file->bytes.size() - offset) {
    return fail(ErrorCode::corrupt, describe(path) + " is shorter than expected");
  }
  if (!out.empty()) std::memcpy(out.data(), file->bytes.data() + offset, out.size());
  return {};
}

Result<std::unique_ptr<StorageLock>> MemoryStorage::lock() {
  const std::lock_guard lock(state_->mutex);
  if (state_->is_locked) {
    return fail(ErrorCode::locked, describe("") + " is in use by another writer");
  }
  state_->is_locked = true;
  return std::unique_ptr<StorageLock>(std::make_unique<MemoryLock>(state_));
}

}  // namespace rk::checkpoint
