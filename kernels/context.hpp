// What a handler sees: its actor, its message, and everything it may do.
//
// A handler runs to completion on every lane of its group: by its actor type's grain that is the
// worker's whole group, 32 lanes of it or one. Calls marked *collective* are made by all lanes with
// the same arguments; their effect happens once. State that several lanes write must be written by
// one of them (`leader()`), with ctx.sync() between dependent steps. On the host a group has one
// lane and none of this costs anything.
//
// Where a worker runs several handlers side by side (a batch, grain below block) each stages what
// it sends and lane 0 stamps it afterwards, handler by handler: `Staged`.
#pragma once

#include <ringkernel/kernels/rng.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/control.hpp>
#include <ringkernel/runtime/library_message.hpp>
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

/// How a handler ended, besides what it sent.
struct HandlerOutcome {
  Fault fault = Fault::none;
  std::uint32_t code = 0;  ///< of ctx.fail, or explains the fault
  bool stops = false;      ///< ctx.stop
};

/// A message before it is stamped.
struct Draft {
  ActorId to{};
  std::uint8_t tag = 0;
  std::uint8_t flags = 0;  ///< kFlagControl, kFlagSystem, kFlagTrailer
  MessageKind kind = MessageKind::plain;
  std::uint32_t correlation = 0;
  std::uint64_t due = 0;
  const BlockRef* block = nullptr;
};

template <class Worker, class Group, bool Staged = false>
class Context {
 public:
  static constexpr bool kIsStaged = Staged;

  RK_FN Context(Worker& worker, Group& group, SlotHeader& slot, const MessageView& message,
                std::byte* stage = nullptr)
      : worker_(worker), group_(group), slot_(slot), message_(message.slot), stage_(stage) {}
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
  [[nodiscard]] RK_FN ActorId sender() const { return message().header().src; }
  [[nodiscard]] RK_FN MessageView message() const { return {message_, Worker::kSlotBytes}; }
  /// Number of this message among all that its sender ever sent; increases per (sender, receiver)
  /// pair and lane, timers apart.
  [[nodiscard]] RK_FN std::uint32_t source_sequence() const {
    return message().header().source_sequence;
  }
  /// Messages this actor handled before this one.
  [[nodiscard]] RK_FN std::uint64_t handled() const { return slot_.handled; }
  [[nodiscard]] RK_FN std::uint32_t worker() const { return worker_.index(); }
  /// Physical part of the worker's hybrid clock: microseconds since 1970. All lanes of a handler
  /// read the same.
  [[nodiscard]] RK_FN std::uint64_t now_us() const { return worker_.handler_now_us(); }
  /// Handlers that failed on this message before.
  [[nodiscard]] RK_FN std::uint32_t tries() const { return message().route().tries; }

  /// The actor's trailing field, as sized at spawn.
  template <class T>
  [[nodiscard]] RK_FN Block<T> field() const {
    return {reinterpret_cast<T*>(slot_field(&slot_)),
            static_cast<std::uint32_t>(Worker::field_bytes(slot_) / sizeof(T)),
            {}};
  }
  /// The block that came with the message; empty if none did. Valid until the handler returns.
  template <class T>
  [[nodiscard]] RK_FN Block<const T> payload() const {
    if (!message().has_block()) return {};
    const BlockRef& ref = message().block();
    return {reinterpret_cast<const T*>(worker_.block_address(ref)),
            static_cast<std::uint32_t>(ref.bytes / sizeof(T)), ref};
  }

  /// A fresh block of `count` elements to fill and send; empty if the handler broke its declared
  /// budget (the run then stops with an error). Collective. A block that is not sent is freed when
  /// the handler returns.
  template <class T>
  [[nodiscard]] RK_FN Block<T> block(std::uint32_t count) {
    static_assert(!Staged, "a handler whose message declares blocks is never batched");
    BlockRef ref{};
    bool granted = false;
    if (leader()) granted = take_block(std::uint64_t{count} * sizeof(T), ref);
    granted = group_.broadcast(granted);
    if (!granted) return {};
    ref = group_.broadcast(ref);
    return {reinterpret_cast<T*>(worker_.block_address(ref)), count, ref};
  }

  // --- sending: never waits, never fails for lack of room

  /// Sends `message`. Collective.
  template <class A, class M>
  RK_FN RK_HOT void send(ref<A> to, const M& message) {
    check_handles<A, M>();
    emit(Draft{.to = to.id, .tag = M::tag}, message);
  }
  /// Sends `message` on the control lane: it overtakes what waits on the other one. Collective.
  template <class A, class M>
  RK_FN void send_control(ref<A> to, const M& message) {
    check_handles<A, M>();
    emit(Draft{.to = to.id, .tag = M::tag, .flags = kFlagControl}, message);
  }
  /// Sends `message` with a block, which then belongs to the message. Collective.
  template <class A, class M, class T>
  RK_FN void send(ref<A> to, const M& message, const Block<T>& block) {
    static_assert(!Staged, "a handler whose message declares blocks is never batched");
    check_handles<A, M>();
    if constexpr (!planted(Mutant::no_barrier)) group_.sync();
    emit(Draft{.to = to.id, .tag = M::tag, .block = &block.ref}, message);
  }
  /// Sends if that takes nothing away from what the handler still may send, and the receiver's
  /// queue has room now; for those who have something else to do. Collective. The lane that leads
  /// learns the truth, the others too.
  template <class A, class M>
  [[nodiscard]] RK_FN bool try_send(ref<A> to, const M& message) {
    static_assert(!Staged, "try_send needs a worker for itself: grain block");
    check_handles<A, M>();
    bool sent = false;
    if (leader() && worker_.can_send(to.id, left_.sends)) {
      sent = true;
      ++left_.sends;
      emit(Draft{.to = to.id, .tag = M::tag}, message);
    }
    return group_.broadcast(sent);
  }
  /// Untyped: a message of `bytes` bytes, at most 80 and what the program's slots hold. A receiver
  /// that does not handle the tag makes it a dead letter. Collective.
  RK_FN void post(ActorId to, std::uint8_t tag, const void* payload, std::uint32_t bytes) {
    if (leader()) emit_bytes(Draft{.to = to, .tag = tag}, payload, bytes);
  }
  RK_FN void post_control(ActorId to, std::uint8_t tag, const void* payload, std::uint32_t bytes) {
    if (leader()) emit_bytes(Draft{.to = to, .tag = tag, .flags = kFlagControl}, payload, bytes);
  }

  /// Sends `message` to the host application (Runtime::on_output). Collective.
  template <class M>
  RK_FN void send_to_host(const M& message) {
    static_assert(Message<M>,
                  "an output is trivially copyable, has a tag up to 255 and at most 80 bytes");
    static_assert(sizeof(M) <= Worker::kInlineBytes,
                  "this program's messages are small and so are its slots: an output of this size "
                  "needs a message of at least 17 bytes in some actor's `messages`");
    emit(Draft{.to = kHostId, .tag = M::tag}, message);
  }

  // --- asks and timers: the message declares `max_timers`

  /// Sends `message` as a question. The answer comes as a message whose correlation() is what this
  /// returns (to the leading lane); without one within `deadline_us` comes an AskExpired. Takes one
  /// send and one timer. Collective.
  template <class A, class M>
  RK_FN std::uint32_t ask(ref<A> to, const M& message, std::uint64_t deadline_us) {
    static_assert(!Staged, "a handler whose message declares timers is never batched");
    check_handles<A, M>();
    std::uint32_t correlation = 0;
    if (leader() && take_timer()) {
      correlation = worker_.set_ask_deadline(slot_, now_us() + deadline_us);
      emit(Draft{.to = to.id, .tag = M::tag, .kind = MessageKind::ask, .correlation = correlation},
           message);
    }
    return correlation;
  }
  /// Answers the question being handled. Anything else is not an ask: the answer is a plain message
  /// to its sender. Collective.
  template <class M>
  RK_FN void reply(const M& message) {
    const bool is_ask = this->message().route().message_kind() == MessageKind::ask;
    if (sender() == kHostId) {
      static_assert(sizeof(M) <= Worker::kInlineBytes - sizeof(Envelope),
                    "a reply to the host needs room for its envelope");
      emit(Draft{.to = kHostId,
                 .tag = M::tag,
                 .flags = kFlagTrailer,
                 .kind = is_ask ? MessageKind::reply : MessageKind::plain,
                 .correlation = correlation()},
           message);
    } else {
      emit(Draft{.to = sender(),
                 .tag = M::tag,
                 .kind = is_ask ? MessageKind::reply : MessageKind::plain,
                 .correlation = correlation()},
           message);
    }
  }
  /// Of the ask or answer being handled; 0 for other messages.
  [[nodiscard]] RK_FN std::uint32_t correlation() const {
    const MessageKind kind = message().route().message_kind();
    return kind == MessageKind::ask || kind == MessageKind::reply ? message().envelope().correlation
                                                                  : 0;
  }

  /// Sends `message` when `delay_us` microseconds of the worker's clock have passed. Takes one
  /// timer. Collective.
  template <class A, class M>
  RK_FN void send_after(std::uint64_t delay_us, ref<A> to, const M& message) {
    check_handles<A, M>();
    set_timer(
        Draft{
            .to = to.id, .tag = M::tag, .kind = MessageKind::timer_us, .due = now_us() + delay_us},
        message);
  }
  /// Sends `message` when this actor has handled `steps` more messages, this one not counted: the
  /// same for any clock and worker count. It waits for ever if they never come. Takes one timer.
  /// Collective.
  template <class A, class M>
  RK_FN void send_after_steps(std::uint64_t steps, ref<A> to, const M& message) {
    check_handles<A, M>();
    set_timer(Draft{.to = to.id,
                    .tag = M::tag,
                    .kind = MessageKind::timer_steps,
                    .due = handled() + 1 + steps},
              message);
  }

  // --- life and death

  /// A new actor on this worker, with this state and a zeroed field; an invalid reference if no
  /// place is free (Runtime::reserve) or the message's `max_spawns` is used up. Collective.
  template <class A>
  [[nodiscard]] RK_FN ref<A> spawn(const A& state, const SpawnPolicy& policy = {}) {
    static_assert(!Staged, "a handler whose message declares spawns is never batched");
    ref<A> born{kNoActor};
    if (leader() && left_.spawns > 0) {
      --left_.spawns;
      born.id = worker_.template spawn<A>(state, policy);
    }
    return group_.broadcast(born);
  }
  /// Asks `worker` for a new A{} that handles `first` as its first message. If this actor's type
  /// handles Spawned, it is told who that is. Takes one send. Collective.
  template <class A, class M>
  RK_FN void spawn_on(std::uint32_t worker, const M& first, std::uint32_t correlation = 0) {
    check_handles<A, M>();
    emit(Draft{.to = worker_address(worker % worker_.worker_count()),
               .tag = static_cast<std::uint8_t>(CommandTag::spawn),
               .flags = kFlagControl | kFlagSystem,
               .correlation = correlation,
               .due = Worker::template type_of<A>() | std::uint64_t{M::tag} << 32},
         first);
  }
  /// Near another actor: on its worker.
  template <class A, class B, class M>
  RK_FN void spawn_near(ref<B> neighbour, const M& first, std::uint32_t correlation = 0) {
    spawn_on<A>(worker_.worker_of(neighbour.id), first, correlation);
  }
  /// Spread: on a worker that differs from call to call.
  template <class A, class M>
  RK_FN void spawn_spread(const M& first, std::uint32_t correlation = 0) {
    // the leader's alone: its sends count the sequence up
    spawn_on<A>(leader() ? slot_.id.index() + slot_.source_sequence : 0, first, correlation);
  }
  /// Ends an actor: what is sent to it from then on, and what waits for it, are dead letters. Takes
  /// one send. Collective.
  RK_FN void kill(ActorId actor, std::uint32_t code = kCodeKilled) {
    command(CommandTag::kill, actor, Command{.code = code});
  }
  /// Ends this actor when the handler has returned. Collective.
  RK_FN void stop() { outcome_.stops = true; }
  /// Fails this handler. A supervised actor is suspended, its message kept, and its supervisor
  /// told; else the run ends with ErrorCode::handler_failed, naming actor, message and `code`.
  /// Collective.
  RK_FN void fail(std::uint32_t code) { raise(Fault::failed, code); }
  /// Links this actor and `peer`: the death of one fails the other. Both types declare `max_links`.
  /// Takes one send. Collective.
  RK_FN void link(ActorId peer) { relate(peer, LinkKind::link, LinkKind::link); }
  RK_FN void unlink(ActorId peer) { end_relation(peer, LinkKind::link, LinkKind::link); }
  /// A Down comes when `peer` dies, at once if it is dead. Both types declare `max_links`. Takes
  /// one send. Collective.
  RK_FN void monitor(ActorId peer) { relate(peer, LinkKind::watches, LinkKind::watched_by); }
  RK_FN void demonitor(ActorId peer) {
    end_relation(peer, LinkKind::watches, LinkKind::watched_by);
  }
  /// A command to the worker of `actor`, for supervisors. Takes one send. Collective.
  RK_FN void command(CommandTag tag, ActorId actor, const Command& command) {
    emit(Draft{.to = actor,
               .tag = static_cast<std::uint8_t>(tag),
               .flags = kFlagControl | kFlagSystem},
         command);
  }

  /// Random numbers of this message: the same for any worker count, executor and restart, if
  /// messages come in the same order.
  [[nodiscard]] RK_FN Rng rng() const { return rng(slot_.handled); }
  /// Random numbers at a position the actor counts itself: independent of message order.
  [[nodiscard]] RK_FN Rng rng(std::uint64_t position) const {
    return Rng(worker_.seed(), slot_.id.word, position);
  }

  // --- used by Program and Worker

  /// What the message being handled declares.
  RK_FN void grant(const Budget& budget) { left_ = budget; }
  [[nodiscard]] RK_FN const HandlerOutcome& outcome() const { return outcome_; }
  [[nodiscard]] RK_FN std::uint32_t staged() const { return staged_; }

 private:
  template <class A, class M>
  RK_FN static constexpr void check_handles() {
    static_assert(handles_v<A, M>,
                  "the receiving actor type does not list this message in `messages`");
  }
  RK_FN void raise(Fault fault, std::uint32_t code) {
    if (outcome_.fault != Fault::none) return;
    outcome_.fault = fault;
    outcome_.code = code;
  }
  RK_FN RK_HOT bool take_send(ActorId to) {
    std::uint32_t& left = to == kHostId ? left_.host_sends : left_.sends;
    if (left == 0) {
      raise(to == kHostId ? Fault::too_many_outputs : Fault::too_many_sends, 0);
      return false;
    }
    --left;
    return true;
  }
  RK_FN bool take_timer() {
    if (left_.timers == 0) return raise(Fault::too_many_timers, 0), false;
    --left_.timers;
    return true;
  }
  RK_FN bool take_block(std::uint64_t bytes, BlockRef& ref) {
    if (left_.blocks == 0) return raise(Fault::too_many_blocks, 0), false;
    --left_.blocks;
    const Fault fault = worker_.take_block(bytes, ref);
    if (fault != Fault::none) raise(fault, static_cast<std::uint32_t>(bytes));
    return fault == Fault::none;
  }

  template <class M>
  RK_FN RK_HOT void emit(const Draft& draft, const M& message) {
    if (!leader() || !take_send(draft.to)) return;
    if (draft.block != nullptr && !worker_.hand_over(*draft.block))
      return raise(Fault::block_not_owned, draft.block->block);
    if constexpr (Staged) {
      worker_.stage(slot_, draft, reinterpret_cast<const std::byte*>(&message), sizeof(M), stage_,
                    staged_++);
    } else {
      worker_.send(slot_, draft, reinterpret_cast<const std::byte*>(&message), sizeof(M));
    }
  }
  RK_FN void emit_bytes(const Draft& draft, const void* payload, std::uint32_t bytes) {
    if (bytes > Worker::kInlineBytes - sizeof(Envelope))
      return raise(Fault::message_too_large, bytes);
    if (!take_send(draft.to)) return;
    if constexpr (Staged) {
      worker_.stage(slot_, draft, static_cast<const std::byte*>(payload), bytes, stage_, staged_++);
    } else {
      worker_.send(slot_, draft, static_cast<const std::byte*>(payload), bytes);
    }
  }
  template <class M>
  RK_FN void set_timer(const Draft& draft, const M& message) {
    static_assert(!Staged, "a handler whose message declares timers is never batched");
    if (!leader() || !take_timer()) return;
    worker_.set_timer(slot_, draft, reinterpret_cast<const std::byte*>(&message), sizeof(M));
  }
  RK_FN void relate(ActorId peer, LinkKind mine, LinkKind theirs) {
    if (!leader()) return;
    if (!worker_.add_link(slot_, Link{peer, mine})) return raise(Fault::too_many_links, peer.word);
    command(CommandTag::link, peer,
            Command{.actor = slot_.id, .value = static_cast<std::uint32_t>(theirs)});
  }
  RK_FN void end_relation(ActorId peer, LinkKind mine, LinkKind theirs) {
    if (!leader()) return;
    worker_.remove_link(slot_, Link{peer, mine});
    command(CommandTag::unlink, peer,
            Command{.actor = slot_.id, .value = static_cast<std::uint32_t>(theirs)});
  }

  Worker& worker_;
  Group& group_;
  SlotHeader& slot_;
  std::byte* const message_;
  std::byte* stage_;
  Budget left_;  ///< granted before the handler runs
  HandlerOutcome outcome_{};
  std::uint32_t staged_ = 0;
};

}  // namespace rk
