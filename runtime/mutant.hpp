// Planted bugs. A test program built with -DRK_MUTANT=<n> gets protocol bug n, and the check that
// guards the protocol must fail on it; every other program gets none, and the branches below fold
// away.
#pragma once

#ifndef RK_MUTANT
#define RK_MUTANT 0
#endif

namespace rk {

enum class Mutant : int {
  none = 0,
  skip_message_record = 1,  ///< an in-flight message is handled without being recorded
  handle_before_save = 2,   ///< the handler runs before its save unit was copied
  no_lane_lock = 3,         ///< a host producer stamps and pushes without its lane lock
  no_barrier = 4,           ///< a block is sent before all lanes have filled it
  stale_baseline = 5,       ///< pages are compared with the newest hashes, durable or not
  touch_forgotten = 6,      ///< a unit touched in its parent's colour counts as unchanged
  lost_when_full = 7,       ///< a message whose inbox is full leaves the outbox for nowhere
  waits_unseen = 8,         ///< a worker does not tell whom it waits for
  overtaken_move = 9,       ///< what a moved actor sent before does not go before what it sends now
  mail_left_behind = 10,    ///< a message that waits in an outbox keeps its way to the old worker
  uncounted_move = 11,      ///< a moved message still counts as sent to the old worker
  cell_overtakes = 12,      ///< a pair cell's message does not wait for older ones in the inbox
  cell_overtaken = 13,      ///< younger ones in the inbox do not wait for a pair cell's message
  cell_answered = 14,       ///< a pair cell is written while the message before waits in the box
  answered_before_cut = 15,  ///< a deadline ends before its answer makes the worker take a cut
};

constexpr bool planted(Mutant mutant) { return static_cast<int>(mutant) == RK_MUTANT; }

}  // namespace rk
