// What equal runs have in common: a digest of slots and of messages in flight that does not depend
// on their order, on the number of workers, or on when things happened. Time stamps, colours and
// slab handles are left out.
//
//   digest = sum modulo 2^128 over all items of XXH3-128(item),       H = XXH3-128
//   slot item:    {1, state_bytes, field_bytes, id, version, source_sequence, flags, handled,
//                  H(type name), H(state), H(field)}
//   message item: {2, tag, has block, dst, src, source_sequence, traits, H(payload), H(block)}
//   grave item:   {3, id, H(type name)}
//
// A message's payload includes its Envelope, but for the peers of its Route and the physical time
// of a timer; with a block, `traits` has the Route's kind and tries.
//
// A sum instead of an exclusive or: an item that is there twice does not cancel out. It catches
// accidents, not tampering.
//
// Thread-safety: values. Parts made by several threads are merged.
#pragma once

#include <ringkernel/checkpoint/hash.hpp>
#include <ringkernel/runtime/message.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace rk::checkpoint {

/// What of a slot counts.
struct SlotContent {
  ActorId id;
  std::string_view type_name;
  std::uint32_t version = 0;
  std::uint32_t source_sequence = 0;
  std::uint64_t handled = 0;
  std::uint32_t flags = 0;  ///< SlotRow::flags
  Bytes state{};
  Bytes field{};
};

/// A message's slot without its header, as it counts: the same for equal messages of equal runs.
/// With a block it ends before the trailer.
class MessageContent {
 public:
  explicit MessageContent(Bytes slot);
  [[nodiscard]] Bytes payload() const { return Bytes(bytes_).first(size_); }
  [[nodiscard]] std::uint32_t traits() const { return traits_; }

 private:
  std::array<std::byte, kLargeMessageBytes> bytes_;
  std::size_t size_ = 0;
  std::uint32_t traits_ = 0;  ///< flags that count; with a block kind and tries, too
};

class ContentDigest {
 public:
  void add_slot(const SlotContent& slot);
  void add_grave(ActorId id, std::string_view type_name);
  /// `slot` is a whole message slot, header first; `block` the bytes of its block, empty without
  /// one.
  void add_message(Bytes slot, Bytes block);
  void merge(const ContentDigest& other);
  [[nodiscard]] Hash128 value() const { return sum_; }

 private:
  void add(const Hash128& item);
  Hash128 sum_{};
};

}  // namespace rk::checkpoint
