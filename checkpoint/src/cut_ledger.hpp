// What one cut announced and what arrived of it: decides completeness from counts alone.
//
// Invariants, over the peers P = workers 0..n-1 and the host (n):
//  1. in_flight[s][d] = sent[s][d] - received[d][s]: the sender's counter at its cut less the
//  receiver's at its own.
//  2. Complete = every worker's cut record is here, recorded places + those that an end record
//  calls unchanged = announced places per worker, and recorded messages =
//     in_flight on every channel. No count may exceed what was announced, so equal sums mean equal
//     parts.
//  3. A place counts whether an actor lives in it or not. A message counts on the channel that its
//  Route names; an output on that from the worker whose K2H ring it came out of.
//
// Thread-safety: none; the owner's mutex covers it.
#pragma once

#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/record.hpp>
#include <ringkernel/runtime/result.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rk::checkpoint {

class CutLedger {
 public:
  /// `host` has one entry per worker, as HostCut::channels.
  CutLedger(std::uint32_t workers, std::span<const CutChannel> host);

  /// Each returns an error that names the stream or channel when the record contradicts the counts.
  [[nodiscard]] Result<void> add_cut(const RecordHeader& header, Bytes payload);
  [[nodiscard]] Result<void> add_slots(const RecordHeader& header);
  [[nodiscard]] Result<void> add_pages(const RecordHeader& header);
  [[nodiscard]] Result<void> add_end(const RecordHeader& header);
  /// A message to a worker, recorded by its receiver, its sender or the dispatcher.
  [[nodiscard]] Result<void> add_message(const MessageHeader& message, const Route& route);
  /// A message to the host out of `worker`'s ring.
  [[nodiscard]] Result<void> add_output(std::uint32_t worker);

  [[nodiscard]] bool complete() const;
  /// Streams and channels that miss something, the first few of them; empty when complete.
  [[nodiscard]] std::string describe_missing() const;

  /// Actors of the cut, whether they were recorded or are as the parent holds them.
  [[nodiscard]] std::uint64_t live() const { return live_; }
  [[nodiscard]] std::uint64_t messages() const { return messages_; }
  /// Stamp of each worker's cut.
  [[nodiscard]] std::vector<std::uint64_t> clocks() const;

 private:
  struct Stream {
    bool has_cut = false;
    std::uint64_t hlc = 0;
    std::uint64_t announced_slots = 0;
    std::uint64_t slots = 0;  ///< accounted for
    std::uint32_t part_unit = 0;
    std::uint64_t part_offset = 0;  ///< of the next part; 0: no unit is half here
    std::uint64_t part_bytes = 0;
  };

  [[nodiscard]] std::size_t channel(std::uint32_t from, std::uint32_t to) const {
    return std::size_t{from} * (workers_ + 1) + to;
  }
  [[nodiscard]] std::string peer_name(std::uint32_t peer) const;
  [[nodiscard]] Result<std::uint32_t> peer_of(std::uint32_t channel) const;
  [[nodiscard]] Result<void> count_message(std::uint32_t from, std::uint32_t to);
  [[nodiscard]] Result<Stream*> stream_of(const RecordHeader& header);
  [[nodiscard]] Result<void> account(Stream& stream, const RecordHeader& header);
  [[nodiscard]] Result<void> check_part(Stream& stream, const RecordHeader& header);
  [[nodiscard]] Result<void> check_channel(std::uint32_t from, std::uint32_t to) const;
  [[nodiscard]] Result<void> balance();

  std::uint32_t workers_;
  std::vector<Stream> streams_;
  std::vector<std::uint64_t> sent_;      // [from][to]
  std::vector<std::uint64_t> received_;  // [from][to], counted by `to`
  std::vector<std::uint64_t> recorded_;  // [from][to]
  std::uint32_t cuts_ = 0;
  std::uint64_t slots_ = 0;
  std::uint64_t announced_slots_ = 0;
  std::uint64_t live_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t in_flight_ = 0;  // known once every cut record is here
};

}  // namespace rk::checkpoint
