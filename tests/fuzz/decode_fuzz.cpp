// libFuzzer's entry: see decode_harness.hpp. Built and run by scripts/check_fuzz.
//
//   decode_fuzz --write-seeds DIR     writes small sound files of every kind and ends
//   decode_fuzz [libFuzzer options] CORPUS...
#include "decode_harness.hpp"

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

namespace {

using rk::checkpoint::Bytes;
using rk::checkpoint::ChunkType;
using rk::checkpoint::ChunkView;
using rk::checkpoint::Codec;
using rk::checkpoint::Compression;

void write(const std::string& path, Bytes bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> rows(std::uint32_t count) {
  std::vector<std::byte> out;
  for (std::uint32_t i = 0; i < count; ++i) {
    const rk::checkpoint::RowHeader header{.id = i, .version = 1, .length_bytes = i * 3};
    const Bytes head = std::as_bytes(std::span(&header, 1));
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), header.length_bytes + rk::checkpoint::row_padding(header.length_bytes),
               static_cast<std::byte>(i));
  }
  return out;
}

std::vector<std::byte> noise(std::size_t bytes) {
  std::vector<std::byte> out(bytes);
  std::uint32_t state = 1;
  for (auto& byte : out)
    byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
  return out;
}

void write_seeds(const std::string& directory) {
  const auto few = rows(9);
  const auto raw = noise(120);
  const std::vector<std::byte> zeros(70'000);
  const std::vector<ChunkView> chunks{
      {.type = ChunkType::device_memory, .id = 7, .data = few},
      {.type = ChunkType::custom, .id = 8, .data = raw},
      {.type = ChunkType::hlc_state},
      {.type = static_cast<ChunkType>(55), .id = 1, .data = Bytes(zeros).first(40)},
      {.type = ChunkType::device_memory, .id = 9, .data = zeros}};
  rk::checkpoint::Metadata metadata;
  metadata.kernel_id = "kernel";
  metadata.kernel_type = "wave";
  metadata.custom = {{"a", "1"}, {"\xc3\xa4", "two"}};
  const std::vector<Compression> codecs{
      {}, {.codec = Codec::lz4}, {.codec = Codec::zstd}, {.codec = Codec::zstd, .level = 19}};
  for (std::size_t count = 0; count <= chunks.size(); ++count) {
    for (const auto& codec : codecs) {
      const auto file = rk::checkpoint::encode(metadata, std::span(chunks).first(count),
                                               {.created_at_us = 5, .compression = codec});
      std::string name = to_string(codec);
      for (char& c : name) c = c == ':' ? '_' : c;
      write(directory + "/" + name + "_" + std::to_string(count), file.value());
    }
  }
  write(directory + "/seed",
        rk::checkpoint::encode(metadata, std::span(chunks).first(4), {.footer = false}).value());
  write(directory + "/metadata", rk::checkpoint::encode_metadata(metadata).value());
  write(directory + "/rows", few);
  rk::checkpoint::Manifest manifest;
  manifest.prefix = "sim";
  manifest.run_id = "run1";
  manifest.epoch = 3;
  manifest.parent = 2;
  manifest.executor = "host";
  manifest.workers = 2;
  manifest.app = {{"input", "a.wav"}};
  manifest.types = {{.index = 0,
                     .name = "Cell",
                     .type_hash = rk::checkpoint::region_id("Cell"),
                     .version = 1,
                     .state_bytes = 40}};
  manifest.shards = {{.name = "shard-00-0000.rkcp", .bytes = 100, .hash = {.low = 1, .high = 2}}};
  const auto text = rk::checkpoint::format_manifest(manifest).value();
  write(directory + "/manifest", rk::checkpoint::as_bytes(text));
  // Without its last line: the harness adds one that matches.
  const std::string_view whole = text;
  const auto body = whole.substr(0, whole.rfind('}') + 2);
  write(directory + "/manifest_body", rk::checkpoint::as_bytes(body));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::string_view((*argv)[1]) == "--write-seeds") {
    write_seeds((*argv)[2]);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rk::checkpoint::fuzz::run(std::as_bytes(std::span(data, size)));
  return 0;
}
