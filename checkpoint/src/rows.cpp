#include <ringkernel/checkpoint/rows.hpp>

#include <cstring>

namespace rk::checkpoint {

Result<bool> RowCursor::next(RowView& row) {
  if (rest_.empty()) return false;
  if (rest_.size() < sizeof(RowHeader)) {
    return fail(ErrorCode::corrupt, "a chunk of rows ends inside a row's header");
  }
  std::memcpy(&row.header, rest_.data(), sizeof(RowHeader));
  const std::uint64_t bytes = row_bytes(row.header.length_bytes);
  if (bytes > rest_.size()) return fail(ErrorCode::corrupt, "a row is longer than its chunk");
  row.payload = rest_.subspan(sizeof(RowHeader), row.header.length_bytes);
  rest_ = rest_.subspan(bytes);
  return true;
}

}  // namespace rk::checkpoint
