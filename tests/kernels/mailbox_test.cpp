// Which message comes next: the local FIFO, its express places and the inbox.
#include <ringkernel/kernels/mailbox.hpp>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cstring>
#include <map>
#include <vector>

namespace rk {
namespace {

constexpr std::uint32_t kSlotBytes = 64;
constexpr std::uint32_t kLocalSlots = 16;

/// The memory of one worker's queues, and its mailbox.
class LocalMail {
 public:
  using OneLane = Mailbox<kSlotBytes, true>;

  explicit LocalMail(std::uint64_t slot_bytes = 4096) {
    SystemView system{};
    system.capacity.local_slots = kLocalSlots;
    system.capacity.stash_slots = 4;
    WorkerView self{};
    self.local = at(0);
    self.express = at(kLocalSlots);
    self.stash = at(kLocalSlots + kExpressSlots);
    self.local_newest = newest_.data();
    self.inbox = {at(kLocalSlots + kExpressSlots + 4), 3, 6};
    self.inbox_words = &inbox_words_;
    self.control = {at(kLocalSlots + kExpressSlots + 8), 3, 6};
    self.control_words = &control_words_;
    self.slot_bytes = slot_bytes;
    mailbox_ = OneLane(system, self);
  }

  [[nodiscard]] bool has_room() const { return mailbox_.local.has_room(1); }
  /// Returns the message's number among those of its sender.
  std::uint32_t send(std::uint32_t sender) {
    MessageHeader header{};
    header.src = ActorId::make(sender, 0);
    header.source_sequence = ++sent_[sender];
    const auto claim = mailbox_.claim_local(sender);
    std::memcpy(claim.slot, &header, sizeof(header));
    mailbox_.push_local(claim, sender);
    return header.source_sequence;
  }
  /// The next message and where it lies; handled with finish().
  MessageView next(Source& source) { return mailbox_.arrival(source); }
  /// The same within a burst.
  MessageView next_in_burst(Source& source) {
    if (const MessageView message = mailbox_.express_front())
      return source = Source::express, message;
    return next(source);
  }
  void finish(Source source) { mailbox_.finish(source); }
  [[nodiscard]] std::uint64_t size() const { return mailbox_.local_size(); }
  OneLane& mailbox() { return mailbox_; }

 private:
  struct alignas(64) Slot {
    std::byte bytes[kSlotBytes];
  };
  std::byte* at(std::size_t slot) { return memory_[slot].bytes; }

  std::array<Slot, kLocalSlots + kExpressSlots + 12> memory_{};
  std::array<std::uint32_t, kNewestWords> newest_{};
  RingWords inbox_words_{};
  RingWords control_words_{};
  OneLane mailbox_;
  std::map<std::uint32_t, std::uint32_t> sent_;
};

TEST(Mailbox, WhatAHandlerSendsComesBeforeTheFifo) {
  LocalMail mail;
  for (std::uint32_t sender = 1; sender <= 4; ++sender) (void)mail.send(sender);
  Source source{};
  const auto first = mail.next(source);
  ASSERT_TRUE(first);
  EXPECT_EQ(source, Source::express);
  EXPECT_EQ(first.header().src.index(), 1u);
  // its receiver answers while the message still lies there; the other express place is taken
  (void)mail.send(5);
  mail.finish(source);
  std::vector<std::uint32_t> order;
  while (const auto message = mail.next(source)) {
    order.push_back(message.header().src.index());
    mail.finish(source);
  }
  EXPECT_EQ(order, (std::vector<std::uint32_t>{2, 3, 4, 5}));
}

TEST(Mailbox, ASenderWhoseMessageWaitsInTheFifoGoesBehindIt) {
  LocalMail mail;
  for (std::uint32_t n = 0; n < 3; ++n) (void)mail.send(1);  // two express, one in the FIFO
  Source source{};
  for (std::uint32_t n = 1; n <= 2; ++n) {
    EXPECT_EQ(mail.next(source).header().source_sequence, n);
    mail.finish(source);
  }
  (void)mail.send(1);
  EXPECT_EQ(mail.next(source).header().source_sequence, 3u);
  EXPECT_EQ(source, Source::local);
}

TEST(Mailbox, AChainOfExpressMessagesLeavesTurnsToTheOthers) {
  for (const bool in_burst : {false, true}) {
    LocalMail mail;
    for (const std::uint32_t sender : {1, 2, 3}) (void)mail.send(sender);  // 3 is in the FIFO
    Source source{};
    const auto next = [&] { return in_burst ? mail.next_in_burst(source) : mail.next(source); };
    (void)next();
    mail.finish(source);
    std::uint32_t chain = 0;
    for (; next().header().src.index() != 3; ++chain) {
      ASSERT_LT(chain, 1000u) << "the FIFO starves";
      (void)mail.send(1);
      mail.finish(source);
    }
    EXPECT_GT(chain, 100u);
  }
}

TEST(Mailbox, InABurstAnExpressMessageGoesInTheTurnOfTheInboxToo) {
  LocalMail mail;
  (void)mail.send(1);
  mail.mailbox().take_turns();
  Source source{};
  ASSERT_TRUE(mail.next_in_burst(source));
  EXPECT_EQ(source, Source::express);
  mail.finish(source);
  EXPECT_FALSE(mail.next_in_burst(source));
}

TEST(Mailbox, ManyActorsTakeTheFifo) {
  LocalMail mail(std::uint64_t{1} << 24);
  (void)mail.send(1);
  Source source{};
  EXPECT_TRUE(mail.next(source));
  EXPECT_EQ(source, Source::local);
}

TEST(Mailbox, TheCutFindsExpressMessages) {
  LocalMail mail;
  (void)mail.send(1);
  mail.mailbox().begin_sweep();
  const auto old = mail.mailbox().next_old(1);
  ASSERT_TRUE(old);
  old.header().epoch = 1;
  EXPECT_FALSE(mail.mailbox().next_old(1));
}

TEST(Mailbox, AMessageThatMovedUpStillKeepsItsSenderBehindIt) {
  LocalMail mail;
  for (const std::uint32_t sender : {1, 2, 3, 4, 5}) (void)mail.send(sender);  // from 3 on: FIFO
  mail.mailbox().extract(
      Source::local, [](const MessageView& message) { return message.header().src.index() == 5; });
  Source source{};
  for (const std::uint32_t sender : {1, 2, 3}) {
    EXPECT_EQ(mail.next(source).header().src.index(), sender);
    mail.finish(source);
  }
  (void)mail.send(4);
  EXPECT_EQ(mail.next(source).header().source_sequence, 1u);
  EXPECT_EQ(source, Source::local);
}

TEST(MailboxProperty, EverySendersMessagesComeInOrderAndNoneIsLost) {
  EXPECT_TRUE(rc::check([](const std::vector<std::uint16_t>& steps) {
    LocalMail mail;
    std::map<std::uint32_t, std::uint32_t> newest;
    std::uint64_t waiting = 0;
    Source source{};
    const auto handle = [&](const MessageView& message, std::uint32_t sends, std::uint32_t who) {
      const MessageHeader header = message.header();
      for (; sends > 0 && mail.has_room(); --sends, ++waiting) (void)mail.send(who);
      RC_ASSERT(message.header().source_sequence == header.source_sequence);
      RC_ASSERT(header.source_sequence == newest[header.src.index()] + 1);
      newest[header.src.index()] = header.source_sequence;
      mail.finish(source);
      --waiting;
    };
    for (const std::uint16_t step : steps) {
      // senders 1 and 1 + kNewestWords share a word
      const std::uint32_t who = (step & 3) == 3 ? 1 + kNewestWords : step & 3;
      const std::uint32_t sends = (step >> 2) % 4;
      if (const auto message = mail.next(source)) {
        handle(message, sends, who);
      } else {
        RC_ASSERT(waiting == 0);
        (void)mail.send(who);
        ++waiting;
      }
      RC_ASSERT(mail.size() == waiting);
    }
    while (const auto message = mail.next(source)) handle(message, 0, 0);
    RC_ASSERT(waiting == 0);
  }));
}

}  // namespace
}  // namespace rk
