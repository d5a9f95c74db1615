// Regions: named boxes of numbers inside an actor's state or trailing field.
//
//   struct Tile {
//     std::uint32_t size[3], offset[3], grid[3], step; ...
//     static std::vector<rk::Region> regions() {
//       using rk::state_word;
//       return {rk::region("energy", rk::ElementType::f64, offsetof(Tile, energy)),
//               rk::region("pressure", rk::ElementType::f32, 0, {state_word(offsetof(Tile, size)),
//               16, 16})
//                   .in_field().ghosts(1).buffered(2, state_word(offsetof(Tile, step)))
//                   .placed({state_word(offsetof(Tile, offset)), 0, 0}, {64, 16, 16})};
//     }
//   };
//
// They are written into every MANIFEST, so that `rk diff` and `rk export` can show a checkpoint's
// numbers without the program. Hence a shape is data, not code: each number in it is a constant or
// a 32-bit unsigned word of the actor's own state.
//
//   storage:  | offset | buffer 0 | buffer 1 | ...       a buffer: (shape + 2 ghosts) elements, x
//                                                        fastest; ghosts belong to neighbours
//
// Host only; values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rk {

enum class ElementType : std::uint8_t { u8, i8, u16, i16, u32, i32, u64, i64, f32, f64 };

[[nodiscard]] constexpr std::uint32_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::u8:
    case ElementType::i8: return 1;
    case ElementType::u16:
    case ElementType::i16: return 2;
    case ElementType::u32:
    case ElementType::i32:
    case ElementType::f32: return 4;
    default: return 8;
  }
}

/// A constant, or a 32-bit word of the actor's state.
struct RegionNumber {
  std::uint32_t value = 0;  ///< or, `from_state`: offset of the word in bytes
  bool from_state = false;
  constexpr RegionNumber() = default;
  constexpr RegionNumber(std::uint32_t constant) : value(constant) {}  // NOLINT: reads as a number
  friend bool operator==(const RegionNumber&, const RegionNumber&) = default;
};

/// The word at `offset_bytes` of the state: `state_word(offsetof(Tile, width))`.
[[nodiscard]] constexpr RegionNumber state_word(std::size_t offset_bytes) {
  RegionNumber number(static_cast<std::uint32_t>(offset_bytes));
  number.from_state = true;
  return number;
}

struct Region {
  std::string name;  ///< [A-Za-z0-9._-], unique in its type
  ElementType element = ElementType::u8;
  bool is_in_field = false;         ///< in the trailing field instead of the state
  std::uint32_t offset_bytes = 0;   ///< of buffer 0
  std::vector<RegionNumber> shape;  ///< elements per axis, x first; empty: one number; at most 3
  std::uint32_t ghost_layers = 0;   ///< on both sides of each axis
  std::uint32_t buffers = 1;
  RegionNumber buffer;               ///< the current one, modulo `buffers`
  std::vector<RegionNumber> origin;  ///< place of the box in the whole; empty: it stands alone
  std::vector<RegionNumber> whole;   ///< shape of the whole that all actors' boxes make up
  std::string spacing_key;           ///< application entry of the MANIFEST: edge of an element

  [[nodiscard]] Region in_field() && {
    is_in_field = true;
    return std::move(*this);
  }
  [[nodiscard]] Region ghosts(std::uint32_t layers) && {
    ghost_layers = layers;
    return std::move(*this);
  }
  /// `count` copies one after the other, of which number `current` modulo `count` is shown.
  [[nodiscard]] Region buffered(std::uint32_t count, RegionNumber current) && {
    buffers = count;
    buffer = current;
    return std::move(*this);
  }
  [[nodiscard]] Region placed(std::vector<RegionNumber> at, std::vector<RegionNumber> of) && {
    origin = std::move(at);
    whole = std::move(of);
    return std::move(*this);
  }
  /// Distance between neighbours: the number under `key` in CheckpointOptions::identity.
  [[nodiscard]] Region spaced_by(std::string key) && {
    spacing_key = std::move(key);
    return std::move(*this);
  }
  friend bool operator==(const Region&, const Region&) = default;
};

/// A region of the state that starts at `offset_bytes`; one number unless a shape is given.
[[nodiscard]] inline Region region(std::string name, ElementType element, std::size_t offset_bytes,
                                   std::vector<RegionNumber> shape = {}) {
  Region out;
  out.name = std::move(name);
  out.element = element;
  out.offset_bytes = static_cast<std::uint32_t>(offset_bytes);
  out.shape = std::move(shape);
  return out;
}

namespace detail {
template <class A>
std::vector<Region> actor_regions() {
  std::vector<Region> out;
  if constexpr (requires { A::regions(); }) {
    for (Region region : A::regions()) out.push_back(std::move(region));
  }
  return out;
}
}  // namespace detail
}  // namespace rk
