#include <ringkernel/checkpoint/content_digest.hpp>
#include <ringkernel/checkpoint/restore.hpp>

#include <algorithm>
#include <array>
#include <cstring>

#include "drain_support.hpp"

namespace rk::checkpoint::test {
namespace {

struct RawMessage {
  ChunkType type = ChunkType::k2k_routing;
  RowHeader row;
  std::vector<std::byte> bytes;
};

RawMessage raw_message(ActorId src, ActorId dst, std::uint32_t sequence) {
  const auto type = dst == kHostId   ? ChunkType::k2h_queue
                    : src == kHostId ? ChunkType::h2k_queue
                                     : ChunkType::k2k_routing;
  return {type, {.id = dst.word, .version = 1, .flags = 64}, make_message(src, dst, sequence)};
}

struct RawSlot {
  std::uint64_t region = region_id("small");
  RowHeader row{.id = kActor0.word, .version = 3};
  std::uint32_t state_bytes = 24;
  std::uint32_t field_bytes = 8;
  std::uint64_t body_bytes = 32;
};

/// Writes a checkpoint row by row, promising `slots` and `messages`, and loads it.
struct RawCheckpoint {
  std::vector<RawSlot> slots;
  std::vector<RawMessage> messages;
  std::uint64_t extra_slots = 0;
  std::uint64_t extra_messages = 0;
  std::uint64_t extra_host_bytes = 0;
  std::uint64_t clock_bytes = 8;

  Result<LoadedCheckpoint> load() const {
    TemporaryDirectory folder;
    RK_TRY_ASSIGN(auto directory, open_directory(folder.path()));
    RK_TRY_ASSIGN(auto writer, directory.begin(1, "run1"));
    auto set = writer.make_shard_set({}, {});
    for (const auto& slot : slots) {
      std::vector<std::byte> payload(sizeof(SlotRow) + slot.body_bytes);
      const SlotRow head{slot.state_bytes, slot.field_bytes, 1, 0, 1, 50};
      std::memcpy(payload.data(), &head, sizeof(head));
      RK_TRY(set.add_row(ChunkType::device_memory, slot.region, slot.row, Bytes(payload)));
    }
    for (const auto& message : messages) {
      RK_TRY(set.add_row(message.type, 0, message.row, Bytes(message.bytes)));
    }
    RK_TRY(set.add_row(ChunkType::hlc_state, 0, RowHeader{},
                       Bytes(std::vector<std::byte>(clock_bytes))));
    Manifest manifest;
    manifest.hlc = 7;
    manifest.types = {
        {.index = 0, .name = "small", .type_hash = 1, .version = 3, .state_bytes = 24}};
    manifest.slots = slots.size() + extra_slots;
    manifest.messages = messages.size() + extra_messages;
    manifest.host_bytes = extra_host_bytes;
    RK_TRY_ASSIGN(manifest.shards, set.finish());
    RK_TRY(writer.commit(manifest));
    RK_TRY_ASSIGN(const auto found, directory.newest_valid());
    if (!found.entry) return fail(ErrorCode::not_found, "no valid checkpoint");
    return load_checkpoint(directory, *found.entry);
  }
};

std::vector<std::uint32_t> sequences(const std::vector<LoadedMessage>& messages) {
  std::vector<std::uint32_t> out;
  for (const auto& message : messages) {
    MessageHeader header;
    std::memcpy(&header, message.slot.data(), sizeof(header));
    out.push_back(header.source_sequence);
  }
  return out;
}

TEST(Restore, MessagesOfAPairComeInTheOrderInWhichTheyWereSent) {
  RawCheckpoint raw;
  for (const std::uint32_t sequence : {9u, 3u, 5u}) {
    raw.messages.push_back(raw_message(kActor2, kActor1, sequence));
    raw.messages.push_back(raw_message(kActor1, kActor0, sequence));
    raw.messages.push_back(raw_message(kActor1, kHostId, sequence));
  }
  raw.messages.push_back(raw_message(kHostId, kActor0, 4));
  const auto loaded = raw.load();
  ASSERT_OK(loaded);
  EXPECT_EQ(sequences(loaded->messages), (std::vector<std::uint32_t>{3, 5, 9, 4, 3, 5, 9}));
  EXPECT_EQ(sequences(loaded->outputs), (std::vector<std::uint32_t>{3, 5, 9}));
  EXPECT_EQ(loaded->max_hlc, 5009u);
}

TEST(Restore, NumbersThatWrappedComeAfterThoseThatDidNot) {
  RawCheckpoint raw;
  for (const std::uint32_t sequence : {1u, 0xFFFFFFFEu, 0u, 0xFFFFFFFFu}) {
    raw.messages.push_back(raw_message(kActor2, kActor1, sequence));
  }
  const auto loaded = raw.load();
  ASSERT_OK(loaded);
  EXPECT_EQ(sequences(loaded->messages),
            (std::vector<std::uint32_t>{0xFFFFFFFE, 0xFFFFFFFF, 0, 1}));
}

TEST(Restore, RefusesWhatContradictsItself) {
  const auto with_slot = [](auto change) {
    RawCheckpoint raw;
    raw.slots.emplace_back();
    change(raw.slots.back());
    return raw;
  };
  const auto with_message = [](auto change) {
    RawCheckpoint raw;
    raw.messages.push_back(raw_message(kActor0, kActor1, 1));
    change(raw.messages.back());
    return raw;
  };
  RawCheckpoint twice;
  twice.messages = {raw_message(kActor0, kActor1, 1), raw_message(kActor0, kActor1, 1)};
  RawCheckpoint slot_twice;
  slot_twice.slots.resize(2);
  slot_twice.slots[1].row.id = ActorId::make(0, 2).word;
  const std::vector<std::pair<const char*, RawCheckpoint>> cases = {
      {"fewer slots than promised", {.extra_slots = 1}},
      {"fewer messages than promised", {.extra_messages = 1}},
      {"no host state", {.extra_host_bytes = 5}},
      {"clock of 9 bytes", {.clock_bytes = 9}},
      {"message twice", twice},
      {"slot twice", slot_twice},
      {"unknown type", with_slot([](RawSlot& slot) { slot.region = 5; })},
      {"other version", with_slot([](RawSlot& slot) { slot.row.version = 4; })},
      {"index of the host", with_slot([](RawSlot& slot) { slot.row.id = kHostId.word; })},
      {"state too short", with_slot([](RawSlot& slot) { slot.state_bytes = 16; })},
      {"field past the row", with_slot([](RawSlot& slot) { slot.field_bytes = 0xFFFFFFF0; })},
      {"row longer than slot", with_slot([](RawSlot& slot) { slot.body_bytes = 40; })},
      {"message cut off", with_message([](RawMessage& message) { message.bytes.resize(60); })},
      {"message too long", with_message([](RawMessage& message) { message.bytes.resize(72); })},
      {"no slot size", with_message([](RawMessage& message) { message.row.flags = 0; })},
      {"other destination",
       with_message([](RawMessage& message) { message.row.id = kActor0.word; })},
      {"wrong queue",
       with_message([](RawMessage& message) { message.type = ChunkType::k2h_queue; })},
      {"block missing", with_message([](RawMessage& message) {
         message.bytes = make_message(kActor0, kActor1, 1, kFlagBlock, 16);
         message.bytes.resize(64);
       })},
  };
  ASSERT_OK(with_slot([](RawSlot&) {}).load());
  ASSERT_OK(with_message([](RawMessage&) {}).load());
  for (const auto& [name, raw] : cases) {
    const auto loaded = raw.load();
    ASSERT_FALSE(loaded.has_value()) << name;
    EXPECT_EQ(loaded.error().code, ErrorCode::corrupt) << name << ": " << loaded.error().message;
  }
}

TEST(ContentDigest, DoesNotDependOnOrderPartsOrTime) {
  const auto state = pattern(24, 1);
  const SlotContent slot{.id = kActor0, .type_name = "small", .version = 1, .state = state};
  auto message = make_message(kActor0, kActor1, 1, kFlagBlock, 8);
  message.resize(64);
  const auto block = pattern(8, 2);
  ContentDigest whole;
  whole.add_slot(slot);
  whole.add_message(message, block);

  MessageHeader header;
  std::memcpy(&header, message.data(), sizeof(header));
  header.seq = header.hlc = 99;
  header.epoch = 12;
  header.flags |= kFlagReplayed;
  std::memcpy(message.data(), &header, sizeof(header));
  const BlockRef moved{.pool = 3, .block = 4, .bytes = 8, .route = {0, 0, 7, 9}};
  std::memcpy(message.data() + 48, &moved, sizeof(moved));
  ContentDigest first;
  first.add_message(message, block);
  ContentDigest second;
  second.add_slot(slot);
  first.merge(second);
  EXPECT_EQ(first.value(), whole.value());

  first.add_slot(slot);
  first.add_slot(slot);
  EXPECT_NE(first.value(), whole.value());
}

TEST(ContentDigest, SeesEveryFieldThatCounts) {
  const auto state = pattern(24, 1);
  const auto other_state = pattern(24, 2);
  const SlotContent base{.id = kActor0,
                         .type_name = "small",
                         .version = 1,
                         .source_sequence = 1,
                         .handled = 1,
                         .state = state};
  std::vector<SlotContent> variants(8, base);
  variants[1].id = kActor1;
  variants[2].type_name = "large";
  variants[3].version = 2;
  variants[4].source_sequence = 2;
  variants[5].handled = 2;
  variants[6].state = other_state;
  // The same bytes, divided otherwise.
  variants[7].state = Bytes(state).first(16);
  variants[7].field = Bytes(state).subspan(16);
  std::vector<Hash128> seen;
  for (const auto& variant : variants) {
    ContentDigest digest;
    digest.add_slot(variant);
    seen.push_back(digest.value());
  }
  const auto message = make_message(kActor0, kActor1, 1);
  for (const std::size_t byte :
       {16u, 20u, 24u, 30u, 40u, 60u, 61u}) {  // dst, src, sequence, tag, payload, kind, tries
    auto changed = message;
    changed[byte] ^= std::byte{1};
    ContentDigest digest;
    digest.add_message(changed, {});
    seen.push_back(digest.value());
  }
  ContentDigest plain;
  plain.add_message(message, {});
  seen.push_back(plain.value());
  for (std::size_t a = 0; a < seen.size(); ++a) {
    for (std::size_t b = a + 1; b < seen.size(); ++b) EXPECT_NE(seen[a], seen[b]) << a << " " << b;
  }
}

}  // namespace
}  // namespace rk::checkpoint::test
