// Registry: actors by name, and by prefix of a name.
//
// Names have 1 to 40 bytes, none of them zero, and are compared byte by byte. The table lies sorted
// in the field; its size bounds the number of names. Every request is answered to its sender, an
// actor or the host, with the number that the sender gave it.
//
// A prefix look-up is answered by a Found per match in name order, then by LookUpDone. It takes
// several handlers if there are many matches: names that stay are found once; those registered or
// taken out meanwhile may or may not be.
//
// Names travel in payloads of up to 64 bytes, so a program with a Registry has 128-byte message
// slots, for all of its messages.
#pragma once

#include <ringkernel/kernels/patterns/common.hpp>

#include <cstdint>
#include <string_view>

namespace rk {

inline constexpr std::uint32_t kMaxNameBytes = 40;

/// Zero-padded; all zero: no name.
struct RegistryName {
  char bytes[kMaxNameBytes] = {};

  [[nodiscard]] RK_FN std::uint32_t length() const {
    std::uint32_t n = 0;
    while (n < kMaxNameBytes && bytes[n] != 0) ++n;
    return n;
  }
  /// Something after the first zero byte would make two names of one.
  [[nodiscard]] RK_FN bool valid() const {
    const std::uint32_t n = length();
    for (std::uint32_t i = n; i < kMaxNameBytes; ++i) {
      if (bytes[i] != 0) return false;
    }
    return n > 0;
  }
  [[nodiscard]] RK_FN bool starts_with(const RegistryName& prefix,
                                       std::uint32_t bytes_of_it) const {
    for (std::uint32_t i = 0; i < bytes_of_it; ++i) {
      if (bytes[i] != prefix.bytes[i]) return false;
    }
    return true;
  }
  /// Negative, zero or positive, as memcmp.
  [[nodiscard]] RK_FN int compare(const RegistryName& other) const {
    for (std::uint32_t i = 0; i < kMaxNameBytes; ++i) {
      const auto a = static_cast<unsigned char>(bytes[i]);
      const auto b = static_cast<unsigned char>(other.bytes[i]);
      if (a != b) return a < b ? -1 : 1;
    }
    return 0;
  }
};
/// Longer names than kMaxNameBytes become no name, which every request refuses.
[[nodiscard]] RK_FN constexpr RegistryName registry_name(std::string_view text) {
  RegistryName name;
  if (text.size() > kMaxNameBytes) return name;
  for (std::size_t i = 0; i < text.size(); ++i) name.bytes[i] = text[i];
  return name;
}

enum class NameStatus : std::uint32_t {
  ok = 0,
  taken = 1,      ///< the name is registered; `id` says whose it is
  full = 2,       ///< no place in the table
  bad_name = 3,   ///< empty, or with a zero byte inside
  not_found = 4,  ///< no such name, or not of this actor
};

/// Answered by NameAnswer.
struct RegisterName {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::register_name);
  static constexpr std::uint32_t max_sends = 1;
  RegistryName name{};
  ActorId id{};
  std::uint32_t request = 0;
};
/// Takes a name out if it is `id`'s. Answered by NameAnswer.
struct UnregisterName {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::unregister_name);
  static constexpr std::uint32_t max_sends = 1;
  RegistryName name{};
  ActorId id{};
  std::uint32_t request = 0;
};
struct NameAnswer {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::name_answer);
  NameStatus status;
  ActorId id;  ///< whose the name is now; kNoActor: nobody's
  std::uint32_t request;
};
/// Answered by Found, whose id is kNoActor if the name is not registered.
struct LookUp {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::look_up);
  static constexpr std::uint32_t max_sends = 1;
  RegistryName name{};
  std::uint32_t request = 0;
};
inline constexpr std::uint32_t kMatchesPerTurn = 7;
/// Answered by Found for each name that starts with `prefix` (empty: every name), then LookUpDone.
struct LookUpPrefix {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::look_up_prefix);
  static constexpr std::uint32_t max_sends = kMatchesPerTurn + 1;
  static constexpr std::uint32_t max_host_sends = kMatchesPerTurn + 1;
  RegistryName prefix{};
  std::uint32_t request = 0;
};
struct Found {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::found);
  RegistryName name;
  ActorId id;
  std::uint32_t request;
  std::uint32_t index;  ///< of a prefix look-up's matches, from 0
};
struct LookUpDone {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::look_up_done);
  std::uint32_t request;
  std::uint32_t matches;
};
/// From the registry to itself: a prefix look-up goes on after `last`.
struct NextMatches {
  static constexpr std::uint8_t tag = detail::pattern_tag(PatternTag::next_matches);
  static constexpr std::uint32_t max_sends = kMatchesPerTurn + 1;
  static constexpr std::uint32_t max_host_sends = kMatchesPerTurn + 1;
  RegistryName last;
  std::uint32_t prefix_bytes;  ///< the prefix is the beginning of `last`
  std::uint32_t matches;       ///< so far
  ActorId asker;
  std::uint32_t request;
};

struct RegistryEntry {
  RegistryName name{};
  ActorId id{kNoActor};
  std::uint32_t reserved = 0;
};
static_assert(sizeof(RegistryEntry) == 48);

/// Position of the first of `count` sorted entries whose name is not before `name`.
RK_FN inline std::uint32_t registry_lower_bound(const RegistryEntry* entries, std::uint32_t count,
                                                const RegistryName& name) {
  std::uint32_t low = 0;
  while (count > 0) {
    const std::uint32_t half = count / 2;
    if (entries[low + half].name.compare(name) < 0) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return low;
}

/// Bytes of the field of a registry for so many names.
RK_FN constexpr std::uint32_t registry_field_bytes(std::uint32_t names) {
  return names * static_cast<std::uint32_t>(sizeof(RegistryEntry));
}

/// spawn_registry (runtime/patterns.hpp) makes one.
struct Registry {
  using messages = handles<RegisterName, UnregisterName, LookUp, LookUpPrefix, NextMatches>;
  static constexpr const char* name = "rk.registry";

  std::uint32_t count = 0;  ///< names in the table

  template <class Ctx>
  RK_FN void on(const RegisterName& request, Ctx& ctx) {
    const auto table = ctx.template field<RegistryEntry>();
    const std::uint32_t at = registry_lower_bound(table.data, count, request.name);
    const bool taken = holds(table.data, at, request.name);
    NameAnswer reply{NameStatus::ok, request.id, request.request};
    if (!request.name.valid()) {
      reply = {NameStatus::bad_name, kNoActor, request.request};
    } else if (taken) {
      reply = {NameStatus::taken, table[at].id, request.request};
    } else if (count == table.count) {
      reply = {NameStatus::full, kNoActor, request.request};
    } else {
      const std::uint32_t names = count;
      shift_up(table.data, at, names, ctx);
      if (ctx.leader()) {
        table[at] = RegistryEntry{request.name, request.id, 0};
        count = names + 1;
      }
    }
    detail::answer(ctx, ctx.sender(), reply);
  }

  template <class Ctx>
  RK_FN void on(const UnregisterName& request, Ctx& ctx) {
    const auto table = ctx.template field<RegistryEntry>();
    const std::uint32_t at = registry_lower_bound(table.data, count, request.name);
    NameAnswer reply{NameStatus::ok, kNoActor, request.request};
    if (!holds(table.data, at, request.name)) {
      reply.status = NameStatus::not_found;
    } else if (!(table[at].id == request.id)) {
      reply = {NameStatus::not_found, table[at].id, request.request};
    } else {
      const std::uint32_t names = count;
      shift_down(table.data, at, names, ctx);
      if (ctx.leader()) {
        table[names - 1] = RegistryEntry{};
        count = names - 1;
      }
    }
    detail::answer(ctx, ctx.sender(), reply);
  }

  template <class Ctx>
  RK_FN void on(const LookUp& request, Ctx& ctx) const {
    const auto table = ctx.template field<RegistryEntry>();
    const std::uint32_t at = registry_lower_bound(table.data, count, request.name);
    const bool held = holds(table.data, at, request.name);
    Found found{request.name, kNoActor, request.request, 0};
    if (held) found.id = table[at].id;
    detail::answer(ctx, ctx.sender(), found);
  }

  template <class Ctx>
  RK_FN void on(const LookUpPrefix& request, Ctx& ctx) const {
    const auto table = ctx.template field<RegistryEntry>();
    const NextMatches from{request.prefix, request.prefix.length(), 0, ctx.sender(),
                           request.request};
    tell(from, registry_lower_bound(table.data, count, request.prefix), ctx);
  }

  template <class Ctx>
  RK_FN void on(const NextMatches& from, Ctx& ctx) const {
    if (!(ctx.sender() == ctx.self())) return ctx.fail(kCodeNotAMessage);
    const auto table = ctx.template field<RegistryEntry>();
    std::uint32_t at = registry_lower_bound(table.data, count, from.last);
    if (holds(table.data, at, from.last)) ++at;
    tell(from, at, ctx);
  }

 private:
  [[nodiscard]] RK_FN bool holds(const RegistryEntry* table, std::uint32_t at,
                                 const RegistryName& wanted) const {
    return at < count && table[at].name.compare(wanted) == 0;
  }

  /// Some more matches from `at` on, then the end or a message to itself.
  template <class Ctx>
  RK_FN void tell(const NextMatches& from, std::uint32_t at, Ctx& ctx) const {
    const auto table = ctx.template field<RegistryEntry>();
    NextMatches onward = from;
    for (std::uint32_t n = 0;; ++n, ++at) {
      if (at >= count || !table[at].name.starts_with(from.last, from.prefix_bytes)) {
        return detail::answer(ctx, from.asker, LookUpDone{from.request, onward.matches});
      }
      if (n == kMatchesPerTurn) return ctx.send(ref<Registry>{ctx.self()}, onward);
      detail::answer(ctx, from.asker,
                     Found{table[at].name, table[at].id, from.request, onward.matches++});
      onward.last = table[at].name;
    }
  }

  /// Makes room at `from` among the first `end` entries. A strip of as many entries as there are
  /// lanes is read by all before it is written. Collective.
  template <class Ctx>
  RK_FN static void shift_up(RegistryEntry* table, std::uint32_t from, std::uint32_t end,
                             Ctx& ctx) {
    const std::uint32_t lanes = ctx.group().size();
    const std::uint32_t lane = ctx.group().rank();
    ctx.sync();
    while (end > from) {
      const std::uint32_t strip = end - from < lanes ? end - from : lanes;
      end -= strip;
      RegistryEntry held;
      if (lane < strip) held = table[end + lane];
      ctx.sync();
      if (lane < strip) table[end + lane + 1] = held;
      ctx.sync();
    }
  }
  /// Closes the gap at `at` among the first `end` entries. Collective.
  template <class Ctx>
  RK_FN static void shift_down(RegistryEntry* table, std::uint32_t at, std::uint32_t end,
                               Ctx& ctx) {
    const std::uint32_t lanes = ctx.group().size();
    const std::uint32_t lane = ctx.group().rank();
    ctx.sync();
    for (std::uint32_t from = at + 1; from < end; from += lanes) {
      RegistryEntry held;
      if (from + lane < end) held = table[from + lane];
      ctx.sync();
      if (from + lane < end) table[from + lane - 1] = held;
      ctx.sync();
    }
  }
};

}  // namespace rk
