// Messages of the library itself: commands to workers, and notices that actors may handle.
//
// A command has kFlagSystem, travels on the control lane and is obeyed by the worker of its `dst`
// between two handlers; its payload is a Command. A notice is an ordinary message: an actor type
// that lists it in `messages` gets it, others never see it.
#pragma once

#include <ringkernel/runtime/message.hpp>

#include <cstdint>
#include <type_traits>

namespace rk {

/// `tag` of a message with kFlagSystem.
enum class CommandTag : std::uint8_t {
  /// To a worker's address: make an actor of type `Envelope::due` (low 32 bits) and let it handle
  /// the payload as its first message, whose tag is in the bits above. Answered by a Spawned.
  spawn = 1,
  kill = 2,     ///< `dst` dies; `code` tells its links and watchers why
  restart = 3,  ///< `dst` starts over from its copy (Lifeline), then goes on
  resume = 4,   ///< `dst` goes on as it is
  suspend = 5,  ///< `dst` handles nothing until restart or resume
  link = 6,     ///< add Link{actor, value} to `dst`
  unlink = 7,   ///< remove it
  down = 8,     ///< `actor`, a peer of `dst`, died with `code`; value: its LinkKind at `dst`
};

/// Payload of a command other than spawn.
struct Command {
  ActorId actor{};
  std::uint32_t code = 0;
  std::uint32_t value = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(Command) == 16 && std::is_trivially_copyable_v<Command>);

/// Code of a failure that has no code of its own.
inline constexpr std::uint32_t kCodeKilled = 0xFFFFFF01u;     ///< ctx.kill, Runtime::kill
inline constexpr std::uint32_t kCodeStopped = 0xFFFFFF02u;    ///< ctx.stop: a normal end
inline constexpr std::uint32_t kCodeNoActor = 0xFFFFFF03u;    ///< watched or linked to nobody
inline constexpr std::uint32_t kCodeIntensity = 0xFFFFFF04u;  ///< a supervisor gave up

/// To an actor's supervisor: its handler failed, and it is suspended until the answer.
struct Failed {
  static constexpr std::uint8_t tag = 224;
  ActorId child{};
  std::uint32_t code = 0;
};
/// To a watcher: the actor it monitors is gone.
struct Down {
  static constexpr std::uint8_t tag = 225;
  ActorId actor{};
  std::uint32_t code = 0;
};
/// To the actor that asked for a spawn elsewhere. `actor` is kNoActor if no place was free.
struct Spawned {
  static constexpr std::uint8_t tag = 226;
  ActorId actor{};
  std::uint32_t correlation = 0;
};
/// To an actor that its supervisor restarted, from itself: behind what waits for it.
struct Restarted {
  static constexpr std::uint8_t tag = 228;
  std::uint32_t restarts = 0;  ///< since its spawn
};
/// To the actor whose ask was not answered in time.
struct AskExpired {
  static constexpr std::uint8_t tag = 227;
  std::uint32_t correlation = 0;
};

}  // namespace rk
