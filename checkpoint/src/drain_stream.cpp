#include <ringkernel/checkpoint/src/drain_stream.hpp>

namespace rk::checkpoint {

void DrainStream::take_read(const RecordHeader& header, Bytes payload, const ReadSink& sink) {
  const bool is_next = header.part_offset == 0 || header.part_offset == reply_.size();
  if (!is_next || header.part_offset + header.length > header.unit_bytes ||
      !verifies(header, payload)) {
    reply_.clear();
    if (sink) sink(header.epoch, {});
    return;
  }
  if (header.length == header.unit_bytes) {
    if (sink) sink(header.epoch, payload);
    return;
  }
  if (header.part_offset == 0) reply_.clear();
  reply_.insert(reply_.end(), payload.begin(), payload.end());
  if (reply_.size() < header.unit_bytes) return;
  if (sink) sink(header.epoch, reply_);
  reply_ = {};
}

}  // namespace rk::checkpoint
