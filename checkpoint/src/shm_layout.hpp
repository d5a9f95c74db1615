// What lies in a shared-memory arena, little-endian:
//
//   0        ShmHeader                       magic stored last, when the arena is formatted
//   4096     ShmEntry[kShmEntries]           the table of files
//   524288+4096                              blocks of 64 KiB to the end of the object
//            block: ShmBlockHead {next}, then up to 65472 bytes of one file
//
// How many blocks there are follows from the object's size, so growing it changes nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rk::checkpoint {

inline constexpr std::uint64_t kShmMagic = 0x314D48534E524B52;  // "RKRNSHM1"
inline constexpr std::uint32_t kShmVersion = 1;
inline constexpr std::uint32_t kShmEntries = 1024;
inline constexpr std::uint32_t kShmNoBlock = 0xFFFFFFFF;
inline constexpr std::size_t kShmPathBytes = 264;

struct ShmHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t entry_count;
  std::uint64_t table_offset;
  std::uint64_t data_offset;
  std::uint64_t block_bytes;
  std::uint64_t checksum;  ///< low half of XXH3-128 over the bytes from `version` to here
  std::uint8_t reserved[4048];
};
static_assert(sizeof(ShmHeader) == 4096 && std::is_trivially_copyable_v<ShmHeader>);
static_assert(offsetof(ShmHeader, checksum) == 40);

struct ShmEntry {
  std::uint64_t commit;  ///< 0: free; else the generation, greater than any before it
  std::uint64_t bytes;
  std::uint32_t first_block;  ///< kShmNoBlock for an empty file
  std::uint32_t path_bytes;
  char path[kShmPathBytes];
  std::uint64_t checksum;  ///< low half of XXH3-128 over the bytes from `bytes` to here
  std::uint8_t reserved[216];
};
static_assert(sizeof(ShmEntry) == 512 && std::is_trivially_copyable_v<ShmEntry>);
static_assert(offsetof(ShmEntry, checksum) == 288);

struct ShmBlockHead {
  std::uint32_t next;
  std::uint32_t reserved[15];
};
static_assert(sizeof(ShmBlockHead) == 64);

inline constexpr std::uint64_t kShmTableOffset = sizeof(ShmHeader);
inline constexpr std::uint64_t kShmDataOffset = kShmTableOffset + kShmEntries * sizeof(ShmEntry);
inline constexpr std::uint64_t kShmBlockBytes = 65536;
inline constexpr std::uint64_t kShmBlockPayloadBytes = kShmBlockBytes - sizeof(ShmBlockHead);

}  // namespace rk::checkpoint
