// Wire layout, ids, colours and what may be declared as a message.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ringkernel/runtime/actor.hpp>
#include <ringkernel/runtime/message.hpp>

namespace rk {
namespace {

void expect_holds(bool held) { EXPECT_TRUE(held); }

TEST(MessageLayout, BytesInFilesDoNotMoveWhenTheStructChanges) {
  MessageHeader header{};
  header.hlc = 0x0807060504030201;
  header.dst = ActorId{0x14131211};
  header.src = ActorId{0x24232221};
  header.source_sequence = 0x34333231;
  header.epoch = 0x4241;
  header.tag = 0x51;
  header.flags = 0x61;
  std::array<unsigned char, 32> bytes{};
  std::memcpy(bytes.data(), &header, bytes.size());
  const std::array<unsigned char, 32> expected = {0,    0,    0,    0,    0,    0,    0,    0,
                                                  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                                  0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24,
                                                  0x31, 0x32, 0x33, 0x34, 0x41, 0x42, 0x51, 0x61};
  EXPECT_EQ(bytes, expected);
}

TEST(ActorIdProperty, IndexAndGenerationNeverLeakIntoEachOther) {
  expect_holds(rc::check([](std::uint32_t index_bits, std::uint32_t generation_bits) {
    const std::uint32_t index = index_bits & ActorId::kIndexMask;
    const std::uint32_t generation = generation_bits >> ActorId::kIndexBits;
    const ActorId id = ActorId::make(index, generation);
    RC_ASSERT(id.index() == index);
    RC_ASSERT(id.generation() == generation);
  }));
}

TEST(ActorId, TheHostsIndexIsNeverAnActors) { EXPECT_GE(kHostId.index(), kMaxActors); }

TEST(EpochProperty, OrderSurvivesTheWrapOfThe16BitColour) {
  expect_holds(rc::check([](std::uint16_t base) {
    const auto ahead = static_cast<std::uint16_t>(*rc::gen::inRange(1, 32768));
    const auto later = static_cast<std::uint16_t>(base + ahead);
    RC_ASSERT(epoch_newer(later, base));
    RC_ASSERT(!epoch_newer(base, later));
    RC_ASSERT(!epoch_newer(base, base));
  }));
}

TEST(EpochProperty, WideningRecoversEveryEpochWithinHalfACircle) {
  expect_holds(rc::check([] {
    const auto reference = *rc::gen::inRange<std::uint32_t>(40000, 0xFFFF0000u);
    const auto offset = *rc::gen::inRange<std::int32_t>(-32768, 32768);
    const auto epoch = static_cast<std::uint32_t>(static_cast<std::int64_t>(reference) + offset);
    RC_ASSERT(widen_epoch(static_cast<std::uint16_t>(epoch), reference) == epoch);
  }));
}

TEST(Epoch, WideningWorksAcrossThe16BitBoundary) {
  EXPECT_EQ(widen_epoch(0xFFFF, 0x10000), 0xFFFFu);
  EXPECT_EQ(widen_epoch(0x0000, 0xFFFF), 0x10000u);
  EXPECT_EQ(widen_epoch(5, 5), 5u);
}

struct Reading {
  float value;
  double weight;
};

TEST(CopyMessage, LeavesTheCommitWordOfTheDestinationAlone) {
  alignas(64) std::array<std::byte, 128> from{};
  alignas(64) std::array<std::byte, 128> to{};
  from.fill(std::byte{0x11});
  to.fill(std::byte{0x22});
  copy_message(to.data(), from.data(), 128);
  for (std::size_t i = 0; i < to.size(); ++i) {
    EXPECT_EQ(to[i], i < 8 ? std::byte{0x22} : std::byte{0x11}) << i;
  }
}

TEST(CopyMessage, SeesTypedStoresMadeJustBeforeIt) {
  alignas(64) std::array<std::byte, 64> from{};
  alignas(64) std::array<std::byte, 64> to{};
  auto* in = reinterpret_cast<Reading*>(from.data() + sizeof(MessageHeader));
  auto* out = reinterpret_cast<Reading*>(to.data() + sizeof(MessageHeader));
  for (int i = 1; i <= 3; ++i) {
    *in = Reading{static_cast<float>(i), 2.0 * i};
    copy_message(to.data(), from.data(), 64);
    EXPECT_EQ(out->value, static_cast<float>(i));
    EXPECT_EQ(out->weight, 2.0 * i);
  }
}

TEST(MessageView, TheBlockReferenceIsTheEndOfEitherSlotSize) {
  alignas(64) std::array<std::byte, 128> slot{};
  for (const std::uint32_t bytes : {kSmallMessageBytes, kLargeMessageBytes}) {
    const MessageView view{slot.data(), bytes};
    EXPECT_EQ(reinterpret_cast<std::byte*>(&view.block()) + sizeof(BlockRef), slot.data() + bytes);
    EXPECT_FALSE(view.has_block());
  }
}

struct Small {
  static constexpr std::uint8_t tag = 1;
  std::uint64_t words[2];
};
struct Large {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 9;
  std::uint64_t words[10];
};
struct TooLarge {
  static constexpr std::uint8_t tag = 3;
  std::uint64_t words[11];
};
struct TagTooHigh {
  static constexpr int tag = 256;
};
struct TagNegative {
  static constexpr int tag = -1;
};
struct NoTag {
  int x;
};
struct alignas(16) OverAligned {
  static constexpr std::uint8_t tag = 4;
  int x;
};
struct NotTrivial {
  static constexpr std::uint8_t tag = 5;
  NotTrivial(const NotTrivial&) {}
};

template <class M>
constexpr bool is_message = Message<M>;

TEST(MessageConcept, RefusesWhatDoesNotFitTheWire) {
  EXPECT_TRUE(is_message<Small>);
  EXPECT_TRUE(is_message<Large>);
  EXPECT_FALSE(is_message<TooLarge>);
  EXPECT_FALSE(is_message<TagTooHigh>);
  EXPECT_FALSE(is_message<TagNegative>);
  EXPECT_FALSE(is_message<NoTag>);
  EXPECT_FALSE(is_message<OverAligned>);
  EXPECT_FALSE(is_message<NotTrivial>);
}

struct SmallActor {
  using messages = handles<Small>;
  std::uint64_t state;
};
struct MixedActor {
  using messages = handles<Small, Large>;
  static constexpr const char* name = "player";
  static constexpr std::uint32_t version = 3;
  std::uint64_t state[4];
};

TEST(ActorTypes, OneLargeMessageWidensTheSlotsOfTheWholeProgram) {
  EXPECT_EQ(message_slot_bytes<SmallActor>(), kSmallMessageBytes);
  EXPECT_EQ((message_slot_bytes<SmallActor, MixedActor>()), kLargeMessageBytes);
}

TEST(ActorTypes, DescriptionIdentifiesTheTypeInACheckpoint) {
  const ActorTypeInfo info = describe_actor<MixedActor>();
  EXPECT_EQ(info.name, "player");
  EXPECT_EQ(info.type_hash, 0x4580fab03b7eb9c0u);  // FNV-1a of "player", computed elsewhere
  EXPECT_EQ(info.version, 3u);
  EXPECT_EQ(info.state_bytes, 32u);
  ASSERT_EQ(info.messages.size(), 2u);
  EXPECT_EQ(info.messages[1].tag, 2);
  EXPECT_EQ(info.messages[1].bytes, 80u);
  EXPECT_NE(describe_actor<SmallActor>().name.find("SmallActor"), std::string::npos);
  EXPECT_NE(describe_actor<SmallActor>().type_hash, info.type_hash);
}

TEST(ActorTypes, UndeclaredBudgetsGetTheDocumentedDefaults) {
  EXPECT_EQ(detail::budget<Small>().sends, 4u);
  EXPECT_EQ(detail::budget<Small>().blocks, 0u);
  EXPECT_EQ(detail::budget<Small>().host_sends, 1u);
  EXPECT_EQ(detail::budget<Large>().sends, 9u);
  EXPECT_TRUE((handles_v<MixedActor, Large>));
  EXPECT_FALSE((handles_v<SmallActor, Large>));
}

}  // namespace
}  // namespace rk
