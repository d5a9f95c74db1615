// Pair cells: one message slot that two workers fill in turns, so that an answer travels in the
// cache line of its question.
//
//     worker 0                  the cell                    worker 1
//     writes message 1   ->   [word | message 1]   ->   reads it into its box: its turn
//     reads it           <-   [word | message 2]   <-   writes message 2
//
//     word:  63        32 31         0
//            +-----------+-----------+
//            |   after   |   count   |      count: messages through the cell, this one included
//            +-----------+-----------+
//
// A line in a ring moves twice per message: its writer takes it from the reader that polls it, and
// the reader takes it back. Who has just read a question holds its line; an answer written into
// the same line moves once. (Measured between two cores of a Xeon: 76 ns instead of 145.) Where
// cores share the cache that they meet in, as a GPU's multiprocessors do, there is nothing to gain:
// cells are for groups of one lane.
//
// Invariants:
//  1. Only the worker whose turn it is writes. The one with the lower index writes messages 1, 3,
//  5..., the other one 2, 4, 6...: who read the other's newest message is next. So a cell holds at
//  most one message, and nobody waits for a turn: the inbox is always there.
//  2. A message is read by copying it into a private box, before anything else is done with it.
//  That passes the turn.
//  3. Order: `after` is how far the writer had filled the reader's inbox. The message is handled
//  after all that lies below, and before what the same writer put there later: the first such
//  message is marked (ring.hpp), and the reader looks at the cells before it takes a marked one.
//  4. Nobody writes while the other's message waits in the box: an answer says that that message
//  was handled, or is in hand, so that nothing after it needs a mark.
#pragma once

#include <ringkernel/runtime/atomic.hpp>
#include <ringkernel/runtime/message.hpp>
#include <ringkernel/runtime/mutant.hpp>

namespace rk {

/// Programs of up to so many workers have cells, one per pair: a worker polls those where it is the
/// other's turn.
inline constexpr std::uint32_t kMostCellWorkers = 8;
/// Bytes from cell to cell: lines are fetched in pairs.
inline constexpr std::uint32_t kCellStride = 128;

/// One worker's end of the cell that it shares with another. Private to its worker.
struct PairCellEnd {
  enum class Box : std::uint32_t { empty, waits, in_hand };

  std::byte* line = nullptr;  ///< the cell; null: none, this is the worker itself
  std::byte* box = nullptr;   ///< private: a message that was read and is not dealt with
  std::uint32_t count = 0;    ///< messages through the cell, as far as this end knows
  std::uint32_t parity = 0;   ///< this worker writes when the last bit of `count` is this
  std::uint32_t after = 0;    ///< of the message in the box; inbox positions modulo 2^32
  Box state = Box::empty;     ///< in_hand: its handler runs

  [[nodiscard]] RK_FN bool may_write() const {
    return line != nullptr && is_turn() && (state != Box::waits || planted(Mutant::cell_answered));
  }
  /// The message at `line` is complete. Precondition: may_write() before it was begun.
  RK_FN void publish(std::uint64_t inbox_position) {
    ++count;
    // release: publishes the message, and that the one before was read; pairs with has_message()
    store_release<Scope::device>(word(), (inbox_position << 32) | count);
  }
  /// Whether the other worker writes the next message.
  [[nodiscard]] RK_FN bool awaits() const { return line != nullptr && !is_turn(); }
  /// Whether there is a message, in the box or in the cell.
  [[nodiscard]] RK_FN RK_HOT bool has_message() const {
    if (state != Box::empty) return true;
    if (line == nullptr) return false;
    // acquire: pairs with publish()
    return static_cast<std::uint32_t>(load_acquire<Scope::device>(word())) == count + 1;
  }
  /// Sees to it that the message is in the box. Precondition: has_message().
  RK_FN void read(std::uint32_t slot_bytes) {
    if (state != Box::empty) return;
    copy_message(box, line, slot_bytes);
    ++count;
    // relaxed: has_message() acquired it
    after = static_cast<std::uint32_t>(load_relaxed<Scope::device>(word()) >> 32);
    state = Box::waits;
  }
  /// Whether all that has to be handled before the message in the box has left the inbox.
  [[nodiscard]] RK_FN bool is_due(std::uint64_t inbox_position) const {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(inbox_position) - after) >= 0;
  }

 private:
  [[nodiscard]] RK_FN bool is_turn() const { return (count & 1) == parity; }
  [[nodiscard]] RK_FN std::uint64_t& word() const {
    return *reinterpret_cast<std::uint64_t*>(line);
  }
};
static_assert(sizeof(PairCellEnd) == 32 && std::is_trivially_copyable_v<PairCellEnd>);
static_assert(kLargeMessageBytes <= kCellStride);

}  // namespace rk
