// A tiny system of real workers for the scheduler: accounts that pass money on and ask each other,
// and a host that sends, begins a cut, drains the snapshot rings and, if it is told to, moves
// accounts between the workers before the cut and after it. Memory is laid out once; reset() brings
// the first image back.
#pragma once

#include "scheduler.hpp"

#include <ringkernel/checkpoint/src/cut_ledger.hpp>
#include <ringkernel/kernels/dispatcher.hpp>
#include <ringkernel/kernels/program.hpp>
#include <ringkernel/kernels/worker.hpp>
#include <ringkernel/runtime/src/host_lane.hpp>
#include <ringkernel/runtime/src/move_leader.hpp>
#include <ringkernel/runtime/system_image.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace rk::testing {

inline constexpr std::uint32_t kAccounts = 3;
inline constexpr std::int64_t kStartBalance = 100;
inline constexpr std::uint32_t kSends = 12;
inline constexpr std::uint32_t kHops = 4;
inline constexpr std::uint32_t kControlHop = 2;       ///< goes by the control lane
inline constexpr std::uint32_t kAskingHop = 3;        ///< asks somebody, too
inline constexpr std::uint32_t kHandled = kHops + 3;  ///< for each message of the host
inline constexpr std::int64_t kAmount = 10;

struct Pay {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 2;
  static constexpr std::uint32_t max_host_sends = 0;
  static constexpr std::uint32_t max_timers = 1;
  std::int64_t amount;
  std::uint32_t hops;
  std::uint32_t reserved;
};

struct Question {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
};
struct Answer {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
};

struct Account {
  using messages = handles<Pay, Question, Answer, AskExpired>;
  std::int64_t balance;
  std::uint32_t asked;
  std::uint32_t answered;
  /// Sequence of each sender's newest message, by lane; last: the host.
  std::uint32_t newest[2][kAccounts + 1];

  template <class Ctx>
  RK_FN void on(const Pay& pay, Ctx& ctx) {
    check_order(ctx);
    balance += pay.amount;
    if (pay.hops == 0) return;
    balance -= pay.amount;
    const std::uint32_t to = (ctx.self().index() + 1 + pay.hops % 2) % kAccounts;
    const ref<Account> next{ActorId::make(to, 0)};
    const Pay rest{pay.amount, pay.hops - 1, 0};
    if (pay.hops == kAskingHop) {
      ++asked;
      (void)ctx.ask(next, Question{}, kNeverUs);
    }
    pay.hops == kControlHop ? ctx.send_control(next, rest) : ctx.send(next, rest);
  }
  template <class Ctx>
  RK_FN void on(const Question&, Ctx& ctx) {
    check_order(ctx);
    ctx.reply(Answer{});
  }
  template <class Ctx>
  RK_FN void on(const Answer&, Ctx& ctx) {
    check_order(ctx);
    ++answered;
  }
  template <class Ctx>
  RK_FN void on(const AskExpired&, Ctx&) {
    testing::fail("an ask expired");
  }

 private:
  static constexpr std::uint64_t kNeverUs = std::uint64_t{1} << 40;

  template <class Ctx>
  RK_FN void check_order(Ctx& ctx) {
    const ActorId from = ctx.sender();
    const bool is_control = (ctx.message().header().flags & kFlagControl) != 0;
    std::uint32_t& newest_of = newest[is_control][from == kHostId ? kAccounts : from.index()];
    require(ctx.source_sequence() > newest_of, "two messages of a pair and lane changed places");
    newest_of = ctx.source_sequence();
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
  std::uint64_t by_cell = 0;  ///< messages that went through pair cells
  std::uint64_t moves = 0;
  std::uint64_t refused_moves = 0;
};

class AccountSystem {
 public:
  using AccountWorker = Worker<Program<Account>, SingleGroup>;

  /// `moves`: times the host tries to move an account in a run; 0: none can move.
  explicit AccountSystem(std::uint32_t workers, std::uint32_t moves = 0)
      : workers_(workers), moves_(moves) {
    SystemPlan plan;
    plan.workers = workers;
    plan.movable = moves != 0;
    plan.capacity = {.inbox_slots = 2,
                     .control_slots = 2,
                     .outbox_slots = 2,
                     .stash_slots = 32,  // holds all there is: nobody waits for ever
                     .timer_slots = 16,
                     .slab_blocks = 0,
                     .slab_block_bytes = 16,
                     .h2k_slots = 2,
                     .k2h_slots = 2,
                     .snapshot_ring_bytes = kMinSnapshotRingBytes};
    for (std::uint32_t i = 0; i < kAccounts; ++i) {
      plan.actors.push_back({ActorId::make(i, 0), i % workers, 0, 0});
    }
    for (std::uint32_t w = 0; w < workers && moves != 0; ++w) {
      plan.actors.push_back({ActorId::make(kAccounts + w, 0), w, 0, 0, kSlotFree});
    }
    auto placed =
        build_system(executor_, plan, [](std::size_t, SlotHeader&, std::byte* state, std::byte*) {
          reinterpret_cast<Account*>(state)->balance = kStartBalance;
        });
    RK_ASSERT(placed.has_value());
    placed_ = *std::move(placed);
    entries_ = placed_.actors;
    owners_ = placed_.owners;
    executor_.keep(placed_, workers);
  }

  std::vector<Body> reset() {
    executor_.reset();
    placed_.actors = entries_;
    placed_.owners = owners_;
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

  /// What the records of a cut add up to.
  struct Cut {
    std::int64_t money = 0;
    std::uint64_t pending = 0;    ///< asks without an answer, as the accounts know it
    std::uint64_t questions = 0;  ///< recorded, or their answers
    std::uint64_t deadlines = 0;

    void add(const Account& account) {
      money += account.balance;
      pending += account.asked - account.answered;
    }
    void add(const MessageView& message) {
      const std::uint8_t tag = message.header().tag;
      if (tag == Pay::tag) money += reinterpret_cast<const Pay*>(message.payload())->amount;
      questions += tag == Question::tag || tag == Answer::tag;
      deadlines += message.route().message_kind() == MessageKind::ask_deadline;
    }
  };

  void wait(std::uint64_t turns) {
    while (turns-- > 0) yield_point();
  }
  void send(HostLane& lane, std::uint32_t number) {
    const Pay pay{kAmount, kHops, 0};
    const HostMessage message{.to = ActorId::make(number % kAccounts, 0),
                              .tag = Pay::tag,
                              .flags = number % 4 == 3 ? kFlagControl : std::uint8_t{0}};
    while (!lane.send(message, reinterpret_cast<const std::byte*>(&pay), sizeof(pay))) wait(1);
  }

  /// The host application, its service thread and the drain in one.
  void host() {
    const SystemView view = placed_.host_view();
    HostLane lane(view, {}, 0);
    lane.set_run_state(RunState::running);
    moves_left_ = moves_;
    const std::uint64_t sends_before = choose(kSends + 1);
    for (std::uint32_t i = 0; i < sends_before; ++i) {
      send(lane, i);
      perhaps_move(lane, view);
    }
    wait(choose(4));
    const std::vector<CutChannel> channels = lane.begin_cut(kEpoch);
    lane.publish_cut(0);
    checkpoint::CutLedger ledger(workers_, channels);
    cut_ = {};
    positions_.assign(workers_ + 1, 0);
    for (auto i = static_cast<std::uint32_t>(sends_before); i < kSends; ++i) send(lane, i);
    bool is_closed = false;
    for (std::uint32_t idle = 0; !is_closed || handled() != kSends * kHandled; ++idle) {
      require(idle < kPatience, is_closed ? "a message is lost" : "the cut is never complete");
      for (std::uint32_t s = 0; s <= workers_; ++s) drain(view, s, ledger);
      if (!is_closed && ledger.complete()) {
        lane.close_cut(kEpoch);
        is_closed = true;
      }
      if (is_closed) perhaps_move(lane, view);
      wait(1);
    }
    check_money(sends_before);
    check_counts(view);
    for (std::uint32_t w = 0; w < workers_; ++w) {
      coverage_.full_inboxes += view.workers[w].status->full_inbox_total;
      coverage_.set_aside += view.workers[w].status->stash_total;
      for (std::uint32_t other = w + 1; moves_ == 0 && other < workers_; ++other)
        coverage_.by_cell += view.workers[w].cells[other].count;
    }
    lane.set_run_state(RunState::stopping);
  }

  /// Moves an account to another worker, as the runtime's service thread does. Precondition: no cut
  /// is open.
  void perhaps_move(HostLane& lane, const SystemView& view) {
    if (moves_left_ == 0 || choose(3) != 0) return;
    --moves_left_;
    const ActorId account = ActorId::make(static_cast<std::uint32_t>(choose(kAccounts)), 0);
    const std::uint32_t from = *lane.worker_of(account);
    const auto to = static_cast<std::uint32_t>(from + 1 + choose(workers_ - 1)) % workers_;
    const MoveLeader leader(lane, view);
    const auto await = [this](const std::function<bool()>& is_done) {
      for (std::uint32_t turn = 0; turn < kPatience; ++turn) {
        if (is_done()) return true;
        wait(1);
      }
      return false;
    };
    const std::uint32_t version = leader.ask_to_stand();
    for (std::uint32_t w = 0; w < workers_; ++w)
      require(await([&] { return leader.stands(w, version); }), "a worker does not stand still");
    const auto outcome = leader.move(account, from, to, await);
    require(outcome.has_value(), "a worker does not do its step of a move");
    require(*outcome != MoveOutcome::done || *lane.worker_of(account) == to,
            "the host does not know where the account went");
    ++(*outcome == MoveOutcome::done ? coverage_.moves : coverage_.refused_moves);
    lane.set_run_state(RunState::running);
  }

  /// What the accounts say they handled, straight from their slots.
  std::uint64_t handled() const {
    std::uint64_t sum = 0;
    for (const ActorEntry& entry : placed_.actors)
      sum += is_account(*entry.slot) ? entry.slot->handled : 0;
    return sum;
  }
  static bool is_account(const SlotHeader& slot) { return (slot.flags & kSlotFree) == 0; }

  /// Nothing is on its way: what one worker sent another, the other received.
  void check_counts(const SystemView& view) const {
    for (std::uint32_t from = 0; from < workers_; ++from) {
      for (std::uint32_t to = 0; to < workers_; ++to)
        require(view.workers[from].channels[to].sent == view.workers[to].channels[from].received,
                "a message counts for a worker that did not receive it");
    }
  }

  void check_money(std::uint64_t sends_before) const {
    const auto sent = static_cast<std::int64_t>(sends_before) * kAmount;
    require(cut_.money == kStartBalance * kAccounts + sent,
            "money of the cut is not what was there");
    require(cut_.pending == cut_.deadlines, "an ask of the cut has no deadline, or too many");
    require(cut_.pending == cut_.questions, "an ask of the cut is not on its way");
    std::int64_t total = 0;
    for (const ActorEntry& entry : placed_.actors) {
      if (is_account(*entry.slot))
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
          if (is_account(slot))
            cut_.add(*reinterpret_cast<const Account*>(payload + at + sizeof(SlotHeader)));
          at += slot_stride(slot.state_bytes, slot.field_bytes);
        }
        return ledger.add_slots(header);
      case RecordKind::message:
        ++(header.stream < workers_ ? coverage_.recorded_by_workers
                                    : coverage_.recorded_by_dispatcher);
        return add_message(
            MessageView{const_cast<std::byte*>(payload), placed_.device.message_slot_bytes},
            ledger);
      default: return {};
    }
  }

  Result<void> add_message(const MessageView& message, checkpoint::CutLedger& ledger) {
    cut_.add(message);
    return ledger.add_message(message.header(), message.route());
  }

  std::uint32_t workers_;
  std::uint32_t moves_;
  std::uint32_t moves_left_ = 0;
  ImageExecutor executor_;
  PlacedSystem placed_{};
  std::vector<ActorEntry> entries_;   ///< of the first image
  std::vector<std::uint8_t> owners_;  ///< the same
  std::unique_ptr<Dispatcher> dispatcher_;
  std::vector<std::unique_ptr<AccountWorker>> running_;
  Cut cut_;
  Coverage coverage_;
  std::vector<std::uint64_t> positions_;  ///< of the drain, per stream
};

}  // namespace rk::testing
