#include <ringkernel/checkpoint/regions.hpp>

#include <charconv>
#include <cmath>
#include <cstring>
#include <ringkernel/checkpoint/storage.hpp>
#include <set>

namespace rk::checkpoint {
namespace {

constexpr std::array<std::string_view, 10> kElementNames{"u8",  "i8",  "u16", "i16", "u32",
                                                         "i32", "u64", "i64", "f32", "f64"};
constexpr std::uint32_t kMaxGhostLayers = 1024;
constexpr std::uint32_t kMaxBuffers = 1024;

unexpected misfit(const Region& region, const std::string& what) {
  return fail(ErrorCode::corrupt, "the region '" + region.name + "' " + what);
}

Result<std::uint64_t> value_of(const Region& region, const RegionNumber& number, Bytes state) {
  if (!number.from_state) return std::uint64_t{number.value};
  std::uint32_t word = 0;
  if (number.value > state.size() || state.size() - number.value < sizeof(word)) {
    return misfit(region, "names a word behind the actor's state");
  }
  std::memcpy(&word, state.data() + number.value, sizeof(word));
  return std::uint64_t{word};
}

/// a * b, or nothing when it exceeds `limit`.
bool multiply(std::uint64_t& a, std::uint64_t b, std::uint64_t limit) {
  if (b != 0 && a > limit / b) return false;
  a *= b;
  return true;
}

bool is_word_inside(const RegionNumber& number, std::uint64_t state_bytes) {
  return !number.from_state || std::uint64_t{number.value} + sizeof(std::uint32_t) <= state_bytes;
}

template <class T>
T load(const std::byte* element) {
  T value;
  std::memcpy(&value, element, sizeof(value));
  return value;
}

/// Calls f with the element as its own type.
template <class F>
auto with_element(ElementType type, const std::byte* element, F f) {
  switch (type) {
    case ElementType::u8: return f(load<std::uint8_t>(element));
    case ElementType::i8: return f(load<std::int8_t>(element));
    case ElementType::u16: return f(load<std::uint16_t>(element));
    case ElementType::i16: return f(load<std::int16_t>(element));
    case ElementType::u32: return f(load<std::uint32_t>(element));
    case ElementType::i32: return f(load<std::int32_t>(element));
    case ElementType::u64: return f(load<std::uint64_t>(element));
    case ElementType::i64: return f(load<std::int64_t>(element));
    case ElementType::f32: return f(load<float>(element));
    default: return f(load<double>(element));
  }
}

}  // namespace

Result<RegionView> view_region(const Region& region, Bytes state, Bytes field) {
  RegionView view;
  view.region = &region;
  const std::size_t axes = std::min<std::size_t>(region.shape.size(), 3);
  const Bytes base = region.is_in_field ? field : state;
  if (region.offset_bytes > base.size()) return misfit(region, "starts behind the actor's bytes");
  const std::uint64_t size = element_bytes(region.element);
  const std::uint64_t room = (base.size() - region.offset_bytes) / size;

  std::uint64_t padded = 1;  // elements of one buffer
  std::uint64_t first = 0;
  for (std::size_t axis = 0; axis < axes; ++axis) {
    RK_TRY_ASSIGN(view.shape[axis], value_of(region, region.shape[axis], state));
    view.stride[axis] = padded;
    first += region.ghost_layers * padded;
    if (!multiply(padded, view.shape[axis] + 2 * std::uint64_t{region.ghost_layers}, room)) {
      return misfit(region, "is larger than the actor's bytes");
    }
  }
  std::uint64_t all = padded;
  if (!multiply(all, region.buffers, room)) {
    return misfit(region, "is larger than the actor's bytes");
  }
  RK_TRY_ASSIGN(const std::uint64_t buffer, value_of(region, region.buffer, state));
  view.storage = base.subspan(region.offset_bytes, all * size);
  if (view.count() != 0) {
    const std::uint64_t skip = (buffer % region.buffers) * padded + first;
    view.elements = view.storage.subspan(skip * size);
  }
  view.whole = view.shape;
  for (std::size_t axis = 0; axis < std::min(axes, region.whole.size()); ++axis) {
    RK_TRY_ASSIGN(view.origin[axis], value_of(region, region.origin[axis], state));
    RK_TRY_ASSIGN(view.whole[axis], value_of(region, region.whole[axis], state));
    if (view.origin[axis] + view.shape[axis] > view.whole[axis]) {
      return misfit(region, "lies outside the whole it belongs to");
    }
  }
  return view;
}

std::string regions_fault(const std::vector<Region>& regions, std::uint64_t state_bytes) {
  std::set<std::string_view> names;
  for (const Region& region : regions) {
    const std::string who = "region '" + region.name + "': ";
    if (!is_valid_name(region.name)) {
      return who + "a name has 1 to 128 of the characters A-Z a-z 0-9 . _ - and no leading dot";
    }
    if (!names.insert(region.name).second) return who + "the name is there twice";
    if (region.shape.size() > 3) return who + "a shape has at most three axes";
    if (region.buffers == 0 || region.buffers > kMaxBuffers) return who + "1 to 1024 buffers";
    if (region.ghost_layers > kMaxGhostLayers) return who + "at most 1024 ghost layers";
    if (region.origin.size() != region.whole.size() ||
        (!region.whole.empty() && region.whole.size() != region.shape.size())) {
      return who + "origin and whole have as many axes as the shape";
    }
    if (!region.is_in_field &&
        std::uint64_t{region.offset_bytes} + element_bytes(region.element) > state_bytes) {
      return who + "it starts behind the end of the state";
    }
    bool is_inside = is_word_inside(region.buffer, state_bytes);
    for (const auto* numbers : {&region.shape, &region.origin, &region.whole}) {
      for (const RegionNumber& number : *numbers)
        is_inside = is_inside && is_word_inside(number, state_bytes);
    }
    if (!is_inside) return who + "it names a word behind the end of the state";
  }
  return {};
}

std::string_view to_string(ElementType type) {
  const auto index = static_cast<std::size_t>(type);
  return index < kElementNames.size() ? kElementNames[index] : "unknown";
}

bool element_type_from(std::string_view text, ElementType& type) {
  for (std::size_t i = 0; i < kElementNames.size(); ++i) {
    if (kElementNames[i] != text) continue;
    type = static_cast<ElementType>(i);
    return true;
  }
  return false;
}

std::string element_text(ElementType type, const std::byte* element) {
  return with_element(type, element, [](auto value) -> std::string {
    char text[40];
    if constexpr (std::is_floating_point_v<decltype(value)>) {
      if (std::isnan(value)) return "nan";
      if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    }
    const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
    return {text, end};
  });
}

double element_value(ElementType type, const std::byte* element) {
  return with_element(type, element, [](auto value) { return static_cast<double>(value); });
}

}  // namespace rk::checkpoint
