// Messages that could not be handled, as the host keeps them.
#pragma once

#include <ringkernel/runtime/message.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rk {

/// One message that nobody handled. A slab block that belonged to it is gone.
struct DeadLetter {
  DeadReason reason = DeadReason::none;
  ActorId from{};  ///< kHostId: the host sent it
  ActorId to{};
  std::uint8_t tag = 0;
  std::uint8_t tries = 0;   ///< handlers that failed on it
  bool is_command = false;  ///< `tag` is a CommandTag
  std::uint32_t source_sequence = 0;
  std::uint64_t hlc = 0;
  std::vector<std::byte> payload;  ///< inline part, padded with zeros
};

/// "unknown", "dead", "expired", "refused" or "poisoned".
constexpr std::string_view to_string(DeadReason reason) {
  switch (reason) {
    case DeadReason::unknown: return "unknown";
    case DeadReason::dead: return "dead";
    case DeadReason::expired: return "expired";
    case DeadReason::refused: return "refused";
    case DeadReason::poisoned: return "poisoned";
    default: return "none";
  }
}

}  // namespace rk
