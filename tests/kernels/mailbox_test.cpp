// Which message comes next: the local FIFO, its express places, the inbox and the host's inbox.
#include <ringkernel/kernels/mailbox.hpp>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cstring>
#include <map>
#include <set>
#include <vector>

namespace rk {
namespace {

constexpr std::uint32_t kSlotBytes = 64;
constexpr std::uint32_t kLocalSlots = 16;
constexpr std::uint32_t kInboxSlots = 64;

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
    self.control = {at(kLocalSlots + kExpressSlots + 4), 3, 6};
    self.control_words = &control_words_;
    self.inbox = {inbox_[0].data()->bytes, kInboxSlots - 1, 6};
    self.inbox_words = &inbox_words_[0];
    self.host_inbox = {inbox_[1].data()->bytes, kInboxSlots - 1, 6};
    self.host_inbox_words = &inbox_words_[1];
    self.slot_bytes = slot_bytes;
    self.cells = cells_.data();
    cells_[kPeer] = {line_.bytes, box_.bytes, 0, 1};
    peer_ = {line_.bytes, nullptr, 0, 0};
    system.worker_count = 2;
    inboxes_ = {InboxProducer(self.inbox, self.inbox_words),
                InboxProducer(self.host_inbox, self.host_inbox_words, Producers::one)};
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
  /// From another worker, or from the host.
  void arrive(bool from_host, std::uint32_t sender, bool is_marked = false) {
    std::uint64_t position = 0;
    std::byte* slot = inboxes_[from_host].try_claim(position, kInboxSlots);
    ASSERT_NE(slot, nullptr);
    MessageHeader header{};
    header.src = ActorId::make(sender, 0);
    header.source_sequence = ++sent_[sender];
    std::memcpy(slot + sizeof(header.seq),
                reinterpret_cast<std::byte*>(&header) + sizeof(header.seq),
                sizeof(header) - sizeof(header.seq));
    inboxes_[from_host].publish(slot, is_marked ? position | kMarked : position);
  }
  /// From the other worker, marked or not, as its outbox would do it.
  void arrive_by_cell(std::uint32_t sender) {
    ASSERT_TRUE(peer_.may_write());
    MessageHeader header{};
    header.src = ActorId::make(sender, 0);
    header.source_sequence = ++sent_[sender];
    std::memcpy(line_.bytes + sizeof(header.seq),
                reinterpret_cast<std::byte*>(&header) + sizeof(header.seq),
                sizeof(header) - sizeof(header.seq));
    peer_.publish(inboxes_[0].claimed());
  }
  [[nodiscard]] bool other_may_answer() const { return cells_[kPeer].may_write(); }
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

  std::array<Slot, kLocalSlots + kExpressSlots + 8> memory_{};
  std::array<std::array<Slot, kInboxSlots>, 2> inbox_{};  ///< of other workers, of the host
  std::array<std::uint32_t, kNewestWords> newest_{};
  std::array<RingWords, 2> inbox_words_{};
  RingWords control_words_{};
  std::array<InboxProducer, 2> inboxes_;
  static constexpr std::uint32_t kPeer = 0;  ///< these are the queues of worker 1
  std::array<PairCellEnd, 2> cells_{};
  Slot line_{};
  Slot box_{};
  PairCellEnd peer_{};
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

TEST(Mailbox, NoneOfTheThreeQueuesStarvesAnother) {
  LocalMail mail(std::uint64_t{1} << 24);
  for (std::uint32_t n = 0; n < kLocalSlots; ++n) (void)mail.send(1);
  for (std::uint32_t n = 0; n < kInboxSlots; ++n) mail.arrive(false, 2);
  for (std::uint32_t n = 0; n < kInboxSlots; ++n) mail.arrive(true, 3);
  std::map<Source, std::uint32_t> handled;
  Source source{};
  for (std::uint32_t n = 0; n < 48; ++n) {
    ASSERT_TRUE(mail.next(source));
    mail.finish(source);
    ++handled[source];
  }
  for (const Source of : {Source::local, Source::inbox, Source::host})
    EXPECT_EQ(handled[of], 16u) << static_cast<std::uint32_t>(of);
  while (mail.next(source)) {
    mail.finish(source);
    ++handled[source];
  }
  EXPECT_EQ(handled[Source::inbox] + handled[Source::host], 2 * kInboxSlots);
}

TEST(Mailbox, TheCutFindsWhatTheHostSent) {
  LocalMail mail;
  mail.arrive(true, 1);
  mail.mailbox().begin_sweep();
  const auto old = mail.mailbox().next_old(1);
  ASSERT_TRUE(old);
  old.header().epoch = 1;
  EXPECT_FALSE(mail.mailbox().next_old(1));
}

/// Senders of what comes, in its order, until nothing is left.
std::vector<std::uint32_t> all_senders(LocalMail& mail) {
  std::vector<std::uint32_t> order;
  Source source{};
  while (const auto message = mail.next(source)) {
    order.push_back(message.header().src.index());
    mail.finish(source);
  }
  return order;
}

TEST(Mailbox, ACellsMessageComesAfterWhatItsWorkerHadPutIntoTheInbox) {
  LocalMail mail;
  mail.arrive(false, 1);
  mail.arrive(false, 2);
  mail.arrive_by_cell(3);
  EXPECT_EQ(all_senders(mail), (std::vector<std::uint32_t>{1, 2, 3}));
}

TEST(Mailbox, AMarkedMessageComesAfterTheCells) {
  LocalMail mail;
  mail.arrive(false, 1);
  mail.arrive_by_cell(2);
  mail.arrive(false, 3, true);
  mail.arrive(false, 4);
  EXPECT_EQ(all_senders(mail), (std::vector<std::uint32_t>{1, 2, 3, 4}));
}

TEST(Mailbox, AMarkWithoutACellsMessageIsTakenOff) {
  LocalMail mail;
  mail.arrive_by_cell(1);
  EXPECT_EQ(all_senders(mail), (std::vector<std::uint32_t>{1}));
  mail.arrive(false, 2, true);
  mail.arrive(false, 3);
  EXPECT_EQ(all_senders(mail), (std::vector<std::uint32_t>{2, 3}));
}

TEST(Mailbox, ACellIsLookedAtWhileTheInboxIsNeverEmpty) {
  LocalMail mail;
  mail.arrive_by_cell(7);
  std::uint32_t handled = 0;
  Source source = Source::none;
  for (; source != Source::cell; ++handled) {
    ASSERT_LT(handled, 100u) << "the cell starves";
    mail.arrive(false, 1);
    ASSERT_TRUE(mail.next(source));
    mail.finish(source);
  }
}

TEST(Mailbox, ACellIsAnsweredOnlyByTheHandlerOfItsMessageOrAfterIt) {
  LocalMail mail;
  mail.arrive(false, 1);
  mail.arrive_by_cell(2);
  Source source{};
  ASSERT_TRUE(mail.next(source));
  ASSERT_EQ(source, Source::inbox);
  EXPECT_FALSE(mail.other_may_answer());
  mail.finish(source);
  ASSERT_TRUE(mail.next(source));
  ASSERT_EQ(source, Source::cell);
  EXPECT_FALSE(mail.other_may_answer()) << "it may yet stay where it is";
  mail.mailbox().take_in_hand();
  EXPECT_TRUE(mail.other_may_answer());
  mail.finish(source);
  EXPECT_TRUE(mail.other_may_answer());
}

TEST(Mailbox, TheCutFindsWhatLiesInACellOrItsBox) {
  for (const bool is_read : {false, true}) {
    LocalMail mail;
    mail.arrive(false, 1);
    mail.arrive_by_cell(2);
    mail.arrive(false, 3, true);
    Source source{};
    if (is_read) {
      ASSERT_TRUE(mail.next(source));
    }
    mail.mailbox().begin_sweep();
    std::set<std::uint32_t> found;
    while (const auto old = mail.mailbox().next_old(1)) {
      old.header().epoch = 1;
      EXPECT_TRUE(found.insert(old.header().src.index()).second);
    }
    EXPECT_EQ(found, (std::set<std::uint32_t>{1, 2, 3})) << is_read;
  }
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
