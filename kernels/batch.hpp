// Batches: handlers of one actor type that run side by side, one per lane or warp.
#pragma once

#include <ringkernel/kernels/context.hpp>
#include <ringkernel/kernels/group.hpp>
#include <ringkernel/kernels/mailbox.hpp>

namespace rk {

/// One message of a batch, with its receiver.
struct BatchTask {
  static constexpr std::uint32_t kUnknown = 0xFFFFFFFFu;
  MessageView message;
  SlotHeader* slot;
  HandlerOutcome outcome;
  std::uint32_t staged;  ///< messages; kUnknown: the type does not handle the tag
};

template <class Worker>
class Batch {
 public:
  using Group = typename Worker::Lanes;
  using Action = typename Worker::Action;
  using Program = typename Worker::Types;
  static constexpr std::uint32_t kSlotBytes = Worker::kSlotBytes;

  /// Adds what follows in the same queue, as long as it goes to other actors of the same type whose
  /// grain lets them run side by side. Lanes do not diverge, and FIFO per pair holds, because the
  /// batch is a prefix of the queue.
  RK_FN static void extend(Worker& w, Action& action) {
    std::uint32_t most = w.lanes_ / Group::lanes_of(Program::grain(action.slot->type), w.lanes_);
    if (most > Group::kMaxBatch) most = Group::kMaxBatch;
    if constexpr (Program::kAnySupervised) {
      // all of them may fail
      const std::uint64_t room =
          w.mailbox_.stash.room() - Worker::Mail::stash_reserve(w, action.source);
      if (most > room) most = static_cast<std::uint32_t>(room);
    }
    if (most == 1 || w.run_state_ != RunState::running ||
        (action.source != Source::local && action.source != Source::inbox &&
         action.source != Source::host))
      return;
    Budget used{};
    if (!add(w, action, 0, action.message, used)) return;
    for (; action.batch < most; ++action.batch) {
      const MessageView message = w.mailbox_.peek(action.source, action.batch);
      if (!message || Worker::Mail::is_special(message) ||
          message.header().epoch != static_cast<std::uint16_t>(w.epoch_))
        break;
      SlotHeader* slot = w.find_own(message.header().dst);
      if (slot == nullptr || slot->type != action.slot->type || slot->stashed != 0 ||
          (slot->flags & (kSlotSuspended | kSlotInBatch)) != 0 ||
          !add(w, action, action.batch, message, used))
        break;
      w.clock_.merge(hlc::Timestamp{message.header().hlc}, w.wall_);
    }
    if (action.batch == 1) action.slot->flags &= static_cast<std::uint16_t>(~kSlotInBatch);
  }

  /// Runs the batch's handlers side by side; then lane 0 stamps what they sent, one after the
  /// other.
  RK_FN static void handle(Worker& w, Group& group, const Action& action) {
    const std::uint32_t lanes = Group::lanes_of(Program::grain(action.slot->type), group.size());
    const std::uint32_t task = group.rank() / lanes;
    if (group.rank() == 0) {
      w.telemetry_.begin(action.message.header(), action.slot, w.clock_.last);
      w.telemetry_.entered();
    }
    if (task < action.batch) {
      if (lanes == 1) {
        SingleGroup alone;
        run<Grain::thread>(w, alone, w.batch_[task], task);
      } else {
        auto&& warp = group.warp();
        run<Grain::warp>(w, warp, w.batch_[task], task);
      }
    }
    group.sync();
    if (group.rank() != 0) return;
    w.telemetry_.left();
    for (std::uint32_t i = 0; i < action.batch; ++i) {
      BatchTask& done = w.batch_[i];
      const bool known = done.staged != BatchTask::kUnknown;
      if (i > 0) w.telemetry_.note(done.message.header(), done.slot->type, w.clock_.last);
      for (std::uint32_t n = 0; known && n < done.staged; ++n)
        send_staged(w, *done.slot, stage_of(w, i) + n * kSlotBytes);
      done.slot->flags &= static_cast<std::uint16_t>(~kSlotInBatch);
      (void)Worker::Bursts::finish(w, action.source, 0, done.message, *done.slot, done.outcome,
                                   known);
    }
    w.telemetry_.noted(action.batch - 1, 0);
  }

 private:
  RK_FN static bool add(Worker& w, const Action& action, std::uint32_t at,
                        const MessageView& message, Budget& used) {
    bool known = false;
    const Budget budget = Program::budget(action.slot->type, message.header().tag, known);
    if (budget.blocks + budget.timers + budget.spawns != 0) return false;
    used.sends += budget.sends + Worker::kOwnSends;
    used.host_sends += budget.host_sends + 1;
    if (!w.outbox_.has_room(used.sends) || !w.mailbox_.local.has_room(used.sends) ||
        !w.outbox_.has_host_room(used.host_sends))
      return false;
    SlotHeader* slot = w.find_own(message.header().dst);
    slot->flags |= kSlotInBatch;
    w.batch_[at] = BatchTask{message, slot, {}, 0};
    return true;
  }

  template <Grain Of, class Lanes>
  RK_FN static void run(Worker& w, Lanes& lanes, BatchTask& task, std::uint32_t number) {
    Context<Worker, Lanes, true> context(w, lanes, *task.slot, task.message, stage_of(w, number));
    const bool known =
        Program::template dispatch<Of>(task.slot->type, task.message.header().tag,
                                       slot_state(task.slot), task.message.payload(), context);
    if (lanes.rank() != 0) return;
    task.outcome = context.outcome();
    task.staged = known ? context.staged() : BatchTask::kUnknown;
  }

  RK_FN static std::byte* stage_of(Worker& w, std::uint32_t task) {
    return w.self_.stage + std::uint64_t{task} * Program::kLaneSends * kSlotBytes;
  }

  RK_FN static void send_staged(Worker& w, SlotHeader& from, std::byte* staged) {
    const MessageView view{staged, kSlotBytes};
    const MessageHeader& header = view.header();
    w.send(from,
           Draft{.to = header.dst,
                 .tag = header.tag,
                 .flags = header.flags,
                 .kind = view.route().message_kind(),
                 .correlation = view.envelope().correlation,
                 .due = view.envelope().due},
           view.payload(),
           header.dst == kHostId ? Worker::kInlineBytes : Worker::kInlineBytes - sizeof(Envelope));
  }
};

}  // namespace rk
