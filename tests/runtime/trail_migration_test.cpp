// Migration of supervised and linked actors: the function sees the actor's own field, and what the
// runtime keeps behind it is kept.
#include <gtest/gtest.h>

#include <ringkernel/runtime/src/migration.hpp>

#include <cstring>

namespace rk {
namespace {

struct Note {
  static constexpr std::uint8_t tag = 1;
};
struct OldCell {
  std::uint32_t count;
};
/// Version 2: a wider state, another trail, twice the field.
struct Cell {
  using messages = handles<Note>;
  static constexpr const char* name = "test.cell";
  static constexpr std::uint32_t version = 2;
  static constexpr bool supervised = true;
  static constexpr std::uint32_t max_links = 2;
  std::uint64_t count;
  std::uint64_t field_bytes;
  std::uint64_t more;

  static Result<void> migrate(std::uint32_t, std::span<const std::byte> old, Cell& out,
                              std::vector<std::byte>& field) {
    OldCell before;
    std::memcpy(&before, old.data(), sizeof(before));
    out.count = before.count;
    out.field_bytes = field.size();
    out.more = 99;
    field.resize(2 * field.size(), std::byte{7});
    return {};
  }
};
/// Leaves the field alone and has no trail.
struct Plain {
  using messages = handles<Note>;
  static constexpr const char* name = "test.cell";
  static constexpr std::uint32_t version = 2;
  std::uint64_t count;

  static bool migrate(std::uint32_t, std::span<const std::byte> old, Plain& out) {
    std::memcpy(&out.count, old.data(), sizeof(OldCell));
    return true;
  }
};
/// Version 1 as a program that declares less.
struct Lonely {
  using messages = handles<Note>;
  static constexpr const char* name = "test.cell";
  std::uint32_t count;
};

constexpr TrailLayout kOld{true, 3, sizeof(OldCell)};
const ActorId kCell = ActorId::make(4, 1);
const ActorId kBoss = ActorId::make(1, 0);
const ActorId kFriend = ActorId::make(2, 0);

/// One actor of version 1 with the trail `layout`, a field of 16 bytes and a link in place `at`.
checkpoint::LoadedCheckpoint saved(const TrailLayout& layout, std::vector<std::uint32_t> links) {
  checkpoint::LoadedCheckpoint out;
  out.manifest.types = {{.index = 0,
                         .name = "test.cell",
                         .type_hash = 1,
                         .version = 1,
                         .state_bytes = sizeof(OldCell),
                         .supervised = layout.supervised,
                         .max_links = layout.max_links}};
  auto memory = std::make_shared<std::vector<std::byte>>(16 + layout.trail_bytes(16));
  const OldCell cell{17};
  std::memcpy(memory->data(), &cell, sizeof(cell));
  std::byte* field = memory->data() + 16;
  std::memset(field, 5, 16);
  if (layout.has_lifeline()) {
    const Lifeline lifeline{.supervisor = kBoss,
                            .restart = Restart::saved,
                            .max_tries = 3,
                            .reserved = 0,
                            .restarts = 6,
                            .code = 8};
    std::memcpy(field + 16, &lifeline, sizeof(lifeline));
    for (const std::uint32_t at : links) {
      const Link link{kFriend, static_cast<LinkKind>(1 + at % 3)};
      std::memcpy(field + 32 + at * sizeof(Link), &link, sizeof(link));
    }
  }
  checkpoint::LoadedSlot slot;
  slot.id = kCell;
  slot.type_region = checkpoint::region_id("test.cell");
  slot.version = 1;
  slot.row.state_bytes = sizeof(OldCell);
  slot.row.field_bytes = layout.trail_bytes(16);
  slot.state = std::span(*memory).first(sizeof(OldCell));
  slot.field = std::span(*memory).subspan(16);
  out.storage.push_back(memory);
  out.slots.push_back(slot);
  checkpoint::Grave grave;
  grave.id = ActorId::make(5, 0);
  grave.type_region = slot.type_region;
  grave.version = 1;
  grave.row = slot.row;
  out.graves.push_back(grave);
  return out;
}

template <class A>
Result<std::vector<std::string>> migrate_to(checkpoint::LoadedCheckpoint& checkpoint) {
  ProgramInfo program;
  program.types.push_back(describe_actor<A>());
  return migrate_slots(checkpoint, program);
}

template <class T>
T at(std::span<const std::byte> bytes, std::size_t offset) {
  T out;
  std::memcpy(&out, bytes.data() + offset, sizeof(out));
  return out;
}

TEST(TrailMigration, KeepsSupervisorAndLinksAndRestartsFromWhatCameOut) {
  auto checkpoint = saved(kOld, {0, 2});
  const auto told = migrate_to<Cell>(checkpoint);
  ASSERT_TRUE(told) << told.error().message;
  const checkpoint::LoadedSlot& slot = checkpoint.slots[0];
  constexpr TrailLayout layout = detail::trail_layout<Cell>();
  ASSERT_EQ(slot.field.size(), layout.trail_bytes(32));
  ASSERT_EQ(slot.row.field_bytes, slot.field.size());
  EXPECT_EQ(layout.field_bytes(slot.row.field_bytes), 32u);
  const auto state = at<Cell>(slot.state, 0);
  EXPECT_EQ(state.count, 17u);
  EXPECT_EQ(state.field_bytes, 16u);  // its own field, not what trails it
  EXPECT_EQ(slot.field[15], std::byte{5});
  EXPECT_EQ(slot.field[16], std::byte{7});
  const auto lifeline = at<Lifeline>(slot.field, 32);
  EXPECT_EQ(lifeline.supervisor, kBoss);
  EXPECT_EQ(lifeline.restart, Restart::saved);
  EXPECT_EQ(lifeline.restarts, 6u);
  EXPECT_EQ(at<Link>(slot.field, 48).kind, LinkKind::link);
  EXPECT_EQ(at<Link>(slot.field, 56).kind, LinkKind::watched_by);
  EXPECT_EQ(at<Link>(slot.field, 56).peer, kFriend);
  const auto copy = slot.field.subspan(32 + layout.lifeline_bytes());
  EXPECT_EQ(at<Cell>(copy, 0).count, 17u);
  EXPECT_EQ(std::memcmp(copy.data() + 32, slot.field.data(), 32), 0);
  EXPECT_EQ(copy.size(), 64u);
  // The place of a dead one has room for one like it.
  EXPECT_EQ(checkpoint.graves[0].version, 2u);
  EXPECT_EQ(checkpoint.graves[0].row.state_bytes, sizeof(Cell));
  EXPECT_EQ(checkpoint.graves[0].row.field_bytes, layout.trail_bytes(16));
}

TEST(TrailMigration, BetweenTypesWithAndWithoutATrail) {
  auto checkpoint = saved({false, 0, sizeof(OldCell)}, {});
  ASSERT_TRUE(migrate_to<Cell>(checkpoint));
  EXPECT_EQ(at<Lifeline>(checkpoint.slots[0].field, 32).supervisor, kNoActor);
  EXPECT_EQ(at<Link>(checkpoint.slots[0].field, 48).kind, LinkKind::none);

  checkpoint = saved(kOld, {1});
  ASSERT_TRUE(migrate_to<Plain>(checkpoint));
  ASSERT_EQ(checkpoint.slots[0].field.size(), 16u);
  EXPECT_EQ(checkpoint.slots[0].field[15], std::byte{5});
  EXPECT_EQ(at<Plain>(checkpoint.slots[0].state, 0).count, 17u);
}

TEST(TrailMigration, MoreLinksThanTheNewVersionHoldsAreRefused) {
  auto checkpoint = saved(kOld, {0, 1, 2});
  const auto told = migrate_to<Cell>(checkpoint);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::incompatible);
  EXPECT_NE(told.error().message.find("more links"), std::string::npos) << told.error().message;
}

TEST(TrailMigration, AnotherTrailUnderTheSameVersionIsRefused) {
  auto checkpoint = saved(kOld, {0});
  const auto told = migrate_to<Lonely>(checkpoint);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::incompatible);
  EXPECT_NE(told.error().message.find("max_links"), std::string::npos) << told.error().message;
  checkpoint = saved({false, 0, sizeof(OldCell)}, {});
  EXPECT_TRUE(migrate_to<Lonely>(checkpoint));
}

TEST(TrailMigration, ATrailThatIsTooShortForItsTypeIsCorrupt) {
  for (const std::uint32_t bytes : {0u, 40u, 16u + 16u + 32u + 16u + 8u}) {
    auto checkpoint = saved(kOld, {0});
    checkpoint.slots[0].row.field_bytes = bytes;
    checkpoint.slots[0].field = checkpoint.slots[0].field.first(bytes);
    const auto told = migrate_to<Cell>(checkpoint);
    ASSERT_FALSE(told) << bytes;
    EXPECT_EQ(told.error().code, ErrorCode::corrupt);
    checkpoint = saved(kOld, {0});
    checkpoint.graves[0].row.field_bytes = bytes;
    EXPECT_FALSE(migrate_to<Cell>(checkpoint)) << bytes;
  }
}

}  // namespace
}  // namespace rk
