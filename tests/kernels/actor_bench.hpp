// One actor alone, its handlers called one by one: what it sends lies open, time is set by hand.
#pragma once

#include <ringkernel/kernels/group.hpp>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/library_message.hpp>

#include <ringkernel/kernels/context.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

namespace rk::test {

struct Sent {
  ActorId to;
  std::uint8_t tag;
  std::vector<std::byte> payload;
  bool control = false;
  bool command = false;

  template <class M>
  [[nodiscard]] M as() const {
    EXPECT_EQ(payload.size(), sizeof(M));
    M message;
    std::memcpy(static_cast<void*>(&message), payload.data(), std::min(payload.size(), sizeof(M)));
    return message;
  }
};

/// What a handler on the bench sees.
class BenchContext {
 public:
  BenchContext(ActorId self, ActorId sender, std::vector<std::uint64_t>& field,
               std::uint64_t field_bytes, std::uint64_t now_us, std::uint32_t tries)
      : self_(self),
        sender_(sender),
        field_(field),
        field_bytes_(field_bytes),
        now_us_(now_us),
        tries_(tries) {}

  SingleGroup& group() { return group_; }
  [[nodiscard]] bool leader() const { return true; }
  void sync() {}
  [[nodiscard]] ActorId self() const { return self_; }
  [[nodiscard]] ActorId sender() const { return sender_; }
  [[nodiscard]] std::uint64_t now_us() const { return now_us_; }
  [[nodiscard]] std::uint32_t tries() const { return tries_; }
  template <class T>
  [[nodiscard]] Block<T> field() const {
    return {reinterpret_cast<T*>(field_.data()),
            static_cast<std::uint32_t>(field_bytes_ / sizeof(T)),
            {}};
  }
  void post(ActorId to, std::uint8_t tag, const void* payload, std::uint32_t bytes) {
    add(to, tag, payload, bytes);
  }
  void post_control(ActorId to, std::uint8_t tag, const void* payload, std::uint32_t bytes) {
    add(to, tag, payload, bytes).control = true;
  }
  template <class A, class M>
  void send(ref<A> to, const M& message) {
    static_assert(handles_v<A, M>);
    add(to.id, M::tag, &message, sizeof(M));
  }
  template <class M>
  void send_to_host(const M& message) {
    add(kHostId, M::tag, &message, sizeof(M));
    ++host_sends;
  }
  void command(CommandTag tag, ActorId to, const Command& command) {
    add(to, static_cast<std::uint8_t>(tag), &command, sizeof(command)).command = true;
  }
  void fail(std::uint32_t code) { failed = code; }

  std::vector<Sent> sent;
  std::uint32_t host_sends = 0;
  std::optional<std::uint32_t> failed;

 private:
  Sent& add(ActorId to, std::uint8_t tag, const void* payload, std::uint32_t bytes) {
    const auto* from = static_cast<const std::byte*>(payload);
    sent.push_back({to, tag, std::vector<std::byte>(from, from + bytes)});
    return sent.back();
  }

  SingleGroup group_;
  ActorId self_;
  ActorId sender_;
  std::vector<std::uint64_t>& field_;
  std::uint64_t field_bytes_;
  std::uint64_t now_us_;
  std::uint32_t tries_;
};

/// Its own messages to itself wait in `to_self`, everything else it sent in `out`.
template <class A>
class ActorBench {
 public:
  explicit ActorBench(std::uint32_t field_bytes)
      : field_((field_bytes + 7) / 8), field_bytes_(field_bytes) {}

  static constexpr ActorId kSelf{1000};
  A actor{};
  std::uint64_t now_us = 1'000'000;
  std::deque<Sent> to_self;
  std::vector<Sent> out;

  /// Runs the handler; what it failed with, if it did.
  template <class M>
  std::optional<std::uint32_t> handle(const M& message, ActorId sender, std::uint32_t tries = 0) {
    BenchContext context(kSelf, sender, field_, field_bytes_, now_us, tries);
    actor.on(message, context);
    const auto sends = static_cast<std::uint32_t>(context.sent.size()) - context.host_sends;
    EXPECT_LE(sends, detail::budget<M>().sends) << "tag " << +M::tag;
    EXPECT_LE(context.host_sends, detail::budget<M>().host_sends) << "tag " << +M::tag;
    for (Sent& sent : context.sent) {
      const bool self = sent.to == kSelf && !sent.command;
      self ? to_self.push_back(std::move(sent)) : out.push_back(std::move(sent));
    }
    return context.failed;
  }
  /// Handles the oldest message to itself; nothing if there is none.
  std::optional<std::uint32_t> turn() {
    if (to_self.empty()) return {};
    const Sent message = std::move(to_self.front());
    to_self.pop_front();
    std::optional<std::uint32_t> failed;
    dispatch(typename A::messages{}, message, failed);
    return failed;
  }
  void drain() {
    while (!to_self.empty()) EXPECT_EQ(turn(), std::nullopt);
  }
  /// Takes what it sent so far.
  std::vector<Sent> take() { return std::exchange(out, {}); }

 private:
  template <class... Ms>
  void dispatch(handles<Ms...>, const Sent& message, std::optional<std::uint32_t>& failed) {
    const bool known =
        ((Ms::tag == message.tag && (failed = handle(message.as<Ms>(), kSelf), true)) || ...);
    EXPECT_TRUE(known) << "tag " << +message.tag << " to itself";
  }

  std::vector<std::uint64_t> field_;
  std::uint64_t field_bytes_;
};

}  // namespace rk::test
