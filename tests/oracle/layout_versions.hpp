// One program in several versions of its state: cells pass tokens around a ring. Every version
// counts the same visits, so a run that changes version half-way must end like one that does not.
//
//   version 1   32-bit count, float energy, field of floats
//   version 2   64-bit count, double energy, a flag that only the migration sets; field as it was
//   version 3   as 2 with a larger state; field of doubles
#pragma once

#include <ringkernel/runtime/actor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace rk::layouts {

inline constexpr std::uint32_t kFieldValues = 8;

struct Token {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t hops;
};

/// The numbers of a cell, whatever their place and width.
template <class Cell>
std::vector<Region> numbers_of(ElementType count, ElementType energy, ElementType visits) {
  return {region("count", count, offsetof(Cell, count)),
          region("energy", energy, offsetof(Cell, energy)),
          region("visits", visits, 0, {kFieldValues}).in_field()};
}

/// What every version's handler does.
template <class Value, class Cell, class Ctx>
RK_FN void visit(Cell& cell, const Token& token, Ctx& ctx) {
  if (ctx.leader()) {
    ++cell.count;
    cell.energy += 0.5F;
    ctx.template field<Value>()[cell.count % kFieldValues] += 1;
  }
  if (token.hops > 0) ctx.send(ref<Cell>{cell.next}, Token{token.hops - 1});
}

namespace v1 {
struct Cell {
  using messages = handles<Token>;
  using Value = float;
  static constexpr const char* name = "test.cell";
  static constexpr std::uint32_t version = 1;
  ActorId next;
  std::uint32_t count;
  float energy;

  static std::vector<Region> regions() {
    return numbers_of<Cell>(ElementType::u32, ElementType::f32, ElementType::f32);
  }

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    visit<Value>(*this, token, ctx);
  }
};
}  // namespace v1

/// The state of versions 2 and 3, without a way to get there.
struct Wide {
  using messages = handles<Token>;
  using Value = float;
  static constexpr const char* name = "test.cell";
  static constexpr std::uint32_t version = 2;
  double energy;
  std::uint64_t count;
  ActorId next;
  std::uint32_t was_migrated;

  static std::vector<Region> regions() {
    return numbers_of<Wide>(ElementType::u64, ElementType::f64, ElementType::f32);
  }

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    visit<Value>(*this, token, ctx);
  }

  [[nodiscard]] static bool widen(std::span<const std::byte> old_state, Wide& out) {
    v1::Cell old;
    if (old_state.size() != sizeof(old)) return false;
    std::memcpy(&old, old_state.data(), sizeof(old));
    out.energy = old.energy;
    out.count = old.count;
    out.next = old.next;
    out.was_migrated = 1;
    return true;
  }
};

namespace v2 {
struct Cell : Wide {
  static bool migrate(std::uint32_t from_version, std::span<const std::byte> old_state, Cell& out) {
    return from_version == 1 && widen(old_state, out);
  }
};
/// Takes nothing over: it says so, with a reason.
struct Refusing : Wide {
  static Result<void> migrate(std::uint32_t, std::span<const std::byte>, Refusing&) {
    return fail(ErrorCode::internal, "energies before version 2 were wrong");
  }
};
}  // namespace v2

namespace v3 {
/// Comes from version 1 by way of version 2, or from 2 directly; its field has doubles.
struct Cell : Wide {
  using Value = double;
  static constexpr std::uint32_t version = 3;
  std::array<std::uint32_t, 6> steps_taken;  ///< versions it came through

  static std::vector<Region> regions() {
    return numbers_of<Wide>(ElementType::u64, ElementType::f64, ElementType::f64);
  }

  static Result<void> migrate(std::uint32_t from_version, std::span<const std::byte> old_state,
                              Cell& out, std::vector<std::byte>& field) {
    if (from_version == 1) {
      if (!widen(old_state, out)) return fail(ErrorCode::corrupt, "the size is not version 1's");
      out.steps_taken[1] = 1;
    } else {
      if (old_state.size() != sizeof(Wide))
        return fail(ErrorCode::corrupt, "the size is not version 2's");
      std::memcpy(static_cast<Wide*>(&out), old_state.data(), sizeof(Wide));
      out.was_migrated = 1;
    }
    out.steps_taken[2] = 1;
    std::array<float, kFieldValues> floats;
    if (field.size() != sizeof(floats)) return fail(ErrorCode::corrupt, "the field is no field");
    std::memcpy(floats.data(), field.data(), sizeof(floats));
    const std::array<double, kFieldValues> doubles = [&] {
      std::array<double, kFieldValues> wide{};
      for (std::size_t i = 0; i < kFieldValues; ++i) wide[i] = floats[i];
      return wide;
    }();
    field.resize(sizeof(doubles));
    std::memcpy(field.data(), doubles.data(), sizeof(doubles));
    return {};
  }

  template <class Ctx>
  RK_FN void on(const Token& token, Ctx& ctx) {
    visit<Value>(*this, token, ctx);
  }
};
}  // namespace v3

}  // namespace rk::layouts
