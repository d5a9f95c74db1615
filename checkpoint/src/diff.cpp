#include <ringkernel/checkpoint/diff.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ringkernel/checkpoint/content_digest.hpp>
#include <ringkernel/checkpoint/regions.hpp>
#include <set>
#include <tuple>

namespace rk::checkpoint {
namespace {

std::uint64_t differing_bytes(Bytes a, Bytes b) {
  const std::size_t common = std::min(a.size(), b.size());
  std::uint64_t count = std::max(a.size(), b.size()) - common;
  if (common == 0 || std::memcmp(a.data(), b.data(), common) == 0) return count;
  for (std::size_t i = 0; i < common; ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

bool same_bytes(Bytes a, Bytes b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

bool is_float(ElementType type) { return type == ElementType::f32 || type == ElementType::f64; }

/// Bits equal, or close enough. Infinities and NaNs are close to nothing but themselves.
bool is_within(ElementType type, const std::byte* a, const std::byte* b, double tolerance) {
  if (std::memcmp(a, b, element_bytes(type)) == 0) return true;
  return std::abs(element_value(type, a) - element_value(type, b)) <= tolerance;
}

class Differ {
 public:
  Differ(const LoadedCheckpoint& a, const LoadedCheckpoint& b, const DiffOptions& options)
      : a_(a), b_(b), options_(options) {
    for (const ActorTypeInfo& type : a.manifest.types) types_a_[region_id(type.name)] = &type;
    for (const ActorTypeInfo& type : b.manifest.types) types_b_[region_id(type.name)] = &type;
  }

  Result<CheckpointDiff> run() {
    std::size_t i = 0, j = 0;
    while (i < a_.slots.size() || j < b_.slots.size()) {
      const bool has_a = i < a_.slots.size(), has_b = j < b_.slots.size();
      if (has_a && (!has_b || a_.slots[i].id.word < b_.slots[j].id.word)) {
        out_.only_a.push_back(a_.slots[i++].id);
      } else if (has_b && (!has_a || b_.slots[j].id.word < a_.slots[i].id.word)) {
        out_.only_b.push_back(b_.slots[j++].id);
      } else {
        RK_TRY(compare(a_.slots[i++], b_.slots[j++]));
      }
    }
    compare_graves();
    compare_messages(a_.messages, b_.messages);
    compare_messages(a_.outputs, b_.outputs);
    out_.host_bytes = differing_bytes(a_.host_state, b_.host_state);
    for (auto& [key, region] : regions_) {
      if (region.actors != 0 || region.other_shape != 0) out_.regions.push_back(std::move(region));
    }
    return std::move(out_);
  }

 private:
  Result<void> compare(const LoadedSlot& a, const LoadedSlot& b) {
    if (a.row.hlc != b.row.hlc) ++out_.other_stamps;
    if (a.row.handled != b.row.handled || a.row.source_sequence != b.row.source_sequence) {
      ++out_.other_counters;
    }
    if (a.type_region != b.type_region || a.version != b.version ||
        a.state.size() != b.state.size() || a.field.size() != b.field.size()) {
      out_.changed.push_back(a.id);
      ++out_.other_layout;
      return {};
    }
    if (a.row.flags == b.row.flags && same_bytes(a.state, b.state) &&
        same_bytes(a.field, b.field)) {
      ++out_.same;
      return {};
    }
    // Copies of A into which B's elements are put where they are close enough.
    std::vector<std::byte> state(a.state.begin(), a.state.end());
    std::vector<std::byte> field(a.field.begin(), a.field.end());
    RK_TRY(compare_regions(a, b, state, field));
    const std::uint64_t state_bytes = differing_bytes(state, b.state);
    const std::uint64_t field_bytes = differing_bytes(field, b.field);
    out_.state_bytes += state_bytes;
    out_.field_bytes += field_bytes;
    if (state_bytes + field_bytes == 0 && a.row.flags == b.row.flags) {
      ++out_.within_tolerance;
    } else {
      out_.changed.push_back(a.id);
    }
    return {};
  }

  void compare_graves() {
    std::set<std::uint32_t> dead;
    for (const Grave& grave : a_.graves) dead.insert(grave.id.word);
    std::uint64_t in_both = 0;
    for (const Grave& grave : b_.graves) in_both += dead.contains(grave.id.word) ? 1 : 0;
    out_.other_graves = a_.graves.size() + b_.graves.size() - 2 * in_both;
  }

  Result<void> compare_regions(const LoadedSlot& a, const LoadedSlot& b,
                               std::vector<std::byte>& state, std::vector<std::byte>& field) {
    const auto type_a = types_a_.find(a.type_region);
    const auto type_b = types_b_.find(b.type_region);
    if (type_a == types_a_.end() || type_b == types_b_.end()) return {};
    for (const Region& region : type_a->second->regions) {
      // Declared differently in B: the bytes are compared, the region is not.
      const auto& others = type_b->second->regions;
      if (std::find(others.begin(), others.end(), region) == others.end()) continue;
      RK_TRY_ASSIGN(const RegionView view_a, view_region(region, a.state, a.field));
      RK_TRY_ASSIGN(const RegionView view_b, view_region(region, b.state, b.field));
      RegionDiff& diff = diff_of(*type_a->second, region);
      if (view_a.shape != view_b.shape || view_a.origin != view_b.origin) {
        ++diff.other_shape;
        continue;
      }
      compare_elements(view_a, view_b, diff);
      if (options_.tolerance > 0 && diff.is_float) {
        forgive(region, view_a.storage, view_b.storage, region.is_in_field ? field : state);
      }
    }
    return {};
  }

  RegionDiff& diff_of(const ActorTypeInfo& type, const Region& region) {
    RegionDiff& diff = regions_[{type.name, region.name}];
    diff.type = type.name;
    diff.region = region.name;
    diff.is_float = is_float(region.element);
    return diff;
  }

  void compare_elements(const RegionView& a, const RegionView& b, RegionDiff& diff) const {
    const ElementType type = a.region->element;
    const std::uint32_t size = element_bytes(type);
    const std::uint64_t before = diff.elements;
    std::vector<const std::byte*> others;
    others.reserve(b.count());
    b.for_each([&](const std::byte* element) { others.push_back(element); });
    std::size_t i = 0;
    a.for_each([&](const std::byte* element) {
      const std::byte* other = others[i++];
      const std::uint64_t bytes = differing_bytes({element, size}, {other, size});
      if (bytes == 0) return;
      ++diff.elements;
      diff.bytes += bytes;
      if (!diff.is_float) {
        ++diff.beyond_tolerance;
        return;
      }
      if (!is_within(type, element, other, options_.tolerance)) ++diff.beyond_tolerance;
      const double distance = std::abs(element_value(type, element) - element_value(type, other));
      if (std::isfinite(distance)) {
        diff.max_abs_difference = std::max(diff.max_abs_difference, distance);
      }
    });
    if (diff.elements != before) ++diff.actors;
  }

  /// Ghost layers and other buffers are copies and past values of the same quantity.
  void forgive(const Region& region, Bytes a, Bytes b, std::vector<std::byte>& patched) const {
    const std::uint32_t size = element_bytes(region.element);
    const std::size_t bytes = std::min(a.size(), b.size());
    for (std::size_t at = 0; at + size <= bytes; at += size) {
      if (is_within(region.element, a.data() + at, b.data() + at, options_.tolerance)) {
        std::memcpy(patched.data() + region.offset_bytes + at, b.data() + at, size);
      }
    }
  }

  using MessageKey = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;

  static MessageHeader header_of(const LoadedMessage& message) {
    MessageHeader header;
    std::memcpy(&header, message.slot.data(), sizeof(header));
    return header;
  }
  static std::map<MessageKey, const LoadedMessage*> by_key(const std::vector<LoadedMessage>& all) {
    std::map<MessageKey, const LoadedMessage*> out;
    for (const LoadedMessage& message : all) {
      const MessageHeader header = header_of(message);
      out[{header.dst.word, header.src.word, header.source_sequence}] = &message;
    }
    return out;
  }

  void compare_messages(const std::vector<LoadedMessage>& a, const std::vector<LoadedMessage>& b) {
    const auto in_a = by_key(a);
    const auto in_b = by_key(b);
    for (const auto& [key, message] : in_a) {
      const auto other = in_b.find(key);
      if (other == in_b.end()) {
        ++out_.messages.only_a;
        continue;
      }
      const MessageHeader ha = header_of(*message), hb = header_of(*other->second);
      const MessageContent ca(message->slot), cb(other->second->slot);
      const bool same = ha.tag == hb.tag && (ha.flags & kFlagBlock) == (hb.flags & kFlagBlock) &&
                        ca.traits() == cb.traits() && same_bytes(ca.payload(), cb.payload()) &&
                        same_bytes(message->block, other->second->block);
      if (!same) ++out_.messages.changed;
      if (ha.hlc != hb.hlc) ++out_.messages.other_stamps;
    }
    for (const auto& [key, message] : in_b) {
      if (!in_a.contains(key)) ++out_.messages.only_b;
    }
  }

  const LoadedCheckpoint& a_;
  const LoadedCheckpoint& b_;
  DiffOptions options_;
  std::map<std::uint64_t, const ActorTypeInfo*> types_a_, types_b_;
  std::map<std::pair<std::string, std::string>, RegionDiff> regions_;
  CheckpointDiff out_;
};

}  // namespace

Result<CheckpointDiff> diff_checkpoints(const LoadedCheckpoint& a, const LoadedCheckpoint& b,
                                        const DiffOptions& options) {
  if (!(options.tolerance >= 0) || std::isinf(options.tolerance)) {
    return fail(ErrorCode::invalid_argument, "a tolerance is a number of at least 0");
  }
  return Differ(a, b, options).run();
}

}  // namespace rk::checkpoint
