#include <cstring>
#include <ringkernel/checkpoint/src/cut_ledger.hpp>

namespace rk::checkpoint {

CutLedger::CutLedger(std::uint32_t workers, std::span<const CutChannel> host)
    : workers_(workers),
      streams_(workers),
      sent_(std::size_t{workers + 1} * (workers + 1)),
      received_(sent_.size()),
      recorded_(sent_.size()) {
  RK_ASSERT(host.size() == workers);
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    sent_[channel(workers, worker)] = host[worker].sent;
    received_[channel(worker, workers)] = host[worker].received;
  }
}

std::string CutLedger::peer_name(std::uint32_t peer) const {
  return peer == workers_ ? "the host" : "worker " + std::to_string(peer);
}

Result<std::uint32_t> CutLedger::peer_of(std::uint32_t channel) const {
  if (channel == kHostChannel) return workers_;
  if (channel < workers_) return channel;
  return fail(ErrorCode::internal, "a recorded message names worker " + std::to_string(channel) +
                                       ", which does not exist");
}

Result<void> CutLedger::add_cut(const RecordHeader& header, Bytes payload) {
  if (header.stream >= workers_ || streams_[header.stream].has_cut) {
    return fail(ErrorCode::internal,
                "an unexpected cut record in stream " + std::to_string(header.stream));
  }
  const std::uint32_t peers = workers_ + 1;
  if (header.count != peers || payload.size() != sizeof(CutPayload) + peers * sizeof(CutChannel)) {
    return fail(ErrorCode::internal, "the cut record of worker " + std::to_string(header.stream) +
                                         " is not for " + std::to_string(workers_) + " workers");
  }
  CutPayload counts;
  std::memcpy(&counts, payload.data(), sizeof(counts));
  if (counts.live > counts.slots) {
    return fail(ErrorCode::internal, "worker " + std::to_string(header.stream) + ": " +
                                         std::to_string(counts.live) + " actors in " +
                                         std::to_string(counts.slots) + " slots");
  }
  for (std::uint32_t peer = 0; peer < peers; ++peer) {
    CutChannel entry;
    std::memcpy(&entry, payload.data() + sizeof(counts) + peer * sizeof(entry), sizeof(entry));
    sent_[channel(header.stream, peer)] = entry.sent;
    received_[channel(peer, header.stream)] = entry.received;
  }
  Stream& stream = streams_[header.stream];
  stream.has_cut = true;
  stream.hlc = header.hlc;
  stream.announced_slots = counts.slots;
  announced_slots_ += counts.slots;
  live_ += counts.live;
  if (++cuts_ == workers_) return balance();
  return {};
}

Result<void> CutLedger::balance() {
  for (std::uint32_t from = 0; from <= workers_; ++from) {
    for (std::uint32_t to = 0; to <= workers_; ++to) {
      RK_TRY(check_channel(from, to));
      in_flight_ += sent_[channel(from, to)] - received_[channel(from, to)];
    }
  }
  return {};
}

Result<void> CutLedger::check_channel(std::uint32_t from, std::uint32_t to) const {
  const std::size_t at = channel(from, to);
  if (received_[at] <= sent_[at] && recorded_[at] <= sent_[at] - received_[at]) return {};
  const std::string name = "channel from " + peer_name(from) + " to " + peer_name(to);
  if (received_[at] > sent_[at]) {
    return fail(ErrorCode::internal, name + ": " + std::to_string(received_[at]) +
                                         " messages received but only " +
                                         std::to_string(sent_[at]) + " sent");
  }
  return fail(ErrorCode::internal, name + ": " + std::to_string(recorded_[at]) +
                                       " messages recorded but only " +
                                       std::to_string(sent_[at] - received_[at]) + " in flight");
}

Result<void> CutLedger::check_part(Stream& stream, const RecordHeader& header) {
  const bool is_next = stream.part_offset == 0 ? header.part_offset == 0
                                               : header.part_offset == stream.part_offset &&
                                                     header.unit == stream.part_unit &&
                                                     header.unit_bytes == stream.part_bytes;
  if (!is_next || header.length == 0 || header.part_offset > header.unit_bytes ||
      header.length > header.unit_bytes - header.part_offset) {
    return fail(ErrorCode::internal, "worker " + std::to_string(header.stream) +
                                         ": the parts of unit " + std::to_string(header.unit) +
                                         " are not in order");
  }
  stream.part_unit = header.unit;
  stream.part_bytes = header.unit_bytes;
  stream.part_offset = header.part_offset + header.length;
  if (stream.part_offset == header.unit_bytes) stream.part_offset = 0;
  return {};
}

Result<CutLedger::Stream*> CutLedger::stream_of(const RecordHeader& header) {
  if (header.stream >= workers_ || !streams_[header.stream].has_cut) {
    return fail(ErrorCode::internal,
                "slots before a cut record in stream " + std::to_string(header.stream));
  }
  return &streams_[header.stream];
}

/// `header.count` slots of the stream are dealt with.
Result<void> CutLedger::account(Stream& stream, const RecordHeader& header) {
  stream.slots += header.count;
  slots_ += header.count;
  if (stream.slots > stream.announced_slots) {
    return fail(ErrorCode::internal, "worker " + std::to_string(header.stream) + ": " +
                                         std::to_string(stream.slots) + " slots written but only " +
                                         std::to_string(stream.announced_slots) + " announced");
  }
  return {};
}

Result<void> CutLedger::add_slots(const RecordHeader& header) {
  RK_TRY_ASSIGN(Stream * stream, stream_of(header));
  RK_TRY(check_part(*stream, header));
  if (stream->part_offset != 0) return {};
  return account(*stream, header);
}

Result<void> CutLedger::add_pages(const RecordHeader& header) {
  RK_TRY_ASSIGN(Stream * stream, stream_of(header));
  const bool goes_on = stream->part_offset != 0;
  const bool is_next =
      !goes_on || (header.unit == stream->part_unit && header.unit_bytes == stream->part_bytes &&
                   header.part_offset >= stream->part_offset);
  if (!is_next || header.count > 1 || header.part_offset >= header.unit_bytes) {
    return fail(ErrorCode::internal, "worker " + std::to_string(header.stream) +
                                         ": the pages of unit " + std::to_string(header.unit) +
                                         " are not in order");
  }
  stream->part_unit = header.unit;
  stream->part_bytes = header.unit_bytes;
  stream->part_offset = header.count == 1 ? 0 : header.part_offset + 1;
  return account(*stream, header);
}

Result<void> CutLedger::add_end(const RecordHeader& header) {
  RK_TRY_ASSIGN(Stream * stream, stream_of(header));
  return account(*stream, header);
}

Result<void> CutLedger::add_message(const MessageHeader& message, const Route& route) {
  // not by the source: the first message of an actor that the host asked for is the host's, but its
  // worker sent it
  const bool is_replayed = (message.flags & kFlagReplayed) != 0;
  RK_TRY_ASSIGN(const std::uint32_t from, peer_of(is_replayed ? kHostChannel : route.from));
  RK_TRY_ASSIGN(const std::uint32_t to, peer_of(route.to));
  return count_message(from, to);
}

Result<void> CutLedger::add_output(std::uint32_t worker) {
  if (worker == kHostChannel)
    return fail(ErrorCode::internal, "the host cannot have sent an output");
  RK_TRY_ASSIGN(const std::uint32_t from, peer_of(worker));
  return count_message(from, workers_);
}

Result<void> CutLedger::count_message(std::uint32_t from, std::uint32_t to) {
  ++recorded_[channel(from, to)];
  ++messages_;
  if (cuts_ == workers_) return check_channel(from, to);
  return {};
}

bool CutLedger::complete() const {
  return cuts_ == workers_ && slots_ == announced_slots_ && messages_ == in_flight_;
}

std::vector<std::uint64_t> CutLedger::clocks() const {
  std::vector<std::uint64_t> out;
  out.reserve(streams_.size());
  for (const Stream& stream : streams_) out.push_back(stream.hlc);
  return out;
}

std::string CutLedger::describe_missing() const {
  constexpr std::uint32_t kMaxNamed = 8;
  std::string text;
  std::uint32_t found = 0;
  const auto name = [&](const std::string& item) {
    if (++found <= kMaxNamed) text += (text.empty() ? "" : "; ") + item;
  };
  for (std::uint32_t worker = 0; worker < workers_; ++worker) {
    const Stream& stream = streams_[worker];
    if (!stream.has_cut) {
      name("worker " + std::to_string(worker) + " has not taken the cut");
    } else if (stream.slots < stream.announced_slots) {
      name("worker " + std::to_string(worker) + " wrote " + std::to_string(stream.slots) + " of " +
           std::to_string(stream.announced_slots) + " slots");
    }
  }
  for (std::uint32_t from = 0; from <= workers_; ++from) {
    for (std::uint32_t to = 0; to <= workers_; ++to) {
      // Until both ends have counted, nothing is known about a channel.
      if ((from < workers_ && !streams_[from].has_cut) || (to < workers_ && !streams_[to].has_cut))
        continue;
      const std::size_t at = channel(from, to);
      const std::uint64_t in_flight = sent_[at] - received_[at];
      if (recorded_[at] == in_flight) continue;
      name("channel from " + peer_name(from) + " to " + peer_name(to) + ": " +
           std::to_string(recorded_[at]) + " of " + std::to_string(in_flight) +
           " messages recorded");
    }
  }
  if (found > kMaxNamed) text += "; and " + std::to_string(found - kMaxNamed) + " more";
  return text;
}

}  // namespace rk::checkpoint
