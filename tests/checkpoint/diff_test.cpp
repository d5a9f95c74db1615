// Every kind of difference between two checkpoints is seen, and nothing else.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <ringkernel/checkpoint/diff.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

void expect_holds(bool held) { EXPECT_TRUE(held); }

/// Four actors: state {u32 shape, u32 step, f64 energy}, field of two buffers of floats.
class Sample {
 public:
  static constexpr std::uint32_t kShape = 3;
  struct State {
    std::uint32_t shape = kShape;
    std::uint32_t step = 0;
    double energy = 1.5;
  };
  struct Actor {
    ActorId id;
    SlotRow row{};
    State state;
    std::vector<float> field;
  };

  Sample() {
    for (std::uint32_t i = 0; i < 4; ++i) {
      Actor actor{ActorId::make(i, 0), {}, {}, {}};
      for (std::uint32_t k = 0; k < 2 * (kShape + 2); ++k)
        actor.field.push_back(static_cast<float>(i * 100 + k));
      actors.push_back(std::move(actor));
    }
    for (std::uint32_t i = 0; i < 3; ++i) add_message(i);
  }

  void add_message(std::uint32_t sequence) {
    std::vector<std::byte> slot(kSmallMessageBytes);
    MessageHeader header{};
    header.dst = ActorId::make(1, 0);
    header.src = ActorId::make(2, 0);
    header.source_sequence = sequence;
    header.tag = 3;
    std::memcpy(slot.data(), &header, sizeof(header));
    messages.push_back(std::move(slot));
  }

  [[nodiscard]] const LoadedCheckpoint& load() {
    out_ = {};
    ActorTypeInfo type{
        .index = 0, .name = "cell", .version = version, .state_bytes = sizeof(State)};
    type.regions = {region("energy", ElementType::f64, offsetof(State, energy)),
                    region("wave", ElementType::f32, 0, {state_word(0)})
                        .in_field()
                        .ghosts(1)
                        .buffered(2, state_word(4))};
    out_.manifest.types = {type};
    for (Actor& actor : actors) {
      LoadedSlot slot;
      slot.id = actor.id;
      slot.type_region = region_id("cell");
      slot.version = version;
      slot.row = actor.row;
      slot.state = std::as_bytes(std::span(&actor.state, 1));
      slot.field = std::as_bytes(std::span(actor.field));
      out_.slots.push_back(slot);
    }
    for (const auto& message : messages) out_.messages.push_back({message, {}});
    out_.host_state = bytes_of(host);
    return out_;
  }

  std::vector<Actor> actors;
  std::vector<std::vector<std::byte>> messages;
  std::string host = "host";
  std::uint32_t version = 1;

 private:
  LoadedCheckpoint out_;
};

CheckpointDiff diff(Sample& a, Sample& b, double tolerance = 0) {
  auto out = diff_checkpoints(a.load(), b.load(), {.tolerance = tolerance});
  if (!out) ADD_FAILURE() << out.error().message;
  return out ? *out : CheckpointDiff{};
}

const RegionDiff* find(const CheckpointDiff& diff, const std::string& name) {
  for (const auto& region : diff.regions) {
    if (region.region == name) return &region;
  }
  return nullptr;
}

TEST(Diff, EqualCheckpointsAreEqual) {
  Sample a, b;
  const auto d = diff(a, b);
  EXPECT_TRUE(d.equal());
  EXPECT_EQ(d.same, 4u);
  EXPECT_TRUE(d.regions.empty());
}

TEST(Diff, StampsAndCountersAreToldButAreNoDifference) {
  Sample a, b;
  b.actors[0].row.hlc = 9;
  b.actors[1].row.handled = 1;
  b.actors[2].row.source_sequence = 1;
  MessageHeader header;
  std::memcpy(&header, b.messages[0].data(), sizeof(header));
  header.hlc = 77;
  header.epoch = 3;
  std::memcpy(b.messages[0].data(), &header, sizeof(header));
  const auto d = diff(a, b);
  EXPECT_TRUE(d.equal());
  EXPECT_EQ(d.other_stamps, 1u);
  EXPECT_EQ(d.other_counters, 2u);
  EXPECT_EQ(d.messages.other_stamps, 1u);
}

TEST(Diff, ActorsInOnlyOneAreNamed) {
  Sample a, b;
  a.actors.erase(a.actors.begin());
  b.actors.pop_back();
  const auto d = diff(a, b);
  EXPECT_FALSE(d.equal());
  ASSERT_EQ(d.only_a.size(), 1u);
  ASSERT_EQ(d.only_b.size(), 1u);
  EXPECT_EQ(d.only_a[0].index(), 3u);
  EXPECT_EQ(d.only_b[0].index(), 0u);
  EXPECT_EQ(d.same, 2u);
}

TEST(Diff, RegionsAreMeasuredInTheirCurrentBufferWithoutGhosts) {
  Sample a, b;
  b.actors[0].field[2] += 0.25F;  // element 1 of buffer 0
  b.actors[0].field[0] += 5;      // a ghost
  b.actors[1].field[7] += 5;      // the other buffer
  b.actors[2].state.energy = -1.5;
  const auto d = diff(a, b);
  EXPECT_FALSE(d.equal());
  EXPECT_EQ(d.changed.size(), 3u);
  const RegionDiff* wave = find(d, "wave");
  ASSERT_NE(wave, nullptr);
  EXPECT_EQ(wave->actors, 1u);
  EXPECT_EQ(wave->elements, 1u);
  EXPECT_EQ(wave->beyond_tolerance, 1u);
  EXPECT_EQ(wave->max_abs_difference, 0.25);
  const RegionDiff* energy = find(d, "energy");
  ASSERT_NE(energy, nullptr);
  EXPECT_EQ(energy->max_abs_difference, 3.0);
  EXPECT_EQ(energy->bytes, 1u);
}

TEST(Diff, WithinTheToleranceIsEqualAlsoInGhostsAndOtherBuffers) {
  Sample a, b;
  b.actors[0].field[2] += 0.25F;
  b.actors[0].field[0] += 0.25F;
  b.actors[1].field[7] += 0.25F;
  b.actors[2].state.energy += 0.25;
  EXPECT_FALSE(diff(a, b, 0.2).equal());
  const auto d = diff(a, b, 0.25);
  EXPECT_TRUE(d.equal());
  EXPECT_EQ(d.within_tolerance, 3u);
  ASSERT_NE(find(d, "wave"), nullptr);
  EXPECT_EQ(find(d, "wave")->beyond_tolerance, 0u);
  b.actors[3].state.step = 2;  // no region: exact
  EXPECT_EQ(diff(a, b, 0.25).changed.size(), 1u);
}

TEST(Diff, NotANumberIsCloseToNothing) {
  Sample a, b;
  b.actors[0].field[2] = std::numeric_limits<float>::quiet_NaN();
  const auto d = diff(a, b, 1e30);
  EXPECT_FALSE(d.equal());
  EXPECT_EQ(find(d, "wave")->beyond_tolerance, 1u);
  a.actors[0].field[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(diff(a, b).equal());
  a.actors[0].field[2] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(diff(a, b, 1e30).equal());
}

TEST(Diff, OtherLayoutsShapesAndVersionsAreDifferences) {
  Sample a, b;
  b.actors[0].field.push_back(0);
  auto d = diff(a, b);
  EXPECT_EQ(d.other_layout, 1u);
  EXPECT_EQ(d.changed.size(), 1u);
  Sample c;
  c.actors[1].state.shape = 2;
  d = diff(a, c);
  ASSERT_NE(find(d, "wave"), nullptr);
  EXPECT_EQ(find(d, "wave")->other_shape, 1u);
  Sample newer;
  newer.version = 2;
  EXPECT_EQ(diff(a, newer).other_layout, 4u);
}

TEST(Diff, MessagesAndHostStateCount) {
  Sample a, b;
  a.add_message(10);
  b.add_message(11);
  b.add_message(12);
  b.messages[1][40] = std::byte{1};
  b.host = "hosts";
  const auto d = diff(a, b);
  EXPECT_FALSE(d.equal());
  EXPECT_EQ(d.messages.only_a, 1u);
  EXPECT_EQ(d.messages.only_b, 2u);
  EXPECT_EQ(d.messages.changed, 1u);
  EXPECT_EQ(d.host_bytes, 1u);
  EXPECT_TRUE(d.changed.empty());
}

TEST(Diff, ARegionThatDoesNotFitIsCorruptAndAWrongToleranceIsRefused) {
  Sample a, b;
  a.actors[0].state.shape = 1000;
  auto d = diff_checkpoints(a.load(), b.load());
  ASSERT_FALSE(d);
  EXPECT_EQ(d.error().code, ErrorCode::corrupt);
  for (const double wrong : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    d = diff_checkpoints(b.load(), b.load(), {.tolerance = wrong});
    ASSERT_FALSE(d);
    EXPECT_EQ(d.error().code, ErrorCode::invalid_argument);
  }
}

TEST(DiffProperty, IsSymmetricAndEqualOnlyWithoutAChange) {
  expect_holds(rc::check([] {
    Sample a, b;
    bool touched = false;
    for (auto& actor : b.actors) {
      for (float& value : actor.field) {
        if (*rc::gen::inRange(0, 20) != 0) continue;
        value += 1;
        touched = true;
      }
    }
    const auto ab = diff(a, b), ba = diff(b, a);
    RC_ASSERT(ab.equal() == !touched);
    RC_ASSERT(ab.field_bytes == ba.field_bytes);
    RC_ASSERT(ab.changed == ba.changed);
  }));
}

}  // namespace
}  // namespace rk::checkpoint::test
