// The actor that simulates one tile of a room, and its messages.
//
// Invariants
//   1. Field: p(n) lies in buffer n mod 2. `step` = n says that p(n) is complete; the halo of p(s)
//   lands in the padding of
//      buffer s mod 2, whenever it comes.
//   2. A tile goes from n to n+1 when it has the halo of p(n) from every neighbour. So a neighbour
//   is at most one step
//      ahead, and one arrival counter per buffer suffices: there is no barrier across the room.
//   3. One step per handler. A tile that could go on at once sends itself a Go, so that the
//   declared room is that of one
//      step. No tile needs a start signal: the source starts on its first samples, the others on
//      the first halo.
//   4. At most two halos per face are under way (those of p(n) and p(n+1)); slab and inboxes are
//   sized from that.
//   5. The feeder is at most kDriveRing samples ahead of the source's newest Confirm.
//
// Trailing field of a tile, in floats (TileLayout):
//
//     | buffer 0 | buffer 1 | drive ring (source only) | chunk of microphone 0 | chunk of
//     microphone 1 | ...
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <ringkernel/runtime/actor.hpp>

#include "stencil.hpp"

namespace rk::acoustics {

inline constexpr std::uint32_t kChunk = 16;        ///< samples per message, to and from the host
inline constexpr std::uint32_t kDriveRing = 1024;  ///< samples the source tile can hold
inline constexpr std::uint32_t kMaxTileMics = 64;

/// What one step may use up.
struct StepBudget {
  static constexpr std::uint32_t max_sends = kFaces + 1;  ///< halos and a Go
  static constexpr std::uint32_t max_blocks = kFaces;
  static constexpr std::uint32_t max_host_sends = kMaxTileMics + 1;
};

/// The outermost layer of a neighbour at `step`; carries a block of face_cells floats.
struct Halo : StepBudget {
  static constexpr std::uint8_t tag = 1;
  std::uint32_t step;
  std::uint32_t face;  ///< of the receiver
};

/// A tile to itself: the next step is possible.
struct Go : StepBudget {
  static constexpr std::uint8_t tag = 2;
  std::uint32_t step;
};

/// Host to the source tile: drive[first..first+count).
struct Drive : StepBudget {
  static constexpr std::uint8_t tag = 3;
  std::uint32_t first;
  std::uint32_t count;
  float samples[kChunk];
};

/// Source tile to host: the drive up to `step` is used up.
struct Confirm {
  static constexpr std::uint8_t tag = 4;
  std::uint32_t step;
};

/// Tile to host: samples first..first+count of one microphone.
struct MicSamples {
  static constexpr std::uint8_t tag = 5;
  std::uint32_t mic;
  std::uint32_t first;
  std::uint32_t count;
  float samples[kChunk];
};
static_assert(sizeof(Drive) == 72 && sizeof(MicSamples) == 76);

/// One row (host) or one cell (device) of a face, as update_items is for the tile.
RK_FN inline std::uint32_t face_items(const TileShape& t, Face face) {
#if defined(__CUDA_ARCH__)
  return face_cells(t, face);
#else
  return t.size[axis_of(face) == 2 ? 1 : 2];
#endif
}

/// Calls f(k) for the cells of piece `item` of `face`.
template <class F>
RK_FN void for_face_item(const TileShape& t, Face face, std::uint32_t item, F f) {
#if defined(__CUDA_ARCH__)
  f(item, face_index(t, face, item), halo_index(t, face, item));
#else
  const std::uint32_t axis = axis_of(face);
  const std::uint32_t width = t.size[axis == 0 ? 1 : 0];
  const std::uint32_t stride = axis == 0 ? stride_y(t) : 1;
  const std::uint32_t first = item * width;
  const std::uint32_t inner = face_index(t, face, first);
  const std::uint32_t outer = halo_index(t, face, first);
  for (std::uint32_t a = 0; a < width; ++a) f(first + a, inner + a * stride, outer + a * stride);
#endif
}

struct Tile {
  using messages = handles<Halo, Go, Drive>;
  static constexpr const char* name = "acoustics.tile";
  static constexpr std::uint32_t version = 1;

  TileShape shape;
  StencilCoefficients weights;
  ref<Tile> neighbours[kFaces];  ///< unused where a wall is
  std::uint32_t faces;           ///< that are not walls
  std::uint32_t steps;           ///< to simulate in all
  std::uint32_t step;            ///< p(step) is complete
  std::uint32_t arrived[2];      ///< halos of p(s) at s mod 2
  std::uint32_t go_pending;
  std::uint32_t has_source;
  std::uint32_t source_cell;  ///< padded index
  std::uint32_t drive_end;    ///< drive[..drive_end) is known
  std::uint32_t mic_count;
  std::uint32_t mic_cell[kMaxTileMics];  ///< padded index
  std::uint32_t mic_id[kMaxTileMics];

  /// What `rk diff` and `rk export` show: p(step), each tile at its place in the room.
  static std::array<Region, 1> regions() {
    const auto triple = [](std::size_t at) -> std::vector<RegionNumber> {
      return {state_word(at), state_word(at + 4), state_word(at + 8)};
    };
    return {region("pressure", ElementType::f32, 0, triple(offsetof(Tile, shape.size)))
                .in_field()
                .ghosts(1)
                .buffered(2, state_word(offsetof(Tile, step)))
                .placed(triple(offsetof(Tile, shape.offset)), triple(offsetof(Tile, shape.grid)))
                .spaced_by("cell_m")};
  }

  [[nodiscard]] RK_FN std::uint32_t buffer_at(std::uint32_t n) const {
    return (n & 1U) * padded_cells(shape);
  }
  [[nodiscard]] RK_FN std::uint32_t ring_at() const { return 2 * padded_cells(shape); }
  [[nodiscard]] RK_FN std::uint32_t chunk_at(std::uint32_t mic) const {
    return ring_at() + (has_source != 0 ? kDriveRing : 0) + mic * kChunk;
  }
  [[nodiscard]] RK_FN std::uint32_t field_floats() const { return chunk_at(mic_count); }

  template <class Ctx>
  RK_FN void on(const Halo& halo, Ctx& ctx) {
    float* field = ctx.template field<float>().data;
    const float* layer = ctx.template payload<float>().data;
    float* to = field + buffer_at(halo.step);
    const Face face = static_cast<Face>(halo.face);
    ctx.parallel_for(face_items(shape, face), [&](std::uint32_t item) {
      for_face_item(shape, face, item, [&](std::uint32_t k, std::uint32_t, std::uint32_t outer) {
        to[outer] = layer[k];
      });
    });
    if (ctx.leader()) ++arrived[halo.step & 1U];
    ctx.sync();
    if (go_pending == 0) advance(field, ctx);
  }

  template <class Ctx>
  RK_FN void on(const Drive& drive, Ctx& ctx) {
    float* field = ctx.template field<float>().data;
    float* ring = field + ring_at();
    ctx.parallel_for(drive.count, [&](std::uint32_t i) {
      ring[(drive.first + i) % kDriveRing] = drive.samples[i];
    });
    if (ctx.leader()) drive_end = drive.first + drive.count;
    ctx.sync();
    if (go_pending == 0) advance(field, ctx);
  }

  template <class Ctx>
  RK_FN void on(const Go&, Ctx& ctx) {
    if (ctx.leader()) go_pending = 0;
    ctx.sync();
    advance(ctx.template field<float>().data, ctx);
  }

 private:
  [[nodiscard]] RK_FN bool ready() const {
    return step < steps && (step == 0 || arrived[step & 1U] == faces) &&
           (has_source == 0 || step < drive_end);
  }

  /// Does one step if that is possible now.
  template <class Ctx>
  RK_FN void advance(float* field, Ctx& ctx) {
    if (!ready()) return;
    const std::uint32_t n = step;
    const float* now = field + buffer_at(n);
    float* next = field + buffer_at(n + 1);
    ctx.parallel_for(update_items(shape),
                     [&](std::uint32_t item) { update_item(shape, weights, now, next, item); });
    if (ctx.leader()) {
      if (has_source != 0) next[source_cell] += field[ring_at() + n % kDriveRing];
      for (std::uint32_t m = 0; m < mic_count; ++m)
        field[chunk_at(m) + n % kChunk] = next[mic_cell[m]];
      arrived[n & 1U] = 0;
      step = n + 1;
    }
    ctx.sync();
    if (n + 1 < steps) send_halos(next, n + 1, ctx);
    if ((n + 1) % kChunk == 0 || n + 1 == steps) report(field, n + 1, ctx);
    const bool again = ready();
    // every lane has to have read the state before the leader changes it
    ctx.sync();
    if (!again) return;
    if (ctx.leader()) go_pending = 1;
    ctx.send(ref<Tile>{ctx.self()}, Go{{}, n + 1});
  }

  template <class Ctx>
  RK_FN void send_halos(const float* pressure, std::uint32_t at_step, Ctx& ctx) {
    for (std::uint32_t f = 0; f < kFaces; ++f) {
      const Face face = static_cast<Face>(f);
      if (is_wall(shape, face)) continue;
      const auto block = ctx.template block<float>(face_cells(shape, face));
      if (!block) return;
      ctx.parallel_for(face_items(shape, face), [&](std::uint32_t item) {
        for_face_item(shape, face, item, [&](std::uint32_t k, std::uint32_t inner, std::uint32_t) {
          block.data[k] = pressure[inner];
        });
      });
      ctx.send(neighbours[f], Halo{{}, at_step, static_cast<std::uint32_t>(opposite(face))}, block);
    }
  }

  /// Tells the host what the steps since the last report brought.
  template <class Ctx>
  RK_FN void report(const float* field, std::uint32_t end, Ctx& ctx) const {
    if (has_source != 0) ctx.send_to_host(Confirm{end});
    const std::uint32_t first = (end - 1) / kChunk * kChunk;
    for (std::uint32_t m = 0; m < mic_count; ++m) {
      MicSamples out{mic_id[m], first, end - first, {}};
      for (std::uint32_t i = 0; i < out.count; ++i) out.samples[i] = field[chunk_at(m) + i];
      ctx.send_to_host(out);
    }
  }
};
static_assert(std::is_trivially_copyable_v<Tile> && std::is_trivially_copyable_v<Halo>);

}  // namespace rk::acoustics
