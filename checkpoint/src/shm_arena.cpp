#include <ringkernel/checkpoint/src/shm_arena.hpp>
#include <ringkernel/runtime/atomic.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

namespace rk::checkpoint {
namespace {

constexpr std::uint64_t kMib = std::uint64_t{1} << 20;

std::uint64_t header_checksum(const ShmHeader& header) {
  constexpr std::size_t kFrom = offsetof(ShmHeader, version);
  return xxh3_128(std::as_bytes(std::span(&header, 1))
                      .subspan(kFrom, offsetof(ShmHeader, checksum) - kFrom))
      .low;
}

std::uint64_t entry_checksum(const ShmEntry& entry) {
  constexpr std::size_t kFrom = offsetof(ShmEntry, bytes);
  return xxh3_128(std::as_bytes(std::span(&entry, 1))
                      .subspan(kFrom, offsetof(ShmEntry, checksum) - kFrom))
      .low;
}

std::uint64_t mib_rounded_up(std::uint64_t bytes) { return (bytes + kMib - 1) / kMib; }

// Opens without following links; a name planted by another user is refused.
Result<int> open_object(const std::string& name, const std::string& shown, int flags) {
  const int fd = ::shm_open(ShmArena::object_name(name).c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return system_error("open the shared memory", shown, errno);
  struct ::stat status {};
  const bool is_ours =
      ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == ::geteuid();
  if (!is_ours) {
    ::close(fd);
    return fail(ErrorCode::io,
                shown + " is not a shared-memory object of this user: choose another name");
  }
  return fd;
}

}  // namespace

Result<std::shared_ptr<ShmMapping>> ShmMapping::map(int fd, std::uint64_t bytes, bool is_writable) {
  void* base =
      ::mmap(nullptr, bytes, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return system_error("map", "shared memory", errno);
  return std::shared_ptr<ShmMapping>(new ShmMapping(static_cast<std::byte*>(base), bytes));
}

ShmMapping::~ShmMapping() { ::munmap(base_, bytes_); }

ShmArena::~ShmArena() { unlock_object(); }

// Explicitly: the mapping keeps the open file, and with it the flock, alive after close().
void ShmArena::unlock_object() {
  if (lock_fd_ < 0) return;
  (void)::flock(lock_fd_, LOCK_UN);
  ::close(lock_fd_);
  lock_fd_ = -1;
}

std::string ShmArena::describe(std::string_view path) const {
  return "shm:" + name_ + (path.empty() ? "" : "/" + std::string(path));
}

Result<ShmArena::Hold> ShmArena::hold_writer() {
  const std::lock_guard lock(mutex_);
  if (holds_ == 0) RK_TRY(attach_writer());
  ++holds_;
  return Hold(shared_from_this());
}

Result<ShmArena::Hold> ShmArena::hold_lock() {
  const std::lock_guard lock(mutex_);
  if (is_lock_out_) {
    return fail(ErrorCode::locked, describe("") + " is in use by another writer of this process");
  }
  if (holds_ == 0) RK_TRY(attach_writer());
  ++holds_;
  is_lock_out_ = true;
  return Hold(shared_from_this());
}

void ShmArena::unlock() {
  const std::lock_guard lock(mutex_);
  is_lock_out_ = false;
}

void ShmArena::release_hold() {
  const std::lock_guard lock(mutex_);
  if (--holds_ > 0) return;
  unlock_object();  // the mapping stays for readers
}

Result<void> ShmArena::attach_writer() {
  RK_TRY_ASSIGN(const int fd, open_object(name_, describe(""), O_RDWR | O_CREAT));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int native = errno;
    ::close(fd);
    if (native != EWOULDBLOCK) return system_error("lock", describe(""), native);
    return fail(ErrorCode::locked,
                describe("") +
                    " is in use by another writer: wait for it to end or choose another "
                    "name",
                native);
  }
  lock_fd_ = fd;
  auto prepared = prepare(fd);
  if (prepared) {
    rebuild();
  } else {
    unlock_object();
  }
  return prepared;
}

Result<void> ShmArena::prepare(int fd) {
  struct ::stat status {};
  // Whatever the umask took away.
  if (::fchmod(fd, 0600) != 0 || ::fstat(fd, &status) != 0) {
    return system_error("look up", describe(""), errno);
  }
  auto bytes = static_cast<std::uint64_t>(status.st_size);
  std::uint64_t wanted = options_.bytes;
  if (wanted == 0 && bytes == 0) wanted = kDefaultShmBytes;
  if (bytes < wanted) {
    // Also over what is there: a death in an earlier call can have left holes.
    int native = 0;
    do {
      native = ::posix_fallocate(fd, 0, static_cast<::off_t>(wanted));
    } while (native == EINTR);
    if (native != 0) {
      return fail(native == ENOSPC ? ErrorCode::no_space : ErrorCode::io,
                  "cannot reserve " + std::to_string(mib_rounded_up(wanted)) + " MiB for " +
                      describe("") + " (" + std::strerror(native) +
                      "): give a smaller ?mib= or make /dev/shm larger",
                  native);
    }
    bytes = wanted;
  }
  if (bytes < kMinShmBytes) {
    return fail(ErrorCode::corrupt, describe("") + " is too small to be an arena: remove " +
                                        "/dev/shm" + object_name(name_));
  }
  const bool is_current =
      view_ && view_is_writable_ && view_->bytes() == bytes && view_inode_ == status.st_ino;
  if (!is_current) {
    RK_TRY_ASSIGN(view_, ShmMapping::map(fd, bytes, true));
    view_is_writable_ = true;
    view_inode_ = status.st_ino;
  }
  // acquire: pairs with the release in format()
  if (load_acquire<Scope::system>(view_->header().magic) == 0) RK_TRY(format(*view_));
  return check_header(*view_);
}

Result<void> ShmArena::format(const ShmMapping& mapping) {
  std::memset(reinterpret_cast<std::byte*>(&mapping.header()), 0, kShmDataOffset);
  ShmHeader& header = mapping.header();
  header.version = kShmVersion;
  header.entry_count = kShmEntries;
  header.table_offset = kShmTableOffset;
  header.data_offset = kShmDataOffset;
  header.block_bytes = kShmBlockBytes;
  header.checksum = header_checksum(header);
  on_store();
  // release: publishes the empty table; pairs with the acquire of whoever opens the arena
  store_release<Scope::system>(header.magic, std::uint64_t{kShmMagic});
  return {};
}

Result<void> ShmArena::check_header(const ShmMapping& mapping) const {
  const ShmHeader& header = mapping.header();
  const bool is_arena = header.magic == kShmMagic && header.checksum == header_checksum(header);
  if (!is_arena) {
    return fail(ErrorCode::corrupt, describe("") +
                                        " holds something else than checkpoints: choose "
                                        "another name or remove /dev/shm" +
                                        object_name(name_));
  }
  const bool is_known = header.version == kShmVersion && header.entry_count == kShmEntries &&
                        header.table_offset == kShmTableOffset &&
                        header.data_offset == kShmDataOffset &&
                        header.block_bytes == kShmBlockBytes;
  if (is_known) return {};
  return fail(ErrorCode::incompatible,
              describe("") + " was made by another version: use that one, or remove /dev/shm" +
                  object_name(name_));
}

// Finds out what is free. Of two entries of one name the older is left from a death in `seal`.
void ShmArena::rebuild() {
  free_blocks_.clear();
  free_entries_.clear();
  open_paths_.clear();
  next_generation_ = 1;
  std::map<std::string, ShmFound> newest;
  std::vector<bool> is_entry_used(kShmEntries, false);
  std::vector<bool> is_block_used(view_->block_count(), false);
  for (auto& file : all_files(*view_)) {
    next_generation_ = std::max(next_generation_, file.generation + 1);
    const auto at = newest.find(file.path);
    if (file.is_sound && at != newest.end()) {
      const bool is_newer = file.generation > at->second.generation;
      ShmEntry& older = view_->entry(is_newer ? at->second.index : file.index);
      is_entry_used[is_newer ? at->second.index : file.index] = false;
      on_store();
      // release: as in drop()
      store_release<Scope::system>(older.commit, std::uint64_t{0});
      if (!is_newer) continue;
    }
    is_entry_used[file.index] = true;
    if (file.is_sound) newest.insert_or_assign(file.path, file);
  }
  for (const auto& [path, file] : newest) {
    for (const std::uint32_t block : chain_of(*view_, file)) is_block_used[block] = true;
  }
  for (std::uint32_t i = kShmEntries; i-- > 0;) {
    if (!is_entry_used[i]) free_entries_.push_back(i);
  }
  for (std::uint32_t i = view_->block_count(); i-- > 0;) {
    if (!is_block_used[i]) free_blocks_.push_back(i);
  }
}

Result<std::uint32_t> ShmArena::reserve(const std::string& path, bool may_exist) {
  const std::lock_guard lock(mutex_);
  const bool is_taken =
      open_paths_.contains(path) || (!may_exist && newest(*view_, path).has_value());
  if (is_taken) return system_error("create", describe(path), EEXIST);
  if (free_entries_.empty()) {
    return fail(ErrorCode::no_space, describe("") + " holds " + std::to_string(kShmEntries) +
                                         " files, which is the most: keep fewer checkpoints");
  }
  const std::uint32_t entry = free_entries_.back();
  free_entries_.pop_back();
  open_paths_.insert(path);
  return entry;
}

void ShmArena::cancel(const std::string& path, std::uint32_t entry,
                      const std::vector<std::uint32_t>& chain) {
  const std::lock_guard lock(mutex_);
  open_paths_.erase(path);
  free_entries_.push_back(entry);
  free_blocks_.insert(free_blocks_.end(), chain.begin(), chain.end());
}

Result<std::uint32_t> ShmArena::take_block(std::uint64_t wanted_bytes) {
  const std::lock_guard lock(mutex_);
  if (free_blocks_.empty()) {
    const std::uint64_t more = wanted_bytes + wanted_bytes / 1000 + kShmBlockBytes;
    const std::uint64_t enough = std::max(2 * view_->bytes(), view_->bytes() + more);
    return fail(ErrorCode::no_space,
                describe("") + " is full with its " + std::to_string(view_->bytes() / kMib) +
                    " MiB: give shm:" + name_ + "?mib=" + std::to_string(mib_rounded_up(enough)) +
                    ", or keep fewer checkpoints",
                ENOSPC);
  }
  const std::uint32_t block = free_blocks_.back();
  free_blocks_.pop_back();
  return block;
}

void ShmArena::seal(const std::string& path, std::uint32_t index,
                    const std::vector<std::uint32_t>& chain, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto old = newest(*view_, path);
  ShmEntry& entry = view_->entry(index);
  entry.bytes = bytes;
  entry.first_block = chain.empty() ? kShmNoBlock : chain.front();
  entry.path_bytes = static_cast<std::uint32_t>(path.size());
  std::memset(entry.path, 0, sizeof(entry.path));
  std::memcpy(entry.path, path.data(), path.size());
  entry.checksum = entry_checksum(entry);
  on_store();
  // release: publishes data, chain and entry; pairs with the acquire in load()
  store_release<Scope::system>(entry.commit, next_generation_++);
  open_paths_.erase(path);
  if (old) drop(*old);
}

Result<void> ShmArena::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto file = newest(*view_, path);
  if (!file) return system_error("remove", describe(path), ENOENT);
  drop(*file);
  return {};
}

void ShmArena::drop(const ShmFound& file) {
  const auto chain = chain_of(*view_, file);
  on_store();
  // release: a reader that still sees the old generation after its copy has read the old bytes
  store_release<Scope::system>(view_->entry(file.index).commit, std::uint64_t{0});
  free_entries_.push_back(file.index);
  // What a damaged entry points to may belong to others, and rebuild() did not count it as used.
  if (file.is_sound) free_blocks_.insert(free_blocks_.end(), chain.begin(), chain.end());
}

Result<std::shared_ptr<ShmMapping>> ShmArena::view_for_reading() {
  const std::lock_guard lock(mutex_);
  if (holds_ > 0) return view_;
  RK_TRY_ASSIGN(const int fd, open_object(name_, describe(""), O_RDONLY));
  struct ::stat status {};
  const int native = ::fstat(fd, &status) == 0 ? 0 : errno;
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  const bool is_current =
      native == 0 && view_ && view_->bytes() == bytes && view_inode_ == status.st_ino;
  Result<std::shared_ptr<ShmMapping>> mapped = view_;
  if (native == 0 && !is_current && bytes >= kMinShmBytes)
    mapped = ShmMapping::map(fd, bytes, false);
  ::close(fd);
  if (native != 0) return system_error("look up", describe(""), native);
  // acquire: pairs with the release in format()
  const bool is_formatted = bytes >= kMinShmBytes && mapped &&
                            load_acquire<Scope::system>((*mapped)->header().magic) != 0;
  if (mapped && !is_formatted) {
    return fail(ErrorCode::not_found, describe("") + " holds nothing yet", ENOENT);
  }
  if (!mapped || is_current) return mapped;
  RK_TRY(check_header(**mapped));
  view_ = *mapped;
  view_is_writable_ = false;
  view_inode_ = status.st_ino;
  return view_;
}

std::optional<ShmFound> ShmArena::load(const ShmMapping& view, std::uint32_t index) const {
  ShmEntry& entry = view.entry(index);
  // acquire: pairs with the release in seal()
  const std::uint64_t generation = load_acquire<Scope::system>(entry.commit);
  if (generation == 0) return std::nullopt;
  ShmEntry copy{};
  std::memcpy(&copy.bytes, &entry.bytes, sizeof(entry) - offsetof(ShmEntry, bytes));
  // Changed by a writer in another process meanwhile: it is gone.
  if (load_acquire<Scope::system>(entry.commit) != generation) return std::nullopt;
  ShmFound file{
      .index = index,
      .generation = generation,
      .bytes = copy.bytes,
      .first_block = copy.first_block,
      .is_sound = copy.checksum == entry_checksum(copy) && copy.path_bytes <= kShmPathBytes};
  file.path.assign(copy.path, std::min<std::size_t>(copy.path_bytes, kShmPathBytes));
  return file;
}

std::vector<ShmFound> ShmArena::all_files(const ShmMapping& view) const {
  std::vector<ShmFound> files;
  for (std::uint32_t i = 0; i < kShmEntries; ++i) {
    if (auto file = load(view, i)) files.push_back(*std::move(file));
  }
  return files;
}

std::optional<ShmFound> ShmArena::newest(const ShmMapping& view, const std::string& path) const {
  std::optional<ShmFound> found;
  for (std::uint32_t i = 0; i < kShmEntries; ++i) {
    auto file = load(view, i);
    if (file && file->path == path && (!found || file->generation > found->generation)) {
      found = std::move(file);
    }
  }
  return found;
}

// Shorter than the file if the chain is damaged.
std::vector<std::uint32_t> ShmArena::chain_of(const ShmMapping& view, const ShmFound& file) const {
  std::vector<std::uint32_t> chain;
  const std::uint64_t count = (file.bytes + kShmBlockPayloadBytes - 1) / kShmBlockPayloadBytes;
  std::uint32_t block = file.first_block;
  while (chain.size() < count && block < view.block_count()) {
    chain.push_back(block);
    block = view.block(block).next;
  }
  return chain;
}

Result<std::vector<ShmFound>> ShmArena::files() {
  RK_TRY_ASSIGN(const auto view, view_for_reading());
  const std::shared_lock lock(mutex_);
  return all_files(*view);
}

Result<ShmFound> ShmArena::find(const std::string& path) {
  RK_TRY_ASSIGN(const auto view, view_for_reading());
  const std::shared_lock lock(mutex_);
  auto file = newest(*view, path);
  if (!file) return system_error("open", describe(path), ENOENT);
  if (!file->is_sound) {
    return fail(ErrorCode::corrupt, describe(path) + ": its entry does not match its checksum");
  }
  return *std::move(file);
}

Result<void> ShmArena::read(const std::string& path, std::uint64_t offset,
                            std::span<std::byte> out) {
  RK_TRY_ASSIGN(const auto view, view_for_reading());
  const std::shared_lock lock(mutex_);
  const auto file = newest(*view, path);
  if (!file) return system_error("open", describe(path), ENOENT);
  if (!file->is_sound || offset > file->bytes || out.size() > file->bytes - offset) {
    return fail(ErrorCode::corrupt, describe(path) + " is shorter than expected or damaged");
  }
  const auto chain = chain_of(*view, *file);
  while (!out.empty()) {
    const std::uint64_t at = offset / kShmBlockPayloadBytes;
    const std::uint64_t within = offset % kShmBlockPayloadBytes;
    if (at >= chain.size()) {
      return fail(ErrorCode::corrupt, describe(path) + ": its chain of blocks is damaged");
    }
    const auto count = std::min<std::size_t>(out.size(), kShmBlockPayloadBytes - within);
    std::memcpy(out.data(), view->payload(chain[at]) + within, count);
    offset += count;
    out = out.subspan(count);
  }
  // acquire: a writer in another process clears the word before it uses the blocks again
  if (load_acquire<Scope::system>(view->entry(file->index).commit) != file->generation) {
    return fail(ErrorCode::not_found, describe(path) + " was removed while it was read", ENOENT);
  }
  return {};
}

}  // namespace rk::checkpoint
