// Broadcast: a message of the application's own type goes down a tree to all members of a group.
//
// Guarantees: each member gets each broadcast once, and all members get a group's broadcasts in the
// same order: that in which the root handled them, which is FIFO per sender. The members'
// `sender()` is a node of the tree. Sends per handler: at most kTreeFanOut.
#pragma once

#include <ringkernel/kernels/patterns/common.hpp>
#include <ringkernel/kernels/patterns/tree.hpp>

#include <cstdint>
#include <type_traits>

namespace rk {

/// M on its way down the tree: the same tag and bytes, with the budget of a node.
template <class M>
struct Relay {
  static constexpr std::uint8_t tag = M::tag;
  static constexpr std::uint32_t max_sends = kTreeFanOut;
  static constexpr std::uint32_t max_host_sends = 0;
  M message;
};

namespace detail {
/// "rk.broadcast" and a dot and the tag for each message.
template <class... Ms>
struct BroadcastName {
  char text[16 + 4 * sizeof...(Ms)] = {};
  constexpr BroadcastName() {
    std::size_t at = 0;
    for (const char character : {'r', 'k', '.', 'b', 'r', 'o', 'a', 'd', 'c', 'a', 's', 't'})
      text[at++] = character;
    (void)((add(at, Ms::tag), true) && ...);
  }

 private:
  constexpr void add(std::size_t& at, std::uint32_t number) {
    text[at++] = '.';
    for (std::uint32_t unit = 100; unit > 0; unit /= 10) {
      if (number >= unit || unit == 1) text[at++] = static_cast<char>('0' + number / unit % 10);
    }
  }
};
}  // namespace detail

/// One node of a tree for messages of types Ms, which any actor may send to the root as Relay<M>.
/// spawn_broadcast_group (runtime/patterns.hpp) makes the nodes.
template <class... Ms>
struct BroadcastNode {
  using messages = handles<Relay<Ms>...>;
  static constexpr detail::BroadcastName<Ms...> kName{};
  static constexpr const char* name = kName.text;

  TreeLinks links{};

  template <class M, class Ctx>
  RK_FN void on(const Relay<M>& relay, Ctx& ctx) const {
    for (std::uint32_t i = 0; i < links.children; ++i)
      ctx.post(links.child_id(ctx.self(), i), M::tag, &relay.message,
               static_cast<std::uint32_t>(sizeof(M)));
  }
};

/// A group and its tree, as senders keep it; see ReduceGroup.
template <class... Ms>
struct BroadcastGroup {
  std::uint32_t first = 0;
  std::uint32_t members = 0;

  [[nodiscard]] RK_FN ref<BroadcastNode<Ms...>> root() const {
    return {ActorId::make(first + tree_nodes(members) - 1, 0)};
  }
};

/// Sends `message` to all members. One send. Collective.
template <class Ctx, class M, class... Ms>
RK_FN void broadcast(Ctx& ctx, const BroadcastGroup<Ms...>& group, const M& message) {
  ctx.send(group.root(), Relay<M>{message});
}

}  // namespace rk
