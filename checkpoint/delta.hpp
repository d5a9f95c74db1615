// Deltas between two checkpoints of whole chunks: what changed and what was added, as a `.rkcp`
// file of its own. (The incremental checkpoints of a running system are another thing: they work
// on slots and pages; see docs/checkpointing.md.)
//
// A delta has the metadata of the next checkpoint, the chunks that are not in the base or differ
// from it, and these custom keys, which the result of `apply_delta` no longer has:
//
//   ringkernel.delta.parent_digest  %08x  content_digest of the base, as the seed writes and checks
//   ringkernel.delta.base_digest    32 hex digits: strong_digest of the base
//   ringkernel.delta.result_digest  32 hex digits: strong_digest of the next checkpoint
//   ringkernel.delta.deleted        identities "type:id" that the base has and the next one has
//                                   not, sorted, one space between; only if there are any
//   ringkernel.delta.order          identities of the next checkpoint in its order; only if it is
//                                   not the base's order followed by what was added
//
// The seed's reader takes the last four for somebody's own keys: it applies such a delta, but
// deletes nothing. Deltas by the seed have the first key alone; they apply here too, with the
// check that 32 bits allow.
//
// Errors: `invalid_argument` for a checkpoint with a repeated identity or one that is a delta where
// none may stand (or the reverse); `incompatible` when the delta belongs to another base;
// `corrupt` when its own parts contradict each other.
// Thread-safety: functions of values.
#pragma once

#include <ringkernel/checkpoint/checkpoint.hpp>
#include <string_view>

namespace rk::checkpoint {

inline constexpr std::string_view kDeltaParentDigestKey = "ringkernel.delta.parent_digest";
inline constexpr std::string_view kDeltaBaseDigestKey = "ringkernel.delta.base_digest";
inline constexpr std::string_view kDeltaResultDigestKey = "ringkernel.delta.result_digest";
inline constexpr std::string_view kDeltaDeletedKey = "ringkernel.delta.deleted";
inline constexpr std::string_view kDeltaOrderKey = "ringkernel.delta.order";

/// Whether any of the delta's keys is in the metadata.
[[nodiscard]] bool is_delta(const Metadata& metadata);

/// Metadata without the delta's keys: for a file that another reader restored from a delta and
/// left them in.
[[nodiscard]] Metadata without_delta_keys(Metadata metadata);

/// `apply_delta(base, make_delta(base, next)) == next`, and every other base is refused.
[[nodiscard]] Result<Checkpoint> make_delta(const Checkpoint& base, const Checkpoint& next);

/// The result is as old as the delta.
[[nodiscard]] Result<Checkpoint> apply_delta(const Checkpoint& base, const Checkpoint& delta);

}  // namespace rk::checkpoint
