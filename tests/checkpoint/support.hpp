// What the checkpoint tests share: temporary directories, sample data, reading files back.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ringkernel/checkpoint/directory.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "rk-checkpoint-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const Bytes bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

inline std::vector<std::byte> pattern(std::size_t size, std::uint32_t seed) {
  std::vector<std::byte> out(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (auto& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return out;
}

inline std::vector<std::byte> read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return bytes_of(text);
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::filesystem::path& path, Bytes bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

inline Metadata sample_metadata() {
  Metadata metadata;
  metadata.kernel_id = "kernel_7";
  metadata.kernel_type = "wave";
  metadata.step = 42;
  metadata.grid = {64, 32, 16};
  metadata.tile = {8, 8, 8};
  metadata.hlc = {.physical = 1700000000000000, .logical = 3, .node = 9};
  metadata.custom = {{"a", "1"}, {"b", "two"}};
  return metadata;
}

/// Fails the calling test unless the Result holds a value.
#define ASSERT_OK(expression)                                                                     \
  do {                                                                                            \
    const auto& assert_ok_result_ = (expression);                                                 \
    ASSERT_TRUE(assert_ok_result_.has_value()) << ::rk::to_string(assert_ok_result_.error().code) \
                                               << ": " << assert_ok_result_.error().message;      \
  } while (false)

/// Writes one checkpoint with two shards and a few rows whose bytes depend on `seed`.
inline Result<Manifest> write_checkpoint(CheckpointDirectory& directory, std::uint64_t epoch,
                                         const std::string& run_id, std::uint32_t seed,
                                         std::optional<std::uint64_t> parent = std::nullopt) {
  RK_TRY_ASSIGN(auto writer, directory.begin(epoch, run_id));
  Manifest manifest;
  manifest.hlc = epoch << 12;
  manifest.created_at_us = 1700000000000000 + epoch;
  manifest.executor = "host";
  manifest.workers = 2;
  manifest.seed = seed;
  manifest.parent = parent;
  manifest.app = {{"input", "speech.wav"}};
  manifest.types = {{.index = 0,
                     .name = "Cell",
                     .type_hash = region_id("Cell"),
                     .version = 1,
                     .state_bytes = 40}};
  for (std::uint32_t w = 0; w < 2; ++w) {
    auto shards = writer.make_shard_set(sample_metadata(), {.writer = w, .created_at_us = 5});
    for (std::uint32_t slot = 0; slot < 3; ++slot) {
      const auto state = pattern(40, seed + slot);
      RK_TRY(shards.add_row(ChunkType::device_memory, region_id("Cell"),
                            {.id = slot * 2 + w, .version = 1}, Bytes(state)));
    }
    manifest.slots += shards.rows();
    RK_TRY_ASSIGN(auto done, shards.finish());
    manifest.shards.insert(manifest.shards.end(), done.begin(), done.end());
  }
  return writer.commit(std::move(manifest));
}

inline Result<CheckpointDirectory> open_directory(const std::filesystem::path& path,
                                                  const std::string& prefix = "sim") {
  return CheckpointDirectory::open(std::make_shared<FileStorage>(path), prefix);
}

}  // namespace rk::checkpoint::test
