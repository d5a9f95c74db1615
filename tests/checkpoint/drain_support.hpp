// A system without workers: rings in plain memory into which a test writes what workers would.
#pragma once

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <ringkernel/checkpoint/content_digest.hpp>
#include <ringkernel/checkpoint/drain.hpp>
#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/runtime/slot.hpp>
#include <thread>
#include <vector>

#include "support.hpp"

namespace rk::checkpoint::test {

using namespace std::chrono_literals;

class AlignedBytes {
 public:
  explicit AlignedBytes(std::uint64_t bytes) : memory_(bytes + 64) {}
  std::byte* get() {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64;
  }

 private:
  std::vector<std::byte> memory_;
};

/// Runs nothing; copies from host memory.
class FakeExecutor final : public Executor {
 public:
  FakeExecutor() {
    program_.types.push_back({.name = "small", .type_hash = 11, .version = 3, .state_bytes = 24});
    program_.types.push_back({.name = "large", .type_hash = 12, .version = 1, .state_bytes = 40});
  }
  std::string name() const override { return "fake"; }
  const ProgramInfo& program() const override { return program_; }
  std::uint32_t max_workers() const override { return 8; }
  std::uint32_t default_workers() const override { return 1; }
  Result<ExecutorMemory> allocate(std::uint64_t, std::uint64_t) override {
    return ExecutorMemory{};
  }
  bool device_is_host_addressable() const override { return true; }
  Result<void> write(std::byte*, const std::byte*, std::uint64_t) override { return {}; }
  Result<void> read(std::byte*, const std::byte*, std::uint64_t) override { return {}; }
  Result<void> launch(const SystemView&) override { return {}; }
  Result<void> healthy() override { return {}; }
  Result<void> join(std::chrono::nanoseconds) override { return {}; }
  Result<std::byte*> allocate_staging(std::uint64_t bytes) override {
    staging_.push_back(std::make_unique<AlignedBytes>(bytes));
    return staging_.back()->get();
  }
  Result<void> fetch(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(to, from, bytes);
    return {};
  }

 private:
  ProgramInfo program_;
  std::vector<std::unique_ptr<AlignedBytes>> staging_;
};

/// What a record says; the rest follows from its payload.
struct RecordSpec {
  RecordKind kind = RecordKind::end;
  std::uint32_t epoch = 0;
  std::uint32_t unit = 0;
  std::uint32_t count = 1;
  std::uint64_t hlc = 0;
  std::uint64_t checksum_error = 0;
};

/// The worker's end of one stream.
class StreamWriter {
 public:
  StreamWriter(std::uint32_t index, std::uint64_t capacity_bytes)
      : memory_(capacity_bytes), index_(index), ring_(memory_.get(), capacity_bytes, &words_) {}

  std::byte* base() { return memory_.get(); }
  StreamWords* words() { return &words_; }
  std::uint64_t waits() const { return waits_; }
  /// All that was written was taken.
  bool is_empty() { return ring_.used() == 0; }

  /// Writes the payload in parts if it is large. False when no room came within half a minute.
  bool put(const RecordSpec& spec, Bytes payload) {
    std::uint64_t offset = 0;
    do {
      const std::uint64_t length =
          std::min<std::uint64_t>(payload.size() - offset, kMaxRecordPayload);
      if (!put_part(spec, payload.subspan(offset, length), offset, payload.size())) return false;
      offset += length;
    } while (offset < payload.size());
    return true;
  }
  bool put_part(const RecordSpec& spec, Bytes part, std::uint64_t offset,
                std::uint64_t unit_bytes) {
    if (!wait_for_room(part.size())) return false;
    std::byte* place = ring_.reserve(part.size());
    if (!part.empty()) std::memcpy(place + sizeof(RecordHeader), part.data(), part.size());
    const RecordHeader header{kRecordMagic,
                              spec.kind,
                              spec.epoch,
                              index_,
                              spec.unit,
                              spec.count,
                              spec.hlc,
                              offset,
                              unit_bytes,
                              part.size(),
                              record_checksum(place + 64, part.size()) + spec.checksum_error};
    std::memcpy(place, &header, sizeof(header));
    ring_.publish(part.size());
    return true;
  }
  /// Bytes that are no record.
  void put_garbage() {
    ASSERT_TRUE(wait_for_room(64));
    std::memset(ring_.reserve(64), 0xAB, 128);
    ring_.publish(64);
  }

 private:
  bool wait_for_room(std::uint64_t payload_bytes) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    if (!ring_.has_room(payload_bytes)) ++waits_;
    while (!ring_.has_room(payload_bytes)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  AlignedBytes memory_;
  StreamWords words_{};
  std::uint32_t index_;
  SnapshotRing ring_;
  std::uint64_t waits_ = 0;
};

inline std::vector<std::byte> make_slot(ActorId id, std::uint32_t type, std::uint32_t field_bytes,
                                        std::uint32_t seed) {
  const std::uint32_t state_bytes = type == 0 ? 24 : 40;
  std::vector<std::byte> out(slot_stride(state_bytes, field_bytes));
  const SlotHeader header{.id = id,
                          .type = static_cast<std::uint16_t>(type),
                          .unit = 0,
                          .state_bytes = state_bytes,
                          .field_bytes = field_bytes,
                          .source_sequence = seed + 7,
                          .stashed = 3,
                          .touched_epoch = 0,
                          .handled = seed + 100,
                          .hlc = seed + 1000};
  std::memcpy(out.data(), &header, sizeof(header));
  const auto state = pattern(state_bytes, seed);
  const auto field = pattern(field_bytes, seed + 1);
  std::memcpy(out.data() + sizeof(header), state.data(), state.size());
  if (field_bytes != 0) {
    std::memcpy(out.data() + sizeof(header) + align_up(state_bytes, 16), field.data(),
                field.size());
  }
  return out;
}

/// Counts on the channel from `route.from` to `route.to`. Without a route: as if actor i lived on
/// worker i % 2. The payload and the rest of the trailer are noise.
inline std::vector<std::byte> make_message(ActorId src, ActorId dst, std::uint32_t sequence,
                                           std::uint8_t flags = 0, std::uint32_t block_bytes = 0,
                                           std::optional<Route> given = {}) {
  const auto channel = [](ActorId id) {
    return id == kHostId ? kHostChannel : static_cast<std::uint8_t>(id.index() % 2);
  };
  const Route route = given.value_or(Route{0, 0, channel(src), channel(dst)});
  auto out = pattern(64, sequence);
  const MessageHeader header{.seq = 77 + sequence,
                             .hlc = 5000 + sequence,
                             .dst = dst,
                             .src = src,
                             .source_sequence = sequence,
                             .epoch = 4,
                             .tag = 9,
                             .flags = flags};
  std::memcpy(out.data(), &header, sizeof(header));
  if (has_trailer(header)) std::memcpy(out.data() + 60, &route, sizeof(route));
  if ((flags & kFlagBlock) != 0) {
    const BlockRef ref{.pool = 1, .block = 5, .bytes = block_bytes, .route = route};
    std::memcpy(out.data() + 48, &ref, sizeof(ref));
    const auto block = pattern(align_up(block_bytes, 8), sequence + 1);
    out.insert(out.end(), block.begin(), block.end());
  }
  return out;
}

/// A drain over `workers` streams and the dispatcher's.
class DrainRig {
 public:
  explicit DrainRig(std::uint32_t workers, std::uint64_t ring_bytes = kMinSnapshotRingBytes)
      : channels(workers + 1, std::vector<CutChannel>(workers + 1)), workers_(workers) {
    views_.resize(workers);
    for (std::uint32_t index = 0; index <= workers; ++index) {
      streams_.push_back(std::make_unique<StreamWriter>(index, ring_bytes));
    }
    for (std::uint32_t index = 0; index < workers; ++index) {
      views_[index].snapshot_ring = streams_[index]->base();
      views_[index].stream_words = streams_[index]->words();
    }
    view_.workers = views_.data();
    view_.worker_count = workers;
    view_.message_slot_bytes = 64;
    view_.capacity.snapshot_ring_bytes = ring_bytes;
    view_.dispatcher_ring = streams_[workers]->base();
    view_.dispatcher_words = streams_[workers]->words();
  }
  ~DrainRig() {
    if (drain) drain->stop();
  }

  void start(std::shared_ptr<Storage> storage, DrainOptions options = {},
             Drain::ReadSink sink = {}) {
    DrainFacts facts{.executor = "fake", .run_id = "run1", .seed = 42};
    if (storage) {
      auto opened = CheckpointDirectory::open(std::move(storage), "sim");
      ASSERT_OK(opened);
      directory.emplace(*std::move(opened));
    }
    auto made = Drain::create(executor, view_, directory ? &*directory : nullptr, std::move(facts),
                              options, std::move(sink));
    ASSERT_OK(made);
    drain = *std::move(made);
  }
  void start(const TemporaryDirectory& folder, DrainOptions options = {},
             Drain::ReadSink sink = {}) {
    start(std::make_shared<FileStorage>(folder.path()), options, std::move(sink));
  }

  StreamWriter& stream(std::uint32_t index) { return *streams_[index]; }
  StreamWriter& dispatcher() { return *streams_[workers_]; }

  /// Says that a message crossed the cut: sent but not received.
  void expect_in_flight(std::uint32_t from, std::uint32_t to, std::uint64_t messages = 1) {
    channels[from][to].sent += messages;
  }
  HostCut host_cut(std::uint32_t epoch) {
    HostCut cut{.epoch = epoch, .hlc = 9000 + epoch, .created_at_us = 1700000000000000};
    for (std::uint32_t worker = 0; worker < workers_; ++worker) {
      // channels[from][to] holds both ends; the wire has each end where it was counted.
      cut.channels.push_back(
          {channels[workers_][worker].sent, channels[worker][workers_].received});
    }
    cut.app_state = bytes_of("position 17");
    cut.app = {{"input", "a.wav"}};
    return cut;
  }
  void put_cut(std::uint32_t worker, std::uint32_t epoch, std::uint64_t slots,
               std::optional<std::uint64_t> live = {}) {
    const CutPayload counts{
        .live = live.value_or(slots), .slots = slots, .slot_bytes = 0, .handled = 0};
    std::vector<std::byte> payload(sizeof(counts) + (workers_ + 1) * sizeof(CutChannel));
    std::memcpy(payload.data(), &counts, sizeof(counts));
    for (std::uint32_t peer = 0; peer <= workers_; ++peer) {
      const CutChannel entry{channels[worker][peer].sent, channels[peer][worker].received};
      std::memcpy(payload.data() + sizeof(counts) + peer * sizeof(entry), &entry, sizeof(entry));
    }
    ASSERT_TRUE(stream(worker).put(
        {.kind = RecordKind::cut, .epoch = epoch, .count = workers_ + 1, .hlc = 8000 + worker},
        payload));
  }
  void put_slot(std::uint32_t worker, std::uint32_t epoch, Bytes slot,
                std::uint64_t checksum_error = 0) {
    ASSERT_TRUE(stream(worker).put({.kind = RecordKind::slots,
                                    .epoch = epoch,
                                    .unit = next_unit_++,
                                    .checksum_error = checksum_error},
                                   slot));
  }
  void put_message(std::uint32_t index, std::uint32_t epoch, Bytes message) {
    ASSERT_TRUE(stream(index).put({.kind = RecordKind::message, .epoch = epoch}, message));
  }
  /// Every worker's cut with one small slot each, nothing in flight.
  void put_quiet_cut(std::uint32_t epoch) {
    for (std::uint32_t worker = 0; worker < workers_; ++worker) {
      put_cut(worker, epoch, 1);
      put_slot(worker, epoch, make_slot(ActorId::make(worker, 1), 0, 0, worker));
      ASSERT_TRUE(stream(worker).put({.kind = RecordKind::end, .epoch = epoch, .count = 0}, {}));
    }
  }

  static bool wait_until(const std::function<bool()>& is_so) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!is_so()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(100us);
    }
    return true;
  }
  bool wait_empty() {
    return wait_until([&] {
      for (auto& writer : streams_) {
        if (!writer->is_empty()) return false;
      }
      return true;
    });
  }
  Result<CutReport> outcome() {
    std::optional<Result<CutReport>> out;
    wait_until([&] {
      out = drain->take_outcome();
      return out.has_value();
    });
    if (!out) return fail(ErrorCode::deadline_exceeded, "no outcome: " + drain->describe_missing());
    return *std::move(out);
  }
  Result<LoadedCheckpoint> load_newest() {
    RK_TRY_ASSIGN(auto found, directory->newest_valid());
    if (!found.entry) return fail(ErrorCode::not_found, "no valid checkpoint");
    return load_checkpoint(*directory, *found.entry);
  }

  FakeExecutor executor;
  std::optional<CheckpointDirectory> directory;
  std::unique_ptr<Drain> drain;
  std::vector<std::vector<CutChannel>> channels;  ///< [from][to], the last is the host

 private:
  std::uint32_t workers_;
  std::vector<std::unique_ptr<StreamWriter>> streams_;
  std::vector<WorkerView> views_;
  SystemView view_{};
  std::uint32_t next_unit_ = 0;
};

inline const ActorId kActor0 = ActorId::make(0, 1);
inline const ActorId kActor1 = ActorId::make(1, 1);
inline const ActorId kActor2 = ActorId::make(2, 1);
inline const ActorId kActor3 = ActorId::make(3, 1);

}  // namespace rk::checkpoint::test
