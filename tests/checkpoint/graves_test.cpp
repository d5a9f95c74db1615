// Actors come and go: what checkpoints hold of places where nobody lives, and of whom lived there.
#include <ringkernel/checkpoint/compact.hpp>
#include <ringkernel/checkpoint/diff.hpp>

#include <algorithm>

#include "drain_support.hpp"

namespace rk::checkpoint::test {
namespace {

ActorId id(std::uint32_t index, std::uint32_t generation) {
  return ActorId::make(index, generation);
}

/// A place with these flags, whoever's it is.
std::vector<std::byte> place(ActorId who, std::uint16_t flags, std::uint32_t seed = 1,
                             std::uint32_t field_bytes = 0) {
  auto out = make_slot(who, 0, field_bytes, seed);
  std::memcpy(out.data() + offsetof(SlotHeader, flags), &flags, sizeof(flags));
  return out;
}
std::vector<std::byte> grave(ActorId who) { return place(who, kSlotFree | kSlotGrave); }
std::vector<std::byte> never_used(std::uint32_t index) { return place(id(index, 0), kSlotFree); }
std::vector<std::byte> alive(ActorId who, std::uint32_t seed) { return place(who, 0, seed); }

using Places = std::vector<std::vector<std::byte>>;

/// A cut of a system with one worker: these places in one unit, `unchanged` others left out.
Result<CutReport> cut(DrainRig& rig, std::uint32_t epoch, std::uint32_t parent,
                      const Places& places, std::uint32_t unchanged, std::uint64_t live) {
  HostCut host = rig.host_cut(epoch);
  host.parent = parent;
  rig.drain->open(std::move(host));
  rig.put_cut(0, epoch, places.size() + unchanged, live);
  std::vector<std::byte> unit;
  for (const auto& bytes : places) unit.insert(unit.end(), bytes.begin(), bytes.end());
  const auto count = static_cast<std::uint32_t>(places.size());
  if (!rig.stream(0).put({.kind = RecordKind::slots, .epoch = epoch, .count = count}, unit) ||
      !rig.stream(0).put({.kind = RecordKind::end, .epoch = epoch, .count = unchanged}, {})) {
    return fail(ErrorCode::deadline_exceeded, "the drain does not read");
  }
  return rig.outcome();
}

Result<LoadedCheckpoint> load(DrainRig& rig, std::uint64_t epoch) {
  RK_TRY_ASSIGN(const auto entries, rig.directory->list(Depth::shards));
  for (const Entry& entry : entries) {
    if (entry.name.epoch == epoch) return load_checkpoint(*rig.directory, entry);
  }
  return fail(ErrorCode::not_found, "no such checkpoint");
}

std::vector<ActorId> live_ids(const LoadedCheckpoint& loaded) {
  std::vector<ActorId> out;
  for (const LoadedSlot& slot : loaded.slots) out.push_back(slot.id);
  return out;
}
std::vector<ActorId> dead_ids(const LoadedCheckpoint& loaded) {
  std::vector<ActorId> out;
  for (const Grave& grave : loaded.graves) out.push_back(grave.id);
  return out;
}
using Ids = std::vector<ActorId>;

TEST(Graves, PlacesCountForCompletenessAndOnlyTheLivingAsActors) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  const auto report = cut(
      rig, 1, 0, {alive(id(0, 1), 5), grave(id(1, 3)), never_used(2), alive(id(3, 0), 6)}, 0, 2);
  ASSERT_OK(report);
  EXPECT_EQ(report->slots, 2u);
  const auto loaded = rig.load_newest();
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->manifest.slots, 2u);
  EXPECT_EQ(live_ids(*loaded), (Ids{id(3, 0), id(0, 1)}));
  ASSERT_EQ(dead_ids(*loaded), (Ids{id(1, 3)}));
  EXPECT_EQ(loaded->graves[0].type_region, region_id("small"));
  EXPECT_EQ(loaded->graves[0].row.source_sequence, 8u);

  // Who is dead belongs to what equal runs have in common; places that nobody ever had do not.
  const auto other = [&](const Places& places) {
    TemporaryDirectory elsewhere;
    DrainRig again(1);
    again.start(elsewhere);
    const auto done = cut(again, 1, 0, places, 0, 2);
    return done ? done->content_digest : Hash128{};
  };
  const auto a = alive(id(0, 1), 5), b = alive(id(3, 0), 6);
  EXPECT_EQ(report->content_digest, other({never_used(7), b, grave(id(1, 3)), a}));
  EXPECT_NE(report->content_digest, other({a, b}));
  EXPECT_NE(report->content_digest, other({a, b, grave(id(1, 2))}));
}

TEST(Graves, AMissingPlaceKeepsACutOpenThoughNobodyLivesThere) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  rig.drain->open(rig.host_cut(1));
  rig.put_cut(0, 1, 2, 1);
  rig.put_slot(0, 1, alive(kActor0, 1));
  ASSERT_TRUE(rig.wait_empty());
  EXPECT_NE(rig.drain->describe_missing().find("worker 0 wrote 1 of 2 slots"), std::string::npos);
  EXPECT_FALSE(rig.drain->streamed());
  rig.put_slot(0, 1, never_used(1));
  ASSERT_OK(rig.outcome());
}

TEST(Graves, AFullCutThatWritesOtherActorsThanAnnouncedFails) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  for (const std::uint32_t live : {0u, 2u}) {
    const auto done = cut(rig, live + 1, 0, {alive(kActor0, 1), grave(kActor1)}, 0, live);
    ASSERT_FALSE(done) << live;
    EXPECT_EQ(done.error().code, ErrorCode::internal) << done.error().message;
  }
  EXPECT_FALSE(cut(rig, 5, 0, {place(kActor0, kSlotGrave)}, 0, 1)) << "dead and alive";
}

TEST(Graves, IncrementsBuryReplaceAndBuryAgain) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  ASSERT_OK(cut(rig, 1, 0,
                {alive(id(0, 1), 10), alive(id(1, 1), 11), alive(id(2, 1), 12), grave(id(3, 1)),
                 never_used(4), never_used(5)},
                0, 3));
  // 0 dies; 2 dies and another gets its place; the grave at 3 is reused; 4 gets its first.
  const auto second =
      cut(rig, 2, 1,
          {grave(id(0, 1)), alive(id(2, 2), 22), alive(id(3, 2), 23), alive(id(4, 0), 24)}, 2, 4);
  ASSERT_OK(second);
  EXPECT_EQ(second->slots, 4u);
  // The place at 2 was reused twice and is empty; 0 lives again as another one; 5 was used and is
  // empty; 3's grave-to-be is not touched.
  ASSERT_OK(cut(rig, 3, 2, {grave(id(2, 4)), alive(id(0, 2), 30), grave(id(5, 0))}, 3, 4));

  const auto one = load(rig, 1), two = load(rig, 2), three = load(rig, 3);
  ASSERT_OK(one);
  ASSERT_OK(two);
  ASSERT_OK(three);
  EXPECT_EQ(live_ids(*one), (Ids{id(0, 1), id(1, 1), id(2, 1)}));
  EXPECT_EQ(dead_ids(*one), (Ids{id(3, 1)}));
  EXPECT_EQ(live_ids(*two), (Ids{id(4, 0), id(1, 1), id(2, 2), id(3, 2)}));
  EXPECT_EQ(dead_ids(*two), (Ids{id(0, 1)}));
  EXPECT_EQ(live_ids(*three), (Ids{id(4, 0), id(1, 1), id(0, 2), id(3, 2)}));
  EXPECT_EQ(dead_ids(*three), (Ids{id(5, 0), id(2, 4)}));
  EXPECT_TRUE(std::ranges::equal(three->slots[2].state, pattern(24, 30)));
  EXPECT_TRUE(std::ranges::equal(three->slots[3].state, pattern(24, 23)));

  const auto d = diff_checkpoints(*one, *two);
  ASSERT_OK(d);
  EXPECT_EQ(d->only_a, (Ids{id(0, 1), id(2, 1)}));
  EXPECT_EQ(d->only_b, (Ids{id(4, 0), id(2, 2), id(3, 2)}));
  EXPECT_TRUE(d->changed.empty());
  EXPECT_EQ(d->same, 1u);
  EXPECT_EQ(d->other_graves, 2u);

  const auto found = rig.directory->newest_valid();
  ASSERT_OK(found);
  const auto compacted = compact(*rig.directory, *found->entry);
  ASSERT_OK(compacted);
  const auto whole = load(rig, compacted->epoch);
  ASSERT_OK(whole);
  EXPECT_FALSE(whole->manifest.parent.has_value());
  EXPECT_EQ(live_ids(*whole), live_ids(*three));
  EXPECT_EQ(dead_ids(*whole), dead_ids(*three));
  EXPECT_EQ(whole->graves[1].row.source_sequence, three->graves[1].row.source_sequence);
  const auto same = diff_checkpoints(*three, *whole);
  ASSERT_OK(same);
  EXPECT_TRUE(same->equal());
  EXPECT_EQ(same->other_graves, 0u);
  // A full cut of the same system says the same.
  ASSERT_OK(cut(rig, 9, 0,
                {alive(id(0, 2), 30), alive(id(1, 1), 11), grave(id(2, 4)), alive(id(3, 2), 23),
                 alive(id(4, 0), 24), grave(id(5, 0))},
                0, 4));
  const auto full = load(rig, 9);
  ASSERT_OK(full);
  EXPECT_EQ(full->manifest.content_digest, whole->manifest.content_digest);
}

TEST(Graves, AnIncrementWhoseAnnouncedActorsAreNotThereIsCorrupt) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  ASSERT_OK(cut(rig, 1, 0, {alive(kActor0, 1), alive(kActor1, 2)}, 0, 2));
  ASSERT_OK(cut(rig, 2, 1, {grave(kActor0)}, 1, 2));
  const auto loaded = load(rig, 2);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::corrupt);
}

/// A record of pages of a large slot that has these flags.
std::vector<std::byte> pages_of(ActorId who, std::uint16_t flags, std::uint32_t page) {
  constexpr std::uint32_t kField = 3 * 4096 - 48;  // with 40 bytes of state: three whole pages
  auto slot = make_slot(who, 1, kField, 77);
  std::memcpy(slot.data() + offsetof(SlotHeader, flags), &flags, sizeof(flags));
  const PagesPayload pages{.first_page = page, .mask = 1, .body_bytes = 3 * 4096};
  std::vector<std::byte> out(sizeof(SlotHeader) + sizeof(pages) + 4096);
  std::memcpy(out.data(), slot.data(), sizeof(SlotHeader));
  std::memcpy(out.data() + sizeof(SlotHeader), &pages, sizeof(pages));
  std::memcpy(out.data() + sizeof(SlotHeader) + sizeof(pages),
              slot.data() + sizeof(SlotHeader) + page * 4096, 4096);
  return out;
}

TEST(Graves, PagesOfAnEmptyPlaceAreItsGrave) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  constexpr std::uint32_t kField = 3 * 4096 - 48;
  ASSERT_OK(cut(rig, 1, 0,
                {make_slot(kActor0, 1, kField, 1), make_slot(kActor1, 1, kField, 2),
                 make_slot(kActor2, 1, kField, 3)},
                0, 3));
  const auto add = [&](std::uint32_t epoch, std::uint32_t unit, Bytes record, bool is_last,
                       std::uint64_t offset) {
    RecordSpec spec{.kind = RecordKind::pages, .epoch = epoch, .unit = unit};
    spec.count = is_last ? 1 : 0;
    ASSERT_TRUE(rig.stream(0).put_part(spec, record, offset, 3 * 4096));
  };
  HostCut host = rig.host_cut(2);
  host.parent = 1;
  rig.drain->open(std::move(host));
  rig.put_cut(0, 2, 3, 1);
  add(2, 0, pages_of(kActor0, kSlotFree | kSlotGrave, 0), false, 0);
  add(2, 0, pages_of(kActor0, kSlotFree | kSlotGrave, 2), true, 2 * 4096);
  add(2, 1, pages_of(kActor1, 0, 1), true, 4096);
  add(2, 2, pages_of(kActor2, kSlotFree | kSlotGrave, 1), true, 4096);
  ASSERT_OK(rig.outcome());
  const auto loaded = load(rig, 2);
  ASSERT_OK(loaded);
  EXPECT_EQ(live_ids(*loaded), (Ids{kActor1}));
  EXPECT_EQ(dead_ids(*loaded), (Ids{kActor0, kActor2}));

  // Pages that say another one lives there than the parent holds belong to nothing.
  std::uint32_t epoch = 2;
  for (const ActorId stranger : {id(1, 2), kActor0}) {
    ++epoch;
    HostCut next = rig.host_cut(epoch);
    next.parent = 2;
    rig.drain->open(std::move(next));
    rig.put_cut(0, epoch, 3, 1);
    add(epoch, 0, pages_of(stranger, 0, 1), true, 4096);
    ASSERT_TRUE(rig.stream(0).put({.kind = RecordKind::end, .epoch = epoch, .count = 2}, {}));
    ASSERT_OK(rig.outcome());
    const auto broken = load(rig, epoch);
    ASSERT_FALSE(broken) << stranger.word;
    EXPECT_EQ(broken.error().code, ErrorCode::corrupt);
  }
}

struct Row {
  ActorId who;
  std::uint32_t row_flags = 0;
  const char* type = "small";
  std::uint32_t slot_flags = 0;
  std::uint64_t body_bytes = 32;
};

Row dead(ActorId who) { return {.who = who, .row_flags = kRowGrave, .body_bytes = 0}; }

/// A full checkpoint of `first` and an increment of `then`, loaded.
Result<LoadedCheckpoint> chain(const std::vector<Row>& first, const std::vector<Row>& then,
                               std::uint64_t live) {
  TemporaryDirectory folder;
  RK_TRY_ASSIGN(auto directory, open_directory(folder.path()));
  for (const std::uint64_t epoch : {1u, 2u}) {
    RK_TRY_ASSIGN(auto writer, directory.begin(epoch, "run1"));
    auto set = writer.make_shard_set({}, {});
    for (const Row& row : epoch == 1 ? first : then) {
      std::vector<std::byte> payload(sizeof(SlotRow) + row.body_bytes);
      const SlotRow head{24, 8, 1, row.slot_flags, 1, 50};
      std::memcpy(payload.data(), &head, sizeof(head));
      RK_TRY(set.add_row(ChunkType::device_memory, region_id(row.type),
                         {.id = row.who.word, .version = 3, .flags = row.row_flags},
                         Bytes(payload)));
    }
    Manifest manifest;
    manifest.types = {
        {.index = 0, .name = "small", .type_hash = 1, .version = 3, .state_bytes = 24},
        {.index = 1, .name = "other", .type_hash = 2, .version = 3, .state_bytes = 24}};
    manifest.slots = epoch == 1 ? first.size() : live;
    if (epoch == 2) manifest.parent = 1;
    RK_TRY_ASSIGN(manifest.shards, set.finish());
    RK_TRY(writer.commit(manifest));
  }
  RK_TRY_ASSIGN(const auto found, directory.newest_valid());
  if (!found.entry) return fail(ErrorCode::not_found, "no valid checkpoint");
  return load_checkpoint(directory, *found.entry);
}

TEST(Graves, WhatCannotFollowFromItsParentIsCorrupt) {
  const ActorId one = id(5, 1), two = id(5, 2), three = id(5, 3);
  // What may be.
  ASSERT_OK(chain({{two}}, {{two}}, 1));
  ASSERT_OK(chain({{two}}, {{three}}, 1));
  ASSERT_OK(chain({{two}}, {dead(two)}, 0));
  ASSERT_OK(chain({{two}}, {dead(three)}, 0));
  ASSERT_OK(chain({{two}}, {{.who = two, .slot_flags = kSlotSuspended}}, 1));
  struct Case {
    const char* name;
    std::vector<Row> then;
    std::uint64_t live;
  };
  const std::vector<Case> cases = {
      {"an older one", {{one}}, 1},
      {"an older one's grave", {dead(one)}, 0},
      {"another type", {{.who = two, .type = "other"}}, 1},
      {"another type with a new one", {{.who = three, .type = "other"}}, 1},
      {"grave of another type",
       {{.who = two, .row_flags = kRowGrave, .type = "other", .body_bytes = 0}},
       0},
      {"unknown type of a grave",
       {{.who = two, .row_flags = kRowGrave, .type = "none", .body_bytes = 0}},
       0},
      {"grave twice", {dead(two), dead(two)}, 0},
      {"two graves of one place", {dead(two), dead(three)}, 0},
      {"dead and alive", {dead(two), {three}}, 1},
      {"alive and dead", {{two}, dead(two)}, 0},
      {"a grave with a state", {{.who = two, .row_flags = kRowGrave}}, 0},
      {"an actor without one", {{.who = two, .body_bytes = 0}}, 1},
      {"flags of a row that nobody knows", {{.who = two, .row_flags = 4}}, 1},
      {"grave and pages at once", {{.who = two, .row_flags = kRowGrave | kRowPages}}, 0},
      {"an actor in a free place", {{.who = two, .slot_flags = kSlotFree}}, 1},
      {"a dead one that counts as alive", {dead(two)}, 1},
      {"the host's grave", {dead(kHostId)}, 1},
  };
  for (const Case& bad : cases) {
    const auto loaded = chain({{two}}, bad.then, bad.live);
    ASSERT_FALSE(loaded) << bad.name;
    EXPECT_EQ(loaded.error().code, ErrorCode::corrupt) << bad.name;
  }
}

TEST(Graves, TheDeadStayDead) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  ASSERT_OK(cut(rig, 1, 0, {grave(id(0, 2)), alive(kActor1, 1)}, 0, 1));
  ASSERT_OK(cut(rig, 2, 1, {alive(id(0, 2), 1)}, 1, 2));
  const auto loaded = load(rig, 2);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::corrupt);
  ASSERT_OK(cut(rig, 3, 1, {alive(id(0, 3), 1)}, 1, 2));
  ASSERT_OK(load(rig, 3));
}

TEST(Graves, ASuspendedActorStaysSuspendedAndDiffersFromOneThatIsNot) {
  TemporaryDirectory folder;
  DrainRig rig(1);
  rig.start(folder);
  const auto running = cut(rig, 1, 0, {place(kActor0, 0)}, 0, 1);
  const auto suspended = cut(rig, 2, 0, {place(kActor0, kSlotSuspended)}, 0, 1);
  ASSERT_OK(running);
  ASSERT_OK(suspended);
  EXPECT_NE(running->content_digest, suspended->content_digest);
  const auto a = load(rig, 1), b = load(rig, 2);
  ASSERT_OK(a);
  ASSERT_OK(b);
  EXPECT_EQ(a->slots[0].row.flags, 0u);
  EXPECT_EQ(b->slots[0].row.flags, kSlotSuspended);
  const auto d = diff_checkpoints(*a, *b);
  ASSERT_OK(d);
  EXPECT_EQ(d->changed, (Ids{kActor0}));
}

}  // namespace
}  // namespace rk::checkpoint::test
