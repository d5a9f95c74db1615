// What actor types declare besides messages: migration and regions, found at compile time.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <ringkernel/runtime/actor.hpp>

namespace rk {
namespace {

struct Ping {
  static constexpr std::uint8_t tag = 1;
};
struct Plain {
  using messages = handles<Ping>;
  std::uint32_t number;
};
struct ByBool : Plain {
  static bool migrate(std::uint32_t from, std::span<const std::byte> old, ByBool& out) {
    if (from != 1) return false;
    out.number = static_cast<std::uint32_t>(old.size());
    return true;
  }
};
struct ByResult : Plain {
  static Result<void> migrate(std::uint32_t, std::span<const std::byte>, ByResult&) {
    return fail(ErrorCode::corrupt, "no");
  }
};
struct WithField : Plain {
  static bool migrate(std::uint32_t, std::span<const std::byte>, WithField&,
                      std::vector<std::byte>& field) {
    field.push_back(std::byte{7});
    return true;
  }
};
struct Shown : Plain {
  static std::array<Region, 2> regions() {
    return {region("number", ElementType::u32, 0),
            region("wave", ElementType::f32, 64, {state_word(0), 3})
                .in_field()
                .ghosts(1)
                .buffered(2, state_word(0))
                .placed({0, state_word(0)}, {9, 9})
                .spaced_by("cell_m")};
  }
};

TEST(Migrations, AreFoundAtCompileTimeWhateverTheirForm) {
  EXPECT_EQ(describe_actor<Plain>().migrate, nullptr);
  EXPECT_NE(describe_actor<ByBool>().migrate, nullptr);
  EXPECT_NE(describe_actor<ByResult>().migrate, nullptr);
  EXPECT_FALSE(describe_actor<ByResult>().migrates_field);
  EXPECT_TRUE(describe_actor<WithField>().migrates_field);
}

TEST(Migrations, GiveTheStateOrTheReason) {
  const std::vector<std::byte> old(17);
  std::array<std::byte, 4> state{};
  std::vector<std::byte> field{std::byte{1}};
  ASSERT_TRUE(describe_actor<ByBool>().migrate(1, old, state, field));
  std::uint32_t number = 0;
  std::memcpy(&number, state.data(), sizeof(number));
  EXPECT_EQ(number, 17u);
  EXPECT_EQ(field.size(), 1u);
  const auto refused = describe_actor<ByBool>().migrate(2, old, state, field);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::incompatible);
  EXPECT_EQ(describe_actor<ByResult>().migrate(1, old, state, field).error().message, "no");
  ASSERT_TRUE(describe_actor<WithField>().migrate(1, old, state, field));
  EXPECT_EQ(field, (std::vector<std::byte>{std::byte{1}, std::byte{7}}));
}

TEST(Regions, AreTakenFromTheType) {
  EXPECT_TRUE(describe_actor<Plain>().regions.empty());
  const auto regions = describe_actor<Shown>().regions;
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[0].name, "number");
  EXPECT_TRUE(regions[0].shape.empty());
  EXPECT_FALSE(regions[0].is_in_field);
  const Region& wave = regions[1];
  EXPECT_TRUE(wave.is_in_field);
  EXPECT_EQ(wave.shape, (std::vector<RegionNumber>{state_word(0), 3}));
  EXPECT_EQ(wave.ghost_layers, 1u);
  EXPECT_EQ(wave.buffers, 2u);
  EXPECT_EQ(wave.buffer, state_word(0));
  EXPECT_EQ(wave.whole, (std::vector<RegionNumber>{9, 9}));
  EXPECT_EQ(wave.spacing_key, "cell_m");
}

}  // namespace
}  // namespace rk
