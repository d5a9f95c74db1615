// The shape of the trees of reduce.hpp and broadcast.hpp.
//
//   members   0 .. 15   16 .. 31   32 .. 39        nodes in spawn order: the leaves, then level by
//   leaves       0          1          2           level up to the root, which is the last
//   root                    3
//
// Invariant: the shape depends on the group's size only, never on workers or placement. So does the
// order in which values meet, hence every bit of a result.
#pragma once

#include <ringkernel/runtime/message.hpp>

#include <cstdint>

namespace rk {

/// Children of a node: members of the group, or nodes.
inline constexpr std::uint32_t kTreeFanOut = 16;

/// Nodes of a tree over so many members.
RK_FN constexpr std::uint32_t tree_nodes(std::uint32_t members) {
  std::uint32_t nodes = 0;
  std::uint32_t level = members;
  do {
    level = (level + kTreeFanOut - 1) / kTreeFanOut;
    nodes += level;
  } while (level > 1);
  return nodes;
}

/// Where one node stands.
struct TreePlace {
  std::uint32_t parent = 0;       ///< node; its own number: the root
  std::uint32_t child_index = 0;  ///< of this node in its parent
  std::uint32_t first_child = 0;  ///< a member of a leaf, else a node
  std::uint32_t children = 0;
  bool leaf = false;
};

RK_FN constexpr TreePlace tree_place(std::uint32_t members, std::uint32_t node) {
  TreePlace place;
  std::uint32_t below = members;  // in the level under this one
  std::uint32_t below_start = 0;  // its first node
  std::uint32_t start = 0;        // this level's first node
  for (bool leaf = true;; leaf = false) {
    const std::uint32_t count = (below + kTreeFanOut - 1) / kTreeFanOut;
    if (node < start + count) {
      const std::uint32_t at = node - start;
      place.leaf = leaf;
      place.first_child = (leaf ? 0 : below_start) + at * kTreeFanOut;
      const std::uint32_t left = below - at * kTreeFanOut;
      place.children = left < kTreeFanOut ? left : kTreeFanOut;
      place.parent = count == 1 ? node : start + count + at / kTreeFanOut;
      place.child_index = at % kTreeFanOut;
      return place;
    }
    below = count;
    below_start = start;
    start += count;
  }
}

/// What a node of either tree keeps of its place. Nodes are spawned in one piece, so a node knows
/// the others' ids by their distance from its own.
struct TreeLinks {
  std::uint32_t node = 0;  ///< its number
  std::uint32_t parent = 0;
  std::uint32_t child_index = 0;
  std::uint32_t first_child = 0;
  std::uint32_t children = 0;
  std::uint32_t leaf = 0;
  ActorId member[kTreeFanOut] = {};  ///< of a leaf

  [[nodiscard]] RK_FN bool is_root() const { return parent == node; }
  [[nodiscard]] RK_FN ActorId node_id(ActorId self, std::uint32_t number) const {
    return ActorId::make(self.index() - node + number, 0);
  }
  [[nodiscard]] RK_FN ActorId parent_id(ActorId self) const { return node_id(self, parent); }
  [[nodiscard]] RK_FN ActorId child_id(ActorId self, std::uint32_t child) const {
    return leaf != 0 ? member[child] : node_id(self, first_child + child);
  }
};

}  // namespace rk
