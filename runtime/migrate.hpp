// Migration: what turns the state of an older version of an actor type into that of this program.
//
//   struct Cell {
//     static constexpr std::uint32_t version = 2;
//     static rk::Result<void> migrate(std::uint32_t from_version,
//                                     std::span<const std::byte> old_state, Cell& out);
//     ...
//   };
//
// It may return bool instead: false refuses. A second form takes the trailing field, too; it comes
// in as saved, and what it holds afterwards (of any size) is the actor's field:
//
//     static rk::Result<void> migrate(std::uint32_t from_version,
//                                     std::span<const std::byte> old_state, Cell& out,
//                                     std::vector<std::byte>& field);
//
// The actor's own field, that is: its supervisor and links are kept, and what it restarts from is
// what came out here, until it is saved anew.
//
// Called on the host, by the thread that restores, once for each actor that an older version
// saved; the same input must give the same output. `out` comes in value-initialised, `old_state`
// has the size that the older version's state had and need not be aligned: copy out of it. Several
// versions back in one call is the function's own matter. Not called for states of this version,
// nor for newer ones.
#pragma once

#include <ringkernel/runtime/result.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace rk {

/// `state` has the size of this program's state; `field` comes in as saved.
using MigrateFunction = Result<void> (*)(std::uint32_t from_version,
                                         std::span<const std::byte> old_state,
                                         std::span<std::byte> state, std::vector<std::byte>& field);

namespace detail {

template <class A>
concept MigratesState = requires(std::uint32_t version, std::span<const std::byte> old, A& out) {
  A::migrate(version, old, out);
};
template <class A>
concept MigratesField = requires(std::uint32_t version, std::span<const std::byte> old, A& out,
                                 std::vector<std::byte>& field) {
  A::migrate(version, old, out, field);
};

inline Result<void> migrated(Result<void> result) { return result; }
inline Result<void> migrated(bool accepted) {
  if (accepted) return {};
  return fail(ErrorCode::incompatible, "migrate() returned false");
}

template <class A>
Result<void> migrate_actor(std::uint32_t from_version, std::span<const std::byte> old_state,
                           std::span<std::byte> state, std::vector<std::byte>& field) {
  RK_ASSERT(state.size() == sizeof(A));
  A out{};
  if constexpr (MigratesField<A>) {
    RK_TRY(migrated(A::migrate(from_version, old_state, out, field)));
  } else {
    RK_TRY(migrated(A::migrate(from_version, old_state, out)));
  }
  std::memcpy(state.data(), &out, sizeof(A));
  return {};
}

/// Null if the type declares no migration.
template <class A>
constexpr MigrateFunction migrate_function() {
  if constexpr (MigratesField<A> || MigratesState<A>) {
    return &migrate_actor<A>;
  } else {
    static_assert(
        !requires { &A::migrate; },
        "migrate must be static and take (std::uint32_t from_version, "
        "std::span<const std::byte> old_state, A& out), perhaps followed by "
        "(std::vector<std::byte>& field), and return rk::Result<void> or bool");
    return nullptr;
  }
}

}  // namespace detail
}  // namespace rk
