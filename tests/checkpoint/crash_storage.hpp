// A Storage in memory that models what a power cut leaves: only what was synced, or (seeded) any
// mix of synced and unsynced states of each name and each file. Bugs can be planted to show that
// the tests notice them.
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <random>
#include <ringkernel/checkpoint/storage.hpp>

namespace rk::checkpoint::test {

class CrashStorage final : public FileLikeStorage {
 public:
  enum class Planted : std::uint8_t {
    nothing,
    file_sync_does_nothing,
    directory_sync_does_nothing
  };

  explicit CrashStorage(Planted planted = Planted::nothing) : planted_(planted) {}

  /// `seed` 0: only what is durable survives. Otherwise each unsynced change may have happened.
  void power_cut(std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto pick = [&] { return seed != 0 && random() % 2 == 0; };
    for (auto& [name, directory] : names_) {
      directory.durable = survive(directory, pick);
      directory.now = directory.durable;
      for (auto& [file_name, file] : directory.now) {
        if (file == nullptr) continue;
        if (pick() && file->now.size() >= file->durable.size()) {
          const auto grown = file->now.size() - file->durable.size();
          const auto bytes = file->durable.size() + (grown == 0 ? 0 : random() % (grown + 1));
          file->durable.assign(file->now.begin(),
                               file->now.begin() + static_cast<std::ptrdiff_t>(bytes));
        }
        file->now = file->durable;
      }
    }
  }

  Result<void> create_root() override { return {}; }

  Result<std::unique_ptr<WritableFile>> create(std::string_view path) override {
    const auto [directory, name] = split(path);
    auto* at = find(directory);
    if (at == nullptr) return missing(path);
    if (at->now.contains(name)) return exists(path);
    auto file = std::make_shared<File>();
    at->now[name] = file;
    return std::unique_ptr<WritableFile>(std::make_unique<Handle>(file, planted_));
  }
  Result<void> make_directory(std::string_view path) override {
    auto& root = names_[""];
    if (root.now.contains(std::string(path))) return exists(path);
    root.now[std::string(path)] = nullptr;
    names_[std::string(path)] = {};
    return {};
  }
  Result<void> rename(std::string_view from, std::string_view to, Overwrite overwrite) override {
    const auto [directory, name] = split(from);
    auto* at = find(directory);
    if (at == nullptr || !at->now.contains(name)) return missing(from);
    const bool is_refused = overwrite == Overwrite::refuse && at->now.contains(split(to).second);
    if (is_refused) return exists(to);
    at->now[split(to).second] = at->now[name];
    at->now.erase(name);
    return {};
  }
  Result<void> remove(std::string_view path) override {
    const auto [directory, name] = split(path);
    auto* at = find(directory);
    if (at == nullptr || at->now.erase(name) == 0) return missing(path);
    return {};
  }
  Result<void> remove_directory(std::string_view path) override {
    auto* at = find(path);
    if (at == nullptr) return missing(path);
    if (!at->now.empty()) return fail(ErrorCode::io, "not empty");
    names_[""].now.erase(std::string(path));
    return {};
  }
  Result<void> sync_directory(std::string_view path) override {
    auto* at = find(path);
    if (at == nullptr) return missing(path);
    if (planted_ != Planted::directory_sync_does_nothing) at->durable = at->now;
    return {};
  }
  Result<std::vector<StorageEntry>> list(std::string_view path) override {
    auto* at = find(path);
    if (at == nullptr) return missing(path);
    std::vector<StorageEntry> entries;
    for (const auto& [name, file] : at->now) {
      const bool is_directory = file == nullptr;
      entries.push_back(
          {.name = name,
           .kind = is_directory ? StorageEntry::Kind::directory : StorageEntry::Kind::file,
           .bytes = is_directory ? 0 : file->now.size()});
    }
    return entries;
  }
  Result<std::uint64_t> file_bytes(std::string_view path) override {
    const auto file = file_at(path);
    if (file == nullptr) return missing(path);
    return std::uint64_t{file->now.size()};
  }
  Result<void> read(std::string_view path, std::uint64_t offset,
                    std::span<std::byte> out) override {
    const auto file = file_at(path);
    if (file == nullptr) return missing(path);
    if (offset + out.size() > file->now.size()) return fail(ErrorCode::corrupt, "short");
    std::copy_n(file->now.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  Result<std::unique_ptr<StorageLock>> lock() override { return std::make_unique<StorageLock>(); }
  [[nodiscard]] std::string describe(std::string_view path) const override {
    return "memory:" + std::string(path);
  }

 private:
  struct File {
    std::vector<std::byte> now;
    std::vector<std::byte> durable;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;  // null: a directory
  struct Directory {
    Names now;
    Names durable;
  };

  class Handle final : public WritableFile {
   public:
    Handle(std::shared_ptr<File> file, Planted planted)
        : file_(std::move(file)), planted_(planted) {}
    Result<void> append(Bytes bytes) override {
      file_->now.insert(file_->now.end(), bytes.begin(), bytes.end());
      return {};
    }
    Result<void> rewrite_head(Bytes bytes) override {
      RK_TRY(check_head(bytes, file_->now.size(), "memory"));
      std::copy(bytes.begin(), bytes.end(), file_->now.begin());
      return {};
    }
    Result<void> sync() override {
      if (planted_ != Planted::file_sync_does_nothing) file_->durable = file_->now;
      return {};
    }

   private:
    std::shared_ptr<File> file_;
    Planted planted_;
  };

  template <class Pick>
  static Names survive(const Directory& directory, Pick pick) {
    Names out = directory.durable;
    for (const auto& [name, file] : directory.durable) {
      if (!directory.now.contains(name) && pick()) out.erase(name);
    }
    for (const auto& [name, file] : directory.now) {
      if (pick()) out[name] = file;
    }
    return out;
  }
  static std::pair<std::string, std::string> split(std::string_view path) {
    const auto slash = path.find('/');
    if (slash == std::string_view::npos) return {"", std::string(path)};
    return {std::string(path.substr(0, slash)), std::string(path.substr(slash + 1))};
  }
  static unexpected exists(std::string_view path) {
    return fail(ErrorCode::io, std::string(path) + " exists", EEXIST);
  }
  static unexpected missing(std::string_view path) {
    return fail(ErrorCode::not_found, std::string(path) + " is missing");
  }
  Directory* find(std::string_view path) {
    if (!path.empty() && !names_[""].now.contains(std::string(path))) return nullptr;
    const auto at = names_.find(std::string(path));
    return at == names_.end() ? nullptr : &at->second;
  }
  std::shared_ptr<File> file_at(std::string_view path) {
    const auto [directory, name] = split(path);
    auto* at = find(directory);
    if (at == nullptr || !at->now.contains(name)) return nullptr;
    return at->now[name];
  }

  Planted planted_;
  std::map<std::string, Directory> names_{{"", {}}};
};

}  // namespace rk::checkpoint::test
