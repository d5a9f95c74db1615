#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <ringkernel/checkpoint/restore.hpp>
#include <ringkernel/checkpoint/src/row_writer.hpp>
#include <ringkernel/runtime/page_hash.hpp>
#include <ringkernel/runtime/slot.hpp>
#include <tuple>

namespace rk::checkpoint {
namespace {

using TypeOf = std::map<std::uint64_t, const ActorTypeInfo*>;

MessageHeader header_of(const LoadedMessage& message) {
  MessageHeader header;
  std::memcpy(&header, message.slot.data(), sizeof(header));
  return header;
}

/// Takes a chain of checkpoints apart into `out`, the full one first: slots and graves from all of
/// them, everything else from the newest.
class Loader {
 public:
  /// `out.manifest` is the newest one's.
  explicit Loader(LoadedCheckpoint& out) : out_(out) {
    for (const auto& type : out.manifest.types) types_[region_id(type.name)] = &type;
    out.max_hlc = out.manifest.hlc;
    // Bounds are checked against what really is in the shards; this only saves copies.
    out.slots.reserve(std::min<std::uint64_t>(out.manifest.slots, kMaxActors));
  }

  /// The chunks that follow are `manifest`'s.
  Result<void> begin(const Manifest& manifest) {
    if (manifest.types != out_.manifest.types) {
      return fail(ErrorCode::corrupt, "its actor types are not those of its increments");
    }
    is_newest_ = manifest.epoch == out_.manifest.epoch;
    is_increment_ = manifest.parent.has_value();
    for (Place& place : places_) place.seen = Seen::no;
    return {};
  }

  Result<void> take(const ChunkView& chunk) {
    if (!is_newest_ && chunk.type != ChunkType::device_memory) return {};
    switch (chunk.type) {
      case ChunkType::device_memory:
      case ChunkType::h2k_queue:
      case ChunkType::k2h_queue:
      case ChunkType::k2k_routing:
      case ChunkType::hlc_state: return take_rows(chunk);
      case ChunkType::custom:
        if (chunk.id != region_id(kHostStateRegion)) return {};
        if (has_host_state_) return fail(ErrorCode::corrupt, "the host's state is there twice");
        has_host_state_ = true;
        out_.host_state.assign(chunk.data.begin(), chunk.data.end());
        return {};
      default: return {};
    }
  }

  Result<void> finish() {
    const Manifest& manifest = out_.manifest;
    bury();
    RK_TRY(expect("slots", out_.slots.size(), manifest.slots));
    RK_TRY(expect("messages in flight", out_.messages.size() + out_.outputs.size(),
                  manifest.messages));
    RK_TRY(expect("bytes of host state", out_.host_state.size(), manifest.host_bytes));
    std::sort(out_.slots.begin(), out_.slots.end(),
              [](const LoadedSlot& a, const LoadedSlot& b) { return a.id.word < b.id.word; });
    RK_TRY(order(out_.messages));
    return order(out_.outputs);
  }

 private:
  static Result<void> expect(const char* what, std::uint64_t found, std::uint64_t promised) {
    if (found == promised) return {};
    return fail(ErrorCode::corrupt, "it holds " + std::to_string(found) + " " + what +
                                        " but its MANIFEST promises " + std::to_string(promised));
  }

  Result<void> take_rows(const ChunkView& chunk) {
    // The chunk's bytes live only during the visit.
    const auto copy =
        std::make_shared<const std::vector<std::byte>>(chunk.data.begin(), chunk.data.end());
    if (chunk.type != ChunkType::hlc_state) out_.storage.push_back(copy);
    RowCursor rows{Bytes(*copy)};
    RowView row;
    while (true) {
      RK_TRY_ASSIGN(const bool more, rows.next(row));
      if (!more) return {};
      if (chunk.type == ChunkType::device_memory) {
        RK_TRY(row.header.flags == kRowPages ? take_pages(chunk.id, row)
                                             : take_whole(chunk.id, row));
      } else if (chunk.type == ChunkType::hlc_state) {
        RK_TRY(take_clock(row));
      } else {
        RK_TRY(take_message(chunk.type, row));
      }
    }
  }

  Result<void> take_clock(const RowView& row) {
    std::uint64_t hlc = 0;
    if (row.payload.size() != sizeof(hlc))
      return fail(ErrorCode::corrupt, "a clock's row has the wrong size");
    std::memcpy(&hlc, row.payload.data(), sizeof(hlc));
    out_.clocks[row.header.id] = hlc;
    out_.max_hlc = std::max(out_.max_hlc, hlc);
    return {};
  }

  /// An actor or a grave.
  Result<void> take_whole(std::uint64_t region, const RowView& row) {
    const auto type = types_.find(region);
    if (type == types_.end())
      return fail(ErrorCode::corrupt, "a chunk belongs to no actor type of the MANIFEST");
    const std::string who = "actor " + std::to_string(ActorId{row.header.id}.index());
    const bool is_grave = row.header.flags == kRowGrave;
    LoadedSlot slot;
    if (row.payload.size() < sizeof(SlotRow))
      return fail(ErrorCode::corrupt, who + ": its row is too short");
    std::memcpy(&slot.row, row.payload.data(), sizeof(SlotRow));
    const std::uint64_t body = std::uint64_t{slot.row.state_bytes} + slot.row.field_bytes;
    if (row.payload.size() != sizeof(SlotRow) + (is_grave ? 0 : body) ||
        (row.header.flags != 0 && !is_grave) || (slot.row.flags & ~kKeptSlotFlags) != 0 ||
        slot.row.state_bytes != type->second->state_bytes ||
        row.header.version != type->second->version) {
      return fail(ErrorCode::corrupt, who + ": its row does not have its type's layout");
    }
    slot.id = ActorId{row.header.id};
    slot.type_region = region;
    slot.version = row.header.version;
    if (!is_grave) {
      slot.state = row.payload.subspan(sizeof(SlotRow), slot.row.state_bytes);
      slot.field = row.payload.subspan(sizeof(SlotRow) + slot.row.state_bytes);
    }
    RK_TRY(see(slot.id, who, Seen::whole));
    out_.max_hlc = std::max(out_.max_hlc, slot.row.hlc);
    return settle(slot, is_grave, who);
  }

  /// Puts the newest of an index where the older one was.
  Result<void> settle(const LoadedSlot& slot, bool is_grave, const std::string& who) {
    Place& place = places_[slot.id.index()];
    if (place.at == kNowhere) {
      place.at = out_.slots.size();
      out_.slots.push_back(slot);
    } else {
      const LoadedSlot& old = out_.slots[place.at];
      if (old.type_region != slot.type_region)
        return fail(ErrorCode::corrupt, who + " is of another type than in its parent");
      if (slot.id.generation() < old.id.generation())
        return fail(ErrorCode::corrupt, who + " is an older one than in its parent");
      if (place.is_grave && !is_grave && slot.id == old.id)
        return fail(ErrorCode::corrupt, who + " lives, but was dead in its parent");
      out_.slots[place.at] = slot;
      images_.erase(slot.id.index());
    }
    place.is_grave = is_grave;
    return {};
  }

  /// Takes the graves out of the slots.
  void bury() {
    std::vector<LoadedSlot> live;
    live.reserve(out_.slots.size());
    for (const LoadedSlot& slot : out_.slots) {
      if (places_[slot.id.index()].is_grave) {
        out_.graves.push_back({slot.id, slot.type_region, slot.version, slot.row});
      } else {
        live.push_back(slot);
      }
    }
    out_.slots = std::move(live);
    std::sort(out_.graves.begin(), out_.graves.end(),
              [](const Grave& a, const Grave& b) { return a.id.word < b.id.word; });
  }

  /// Lays changed pages over what the parent holds of the slot.
  Result<void> take_pages(std::uint64_t region, const RowView& row) {
    const std::string who = "actor " + std::to_string(ActorId{row.header.id}.index());
    SlotRow head;
    PagesPayload pages;
    if (row.payload.size() < sizeof(head) + sizeof(pages))
      return fail(ErrorCode::corrupt, who + ": its row of pages is too short");
    std::memcpy(&head, row.payload.data(), sizeof(head));
    std::memcpy(&pages, row.payload.data() + sizeof(head), sizeof(pages));
    const ActorId id{row.header.id};
    RK_TRY(see(id, who, Seen::pages));
    const Place& place = places_[id.index()];
    if (!is_increment_ || place.at == kNowhere || place.is_grave ||
        out_.slots[place.at].id.word != id.word) {
      return fail(ErrorCode::corrupt, who + ": pages of it are here, but no parent holds it");
    }
    LoadedSlot& slot = out_.slots[place.at];
    const std::uint64_t field_at = align_up(head.state_bytes, kSlotAlignment);
    const std::uint64_t body_bytes = field_at + align_up(head.field_bytes, kSlotAlignment);
    if ((head.flags & ~kKeptSlotFlags) != 0 || slot.type_region != region ||
        slot.version != row.header.version || slot.row.state_bytes != head.state_bytes ||
        slot.row.field_bytes != head.field_bytes || pages.body_bytes != body_bytes) {
      return fail(ErrorCode::corrupt, who + ": its pages are not of the layout its parent holds");
    }
    std::byte* image = image_of(slot, field_at, body_bytes);
    Bytes rest = row.payload.subspan(sizeof(head) + sizeof(pages));
    for (std::uint32_t i = 0; i < kPagesPerRecord; ++i) {
      if ((pages.mask >> i & 1u) == 0) continue;
      const std::uint64_t offset = (std::uint64_t{pages.first_page} + i) * kPageBytes;
      if (offset >= body_bytes || rest.size() < page_bytes(body_bytes, offset)) {
        return fail(ErrorCode::corrupt, who + ": its row does not hold the pages it names");
      }
      const Bytes page = rest.first(page_bytes(body_bytes, offset));
      std::memcpy(image + offset, page.data(), page.size());
      rest = rest.subspan(page.size());
    }
    if (!rest.empty()) return fail(ErrorCode::corrupt, who + ": its row of pages is too long");
    slot.row = head;
    out_.max_hlc = std::max(out_.max_hlc, head.hlc);
    return {};
  }

  /// The slot's body in memory of its own, for pages to be laid over it.
  std::byte* image_of(LoadedSlot& slot, std::uint64_t field_at, std::uint64_t body_bytes) {
    auto& image = images_[slot.id.index()];
    if (image == nullptr) {
      image = std::make_shared<std::vector<std::byte>>(body_bytes);
      std::copy(slot.state.begin(), slot.state.end(), image->begin());
      std::copy(slot.field.begin(), slot.field.end(),
                image->begin() + static_cast<std::ptrdiff_t>(field_at));
      slot.state = Bytes(*image).first(slot.row.state_bytes);
      slot.field = Bytes(*image).subspan(field_at, slot.row.field_bytes);
      out_.storage.push_back(image);
    }
    return image->data();
  }

  enum class Seen : std::uint8_t { no, whole, pages };

  /// What is known of an actor index.
  struct Place {
    std::size_t at = kNowhere;  // in out_.slots, graves among them until the end
    bool is_grave = false;
    Seen seen = Seen::no;  // in the checkpoint at hand
  };

  /// In one checkpoint a place is there once as a whole, or in any number of rows of pages.
  Result<void> see(ActorId id, const std::string& who, Seen as) {
    // The last index is the host's.
    if (id.index() >= kMaxActors) return fail(ErrorCode::corrupt, who + " cannot exist");
    if (id.index() >= places_.size()) places_.resize(id.index() + 1);
    Seen& seen = places_[id.index()].seen;
    if (seen == Seen::whole || (seen == Seen::pages && as == Seen::whole))
      return fail(ErrorCode::corrupt, who + " is there twice");
    seen = as;
    return {};
  }

  Result<void> take_message(ChunkType type, const RowView& row) {
    const std::uint32_t slot_bytes = row.header.flags;
    if (!is_message_slot_bytes(slot_bytes) || row.payload.size() < slot_bytes) {
      return fail(ErrorCode::corrupt, "a message's row has the wrong size");
    }
    LoadedMessage message{.slot = row.payload.first(slot_bytes),
                          .block = row.payload.subspan(slot_bytes)};
    const MessageHeader header = header_of(message);
    std::uint64_t block_bytes = 0;
    if ((header.flags & kFlagBlock) != 0) {
      BlockRef ref;
      std::memcpy(&ref, message.slot.data() + slot_bytes - sizeof(ref), sizeof(ref));
      block_bytes = ref.bytes;
    }
    const bool to_host = is_to_host(header);
    const bool from_host = header.src == kHostId && !to_host;
    const bool is_placed = (type == ChunkType::k2h_queue) == to_host &&
                           (type == ChunkType::h2k_queue) == from_host &&
                           !(header.dst == kHostId && header.src == kHostId);
    if (message.block.size() != block_bytes || row.header.id != header.dst.word || !is_placed ||
        (header.flags & ~kKeptMessageFlags) != 0) {
      return fail(ErrorCode::corrupt, "a message's row contradicts the message");
    }
    out_.max_hlc = std::max(out_.max_hlc, header.hlc);
    (to_host ? out_.outputs : out_.messages).push_back(message);
    return {};
  }

  /// By destination, source and sequence; numbers that ran past 2^32 come after those that did not.
  static Result<void> order(std::vector<LoadedMessage>& messages) {
    const auto key = [](const LoadedMessage& message) {
      const MessageHeader header = header_of(message);
      return std::tuple(header.dst.word, header.src.word, header.source_sequence);
    };
    std::sort(messages.begin(), messages.end(),
              [&](const LoadedMessage& a, const LoadedMessage& b) { return key(a) < key(b); });
    for (std::size_t begin = 0; begin < messages.size();) {
      const auto [dst, src, first] = key(messages[begin]);
      std::size_t end = begin + 1;
      std::size_t turn = begin;  // where the widest gap ends
      std::uint32_t widest = 0;
      std::uint32_t last = first;
      for (; end < messages.size(); ++end) {
        const auto [next_dst, next_src, sequence] = key(messages[end]);
        if (next_dst != dst || next_src != src) break;
        if (sequence == last) {
          return fail(ErrorCode::corrupt,
                      "a message from actor " + std::to_string(ActorId{src}.index()) +
                          " to actor " + std::to_string(ActorId{dst}.index()) + " is there twice");
        }
        if (sequence - last > widest) {
          widest = sequence - last;
          turn = end;
        }
        last = sequence;
      }
      // Numbers of one pair lie within half the circle, so a wider span has the wrap inside.
      if (last - first >= 0x80000000u) {
        const auto at = [&](std::size_t index) {
          return messages.begin() + static_cast<std::ptrdiff_t>(index);
        };
        std::rotate(at(begin), at(turn), at(end));
      }
      begin = end;
    }
    return {};
  }

  static constexpr std::size_t kNowhere = ~std::size_t{0};

  LoadedCheckpoint& out_;
  TypeOf types_;
  std::vector<Place> places_;                                                // by actor index
  std::map<std::uint32_t, std::shared_ptr<std::vector<std::byte>>> images_;  // by actor index
  bool is_newest_ = true;
  bool is_increment_ = false;
  bool has_host_state_ = false;
};

}  // namespace

Result<LoadedCheckpoint> load_checkpoint(const CheckpointDirectory& directory, const Entry& entry) {
  std::vector<CheckpointReader> chain;  // newest first
  for (std::optional<Entry> next = entry; next;) {
    RK_TRY_ASSIGN(auto reader, directory.open_checkpoint(*next));
    next->manifest = reader.manifest();
    const auto parent = parent_of(*next);
    chain.push_back(std::move(reader));
    next.reset();
    if (parent) next = Entry{.name = *parent, .directory = format_checkpoint_name(*parent)};
  }
  LoadedCheckpoint out;
  out.manifest = chain.front().manifest();
  out.directory = entry.directory;
  Loader loader(out);
  const auto named = [&](const Manifest& manifest, const Error& error) {
    const auto name = format_checkpoint_name({manifest.prefix, manifest.epoch, manifest.run_id});
    return fail(error.code, directory.storage().describe(name) + ": " + error.message,
                error.native);
  };
  for (auto reader = chain.rbegin(); reader != chain.rend(); ++reader) {
    auto result = loader.begin(reader->manifest());
    if (result) {
      result = reader->for_each_chunk([&](const ChunkView& chunk) { return loader.take(chunk); });
    }
    if (!result) return named(reader->manifest(), result.error());
  }
  if (auto result = loader.finish(); !result) return named(out.manifest, result.error());
  return out;
}

}  // namespace rk::checkpoint
