// What the actors of a worker handled, and which of them should leave: for moves by load.
#pragma once

#include <ringkernel/runtime/slot.hpp>
#include <ringkernel/runtime/system.hpp>

namespace rk {

/// Lane 0 only, while the program runs.
template <class Worker>
class LoadSurvey {
 public:
  RK_FN static void survey(Worker& w) {
    w.move_.load = 0;
    for_each_living(w, [&](const SlotHeader& slot, SurveyEntry& entry) {
      // fewer than before: another actor in the same place
      entry.load = slot.handled < entry.handled ? slot.handled : slot.handled - entry.handled;
      entry.handled = slot.handled;
      w.move_.load += entry.load;
    });
  }
  /// Names the actor whose leaving brings this worker and the other nearest to each other: the one
  /// with about half of what this one has more. None if that would leave most of the gap.
  RK_FN static void nominate(Worker& w) {
    auto& duty = w.move_;
    duty.place = kNoActor.word;
    const std::uint64_t half = duty.gap / 2;
    std::uint64_t best = half / 2 + 1;  // how far from the half
    for_each_living(w, [&](const SlotHeader& slot, const SurveyEntry& entry) {
      const std::uint64_t off = entry.load > half ? entry.load - half : half - entry.load;
      if (off >= best) return;
      best = off;
      duty.place = slot.id.word;
    });
    if (duty.place != kNoActor.word) return;
    // all are small: the largest
    std::uint64_t largest = 0;
    for_each_living(w, [&](const SlotHeader& slot, const SurveyEntry& entry) {
      if (entry.load <= largest || entry.load > half) return;
      largest = entry.load;
      duty.place = slot.id.word;
    });
  }

 private:
  template <class Visit>
  RK_FN static void for_each_living(Worker& w, Visit visit) {
    for (std::uint64_t u = 0; u < w.self_.unit_count; ++u) {
      for_each_slot(w.self_.units[u], [&](const SlotHeader& slot, std::uint64_t) {
        if ((slot.flags & kSlotFree) == 0) visit(slot, w.system_.surveys[slot.id.index()]);
      });
    }
  }
};

}  // namespace rk
