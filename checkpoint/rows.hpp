// Rows: how many small slots or messages share one chunk. One chunk per actor would cost 32 bytes
// and a seek each; a row costs 16 and is read in order.
//
//   chunk data: | RowHeader 16 | payload, length_bytes | zeros to a multiple of 8 | RowHeader ...
//
// The payload is opaque here: the record's own header fields, then the actor's state or the
// message. What identifies the actor type is the chunk's id (region_id of the type's name).
//
// Thread-safety: values. A RowCursor's bytes must outlive it and the views it gives.
#pragma once

#include <cstdint>
#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/result.hpp>

namespace rk::checkpoint {

struct RowHeader {
  std::uint32_t id = 0;       // actor id, or the destination of a message
  std::uint32_t version = 0;  // of the state's or the message's layout
  std::uint32_t flags = 0;    // meaning belongs to the writer; zero if unused
  std::uint32_t length_bytes = 0;
};
static_assert(sizeof(RowHeader) == 16);

inline constexpr std::uint64_t kRowAlignment = 8;

[[nodiscard]] constexpr std::uint64_t row_padding(std::uint64_t length_bytes) {
  return (kRowAlignment - length_bytes % kRowAlignment) % kRowAlignment;
}
[[nodiscard]] constexpr std::uint64_t row_bytes(std::uint64_t length_bytes) {
  return sizeof(RowHeader) + length_bytes + row_padding(length_bytes);
}

struct RowView {
  RowHeader header;
  Bytes payload;
};

/// Walks the rows of one chunk, trusting no length.
class RowCursor {
 public:
  explicit RowCursor(Bytes chunk) : rest_(chunk) {}
  /// False at the end. `corrupt` when a row does not fit into what is left.
  [[nodiscard]] Result<bool> next(RowView& row);

 private:
  Bytes rest_;
};

}  // namespace rk::checkpoint
