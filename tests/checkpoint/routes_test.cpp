// What of a message outlives a run: what it is and why it is under way, not between which workers.
#include <ringkernel/checkpoint/compact.hpp>
#include <ringkernel/checkpoint/diff.hpp>

#include "drain_support.hpp"

namespace rk::checkpoint::test {
namespace {

MessageHeader header_of(const LoadedMessage& message) {
  MessageHeader header;
  std::memcpy(&header, message.slot.data(), sizeof(header));
  return header;
}
Envelope envelope_of(const LoadedMessage& message) {
  Envelope envelope;
  std::memcpy(&envelope, message.slot.data() + message.slot.size() - sizeof(envelope),
              sizeof(envelope));
  return envelope;
}

std::uint8_t kind(MessageKind what, DeadReason reason = DeadReason::none) {
  Route route{static_cast<std::uint8_t>(what), 0, 0, 0};
  route.set_reason(reason);
  return route.kind;
}

const LoadedMessage* find(const std::vector<LoadedMessage>& all, ActorId src,
                          std::uint32_t sequence) {
  for (const LoadedMessage& message : all) {
    const MessageHeader header = header_of(message);
    if (header.src == src && header.source_sequence == sequence) return &message;
  }
  return nullptr;
}

/// A system of two workers with one message of every sort under way.
class EverySort {
 public:
  static constexpr std::uint32_t kHost = 2;

  EverySort() { rig.start(folder); }

  Result<LoadedCheckpoint> save() {
    const Route from_host{0, 0, kHostChannel, 1};
    // Actor 1 has moved: its messages count where they were stamped, not where its index says.
    const auto ask = make_message(kActor1, kActor3, 1, kFlagDelivered, 0,
                                  Route{kind(MessageKind::ask), 2, 0, 0});
    const auto timer = make_message(kActor1, kActor1, 2, kFlagControl, 0,
                                    Route{kind(MessageKind::timer_us), 0, 1, 1});
    const auto with_block = make_message(kActor0, kActor1, 3, kFlagBlock | kFlagControl, 16,
                                         Route{kind(MessageKind::reply), 4, 1, 0});
    const auto from_actor = make_message(kActor0, worker_address(1), 4, kFlagSystem | kFlagControl,
                                         0, Route{0, 0, 0, 1});
    const auto from_app =
        make_message(kHostId, worker_address(1), 5, kFlagSystem | kFlagControl, 0, from_host);
    const auto replayed =
        make_message(kActor2, kActor0, 6, kFlagReplayed, 0, Route{0, 0, kHostChannel, 0});
    plain = make_message(kActor1, kHostId, 7);
    const auto reply = make_message(kActor1, kHostId, 8, kFlagTrailer, 0,
                                    Route{kind(MessageKind::reply), 1, 1, kHostChannel});
    const auto dead =
        make_message(kActor1, kActor3, 1, kFlagDead | kFlagTrailer, 0,
                     Route{kind(MessageKind::ask, DeadReason::poisoned), 3, 0, kHostChannel});
    const auto dead_of_app =
        make_message(kHostId, kActor2, 9, kFlagDead, 0,
                     Route{kind(MessageKind::plain, DeadReason::dead), 0, 1, kHostChannel});
    for (const auto& [from, to] :
         {std::pair(0u, 0u), {1u, 1u}, {1u, 0u}, {0u, 1u}, {kHost, 1u}, {kHost, 0u}}) {
      rig.expect_in_flight(from, to);
    }
    rig.expect_in_flight(0, kHost, 1);
    rig.expect_in_flight(1, kHost, 3);
    rig.drain->open(rig.host_cut(1));
    rig.put_quiet_cut(1);
    for (const auto& message : {ask, timer, with_block, from_actor, replayed}) {
      rig.put_message(0, 1, message);
    }
    if (!rig.dispatcher().put({.kind = RecordKind::message, .epoch = 1}, from_app))
      return fail(ErrorCode::deadline_exceeded, "the drain does not read");
    rig.drain->add_output(0, plain);
    rig.drain->add_output(1, reply);
    rig.drain->add_output(1, dead);
    rig.drain->add_output(1, dead_of_app);
    RK_TRY(rig.outcome());
    return rig.load_newest();
  }

  TemporaryDirectory folder;
  DrainRig rig{2};
  std::vector<std::byte> plain;
};

TEST(Routes, EverySortOfMessageKeepsWhatItIsAndForgetsItsPeers) {
  EverySort sorts;
  const auto loaded = sorts.save();
  ASSERT_OK(loaded);
  ASSERT_EQ(loaded->messages.size(), 6u);
  ASSERT_EQ(loaded->outputs.size(), 4u);
  const auto expect = [&](const std::vector<LoadedMessage>& list, ActorId src,
                          std::uint32_t sequence, ActorId dst, std::uint8_t flags,
                          std::uint8_t route_kind, std::uint8_t tries) {
    const LoadedMessage* message = find(list, src, sequence);
    ASSERT_NE(message, nullptr) << sequence;
    EXPECT_EQ(header_of(*message).dst, dst) << sequence;
    EXPECT_EQ(header_of(*message).flags, flags) << sequence;
    const Route route = envelope_of(*message).route;
    EXPECT_EQ(route.kind, route_kind) << sequence;
    EXPECT_EQ(route.tries, tries) << sequence;
    EXPECT_EQ(route.from, 0) << sequence;
    EXPECT_EQ(route.to, 0) << sequence;
  };
  const auto& messages = loaded->messages;
  const auto& outputs = loaded->outputs;
  expect(messages, kActor1, 1, kActor3, 0, kind(MessageKind::ask), 2);
  expect(messages, kActor1, 2, kActor1, kFlagControl, kind(MessageKind::timer_us), 0);
  expect(messages, kActor0, 3, kActor1, kFlagBlock | kFlagControl, kind(MessageKind::reply), 4);
  expect(messages, kActor0, 4, worker_address(1), kFlagSystem | kFlagControl, 0, 0);
  expect(messages, kHostId, 5, worker_address(1), kFlagSystem | kFlagControl, 0, 0);
  expect(messages, kActor2, 6, kActor0, 0, 0, 0);
  expect(outputs, kActor1, 8, kHostId, kFlagTrailer, kind(MessageKind::reply), 1);
  expect(outputs, kActor1, 1, kActor3, kFlagDead | kFlagTrailer,
         kind(MessageKind::ask, DeadReason::poisoned), 3);
  expect(outputs, kHostId, 9, kActor2, kFlagDead, kind(MessageKind::plain, DeadReason::dead), 0);
  // A plain output's payload reaches to the end of its slot.
  const LoadedMessage* plain = find(outputs, kActor1, 7);
  ASSERT_NE(plain, nullptr);
  EXPECT_TRUE(std::ranges::equal(plain->slot.subspan(sizeof(MessageHeader)),
                                 Bytes(sorts.plain).subspan(sizeof(MessageHeader))));
  // The rest of a trailer is the message's own.
  Envelope stamped;
  const auto timer = make_message(kActor1, kActor1, 2);
  std::memcpy(&stamped, timer.data() + 48, sizeof(stamped));
  EXPECT_EQ(envelope_of(*find(messages, kActor1, 2)).due, stamped.due);
  EXPECT_EQ(envelope_of(*find(messages, kActor1, 2)).correlation, stamped.correlation);
}

TEST(Routes, WhatIsWrittenAgainHasTheSameDigest) {
  EverySort sorts;
  const auto loaded = sorts.save();
  ASSERT_OK(loaded);
  ContentDigest digest;
  for (const LoadedSlot& slot : loaded->slots) {
    digest.add_slot({.id = slot.id,
                     .type_name = "small",
                     .version = slot.version,
                     .source_sequence = slot.row.source_sequence,
                     .handled = slot.row.handled,
                     .state = slot.state,
                     .field = slot.field});
  }
  for (const auto* list : {&loaded->messages, &loaded->outputs}) {
    for (const LoadedMessage& message : *list) digest.add_message(message.slot, message.block);
  }
  EXPECT_EQ(digest.value(), loaded->manifest.content_digest);

  // An empty increment, folded: written by way of the loaded rows.
  DrainRig& rig = sorts.rig;
  for (auto& row : rig.channels) {
    for (auto& channel : row) channel.received = channel.sent;
  }
  HostCut host = rig.host_cut(2);
  host.parent = 1;
  rig.drain->open(std::move(host));
  rig.expect_in_flight(0, 1);
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    rig.put_cut(worker, 2, 1);
    ASSERT_TRUE(rig.stream(worker).put({.kind = RecordKind::end, .epoch = 2, .count = 1}, {}));
  }
  const auto dead = make_message(kActor0, worker_address(1), 4, kFlagSystem | kFlagControl, 0,
                                 Route{kind(MessageKind::ask), 1, 0, 1});
  rig.put_message(1, 2, dead);
  ASSERT_OK(rig.outcome());
  const auto increment = rig.load_newest();
  ASSERT_OK(increment);
  const auto found = rig.directory->newest_valid();
  ASSERT_OK(found);
  ASSERT_OK(compact(*rig.directory, *found->entry));
  const auto whole = rig.load_newest();
  ASSERT_OK(whole);
  ASSERT_FALSE(whole->manifest.parent.has_value());
  const auto d = diff_checkpoints(*increment, *whole);
  ASSERT_OK(d);
  EXPECT_TRUE(d->equal());
  EXPECT_EQ(whole->messages.size(), 1u);
}

TEST(Routes, AMessageCountsWhereItsRouteSaysNotWhereItsActorsWere) {
  TemporaryDirectory folder;
  DrainRig rig(2);
  rig.start(folder);
  rig.expect_in_flight(1, 0);
  rig.drain->open(rig.host_cut(1));
  rig.put_quiet_cut(1);
  rig.put_message(0, 1, make_message(kActor0, kActor1, 1, 0, 0, Route{0, 0, 1, 0}));
  ASSERT_OK(rig.outcome());
  rig.drain->open(rig.host_cut(2));
  rig.put_quiet_cut(2);
  rig.put_message(0, 2, make_message(kActor1, kActor0, 1, 0, 0, Route{0, 0, 0, 1}));
  const auto outcome = rig.outcome();
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("channel from worker 0 to worker 1"), std::string::npos)
      << outcome.error().message;
}

TEST(Routes, OnlyRealRowsOfMessagesAreTaken) {
  const auto load = [](ChunkType type, const std::vector<std::byte>& message) {
    TemporaryDirectory folder;
    auto directory = open_directory(folder.path());
    EXPECT_TRUE(directory);
    auto writer = directory->begin(1, "run1");
    EXPECT_TRUE(writer);
    auto set = writer->make_shard_set({}, {});
    MessageHeader header;
    std::memcpy(&header, message.data(), sizeof(header));
    EXPECT_TRUE(
        set.add_row(type, 0, {.id = header.dst.word, .version = 1, .flags = 64}, Bytes(message)));
    Manifest manifest;
    manifest.messages = 1;
    manifest.shards = *set.finish();
    EXPECT_TRUE(writer->commit(manifest));
    const auto found = directory->newest_valid();
    EXPECT_TRUE(found && found->entry);
    auto loaded = load_checkpoint(*directory, *found->entry);
    return loaded ? std::nullopt : std::optional(loaded.error().code);
  };
  const auto dead = make_message(kActor0, kActor1, 1, kFlagDead);
  const auto dead_of_app = make_message(kHostId, kActor1, 1, kFlagDead);
  EXPECT_EQ(load(ChunkType::k2h_queue, dead), std::nullopt);
  EXPECT_EQ(load(ChunkType::k2h_queue, dead_of_app), std::nullopt);
  EXPECT_EQ(load(ChunkType::k2k_routing, dead), ErrorCode::corrupt);
  EXPECT_EQ(load(ChunkType::h2k_queue, dead_of_app), ErrorCode::corrupt);
  EXPECT_EQ(load(ChunkType::h2k_queue, make_message(kHostId, kActor1, 1)), std::nullopt);
  EXPECT_EQ(load(ChunkType::k2h_queue, make_message(kHostId, kHostId, 1)), ErrorCode::corrupt);
  for (const std::uint8_t flag : {kFlagReplayed, kFlagDelivered, std::uint8_t{128}}) {
    EXPECT_EQ(load(ChunkType::k2k_routing, make_message(kActor0, kActor1, 1, flag)),
              ErrorCode::corrupt);
  }
}

TEST(Routes, TheDigestSeesWhatAMessageIsAndNotItsPeersOrWhenATimerIsDue) {
  const auto digest = [](const std::vector<std::byte>& message) {
    ContentDigest out;
    out.add_message(Bytes(message).first(64), Bytes(message).subspan(64));
    return out.value();
  };
  const auto with = [](std::uint8_t flags, Route route) {
    return make_message(kActor0, kActor1, 1, flags, 16, route);
  };
  for (const std::uint8_t flags : {std::uint8_t{0}, kFlagBlock}) {
    const auto plain = digest(with(flags, {0, 0, 0, 1}));
    EXPECT_EQ(plain, digest(with(flags, {0, 0, 1, 0})));
    EXPECT_NE(plain, digest(with(flags, {1, 0, 0, 1})));
    EXPECT_NE(plain, digest(with(flags, {0, 1, 0, 1})));
    for (const std::uint8_t other : {kFlagControl, kFlagSystem, kFlagTrailer, kFlagDead}) {
      EXPECT_NE(plain, digest(with(static_cast<std::uint8_t>(flags | other), {0, 0, 0, 1})));
    }
  }
  const auto due = [&](MessageKind what, std::uint8_t flags, std::uint64_t when) {
    auto message = with(flags, {kind(what), 0, 0, 0});
    std::memcpy(message.data() + 48, &when, sizeof(when));
    return digest(message);
  };
  for (const MessageKind timed : {MessageKind::timer_us, MessageKind::ask_deadline}) {
    EXPECT_EQ(due(timed, 0, 1), due(timed, 0, 2));
    EXPECT_NE(due(timed, kFlagDead, 1), due(timed, kFlagDead, 2)) << "where it was going";
  }
  EXPECT_NE(due(MessageKind::timer_steps, 0, 1), due(MessageKind::timer_steps, 0, 2));
}

}  // namespace
}  // namespace rk::checkpoint::test
