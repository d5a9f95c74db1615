// The arena behind ShmStorage: mapping, table, blocks. See shm_storage.hpp for the invariants.
//
// Locks: `mutex_` is held shared while bytes are read and alone while names or blocks change hands.
// Bytes of a file being written lie in blocks nobody else knows, so appending copies without it.
#pragma once

#include <ringkernel/checkpoint/shm_storage.hpp>
#include <ringkernel/checkpoint/src/shm_layout.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

namespace rk::checkpoint {

/// A mapped arena; unmapped when the last user lets go.
class ShmMapping {
 public:
  [[nodiscard]] static Result<std::shared_ptr<ShmMapping>> map(int fd, std::uint64_t bytes,
                                                               bool is_writable);
  ~ShmMapping();
  ShmMapping(const ShmMapping&) = delete;
  ShmMapping& operator=(const ShmMapping&) = delete;

  [[nodiscard]] ShmHeader& header() const { return *at<ShmHeader>(0); }
  [[nodiscard]] ShmEntry& entry(std::uint32_t i) const {
    return *at<ShmEntry>(kShmTableOffset + std::uint64_t{i} * sizeof(ShmEntry));
  }
  [[nodiscard]] ShmBlockHead& block(std::uint32_t i) const {
    return *at<ShmBlockHead>(kShmDataOffset + i * kShmBlockBytes);
  }
  [[nodiscard]] std::byte* payload(std::uint32_t i) const {
    return reinterpret_cast<std::byte*>(&block(i)) + sizeof(ShmBlockHead);
  }
  [[nodiscard]] std::uint32_t block_count() const {
    return static_cast<std::uint32_t>((bytes_ - kShmDataOffset) / kShmBlockBytes);
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  ShmMapping(std::byte* base, std::uint64_t bytes) : base_(base), bytes_(bytes) {}
  template <class T>
  T* at(std::uint64_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }
  std::byte* base_;
  std::uint64_t bytes_;
};

/// A file as the table had it at one instant.
struct ShmFound {
  std::uint32_t index = 0;
  std::uint64_t generation = 0;
  std::uint64_t bytes = 0;
  std::uint32_t first_block = kShmNoBlock;
  bool is_sound = true;  ///< its checksum agrees
  std::string path{};
};

class ShmArena : public std::enable_shared_from_this<ShmArena> {
 public:
  ShmArena(std::string name, ShmOptions options)
      : name_(std::move(name)), options_(std::move(options)) {}
  ~ShmArena();

  /// Keeps the writer's flock as long as it lives.
  class Hold {
   public:
    explicit Hold(std::shared_ptr<ShmArena> arena) : arena_(std::move(arena)) {}
    Hold(Hold&&) noexcept = default;
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (arena_) arena_->release_hold();
    }

   private:
    std::shared_ptr<ShmArena> arena_;
  };
  [[nodiscard]] Result<Hold> hold_writer();
  /// A hold for the writer's lock; `locked` if one is out already.
  [[nodiscard]] Result<Hold> hold_lock();
  void unlock();

  // With a Hold alive:
  /// Reserves the name and a table entry. `may_exist`: it will replace.
  [[nodiscard]] Result<std::uint32_t> reserve(const std::string& path, bool may_exist);
  void cancel(const std::string& path, std::uint32_t entry,
              const std::vector<std::uint32_t>& chain);
  [[nodiscard]] Result<std::uint32_t> take_block(std::uint64_t wanted_bytes);
  /// Makes the file exist, and the one it replaces vanish.
  void seal(const std::string& path, std::uint32_t entry, const std::vector<std::uint32_t>& chain,
            std::uint64_t bytes);
  [[nodiscard]] Result<void> remove(const std::string& path);
  [[nodiscard]] const std::shared_ptr<ShmMapping>& writable() const { return view_; }

  // For readers:
  [[nodiscard]] Result<std::vector<ShmFound>> files();
  [[nodiscard]] Result<ShmFound> find(const std::string& path);
  [[nodiscard]] Result<void> read(const std::string& path, std::uint64_t offset,
                                  std::span<std::byte> out);

  [[nodiscard]] std::string describe(std::string_view path) const;
  [[nodiscard]] static std::string object_name(const std::string& name) {
    return "/ringkernel." + name;
  }
  void on_store() const {
    if (options_.on_store) options_.on_store();
  }

 private:
  [[nodiscard]] Result<void> attach_writer();
  [[nodiscard]] Result<void> prepare(int fd);
  [[nodiscard]] Result<void> format(const ShmMapping& mapping);
  [[nodiscard]] Result<void> check_header(const ShmMapping& mapping) const;
  void rebuild();
  void unlock_object();
  void release_hold();
  [[nodiscard]] Result<std::shared_ptr<ShmMapping>> view_for_reading();
  [[nodiscard]] std::optional<ShmFound> load(const ShmMapping& view, std::uint32_t index) const;
  [[nodiscard]] std::vector<ShmFound> all_files(const ShmMapping& view) const;
  [[nodiscard]] std::optional<ShmFound> newest(const ShmMapping& view,
                                               const std::string& path) const;
  [[nodiscard]] std::vector<std::uint32_t> chain_of(const ShmMapping& view,
                                                    const ShmFound& file) const;
  void drop(const ShmFound& file);

  const std::string name_;
  const ShmOptions options_;
  std::shared_mutex mutex_;
  std::shared_ptr<ShmMapping> view_;  // writable while holds_ > 0
  bool view_is_writable_ = false;
  std::uint64_t view_inode_ = 0;
  int lock_fd_ = -1;
  std::uint32_t holds_ = 0;
  bool is_lock_out_ = false;
  // The writer's, rebuilt from the table with each first hold:
  std::vector<std::uint32_t> free_blocks_;
  std::vector<std::uint32_t> free_entries_;
  std::set<std::string> open_paths_;
  std::uint64_t next_generation_ = 1;
};

}  // namespace rk::checkpoint
