// A worker's share of a cut: what it copies into the snapshot ring, and when.
//
// Taking a cut writes counters only. After it a save unit is copied before its next change
// (unit_to_save, ensure_saved) or in the background share of the worker's time; a message that
// crossed the cut is recorded when it is handled or by the background. Invariants: worker.hpp, 1
// to 3.
#pragma once

#include <ringkernel/kernels/group.hpp>
#include <ringkernel/kernels/increment.hpp>
#include <ringkernel/kernels/lifecycle.hpp>
#include <ringkernel/kernels/serializer.hpp>

namespace rk {

template <class Worker>
class CutShare {
 public:
  using Action = typename Worker::Action;
  using Program = typename Worker::Types;
  static constexpr std::uint32_t kSlotBytes = Worker::kSlotBytes;

  RK_FN RK_COLD static void take(Worker& w, std::uint32_t epoch) {
    w.epoch_ = epoch;
    w.serializer_.begin(epoch);
    w.refresh_wall_clock();
    // abandoned before we saw it, or our state is broken and must not become a checkpoint: its
    // colour still counts, and without our cut record it cannot complete
    if (epoch <= w.closed_epoch_ || w.fault_ != Fault::none) return;
    w.open_epoch_ = epoch;
    // relaxed: who told us of the cut, the control word or a message, had seen this
    w.parent_ = load_relaxed<Scope::device>(w.system_.device_control->cut_parent);
    w.unchanged_ = 0;
    w.unit_cursor_ = 0;
    w.unsaved_ = w.self_.unit_count;
    w.outbox_.begin_sweep();
    w.mailbox_.begin_sweep();
    w.timers_.begin_sweep();
    w.credit_ = 0;
    const std::uint32_t channels = w.system_.worker_count + 1;
    w.serializer_.write_small(
        RecordKind::cut, channels, w.clock_.tick(w.wall_).word,
        sizeof(CutPayload) + channels * sizeof(CutChannel), [&](std::byte* payload) {
          *reinterpret_cast<CutPayload*>(payload) =
              CutPayload{w.live_, w.self_.slot_count, w.self_.slot_bytes, w.received_};
          auto* out = reinterpret_cast<CutChannel*>(payload + sizeof(CutPayload));
          for (std::uint32_t i = 0; i < channels; ++i) out[i] = w.self_.channels[i];
        });
    if (w.unsaved_ == 0) write_end(w);
    Worker::Report::publish(w);
  }

  RK_FN static void write_end(Worker& w) {
    w.serializer_.write_small(RecordKind::end, w.unchanged_, w.clock_.last.word, 0,
                              [](std::byte*) {});
  }

  /// True if the open cut does not need the unit, because its parent holds it: then it counts as
  /// saved.
  RK_FN static bool pass_over(Worker& w, SaveUnit& unit) {
    if (w.parent_ == 0 || touched_since(unit, w.parent_).slots != 0) return false;
    count_saved(w, unit, unit.slots);
    return true;
  }

  RK_FN static void count_saved(Worker& w, SaveUnit& unit, std::uint32_t unchanged) {
    unit.saved_epoch = w.epoch_;
    w.unchanged_ += unchanged;
    if (--w.unsaved_ == 0 && w.open()) write_end(w);
  }

  /// The unit of a slot if the open cut still needs it, else null.
  RK_FN static SaveUnit* unit_to_save(Worker& w, const SlotHeader& slot) {
    if (!w.open()) return nullptr;
    SaveUnit& unit = w.self_.units[slot.unit];
    return unit.saved_epoch == w.epoch_ || pass_over(w, unit) ? nullptr : &unit;
  }

  /// Before lane 0 alone changes a slot other than its handler's.
  RK_FN static void ensure_saved(Worker& w, const SlotHeader& slot) {
    SaveUnit* unit = unit_to_save(w, slot);
    if (unit == nullptr) return;
    SingleGroup alone;
    save(w, alone, *unit);
  }

  RK_FN static MessageView next_old(Worker& w) {
    const auto colour = static_cast<std::uint16_t>(w.epoch_);
    if (const MessageView message = w.mailbox_.next_old(colour)) return message;
    if (const MessageView message = w.outbox_.next_old(colour)) return message;
    return w.timers_.next_old(colour);
  }

  /// The next piece of work for the open cut that fits into the ring now.
  RK_FN static bool background(Worker& w, Action& action) {
    if (const MessageView old = next_old(w)) {
      if (!w.serializer_.ring().has_room(kSlotBytes + w.system_.capacity.slab_block_bytes))
        return false;
      action.kind = Action::Kind::record;
      action.message = old;
      return true;
    }
    for (std::uint32_t passed = 0;; ++w.unit_cursor_) {
      if (w.unsaved_ == 0) return false;
      SaveUnit& candidate = w.self_.units[w.unit_cursor_];
      if (candidate.saved_epoch == w.epoch_) continue;
      if (!pass_over(w, candidate)) break;
      if (++passed == kPassedPerTurn) return w.backoff_.reset(), false;
    }
    SaveUnit& unit = w.self_.units[w.unit_cursor_];
    if (!w.serializer_.has_background_room(unit.bytes < kMaxRecordPayload ? unit.bytes
                                                                          : kMaxRecordPayload))
      return false;
    action.kind = Action::Kind::save;
    action.unit = &unit;
    return true;
  }

  /// Any group: the worker's own, or lane 0 alone.
  template <class Lanes>
  RK_FN static void save(Worker& w, Lanes& lanes, SaveUnit& unit) {
    if constexpr (Program::kAnySupervised) {
      if (lanes.rank() == 0) Lifecycle<Worker>::refresh_copies(unit);
      lanes.sync();
    }
    std::uint32_t unchanged = 0;
    IncrementWriter(w.serializer_)
        .write(lanes, unit, static_cast<std::uint32_t>(&unit - w.self_.units), w.parent_,
               unchanged);
    if (lanes.rank() == 0) count_saved(w, unit, unchanged);
    lanes.sync();
  }

  template <class Lanes>
  RK_FN static void record(Worker& w, Lanes& lanes, const MessageView& message) {
    w.serializer_.write_message(lanes, w.system_, message,
                                message.has_block() ? w.block_address(message.block()) : nullptr);
  }

  /// Lane 0, before it counts a message as received without handling it: it was in flight at the
  /// cut, whatever became of it since.
  RK_FN static void record_if_crossed(Worker& w, const MessageView& message) {
    if (!w.open() || !epoch_newer(static_cast<std::uint16_t>(w.epoch_), message.header().epoch))
      return;
    SingleGroup alone;
    record(w, alone, message);
  }

  /// The background share: handlers earn time for it, saving spends it. Capped, so that time earned
  /// while the ring was full is not spent in one long gap, and time spent while idle is not held
  /// against it.
  RK_FN static void earn(Worker& w, std::uint64_t elapsed) {
    const std::uint64_t share = w.system_.background_percent;
    w.credit_ += static_cast<std::int64_t>(elapsed * share / (100 - share));
    if (w.credit_ > kMaxCreditTicks) w.credit_ = kMaxCreditTicks;
  }

  RK_FN static void spend(Worker& w, std::uint64_t elapsed) {
    w.credit_ -= static_cast<std::int64_t>(elapsed);
    if (w.credit_ < -kMaxCreditTicks) w.credit_ = -kMaxCreditTicks;
  }

 private:
  static constexpr std::uint32_t kPassedPerTurn = 64;
  static constexpr std::int64_t kMaxCreditTicks = 200'000;
};

}  // namespace rk
