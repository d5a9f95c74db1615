#include <ringkernel/checkpoint/shm_storage.hpp>
#include <ringkernel/checkpoint/src/shm_arena.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rk::checkpoint {
namespace {

// Longest path of the seam.
static_assert(2 * kMaxNameBytes + 1 <= kShmPathBytes);

class ShmFile final : public WritableFile {
 public:
  ShmFile(std::shared_ptr<ShmArena> arena, ShmArena::Hold hold, std::string path,
          std::uint32_t entry)
      : arena_(std::move(arena)), hold_(std::move(hold)), path_(std::move(path)), entry_(entry) {}
  ~ShmFile() override {
    if (!is_sealed_) arena_->cancel(path_, entry_, chain_);
  }

  Result<void> append(Bytes bytes) override {
    RK_TRY(check_open());
    const ShmMapping& view = *arena_->writable();
    while (!bytes.empty()) {
      const std::uint64_t within =
          bytes_ - (chain_.empty() ? 0 : chain_.size() - 1) * kShmBlockPayloadBytes;
      if (chain_.empty() || within == kShmBlockPayloadBytes) {
        RK_TRY(add_block(view, bytes.size()));
        continue;
      }
      const auto count = std::min<std::size_t>(bytes.size(), kShmBlockPayloadBytes - within);
      std::memcpy(view.payload(chain_.back()) + within, bytes.data(), count);
      bytes_ += count;
      bytes = bytes.subspan(count);
    }
    return {};
  }
  Result<void> rewrite_head(Bytes bytes) override {
    RK_TRY(check_open());
    RK_TRY(check_head(bytes, bytes_, arena_->describe(path_)));
    static_assert(kRewritableBytes <= kShmBlockPayloadBytes);
    if (!bytes.empty()) {
      std::memcpy(arena_->writable()->payload(chain_.front()), bytes.data(), bytes.size());
    }
    return {};
  }
  Result<void> sync() override {
    RK_TRY(check_open());
    arena_->seal(path_, entry_, chain_, bytes_);
    is_sealed_ = true;
    return {};
  }

 private:
  [[nodiscard]] Result<void> check_open() const {
    if (!is_sealed_) return {};
    return fail(ErrorCode::closed, arena_->describe(path_) + " was synced: nothing may follow");
  }
  Result<void> add_block(const ShmMapping& view, std::uint64_t wanted_bytes) {
    RK_TRY_ASSIGN(const std::uint32_t block, arena_->take_block(wanted_bytes));
    arena_->on_store();
    view.block(block).next = kShmNoBlock;
    if (!chain_.empty()) view.block(chain_.back()).next = block;
    chain_.push_back(block);
    return {};
  }

  std::shared_ptr<ShmArena> arena_;
  ShmArena::Hold hold_;
  std::string path_;
  std::uint32_t entry_;
  std::vector<std::uint32_t> chain_;
  std::uint64_t bytes_ = 0;
  bool is_sealed_ = false;
};

class ShmLock final : public StorageLock {
 public:
  ShmLock(std::shared_ptr<ShmArena> arena, ShmArena::Hold hold)
      : arena_(std::move(arena)), hold_(std::move(hold)) {}
  ~ShmLock() override { arena_->unlock(); }

 private:
  std::shared_ptr<ShmArena> arena_;
  ShmArena::Hold hold_;
};

Result<std::unique_ptr<WritableFile>> create_file(const std::shared_ptr<ShmArena>& arena,
                                                  std::string_view path, bool may_exist) {
  RK_TRY_ASSIGN(auto hold, arena->hold_writer());
  RK_TRY_ASSIGN(const std::uint32_t entry, arena->reserve(std::string(path), may_exist));
  return std::unique_ptr<WritableFile>(
      std::make_unique<ShmFile>(arena, std::move(hold), std::string(path), entry));
}

}  // namespace

ShmStorage::ShmStorage(std::shared_ptr<ShmArena> arena) : arena_(std::move(arena)) {}

Result<std::shared_ptr<ShmStorage>> ShmStorage::open(const std::string& name, ShmOptions options) {
  if (!is_valid_name(name)) {
    return fail(ErrorCode::invalid_argument,
                "'" + name +
                    "' is not a name for shared memory: use letters, digits, '.', '_' and '-', at "
                    "most 128, no leading dot");
  }
  if (options.bytes != 0 && options.bytes < kMinShmBytes) {
    return fail(ErrorCode::invalid_argument,
                "shm:" + name + " needs at least " + std::to_string(kMinShmBytes >> 20) + " MiB");
  }
  return std::shared_ptr<ShmStorage>(
      new ShmStorage(std::make_shared<ShmArena>(name, std::move(options))));
}

Result<void> ShmStorage::remove_arena(const std::string& name) {
  if (!is_valid_name(name)) return fail(ErrorCode::invalid_argument, "'" + name + "' is no name");
  if (::shm_unlink(ShmArena::object_name(name).c_str()) != 0) {
    return system_error("remove", "shm:" + name, errno);
  }
  return {};
}

std::string ShmStorage::describe(std::string_view path) const { return arena_->describe(path); }

Result<void> ShmStorage::create_root() {
  RK_TRY(arena_->hold_writer());
  return {};
}

Result<std::unique_ptr<WritableFile>> ShmStorage::create(std::string_view path) {
  RK_TRY(split_path(path));
  return create_file(arena_, path, false);
}

Result<void> ShmStorage::make_directory(std::string_view path) {
  RK_TRY(split_path(path));
  return {};
}

Result<void> ShmStorage::publish(std::string_view path, Bytes bytes, Overwrite overwrite) {
  RK_TRY(split_published_path(path));
  RK_TRY_ASSIGN(const auto file, create_file(arena_, path, overwrite == Overwrite::replace));
  RK_TRY(file->append(bytes));
  return file->sync();
}

Result<void> ShmStorage::remove(std::string_view path) {
  RK_TRY(split_path(path));
  RK_TRY_ASSIGN(const auto hold, arena_->hold_writer());
  return arena_->remove(std::string(path));
}

Result<void> ShmStorage::remove_directory(std::string_view path) {
  RK_TRY(split_path(path));
  return {};
}

Result<void> ShmStorage::sync_directory(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  return {};
}

Result<std::vector<StorageEntry>> ShmStorage::list(std::string_view path) {
  if (!path.empty()) RK_TRY(split_path(path));
  std::vector<StorageEntry> entries;
  auto files = arena_->files();
  if (!files && files.error().code == ErrorCode::not_found) return entries;
  if (!files) return unexpected(files.error());
  // Of two entries of one name the greater generation counts.
  std::sort(files->begin(), files->end(), [](const ShmFound& a, const ShmFound& b) {
    return a.path != b.path ? a.path < b.path : a.generation > b.generation;
  });
  for (const ShmFound& file : *files) {
    const auto at = split_path(file.path);
    if (!at) continue;
    StorageEntry entry{.name = at->name, .kind = StorageEntry::Kind::file, .bytes = file.bytes};
    if (at->directory != path) {
      if (!path.empty()) continue;
      entry = {.name = at->directory, .kind = StorageEntry::Kind::directory, .bytes = 0};
    }
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [](const auto& a, const auto& b) { return a.name == b.name; }),
                entries.end());
  return entries;
}

Result<std::uint64_t> ShmStorage::file_bytes(std::string_view path) {
  RK_TRY(split_path(path));
  RK_TRY_ASSIGN(const auto file, arena_->find(std::string(path)));
  return file.bytes;
}

Result<void> ShmStorage::read(std::string_view path, std::uint64_t offset,
                              std::span<std::byte> out) {
  RK_TRY(split_path(path));
  return arena_->read(std::string(path), offset, out);
}

Result<std::unique_ptr<StorageLock>> ShmStorage::lock() {
  RK_TRY_ASSIGN(auto hold, arena_->hold_lock());
  return std::unique_ptr<StorageLock>(std::make_unique<ShmLock>(arena_, std::move(hold)));
}

}  // namespace rk::checkpoint
