// Supervisor: restarts the actors that fail under it, in the manner of Erlang/OTP's supervisors.
//
// A child is an actor whose Lifeline names this supervisor. When its handler fails it is suspended
// and the supervisor gets Failed; the answer is a command to the child's worker:
//   one_for_one   restart the child
//   one_for_all   restart all children, in the order in which they were added
//   rest_for_one  restart the child and those added after it
// A temporary child is killed where a permanent one would be restarted, and its own failure touches
// no other child. A failure that would be restart n + 1 within `window_us` (n = intensity, at most
// 16) is too much: the supervisor fails with kCodeIntensity. A supervisor is itself supervised, or
// else the run ends.
//
// A supervisor that is restarted restarts all its children, whoever asked for it and why: so an
// upper supervisor restarts a whole subtree. The failure that was too much is the first it handles
// then (a failed message is); its child is restarted without being counted. If the supervisor is
// killed instead, so is that child, like every one whose failure nobody answers; children that did
// not fail live on until they do.
//
// Give a supervisor Restart::fresh: a `saved` copy remembers the restarts that were too much.
//
// Restarts of one failure are counted once. A child that dies (Down) or is removed is forgotten. A
// failure of an actor that is no child is answered by a kill: nobody else would answer.
//
// Several commands take a sweep: a message of the supervisor to itself per 15 children, which no
// data delays. A child that fails while a sweep has it still to come is restarted by that; one that
// fails again behind the sweep starts another.
#pragma once

#include <ringkernel/kernels/patterns/common.hpp>
#include <ringkernel/runtime/library_message.hpp>

#include <cstdint>

namespace rk {

enum class SupervisorStrategy : std::uint32_t {
  one_for_one = 0,
  one_for_all = 1,
  rest_for_one = 2
};

enum class ChildMode : std::uint32_t {
  permanent = 0,  ///< restarted
  temporary = 1,  ///< killed when it fails
};

/// Adds a child, whoever sends it; of one that is there, changes the mode. The field's size bounds
/// the children.
struct AddChild {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::add_child);
  static constexpr std::uint32_t max_sends = 1;
  ActorId child{};
  ChildMode mode = ChildMode::permanent;
};
/// Answers an AddChild that found no place.
struct ChildRefused {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::child_refused);
  ActorId child{};
};
/// Forgets a child.
struct RemoveChild {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::remove_child);
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
  ActorId child{};
};
/// From the supervisor to itself: the sweep goes on.
struct Sweep {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::sweep);
  static constexpr std::uint32_t kCommands = 15;
  static constexpr std::uint32_t max_sends = kCommands + 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint32_t reserved = 0;
};

struct Child {
  ActorId id{kNoActor};
  ChildMode mode = ChildMode::permanent;
};
static_assert(sizeof(Child) == 8);

RK_FN constexpr std::uint32_t supervisor_field_bytes(std::uint32_t children) {
  return children * static_cast<std::uint32_t>(sizeof(Child));
}

/// Its children lie in the field in the order in which they were added.
struct Supervisor {
  using messages = handles<AddChild, RemoveChild, Failed, Down, Restarted, Sweep>;
  static constexpr const char* name = "rk.supervisor";
  static constexpr bool supervised = true;
  static constexpr std::uint32_t kMaxIntensity = 16;
  static constexpr std::uint32_t kNoLimit = ~std::uint32_t{0};
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  enum class Sweeping : std::uint32_t { no = 0, restart = 1 };

  SupervisorStrategy strategy = SupervisorStrategy::one_for_one;
  /// Restarts within the window; kNoLimit: any number; else more than kMaxIntensity: that many.
  std::uint32_t intensity = 3;
  std::uint64_t window_us = 5'000'000;
  std::uint32_t children = 0;
  Sweeping sweeping = Sweeping::no;
  std::uint32_t next = 0;                    ///< child that a sweep of restarts comes to next
  std::uint32_t again = kNone;               ///< first child of a sweep to come after this one
  std::uint64_t restarts = 0;                ///< failures answered by a restart
  std::uint64_t stamps[kMaxIntensity] = {};  ///< of the newest restarts, by number

  template <class Ctx>
  RK_FN void on(const AddChild& add, Ctx& ctx) {
    const auto table = ctx.template field<Child>();
    const std::uint32_t at = find(table.data, add.child);
    const bool full = at == kNone && children == table.count;
    ctx.sync();
    if (full) return detail::answer(ctx, ctx.sender(), ChildRefused{add.child});
    if (!ctx.leader()) return;
    if (at != kNone) {
      table[at].mode = add.mode;
    } else {
      table[children++] = Child{add.child, add.mode};
    }
  }

  template <class Ctx>
  RK_FN void on(const RemoveChild& remove, Ctx& ctx) {
    const auto table = ctx.template field<Child>();
    if (ctx.leader()) forget(table.data, find(table.data, remove.child));
  }
  template <class Ctx>
  RK_FN void on(const Down& down, Ctx& ctx) {
    const auto table = ctx.template field<Child>();
    if (ctx.leader()) forget(table.data, find(table.data, down.actor));
  }

  template <class Ctx>
  RK_FN void on(const Failed& failed, Ctx& ctx) {
    const auto table = ctx.template field<Child>();
    const std::uint32_t at = find(table.data, failed.child);
    const bool swept = at != kNone && sweeping == Sweeping::restart && at >= next;
    const bool kill = at == kNone || (!swept && table[at].mode == ChildMode::temporary);
    const std::uint64_t now = ctx.now_us();
    // what failed this supervisor comes again when it has been restarted
    const bool again_now = ctx.tries() > 0;
    const bool exceeded = !again_now && is_exceeded(now);
    const bool alone = strategy == SupervisorStrategy::one_for_one;
    const bool idle = sweeping == Sweeping::no;
    ctx.sync();
    if (kill) {
      ctx.command(CommandTag::kill, failed.child, Command{ctx.self(), failed.code, 0, 0});
      if (ctx.leader()) forget(table.data, at);
      return;
    }
    if (swept) return;
    if (exceeded) return ctx.fail(kCodeIntensity);
    if (ctx.leader() && !again_now) note_failure(at, now);
    if (alone || again_now) {
      ctx.command(CommandTag::restart, failed.child, Command{ctx.self(), failed.code, 0, 0});
    } else if (idle) {
      post_sweep(ctx);
    }
  }

  template <class Ctx>
  RK_FN void on(const Sweep&, Ctx& ctx) {
    // a supervisor restarted in the middle has nothing left to sweep
    if (!(ctx.sender() == ctx.self())) return ctx.fail(kCodeNotAMessage);
    if (sweeping == Sweeping::restart) return restart_some(ctx);
  }

  template <class Ctx>
  RK_FN void on(const Restarted&, Ctx& ctx) {
    if (!(ctx.sender() == ctx.self())) return ctx.fail(kCodeNotAMessage);
    const bool idle = sweeping == Sweeping::no;
    ctx.sync();
    if (ctx.leader()) {
      sweeping = Sweeping::restart;
      next = 0;
      again = kNone;
    }
    if (idle) post_sweep(ctx);
  }

 private:
  [[nodiscard]] RK_FN std::uint32_t find(const Child* table, ActorId id) const {
    for (std::uint32_t i = 0; i < children; ++i) {
      if (table[i].id == id) return i;
    }
    return kNone;
  }

  [[nodiscard]] RK_FN std::uint32_t limit() const {
    return intensity < kMaxIntensity ? intensity : kMaxIntensity;
  }
  [[nodiscard]] RK_FN bool is_exceeded(std::uint64_t now) const {
    if (intensity == kNoLimit) return false;
    if (limit() == 0) return true;
    return restarts >= limit() && now - stamps[(restarts - limit()) % kMaxIntensity] <= window_us;
  }

  /// Leader only.
  RK_FN void note_failure(std::uint32_t at, std::uint64_t now) {
    stamps[restarts++ % kMaxIntensity] = now;
    if (strategy == SupervisorStrategy::one_for_one) return;
    const std::uint32_t from = strategy == SupervisorStrategy::one_for_all ? 0 : at;
    if (sweeping == Sweeping::no) {
      sweeping = Sweeping::restart;
      next = from;
    } else if (again == kNone || from < again) {
      again = from;
    }
  }

  /// Takes a child out; what is counted in children moves along. Leader only.
  RK_FN void forget(Child* table, std::uint32_t at) {
    if (at == kNone) return;
    for (std::uint32_t i = at + 1; i < children; ++i) table[i - 1] = table[i];
    table[--children] = Child{};
    if (sweeping == Sweeping::restart && at < next) --next;
    if (again != kNone && at < again) --again;
  }

  template <class Ctx>
  RK_FN void post_sweep(Ctx& ctx) const {
    const Sweep sweep{};
    ctx.post_control(ctx.self(), Sweep::tag, &sweep, sizeof(sweep));
  }

  template <class Ctx>
  RK_FN void restart_some(Ctx& ctx) {
    const auto table = ctx.template field<Child>();
    const std::uint32_t end =
        next + Sweep::kCommands < children ? next + Sweep::kCommands : children;
    for (std::uint32_t i = next; i < end; ++i) {
      const bool temporary = table[i].mode == ChildMode::temporary;
      ctx.command(temporary ? CommandTag::kill : CommandTag::restart, table[i].id,
                  Command{ctx.self(), temporary ? kCodeKilled : 0, 0, 0});
    }
    const bool more = end < children || again != kNone;
    ctx.sync();
    if (ctx.leader()) {
      const std::uint32_t from = next;
      next = end;
      for (std::uint32_t i = end; i > from; --i) {
        if (table[i - 1].mode == ChildMode::temporary) forget(table.data, i - 1);
      }
      if (next == children) {
        sweeping = again == kNone ? Sweeping::no : Sweeping::restart;
        next = again == kNone ? 0 : again;
        again = kNone;
      }
    }
    if (more) post_sweep(ctx);
  }
};

}  // namespace rk
