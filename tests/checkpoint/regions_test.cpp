// Declared regions: where their elements are, and that no declaration and no word of a state can
// point outside an actor's bytes.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cstring>
#include <limits>
#include <ringkernel/checkpoint/regions.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

void expect_holds(bool held) { EXPECT_TRUE(held); }

std::vector<std::byte> words(const std::vector<std::uint32_t>& values) {
  const Bytes bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> texts(const RegionView& view) {
  std::vector<std::string> out;
  view.for_each([&](const std::byte* e) { out.push_back(element_text(view.region->element, e)); });
  return out;
}

TEST(RegionView, AScalarIsOneElement) {
  const auto state = words({1, 2, 3});
  const Region two = region("two", ElementType::u32, 4);
  const auto view = view_region(two, state, {});
  ASSERT_OK(view);
  EXPECT_EQ(texts(*view), std::vector<std::string>{"2"});
  EXPECT_FALSE(view->is_placed());
}

TEST(RegionView, SkipsGhostsAndOtherBuffers) {
  // Two buffers of a 2 x 2 box with one ghost layer: 4 x 4 words each.
  std::vector<std::uint32_t> field(32);
  for (std::uint32_t i = 0; i < field.size(); ++i) field[i] = i;
  const Region box = region("box", ElementType::u32, 0, {state_word(0), 2})
                         .in_field()
                         .ghosts(1)
                         .buffered(2, state_word(4))
                         .placed({state_word(8), 5}, {9, 7});
  const auto bytes = words(field);
  for (const std::uint32_t step : {4u, 7u}) {
    const auto state = words({2, step, 6});
    const auto view = view_region(box, state, bytes);
    ASSERT_OK(view);
    const std::uint32_t at = (step % 2) * 16 + 5;
    EXPECT_EQ(texts(*view),
              (std::vector<std::string>{std::to_string(at), std::to_string(at + 1),
                                        std::to_string(at + 4), std::to_string(at + 5)}));
    EXPECT_EQ(view->origin, (RegionTriple{6, 5, 0}));
    EXPECT_EQ(view->whole, (RegionTriple{9, 7, 1}));
    EXPECT_EQ(view->storage.size(), bytes.size());
  }
}

TEST(RegionView, AnEmptyBoxHasNoElements) {
  const Region none = region("none", ElementType::f64, 0, {0, 3}).in_field();
  const auto view = view_region(none, {}, {});
  ASSERT_OK(view);
  EXPECT_TRUE(texts(*view).empty());
}

TEST(RegionView, WhatReachesOutsideIsCorrupt) {
  const auto state = words({3, 0xFFFFFFFF, 6});
  const auto field = words({1, 2, 3, 4});
  const auto refuse = [&](const Region& region) {
    const auto view = view_region(region, state, field);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code, ErrorCode::corrupt);
    EXPECT_NE(view.error().message.find("'r'"), std::string::npos);
  };
  refuse(region("r", ElementType::u32, 0, {5}).in_field());
  refuse(region("r", ElementType::u32, 17).in_field());
  refuse(region("r", ElementType::u64, 8, {1, 2}).in_field());
  refuse(region("r", ElementType::u32, 0, {3}).in_field().ghosts(1));
  refuse(region("r", ElementType::u32, 0, {3}).in_field().buffered(2, 0));
  refuse(region("r", ElementType::u32, 0, {state_word(4), state_word(4), state_word(4)}));
  refuse(region("r", ElementType::u32, 0, {state_word(9)}));
  refuse(region("r", ElementType::u32, 0, {state_word(0)}).placed({state_word(8)}, {8}));
  refuse(region("r", ElementType::u32, 0, {2}).placed({state_word(4)}, {state_word(4)}));
}

TEST(RegionViewProperty, NoDeclarationReadsOutsideTheActor) {
  expect_holds(rc::check([] {
    const auto number = [] {
      const auto value = *rc::gen::weightedElement<std::uint32_t>(
          {{6, *rc::gen::inRange<std::uint32_t>(0, 9)}, {1, 0xFFFFFFFFu}, {1, 0x80000000u}});
      return *rc::gen::arbitrary<bool>() ? state_word(value % 40) : RegionNumber(value);
    };
    Region box;
    box.name = "r";
    box.element = static_cast<ElementType>(*rc::gen::inRange(0, 10));
    box.is_in_field = *rc::gen::arbitrary<bool>();
    box.offset_bytes = *rc::gen::inRange<std::uint32_t>(0, 50);
    for (int axis = *rc::gen::inRange(0, 4); axis > 0; --axis) box.shape.push_back(number());
    box.ghost_layers = *rc::gen::inRange<std::uint32_t>(0, 3);
    box.buffers = *rc::gen::inRange<std::uint32_t>(1, 4);
    box.buffer = number();
    const auto state = words(
        *rc::gen::container<std::vector<std::uint32_t>>(8, rc::gen::inRange<std::uint32_t>(0, 6)));
    const std::vector<std::byte> field(*rc::gen::inRange<std::size_t>(0, 600));
    const auto view = view_region(box, state, field);
    if (!view) return;
    const std::vector<std::byte>& base = box.is_in_field ? field : state;
    std::uint64_t seen = 0;
    view->for_each([&](const std::byte* element) {
      RC_ASSERT(element >= base.data());
      RC_ASSERT(element + element_bytes(box.element) <= base.data() + base.size());
      ++seen;
    });
    RC_ASSERT(seen == view->count());
  }));
}

TEST(RegionView, OfNothingIsPassedOverHoweverLongItsOtherAxesAre) {
  const Region box = region("r", ElementType::u8, 0, {0, 0xFFFFFFFF, 0xFFFFFFFF});
  const std::vector<std::byte> state(16);
  const auto view = view_region(box, state, {});
  ASSERT_OK(view);
  EXPECT_TRUE(texts(*view).empty());
}

TEST(RegionsFault, SaysWhatIsWrongWithADeclaration) {
  const auto fault = [](const Region& region) { return regions_fault({region}, 16); };
  EXPECT_EQ(fault(region("r", ElementType::u64, 8)), "");
  EXPECT_NE(fault(region("r", ElementType::u64, 9)), "");
  EXPECT_NE(fault(region("", ElementType::u8, 0)), "");
  EXPECT_NE(fault(region("a b", ElementType::u8, 0)), "");
  EXPECT_NE(fault(region("r", ElementType::u8, 0, {1, 1, 1, 1})), "");
  EXPECT_NE(fault(region("r", ElementType::u8, 0, {state_word(13)})), "");
  EXPECT_NE(fault(region("r", ElementType::u8, 0).buffered(0, 0)), "");
  EXPECT_NE(fault(region("r", ElementType::u8, 0, {1}).placed({0, 0}, {1, 1})), "");
  const Region r = region("r", ElementType::u8, 0);
  EXPECT_NE(regions_fault({r, r}, 16), "");
}

TEST(ElementText, IsExactForEveryType) {
  const auto text = [](ElementType type, auto value) {
    return element_text(type, reinterpret_cast<const std::byte*>(&value));
  };
  EXPECT_EQ(text(ElementType::i8, std::int8_t{-128}), "-128");
  EXPECT_EQ(text(ElementType::u8, std::uint8_t{255}), "255");
  EXPECT_EQ(text(ElementType::i64, std::numeric_limits<std::int64_t>::min()),
            "-9223372036854775808");
  EXPECT_EQ(text(ElementType::u64, ~std::uint64_t{0}), "18446744073709551615");
  EXPECT_EQ(text(ElementType::f32, 0.1F), "0.1");
  EXPECT_EQ(text(ElementType::f64, std::nan("")), "nan");
  EXPECT_EQ(text(ElementType::f64, -std::numeric_limits<double>::infinity()), "-inf");
}

TEST(ElementTextProperty, FloatsReadBackToTheSameBits) {
  expect_holds(rc::check([](std::uint32_t bits) {
    const auto value = std::bit_cast<float>(bits);
    RC_PRE(std::isfinite(value));
    const auto text = element_text(ElementType::f32, reinterpret_cast<const std::byte*>(&value));
    RC_ASSERT(std::bit_cast<std::uint32_t>(std::strtof(text.c_str(), nullptr)) == bits);
  }));
}

}  // namespace
}  // namespace rk::checkpoint::test
