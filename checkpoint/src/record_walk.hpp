// Walks the records of a stretch of a snapshot stream, trusting no length.
#pragma once

#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/record.hpp>

#include <cstring>

namespace rk::checkpoint {

class RecordWalk {
 public:
  enum class Step {
    record,
    end,
    partial,  ///< the stretch ends inside this record
    broken,   ///< not a record: the stream has lost its boundaries
  };

  RecordWalk(Bytes stretch, std::uint64_t max_payload_bytes)
      : rest_(stretch), max_payload_bytes_(max_payload_bytes) {}

  Step next() {
    if (rest_.empty()) return Step::end;
    if (rest_.size() < sizeof(RecordHeader)) return Step::broken;
    std::memcpy(&header, rest_.data(), sizeof(header));
    const bool is_sound = header.magic == kRecordMagic && header.kind <= RecordKind::pages &&
                          header.length % 8 == 0 && header.length <= max_payload_bytes_;
    if (!is_sound) return Step::broken;
    bytes = record_bytes(header.length);
    if (bytes > rest_.size()) return Step::partial;
    payload = rest_.subspan(sizeof(header), header.length);
    rest_ = rest_.subspan(bytes);
    return Step::record;
  }

  RecordHeader header{};
  Bytes payload{};
  std::uint64_t bytes = 0;  ///< of the record, with header and padding

 private:
  Bytes rest_;
  std::uint64_t max_payload_bytes_;
};

[[nodiscard]] inline bool verifies(const RecordHeader& header, Bytes payload) {
  return record_checksum(payload.data(), payload.size()) == header.checksum;
}

}  // namespace rk::checkpoint
