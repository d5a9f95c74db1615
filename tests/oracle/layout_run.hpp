// Running one version of tests/oracle/layout_versions.hpp: start or resume, stop half-way or go on
// to the end.
#pragma once

#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <cstring>

#include "layout_versions.hpp"

namespace rk::layouts {

inline constexpr std::uint32_t kCells = 200;
inline constexpr std::uint32_t kTokens = 20;
inline constexpr std::uint32_t kHops = 500;
/// Visits of a complete run.
inline constexpr std::uint64_t kVisits = std::uint64_t{kTokens} * (kHops + 1);

struct Ended {
  RestoreReport restored;
  std::uint64_t in_flight = 0;  ///< messages in the checkpoint that a run half-way leaves
  std::uint64_t visits = 0;
  double energy = 0;
  double field = 0;  ///< sum of all trailing fields
  std::uint32_t migrated = 0;
};

/// `half_way`: leaves a checkpoint in `directory` with tokens under way, and stops.
template <class Cell>
Result<Ended> run_version(const std::string& directory, bool half_way, std::uint32_t workers = 2) {
  Ended ended;
  RuntimeOptions options;
  options.workers = workers;
  options.checkpoint.dir = directory;
  options.checkpoint.keep = 100;
  RK_TRY_ASSIGN(auto runtime, Runtime::create(make_host_executor<Cell>(), std::move(options)));
  RK_TRY_ASSIGN(ended.restored, runtime->restore_latest());
  if (!ended.restored.restored) {
    RK_TRY(runtime->template spawn<Cell>(
        kCells,
        [](std::uint32_t i, Cell& cell) { cell.next = ActorId::make((i * 7 + 1) % kCells, 0); },
        {.field_bytes = kFieldValues * sizeof(typename Cell::Value)}));
  }
  RK_TRY(runtime->start(true));
  for (std::uint32_t t = 0; t < kTokens && !ended.restored.restored; ++t) {
    RK_TRY(runtime->send(ref<Cell>{ActorId::make(t * 3 % kCells, 0)}, Token{kHops}));
  }
  if (half_way) {
    RK_TRY(runtime->step(kVisits / (4 * workers)));
    RK_TRY_ASSIGN(const CheckpointCost cost, runtime->checkpoint_now());
    ended.in_flight = cost.messages;
  } else {
    RK_TRY(runtime->resume());
    RK_TRY(runtime->run());
    RK_TRY(runtime->checkpoint_now());
  }
  RK_TRY(runtime->stop());
  RK_TRY(runtime->for_each_slot(
      [&](const SlotHeader&, std::span<const std::byte> state, std::span<const std::byte> field) {
        Cell cell;
        std::memcpy(static_cast<void*>(&cell), state.data(), sizeof(cell));
        ended.visits += cell.count;
        ended.energy += static_cast<double>(cell.energy);
        if constexpr (requires { cell.was_migrated; }) ended.migrated += cell.was_migrated;
        for (std::size_t at = 0; at < field.size(); at += sizeof(typename Cell::Value)) {
          typename Cell::Value value;
          std::memcpy(&value, field.data() + at, sizeof(value));
          ended.field += static_cast<double>(value);
        }
      }));
  return ended;
}

}  // namespace rk::layouts
