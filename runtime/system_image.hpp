// Lays a system out in an executor's memory: computes every region once, builds the views, fills
// the initial state.
//
//   device memory: control | actor table | views | per worker: units, slots, queues, slab,
//   counters, snapshot ring | dispatcher host memory:   control | H2K ring | per worker: status,
//   K2H ring, stream words | dispatcher's stream words
//
// Used once, before launch, by one thread. Internal to the runtime and its tests.
#pragma once

#include <ringkernel/runtime/executor.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rk {

/// One place, and who lives there.
struct ActorPlan {
  ActorId id;
  std::uint32_t worker = 0;
  std::uint32_t type = 0;
  std::uint32_t field_bytes = 0;  ///< SlotHeader::field_bytes
  std::uint16_t flags = 0;        ///< kSlotFree, kSlotGrave, kSlotSuspended
};

/// A restored message to place: `slot` is message_slot_bytes long, `block` may be empty.
struct ReplayMessage {
  std::span<const std::byte> slot;
  std::span<const std::byte> block;
};

struct SystemPlan {
  std::uint32_t workers = 1;
  Capacities capacity;
  std::uint64_t seed = 0;
  std::uint32_t base_epoch = 0;
  std::uint64_t base_hlc = 0;
  std::uint32_t background_percent = 25;
  bool telemetry = true;
  bool movable = false;           ///< actors may move to other workers while the program runs
  bool page_hashes = false;       ///< for increments: memory for the hashes of larger actors
  std::vector<ActorPlan> actors;  ///< any order; ids unique
  std::vector<std::vector<ReplayMessage>> replay;  ///< per worker, in the order to handle them
};

/// Fills the slot of plan.actors[index], if somebody lives or lived there: header fields that a
/// checkpoint carries, state and field (zeroed before).
using FillSlot =
    std::function<void(std::size_t index, SlotHeader& header, std::byte* state, std::byte* field)>;

/// A system in its executor's memory. `device` is what the program receives; the copies let the
/// host follow the pointers that lead to host memory without ever reading device memory.
struct PlacedSystem {
  SystemView device;
  std::vector<WorkerView> workers;
  std::vector<ActorEntry> actors;
  std::vector<std::uint8_t> owners;
  /// Of all workers, one after the other; see telemetry_block.hpp. Null: switched off.
  std::byte* telemetry = nullptr;
  std::uint64_t telemetry_bytes = 0;

  /// The view with `workers`, `actors` and `owners` replaced by the host's copies. Valid while this
  /// object stays where it is.
  [[nodiscard]] SystemView host_view() {
    SystemView view = device;
    view.workers = workers.data();
    view.actors = actors.data();
    view.owners = owners.data();
    return view;
  }
};

/// The capacities with slot counts rounded up to powers of two. invalid_argument if one is out of
/// range.
[[nodiscard]] Result<Capacities> round_capacities(const Capacities& capacity);

/// invalid_argument if a handler declares more than the (rounded) capacities can ever grant.
[[nodiscard]] Result<void> check_budgets(const ProgramInfo& program, const Capacities& capacity);

/// Allocates the executor's memory and writes the initial image. Its memory lives as long as the
/// executor.
[[nodiscard]] Result<PlacedSystem> build_system(Executor& executor, const SystemPlan& plan,
                                                const FillSlot& fill);

}  // namespace rk
