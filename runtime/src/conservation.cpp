// Nothing is lost, and nothing waits for ever unseen: the audit at the stop, and the search for
// workers that wait for each other.
#include <ringkernel/runtime/wait.hpp>

#include <algorithm>

#include "runtime_impl.hpp"

namespace rk {

/// Messages committed in a ring and not taken out. Nobody moves any more.
std::uint64_t Runtime::Impl::waiting_in(const StridedSlots& ring, const RingWords* words) const {
  RingWords copy;
  const std::uint64_t slots = ring.capacity();
  const std::uint64_t slot_bytes = std::uint64_t{1} << ring.shift;
  std::vector<std::byte> bytes(slots * slot_bytes);
  if (!executor->read(reinterpret_cast<std::byte*>(&copy),
                      reinterpret_cast<const std::byte*>(words), sizeof(copy)) ||
      !executor->read(bytes.data(), ring.base, bytes.size()))
    return 0;
  const StridedSlots local{bytes.data(), ring.mask, ring.shift};
  std::uint64_t waiting = 0;
  const auto is_committed = [&](std::uint64_t position) {
    return (StridedSlots::commit_word(local.slot(position)) & ~kMarked) == position + 1;
  };
  while (waiting < slots && is_committed(copy.consumed + waiting)) ++waiting;
  return waiting;
}

/// Messages in pair cells, read or not. Nobody moves any more.
std::uint64_t Runtime::Impl::waiting_in_cells() const {
  if (system.workers[0].cells == nullptr) return 0;
  std::vector<PairCellEnd> ends(std::size_t{workers} * workers);
  for (std::uint32_t w = 0; w < workers; ++w) {
    if (!executor->read(reinterpret_cast<std::byte*>(&ends[std::size_t{w} * workers]),
                        reinterpret_cast<const std::byte*>(system.workers[w].cells),
                        workers * sizeof(PairCellEnd)))
      return 0;
  }
  std::uint64_t waiting = 0;
  for (std::uint32_t w = 0; w < workers; ++w) {
    for (std::uint32_t other = 0; other < workers; ++other) {
      const PairCellEnd& end = ends[std::size_t{w} * workers + other];
      waiting += end.state != PairCellEnd::Box::empty;
      // what one end wrote last and the other one has not read
      if (w < other) waiting += end.count != ends[std::size_t{other} * workers + w].count;
    }
  }
  return waiting;
}

Result<void> Runtime::Impl::audit() {
  std::uint64_t waiting = waiting_in_cells();
  for (const HostRing& ring : system.h2k) waiting += waiting_in(ring.slots, ring.words);
  for (std::uint32_t w = 0; w < workers; ++w) {
    const WorkerView& view = system.workers[w];
    WorkerStatus& status = *view.status;
    waiting +=
        waiting_in(view.inbox, view.inbox_words) +
        waiting_in(view.host_inbox, view.host_inbox_words) +
        waiting_in(view.control, view.control_words) + waiting_in(view.k2h, view.k2h_words) +
        load_relaxed<Scope::system>(status.stashed) + load_relaxed<Scope::system>(status.outbox) +
        load_relaxed<Scope::system>(status.local) + load_relaxed<Scope::system>(status.timers);
  }
  if (totals.sent == totals.received + waiting) return {};
  return fail(ErrorCode::internal, "messages are not conserved: " + std::to_string(totals.sent) +
                                       " sent, " + std::to_string(totals.received) + " received, " +
                                       std::to_string(waiting) + " waiting in queues at the stop");
}

bool Runtime::Impl::is_stuck() const {
  // a turn looks at some of a long stash only: every worker must have looked at all of its own
  constexpr std::uint64_t kLooksPerTurn = 16;
  for (std::uint32_t w = 0; w < workers; ++w) {
    const std::uint64_t turns = marked_at[w] - still_since[w];
    const std::uint64_t stashed = load_relaxed<Scope::system>(system.workers[w].status->stashed);
    if (beats[w] < 2 || turns < 2 * (stashed / kLooksPerTurn + 2)) return false;
  }
  return !beats.empty();
}

std::string Runtime::Impl::describe_deadlock() const {
  struct Node {
    Shortage shortage;
    std::uint32_t waits_for;
    std::string text;
  };
  const Capacities& capacity = system.capacity;
  std::vector<Node> nodes(workers);
  for (std::uint32_t w = 0; w < workers; ++w) {
    WorkerStatus& status = *system.workers[w].status;
    Node& node = nodes[w];
    // acquire: `moved` read next is at least as new; pairs with StatusReport::publish
    node.shortage = static_cast<Shortage>(load_acquire<Scope::system>(status.shortage));
    if (load_relaxed<Scope::system>(status.moved) != marks[w].moved) return {};
    node.waits_for = load_relaxed<Scope::system>(status.waits_for);
    node.text = "worker " + std::to_string(w);
    // the host takes outputs and time brings timers: either may set everybody going again
    if (includes(node.shortage, Shortage::k2h | Shortage::until_due)) return {};
    if (includes(node.shortage, Shortage::local)) {
      node.waits_for = w;
      node.text += " (its own queue of " + std::to_string(capacity.local_slots) + " is full)";
    } else if (includes(node.shortage, Shortage::outbox)) {
      node.text += " (its outbox of " + std::to_string(capacity.outbox_slots) + " is full, the " +
                   "inbox of " + std::to_string(capacity.inbox_slots) + " it waits for too)";
    } else {
      node.waits_for = kWaitsForNobody;
    }
  }
  for (std::uint32_t start = 0; start < workers; ++start) {
    std::vector<std::uint32_t> path;
    for (std::uint32_t at = start; at < workers; at = nodes[at].waits_for) {
      const bool is_closed = std::find(path.begin(), path.end(), at) != path.end();
      path.push_back(at);
      if (!is_closed) continue;
      std::string cycle;
      bool is_local = false;
      const auto first = std::find(path.begin(), path.end() - 1, at);
      for (auto step = first; step != path.end(); ++step) {
        is_local |= includes(nodes[*step].shortage, Shortage::local);
        cycle += (step == first ? "" : " -> ") +
                 (step + 1 == path.end() ? "worker " + std::to_string(*step) : nodes[*step].text);
      }
      return "bounded queues wait for each other: " + cycle +
             "; raise Capacities::" + (is_local ? "local_slots" : "inbox_slots or outbox_slots") +
             " above the most messages that can be in flight";
    }
  }
  return {};
}

}  // namespace rk
