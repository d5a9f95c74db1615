// Topic: publications to a group whose members come and go while it runs.
//
// Guarantees:
//  1. A subscriber gets exactly the publications that the topic handled after its Subscribe and
//  before its Unsubscribe, each once.
//  2. All subscribers get them in the same order: that in which the topic handled them, which is
//  FIFO per publisher. Their `sender()` is the topic.
//  3. No handler sends more than kMembersPerChunk + 1 messages, however many subscribe.
//
// How: members lie in the field in chunks. A publication visits one chunk per handler, going on by
// a message of the topic to itself (NextChunk). These are FIFO, so publications visit a chunk in
// the order in which they were handled, and a chunk's count of visitors is the number of the
// visitor: it needs no number of its own. A member's place names the first and last publication
// that are for it, so what happens to the table while a publication is on its way concerns only
// later ones; a place is free again when the last one for its member has passed.
#pragma once

#include <ringkernel/kernels/patterns/common.hpp>
#include <ringkernel/runtime/library_message.hpp>

#include <cstdint>

namespace rk {

/// Adds `member`, whoever sends it. Nothing happens if it is a member already.
struct Subscribe {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::subscribe);
  static constexpr std::uint32_t max_sends = 1;
  ActorId member{};
};
/// Answers a Subscribe that found no place.
struct SubscribeRefused {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::subscribe_refused);
  static constexpr std::uint32_t max_sends = 0;
  ActorId member{};
};
/// Takes `member` out. Nothing happens if it is none.
struct Unsubscribe {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::unsubscribe);
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
  ActorId member{};
};

inline constexpr std::uint32_t kMembersPerChunk = 15;
inline constexpr std::uint32_t kMaxPublicationBytes = 12;

/// A message of the application for all members. publication() fills it.
struct Publication {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::publication);
  static constexpr std::uint32_t max_sends = kMembersPerChunk + 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint8_t message_tag;
  std::uint8_t bytes;
  std::uint16_t reserved;
  std::byte payload[kMaxPublicationBytes];
};
/// From the topic to itself: a publication goes on to `chunk`.
struct NextChunk {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::next_chunk);
  static constexpr std::uint32_t max_sends = kMembersPerChunk + 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint8_t message_tag;
  std::uint8_t bytes;
  std::uint16_t chunk;
  std::byte payload[kMaxPublicationBytes];
};
static_assert(sizeof(Publication) == 16 && sizeof(NextChunk) == 16);

template <class M>
[[nodiscard]] RK_FN Publication publication(const M& message) {
  static_assert(Message<M> && sizeof(M) <= kMaxPublicationBytes,
                "a publication carries a message of up to 12 bytes");
  Publication out{static_cast<std::uint8_t>(M::tag), static_cast<std::uint8_t>(sizeof(M)), 0, {}};
  detail::copy_bytes(out.payload, &message, sizeof(M));
  return out;
}

/// Publications are numbered from 1 as the topic handles them.
struct TopicMember {
  static constexpr std::uint64_t kStays = ~std::uint64_t{0};
  ActorId id{kNoActor};
  std::uint32_t reserved = 0;
  std::uint64_t after = 0;  ///< gets publications above this
  std::uint64_t upto = 0;   ///< and not above this; kStays: it is a member

  [[nodiscard]] RK_FN bool active() const { return upto == kStays; }
};
struct TopicChunk {
  std::uint64_t first = 0;    ///< publications up to this one do not visit it
  std::uint64_t visited = 0;  ///< newest that did
  TopicMember members[kMembersPerChunk];
};

/// Bytes of the field of a topic for so many members.
RK_FN constexpr std::uint32_t topic_field_bytes(std::uint32_t members) {
  return (members + kMembersPerChunk - 1) / kMembersPerChunk *
         static_cast<std::uint32_t>(sizeof(TopicChunk));
}

/// spawn_topic (runtime/patterns.hpp) makes one; its field's size bounds its members.
struct Topic {
  using messages = handles<Subscribe, Unsubscribe, Publication, NextChunk, Down>;
  static constexpr const char* name = "rk.topic";

  std::uint64_t published = 0;  ///< publications handled
  std::uint32_t chunks = 0;     ///< chunks in use
  std::uint32_t members = 0;
  std::uint64_t refused = 0;  ///< subscriptions

  template <class Ctx>
  RK_FN void on(const Subscribe& subscribe, Ctx& ctx) {
    const auto table = ctx.template field<TopicChunk>();
    const Search search = find(table.data, table.count, subscribe.member);
    if (search.active != kNowhere) return;
    ctx.sync();
    if (search.free == kNowhere) {
      if (ctx.leader()) ++refused;
      return detail::answer(ctx, ctx.sender(), SubscribeRefused{subscribe.member});
    }
    if (!ctx.leader()) return;
    const std::uint32_t chunk = search.free / kMembersPerChunk;
    if (chunk == chunks) {
      table[chunk].first = table[chunk].visited = published;
      for (TopicMember& member : table[chunk].members) member = TopicMember{};
      ++chunks;
    }
    table[chunk].members[search.free % kMembersPerChunk] =
        TopicMember{subscribe.member, 0, published, TopicMember::kStays};
    ++members;
  }

  template <class Ctx>
  RK_FN void on(const Unsubscribe& unsubscribe, Ctx& ctx) {
    remove(unsubscribe.member, ctx);
  }
  /// A topic watches nobody by itself; who makes it watch a member has it taken out at its death.
  template <class Ctx>
  RK_FN void on(const Down& down, Ctx& ctx) {
    remove(down.actor, ctx);
  }

  template <class Ctx>
  RK_FN void on(const Publication& publication, Ctx& ctx) {
    if (publication.bytes > kMaxPublicationBytes) return ctx.fail(kCodeNotAMessage);
    const bool deliver = chunks > 0;
    ctx.sync();
    if (ctx.leader()) ++published;
    ctx.sync();
    if (!deliver) return;
    NextChunk visit{publication.message_tag, publication.bytes, 0, {}};
    detail::copy_bytes(visit.payload, publication.payload, kMaxPublicationBytes);
    visit_chunk(visit, ctx);
  }

  template <class Ctx>
  RK_FN void on(const NextChunk& visit, Ctx& ctx) {
    if (!(ctx.sender() == ctx.self())) return ctx.fail(kCodeNotAMessage);
    visit_chunk(visit, ctx);
  }

 private:
  static constexpr std::uint32_t kNowhere = ~std::uint32_t{0};
  struct Search {
    std::uint32_t active = kNowhere;  ///< where the actor is a member
    std::uint32_t free = kNowhere;    ///< where it may become one
  };

  /// An actor that left while publications are still on their way to it comes back behind its old
  /// place: publications visit that first, so that it gets them in order.
  RK_FN Search find(const TopicChunk* table, std::uint32_t capacity, ActorId id) const {
    Search search;
    for (std::uint32_t c = 0; c < chunks; ++c) {
      for (std::uint32_t m = 0; m < kMembersPerChunk; ++m) {
        const TopicMember& member = table[c].members[m];
        const std::uint32_t at = c * kMembersPerChunk + m;
        const bool passed = member.upto <= table[c].visited;
        if (member.active() && member.id == id) search.active = at;
        if (!passed && member.id == id) search.free = kNowhere;
        if (passed && search.free == kNowhere) search.free = at;
      }
    }
    if (search.free == kNowhere && chunks < capacity) search.free = chunks * kMembersPerChunk;
    return search;
  }

  template <class Ctx>
  RK_FN void remove(ActorId id, Ctx& ctx) {
    const auto table = ctx.template field<TopicChunk>();
    if (!ctx.leader()) return;
    const std::uint32_t at = find(table.data, table.count, id).active;
    if (at == kNowhere) return;
    table[at / kMembersPerChunk].members[at % kMembersPerChunk].upto = published;
    --members;
    drop_empty_chunks(table.data);
  }

  template <class Ctx>
  RK_FN void visit_chunk(const NextChunk& visit, Ctx& ctx) {
    const auto table = ctx.template field<TopicChunk>();
    TopicChunk& chunk = table[visit.chunk];
    const std::uint64_t number = chunk.visited + 1;
    for (const TopicMember& member : chunk.members) {
      if (member.after < number && number <= member.upto)
        ctx.post(member.id, visit.message_tag, visit.payload, visit.bytes);
    }
    const std::uint32_t next = std::uint32_t{visit.chunk} + 1;
    if (next < chunks && table[next].first < number) {
      NextChunk onward = visit;
      onward.chunk = static_cast<std::uint16_t>(next);
      ctx.send(ref<Topic>{ctx.self()}, onward);
    }
    ctx.sync();
    if (ctx.leader()) {
      chunk.visited = number;
      drop_empty_chunks(table.data);
    }
  }

  /// Only from the end, and only when no publication is on its way to the chunk.
  RK_FN void drop_empty_chunks(const TopicChunk* table) {
    for (; chunks > 0; --chunks) {
      const TopicChunk& last = table[chunks - 1];
      if (last.visited != published) return;
      for (const TopicMember& member : last.members) {
        if (member.active()) return;
      }
    }
  }
};

/// Publishes `message` (up to 12 bytes). One send. Collective.
template <class Ctx, class M>
RK_FN void publish(Ctx& ctx, ref<Topic> topic, const M& message) {
  ctx.send(topic, publication(message));
}

}  // namespace rk
