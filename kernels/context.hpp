// What a handler sees: its actor, its message, and everything it may do.
//
// A handler runs to completion on every lane of its worker's group. Calls marked *collective* are
// made by all lanes with the same arguments; their effect happens once. State that several lanes
// write must be written by one of them
// (`leader()`), with ctx.sync() between dependent steps. On the host a group has one lane and none
// of this costs anything.
#pragma once

#include <ringkernel/kernels/rng.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/mutant.hpp>
#include <ringkernel/runtime/slot.hpp>

#include <cstddef>
#include <cstdint>

namespace rk {

/// A slab block that a handler fills and sends, or that came with its message. `data` has `count`
/// elements.
template <class T>
struct Block {
  T* data = nullptr;
  std::uint32_t count = 0;
  BlockRef ref{};

  RK_FN T& operator[](std::uint64_t i) const { return data[i]; }
  RK_FN explicit operator bool() const { return data != nullptr; }
};

template <class Worker, class Group>
class Context {
 public:
  RK_FN Context(Worker& worker, Group& group, SlotHeader& slot, const MessageView& message)
      : worker_(worker), group_(group), slot_(slot), message_(message) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  RK_FN Group& group() { return group_; }
  [[nodiscard]] RK_FN bool leader() const { return group_.rank() == 0; }
  RK_FN void sync() { group_.sync(); }

  /// Runs f(i) for i in [0, n), spread over the lanes; a barrier before and after. Collective.
  template <class F>
  RK_FN void parallel_for(std::uint32_t n, F f) {
    group_.sync();
    for (std::uint32_t i = group_.rank(); i < n; i += group_.size()) f(i);
    group_.sync();
  }

  [[nodiscard]] RK_FN ActorId self() const { return slot_.id; }
  [[nodiscard]] RK_FN ActorId sender() const { return message_.header().src; }
  /// Number of this message among all that its sender ever sent; increases per (sender, receiver)
  /// pair.
  [[nodiscard]] RK_FN std::uint32_t source_sequence() const {
    return message_.header().source_sequence;
  }
  /// Messages this actor handled before this one.
  [[nodiscard]] RK_FN std::uint64_t handled() const { return slot_.handled; }
  [[nodiscard]] RK_FN std::uint32_t worker() const { return worker_.index(); }

  /// The actor's trailing field, as sized at spawn.
  template <class T>
  [[nodiscard]] RK_FN Block<T> field() const {
    return {reinterpret_cast<T*>(slot_field(&slot_)),
            static_cast<std::uint32_t>(slot_.field_bytes / sizeof(T)),
            {}};
  }
  /// The block that came with the message; empty if none did. Valid until the handler returns.
  template <class T>
  [[nodiscard]] RK_FN Block<const T> payload() const {
    if (!message_.has_block()) return {};
    const BlockRef& ref = message_.block();
    return {reinterpret_cast<const T*>(worker_.block_address(ref)),
            static_cast<std::uint32_t>(ref.bytes / sizeof(T)), ref};
  }

  /// A fresh block of `count` elements to fill and send; empty if the handler broke its declared
  /// budget (the run then stops with an error). Collective. A block that is not sent is freed when
  /// the handler returns.
  template <class T>
  [[nodiscard]] RK_FN Block<T> block(std::uint32_t count) {
    BlockRef ref{};
    bool granted = false;
    if (leader()) granted = worker_.take_block(std::uint64_t{count} * sizeof(T), ref);
    granted = group_.broadcast(granted);
    if (!granted) return {};
    ref = group_.broadcast(ref);
    return {reinterpret_cast<T*>(worker_.block_address(ref)), count, ref};
  }

  /// Sends `message`. Collective. Never waits, never fails for lack of room.
  template <class A, class M>
  RK_FN void send(ref<A> to, const M& message) {
    static_assert(handles_v<A, M>,
                  "the receiving actor type does not list this message in `messages`");
    if (leader())
      worker_.send(slot_, to.id, M::tag, reinterpret_cast<const std::byte*>(&message), sizeof(M),
                   nullptr);
  }
  /// Sends `message` with a block, which then belongs to the message. Collective.
  template <class A, class M, class T>
  RK_FN void send(ref<A> to, const M& message, const Block<T>& block) {
    static_assert(handles_v<A, M>,
                  "the receiving actor type does not list this message in `messages`");
    if constexpr (!planted(Mutant::no_barrier)) group_.sync();
    if (leader()) {
      worker_.send(slot_, to.id, M::tag, reinterpret_cast<const std::byte*>(&message), sizeof(M),
                   &block.ref);
    }
  }
  /// Sends `message` to the host application (Runtime::on_output). Collective.
  template <class M>
  RK_FN void send_to_host(const M& message) {
    static_assert(Message<M>,
                  "an output is trivially copyable, has a tag up to 255 and at most 80 bytes");
    static_assert(sizeof(M) <= Worker::kInlineBytes,
                  "this program's messages are small and so are its slots: an output of this size "
                  "needs a message of at least 17 bytes in some actor's `messages`");
    if (leader())
      worker_.send_to_host(slot_, M::tag, reinterpret_cast<const std::byte*>(&message), sizeof(M));
  }

  /// Ends the run with ErrorCode::handler_failed, naming actor, message and `code`. Collective.
  RK_FN void fail(std::uint32_t code) {
    if (leader()) worker_.fail(slot_.id, message_.header().tag, code);
  }

  /// Random numbers of this message: the same for any worker count, executor and restart, if
  /// messages come in the same order.
  [[nodiscard]] RK_FN Rng rng() const { return rng(slot_.handled); }
  /// Random numbers at a position the actor counts itself: independent of message order.
  [[nodiscard]] RK_FN Rng rng(std::uint64_t position) const {
    return Rng(worker_.seed(), slot_.id.word, position);
  }

 private:
  Worker& worker_;
  Group& group_;
  SlotHeader& slot_;
  const MessageView& message_;
};

}  // namespace rk
