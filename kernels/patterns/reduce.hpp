// Reduce: a group's members contribute one value each to a round, and all of them get the round's
// result: a time step (Min), a residual (Sum), the largest of anything (Max).
//
// Invariants:
//  1. A node keeps contributions by child index and combines them in that order when all are in.
//  The tree's shape depends on the group's size only (tree.hpp), so a result has the same bits for
//  any worker count, placement and order of messages.
//  2. Two rounds are open at a node: the oldest that is not complete and the one after it. A member
//  may thus be one round ahead of the newest result it got: it may contribute to round r + 1 before
//  it got Reduced of round r, and to r + 2 only after.
//  3. Contributing twice to a round, to a round out of turn or from outside the group fails the
//  node's handler.
//
// Rounds count from 0. Sends per handler: at most kTreeFanOut. A message's payload is 16 bytes.
#pragma once

#include <ringkernel/kernels/patterns/common.hpp>
#include <ringkernel/kernels/patterns/tree.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rk {

template <class T>
concept ReduceValue = std::is_trivially_copyable_v<T> && sizeof(T) <= 8;

/// What the operations here are for.
template <class T>
concept ReduceNumber = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

namespace detail {
template <ReduceValue T>
RK_FN std::uint64_t to_bits(T value) {
  std::uint64_t bits = 0;
  copy_bytes(&bits, &value, sizeof(T));
  return bits;
}
template <ReduceValue T>
RK_FN T from_bits(std::uint64_t bits) {
  T value;
  copy_bytes(&value, &bits, sizeof(T));
  return value;
}
}  // namespace detail

/// To a member: the result of a round.
struct Reduced {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::reduced);
  std::uint32_t round;
  std::uint32_t group;  ///< ReduceGroup::first, for members of several groups
  std::uint64_t bits;

  template <ReduceValue T>
  [[nodiscard]] RK_FN T value() const {
    return detail::from_bits<T>(bits);
  }
};
/// To a node, from a member or a node below.
struct Contribution {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::contribution);
  static constexpr std::uint32_t max_sends = kTreeFanOut;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t round;
  std::uint32_t child;
  std::uint64_t bits;
};
/// To a node from the one above: a round's result on its way down.
struct RoundOutcome {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::outcome);
  static constexpr std::uint32_t max_sends = kTreeFanOut;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t round;
  std::uint32_t reserved;
  std::uint64_t bits;
};

namespace detail {
template <ReduceNumber T>
constexpr std::string_view value_name() {
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, double>) return "f64";
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) return sizeof(T) == 8 ? "i64" : "i32";
  if constexpr (std::is_integral_v<T> && !std::is_signed_v<T>)
    return sizeof(T) == 8 ? "u64" : "u32";
  return "";
}
/// A type's name in checkpoints, put together at compile time.
struct PatternName {
  char text[48] = {};
  constexpr explicit PatternName(std::string_view a, std::string_view b = {},
                                 std::string_view c = {}) {
    std::size_t at = 0;
    for (const std::string_view part : {a, b, c}) {
      for (const char character : part) text[at++] = character;
    }
  }
};
}  // namespace detail

/// Operations. One of your own has a value_type of up to 8 bytes, a `name` that is its own in
/// checkpoints, and combine(): what is associative only on paper still gives the same bits.
template <ReduceNumber T>
struct Sum {
  using value_type = T;
  static constexpr detail::PatternName kName{"rk.reduce.sum.", detail::value_name<T>()};
  static constexpr const char* name = kName.text;
  RK_FN static T combine(T a, T b) { return static_cast<T>(a + b); }
};
/// Of equal values the first; a NaN that comes first stays, a later one is passed over.
template <ReduceNumber T>
struct Min {
  using value_type = T;
  static constexpr detail::PatternName kName{"rk.reduce.min.", detail::value_name<T>()};
  static constexpr const char* name = kName.text;
  RK_FN static T combine(T a, T b) { return b < a ? b : a; }
};
/// As Min.
template <ReduceNumber T>
struct Max {
  using value_type = T;
  static constexpr detail::PatternName kName{"rk.reduce.max.", detail::value_name<T>()};
  static constexpr const char* name = kName.text;
  RK_FN static T combine(T a, T b) { return a < b ? b : a; }
};

/// One node of the tree. spawn_reduce_group (runtime/patterns.hpp) makes them.
template <class Op>
struct ReduceNode {
  using T = typename Op::value_type;
  static_assert(ReduceValue<T>, "a value is trivially copyable and has at most 8 bytes");
  using messages = handles<Contribution, RoundOutcome>;
  static constexpr const char* name = Op::name;

  TreeLinks links{};
  std::uint32_t round = 0;        ///< oldest that is not complete here
  std::uint32_t arrived[2] = {};  ///< by round % 2: a bit for each child
  std::uint64_t values[2][kTreeFanOut] = {};

  template <class Ctx>
  RK_FN void on(const Contribution& contribution, Ctx& ctx) {
    const std::uint32_t ahead = contribution.round - round;
    const std::uint32_t bit = std::uint32_t{1} << (contribution.child % kTreeFanOut);
    if (const std::uint32_t code = refuse(contribution, ahead, bit, ctx.self(), ctx.sender())) {
      return ctx.fail(code);
    }
    const std::uint32_t buffer = contribution.round % 2;
    // ahead of its round nothing can be complete: this child's turn there came first
    const bool complete =
        ahead == 0 && (arrived[buffer] | bit) == (std::uint32_t{1} << links.children) - 1;
    const std::uint32_t done = round;
    ctx.sync();
    if (ctx.leader()) {
      values[buffer][contribution.child] = contribution.bits;
      arrived[buffer] = complete ? 0 : arrived[buffer] | bit;
      if (complete) ++round;
    }
    ctx.sync();
    if (!complete) return;
    T result = detail::from_bits<T>(values[buffer][0]);
    for (std::uint32_t i = 1; i < links.children; ++i)
      result = Op::combine(result, detail::from_bits<T>(values[buffer][i]));
    if (links.is_root()) return pass_down(done, detail::to_bits(result), ctx);
    ctx.send(ref<ReduceNode>{links.parent_id(ctx.self())},
             Contribution{done, links.child_index, detail::to_bits(result)});
  }

  template <class Ctx>
  RK_FN void on(const RoundOutcome& outcome, Ctx& ctx) {
    if (!(ctx.sender() == links.parent_id(ctx.self()))) return ctx.fail(kCodeNotAChild);
    pass_down(outcome.round, outcome.bits, ctx);
  }

 private:
  [[nodiscard]] RK_FN std::uint32_t refuse(const Contribution& contribution, std::uint32_t ahead,
                                           std::uint32_t bit, ActorId self, ActorId sender) const {
    if (contribution.child >= links.children) return kCodeNotAChild;
    if (!(links.child_id(self, contribution.child) == sender)) return kCodeNotAChild;
    if (ahead > 1) return contribution.round + 1 == round ? kCodeContributedTwice : kCodeWrongRound;
    if ((arrived[contribution.round % 2] & bit) != 0) return kCodeContributedTwice;
    if (ahead == 1 && (arrived[round % 2] & bit) == 0) return kCodeWrongRound;
    return 0;
  }
  template <class Ctx>
  RK_FN void pass_down(std::uint32_t done, std::uint64_t bits, Ctx& ctx) const {
    const ActorId self = ctx.self();
    const Reduced reduced{done, links.node_id(self, 0).index(), bits};
    for (std::uint32_t i = 0; i < links.children; ++i) {
      const ActorId child = links.child_id(self, i);
      if (links.leaf != 0) {
        ctx.post(child, Reduced::tag, &reduced, static_cast<std::uint32_t>(sizeof(reduced)));
      } else {
        ctx.send(ref<ReduceNode>{child}, RoundOutcome{done, 0, bits});
      }
    }
  }
};

/// A group and its tree, as members keep it. The nodes are spawned in one piece, so a group can be
/// written down before they exist: ReduceGroup<Op>{index of the next spawn, members}.
template <class Op>
struct ReduceGroup {
  std::uint32_t first = 0;  ///< index of the tree's first node
  std::uint32_t members = 0;

  [[nodiscard]] RK_FN ref<ReduceNode<Op>> leaf(std::uint32_t member) const {
    return {ActorId::make(first + member / kTreeFanOut, 0)};
  }
  [[nodiscard]] RK_FN ref<ReduceNode<Op>> root() const {
    return {ActorId::make(first + tree_nodes(members) - 1, 0)};
  }
};

/// Contributes member `index`'s value to a round. One send. Collective.
template <class Ctx, class Op>
RK_FN void contribute(Ctx& ctx, const ReduceGroup<Op>& group, std::uint32_t index,
                      std::uint32_t round, typename Op::value_type value) {
  ctx.send(group.leaf(index), Contribution{round, index % kTreeFanOut, detail::to_bits(value)});
}

}  // namespace rk
