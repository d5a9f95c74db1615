// A tiny system of real workers for the scheduler: accounts that pass money on, and a host that
// sends, begins a cut and drains the snapshot rings. Memory is laid out once; reset() brings the
// first image back.
#pragma once

#include "scheduler.hpp"

#include <ringkernel/checkpoint/src/cut_ledger.hpp>
#include <ringkernel/kernels/dispatcher.hpp>
#include <ringkernel/kernels/program.hpp>
#include <ringkernel/kernels/worker.hpp>
#include <ringkernel/runtime/src/host_lane.hpp>
#include <ringkernel/runtime/system_image.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace rk::testing {

inline constexpr std::uint32_t kAccounts = 3;
inline constexpr std::int64_t kStartBalance = 100;
inline constexpr std::uint32_t kSends = 8;
inline constexpr std::uint32_t kHops = 4;
inline constexpr std::int64_t kAmount = 10;

struct Pay {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::int64_t amount;
  std::uint32_t hops;
  std::uint32_t reserved;
};

struct Account {
  using messages = handles<Pay>;
  std::int64_t balance;
  std::uint32_t
      newest[kAccounts + 1];  ///< sequence of each sender's newest message; last: the host

  template <class Ctx>
  RK_FN void on(const Pay& pay, Ctx& ctx) {
    const ActorId from = ctx.sender();
    std::uint32_t& newest_of = newest[from == kHostId ? kAccounts : from.index()];
    require(ctx.source_sequence() > newest_of, "two messages of a pair changed places");
    newest_of = ctx.source_sequence();
    balance += pay.amount;
    if (pay.hops == 0) return;
    balance -= pay.amount;
    const std::uint32_t to = (ctx.self().index() + 1 + pay.hops % 2) % kAccounts;
    ctx.send(ref<Account>{ActorId::make(to, 0)}, Pay{pay.amount, pay.hops - 1, 0});
  }
};

/// Memory that build_system fills, nothing that runs by itself.
class ImageExecutor final : public Executor {
 public:
  std::string name() const override { return "schedule"; }
  const ProgramInfo& program() const override { return info_; }
  std::uint32_t max_workers() const override { return kMaxWorkers; }
  std::uint32_t default_workers() const override { return 1; }
  Result<ExecutorMemory> allocate(std::uint64_t device_bytes, std::uint64_t host_bytes) override {
    device_.assign(device_bytes / kLine + 1, Line{});
    host_.assign(host_bytes / kLine + 1, Line{});
    return ExecutorMemory{device_[0].bytes, host_[0].bytes};
  }
  bool device_is_host_addressable() const override { return true; }
  Result<void> write(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(to, from, bytes);
    return {};
  }
  Result<void> read(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(to, from, bytes);
    return {};
  }
  Result<void> launch(const SystemView&) override { return unused(); }
  Result<void> healthy() override { return {}; }
  Result<void> join(std::chrono::nanoseconds) override { return unused(); }
  Result<std::byte*> allocate_staging(std::uint64_t) override {
    return rk::fail(ErrorCode::internal, "an image has no staging memory");
  }
  Result<void> fetch(std::byte*, const std::byte*, std::uint64_t) override { return unused(); }

  /// Remembers all memory but the snapshot rings, whose bytes mean nothing before they are
  /// published.
  void keep(const PlacedSystem& placed, std::uint32_t workers) {
    std::vector<std::byte*> rings{placed.device.dispatcher_ring};
    for (std::uint32_t w = 0; w < workers; ++w) rings.push_back(placed.workers[w].snapshot_ring);
    std::sort(rings.begin(), rings.end());
    std::byte* from = device_[0].bytes;
    for (std::byte* ring : rings) {
      keep_span(from, ring);
      from = ring + placed.device.capacity.snapshot_ring_bytes;
    }
    keep_span(from, device_[0].bytes + device_.size() * kLine);
    keep_span(host_[0].bytes, host_[0].bytes + host_.size() * kLine);
  }
  void reset() {
    for (const auto& [at, bytes] : image_) std::memcpy(at, bytes.data(), bytes.size());
  }

 private:
  static constexpr std::size_t kLine = 256;
  struct alignas(256) Line {
    std::byte bytes[kLine];
  };
  static Result<void> unused() { return rk::fail(ErrorCode::internal, "an image does not run"); }
  void keep_span(std::byte* from, std::byte* to) {
    if (from < to) image_.emplace_back(from, std::vector<std::byte>(from, to));
  }

  ProgramInfo info_ = Program<Account>::info();
  std::vector<Line> device_;
  std::vector<Line> host_;
  std::vector<std::pair<std::byte*, std::vector<std::byte>>> image_;
};

/// What the runs so far went through; a search that meets none of it says nothing.
struct Coverage {
  std::uint64_t recorded_by_workers = 0;
  std::uint64_t recorded_by_dispatcher = 0;
  std::uint64_t full_inboxes = 0;
  std::uint64_t set_aside = 0;
};

class CutSystem {
 public:
  using AccountWorker = Worker<Program<Account>, SingleGroup>;

  explicit CutSystem(std::uint32_t workers) : workers_(workers) {
    SystemPlan plan;
    plan.workers = workers;
    plan.capacity = {.inbox_slots = 2,
                     .outbox_slots = 2,
                     .stash_slots = 8,
                     .slab_blocks = 0,
                     .slab_block_bytes = 16,
                     .h2k_slots = 2,
                     .k2h_slots = 2,
                     .snapshot_ring_bytes = kMinSnapshotRingBytes};
    for (std::uint32_t i = 0; i < kAccounts; ++i) {
      plan.actors.push_back({ActorId::make(i, 0), i % workers, 0, 0});
    }
    auto placed =
        build_system(executor_, plan, [](std::size_t, SlotHeader&, std::byte* state, std::byte*) {
          reinterpret_cast<Account*>(state)->balance = kStartBalance;
        });
    RK_ASSERT(placed.has_value());
    placed_ = *std::move(placed);
    executor_.keep(placed_, workers);
  }

  std::vector<Body> reset() {
    executor_.reset();
    running_.clear();
    dispatcher_ = std::make_unique<Dispatcher>(placed_.device);
    std::vector<Body> bodies;
    for (std::uint32_t w = 0; w < workers_; ++w) {
      running_.push_back(std::make_unique<AccountWorker>(placed_.device, w));
      bodies.push_back([this, w] {
        SingleGroup group;
        running_[w]->run(group, [&] {
          bool worked = false;
          if (w == 0) dispatcher_->turn(worked);
          return worked;
        });
      });
    }
    bodies.push_back([this] { host(); });
    return bodies;
  }

  [[nodiscard]] const Coverage& coverage() const { return coverage_; }

 private:
  static constexpr std::uint32_t kEpoch = 1;
  static constexpr std::uint32_t kPatience = 6000;  ///< host turns without news; none needs so many

  void wait(std::uint64_t turns) {
    while (turns-- > 0) yield_point();
  }
  void send(HostLane& lane, std::uint32_t to) {
    const Pay pay{kAmount, kHops, 0};
    const auto* bytes = reinterpret_cast<const std::byte*>(&pay);
    while (!lane.send({.to = ActorId::make(to, 0), .tag = Pay::tag}, bytes, sizeof(pay))) wait(1);
  }

  /// The host application, its service thread and the drain in one.
  void host() {
    const SystemView view = placed_.host_view();
    HostLane lane(view, {}, 0);
    lane.set_run_state(RunState::running);
    const std::uint64_t sends_before = choose(kSends + 1);
    for (std::uint32_t i = 0; i < sends_before; ++i) send(lane, i % kAccounts);
    wait(choose(4));
    const std::vector<CutChannel> channels = lane.begin_cut(kEpoch);
    lane.publish_cut(0);
    checkpoint::CutLedger ledger(workers_, channels);
    money_ = 0;
    positions_.assign(workers_ + 1, 0);
    for (auto i = static_cast<std::uint32_t>(sends_before); i < kSends; ++i)
      send(lane, i % kAccounts);
    for (std::uint32_t idle = 0; !ledger.complete() || handled() != kSends * (kHops + 1); ++idle) {
      require(idle < kPatience,
              ledger.complete() ? "a message is lost" : "the cut is never complete");
      for (std::uint32_t s = 0; s <= workers_; ++s) drain(view, s, ledger);
      wait(1);
    }
    check_money(sends_before);
    for (std::uint32_t w = 0; w < workers_; ++w) {
      coverage_.full_inboxes += view.workers[w].status->full_inbox_total;
      coverage_.set_aside += view.workers[w].status->stash_total;
    }
    lane.close_cut(kEpoch);
    lane.set_run_state(RunState::stopping);
  }

  /// What the accounts say they handled, straight from their slots.
  std::uint64_t handled() const {
    std::uint64_t sum = 0;
    for (const ActorEntry& entry : placed_.actors) sum += entry.slot->handled;
    return sum;
  }

  void check_money(std::uint64_t sends_before) const {
    const auto sent = static_cast<std::int64_t>(sends_before) * kAmount;
    require(money_ == kStartBalance * kAccounts + sent, "money of the cut is not what was there");
    std::int64_t total = 0;
    for (const ActorEntry& entry : placed_.actors) {
      total += reinterpret_cast<const Account*>(slot_state(entry.slot))->balance;
    }
    require(total == kStartBalance * kAccounts + kSends * kAmount, "money appeared or vanished");
  }

  void drain(const SystemView& view, std::uint32_t stream, checkpoint::CutLedger& ledger) {
    const bool is_worker = stream < workers_;
    StreamWords& words = is_worker ? *view.workers[stream].stream_words : *view.dispatcher_words;
    const std::byte* ring = is_worker ? view.workers[stream].snapshot_ring : view.dispatcher_ring;
    const std::uint64_t published = load_acquire<Scope::system>(words.published);
    std::uint64_t& at = positions_[stream];
    while (at < published) {
      const std::byte* record = ring + at % view.capacity.snapshot_ring_bytes;
      const auto& header = *reinterpret_cast<const RecordHeader*>(record);
      require(header.magic == kRecordMagic, "a record is published before it is written");
      const Result<void> accepted = add(header, record + sizeof(RecordHeader), ledger);
      if (!accepted) testing::fail(accepted.error().message);
      at += record_bytes(header.length);
    }
    store_release<Scope::system>(words.credits, at);
  }

  Result<void> add(const RecordHeader& header, const std::byte* payload,
                   checkpoint::CutLedger& ledger) {
    switch (header.kind) {
      case RecordKind::cut: return ledger.add_cut(header, {payload, header.length});
      case RecordKind::end: return ledger.add_end(header);
      case RecordKind::slots:
        for (std::uint64_t at = 0; at < header.length;) {
          const auto& slot = *reinterpret_cast<const SlotHeader*>(payload + at);
          money_ += reinterpret_cast<const Account*>(payload + at + sizeof(SlotHeader))->balance;
          at += slot_stride(slot.state_bytes, slot.field_bytes);
        }
        return ledger.add_slots(header);
      case RecordKind::message:
        ++(header.stream < workers_ ? coverage_.recorded_by_workers
                                    : coverage_.recorded_by_dispatcher);
        money_ += reinterpret_cast<const Pay*>(payload + sizeof(MessageHeader))->amount;
        return add_message(
            MessageView{const_cast<std::byte*>(payload), placed_.device.message_slot_bytes},
            ledger);
      default: return {};
    }
  }

  static Result<void> add_message(const MessageView& message, checkpoint::CutLedger& ledger) {
    return ledger.add_message(message.header(), message.route());
  }

  std::uint32_t workers_;
  ImageExecutor executor_;
  PlacedSystem placed_{};
  std::unique_ptr<Dispatcher> dispatcher_;
  std::vector<std::unique_ptr<AccountWorker>> running_;
  std::int64_t money_ = 0;
  Coverage coverage_;
  std::vector<std::uint64_t> positions_;  ///< of the drain, per stream
};

}  // namespace rk::testing
