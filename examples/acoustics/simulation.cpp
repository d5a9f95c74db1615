#include "simulation.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include <ringkernel/runtime/atomic.hpp>

namespace rk::acoustics {
namespace {

struct FeedPosition {
  std::uint32_t version;
  std::uint32_t fed;
  std::uint32_t confirmed;
  std::uint32_t reserved;
};

constexpr std::uint32_t kMaxBlockBytes = 128 << 10;
constexpr std::uint64_t kLeastRing = std::uint64_t{4} << 20;
constexpr std::uint64_t kMostRing = std::uint64_t{128} << 20;

std::uint32_t largest_side(const Tiling& tiling, int axis) {
  return (tiling.grid[axis] + tiling.count[axis] - 1) / tiling.count[axis];
}

/// Bytes of the largest face; no tile has a side longer than the rounded-up mean.
std::uint64_t largest_face_bytes(const Tiling& tiling) {
  const std::uint64_t x = largest_side(tiling, 0), y = largest_side(tiling, 1),
                      z = largest_side(tiling, 2);
  return std::max({x * y, x * z, y * z}) * sizeof(float);
}

std::uint32_t local_index(const TileShape& t, CellIndex cell) {
  return padded_index(t, cell.x - t.offset[0], cell.y - t.offset[1], cell.z - t.offset[2]);
}

}  // namespace

Simulation::Simulation(Job job)
    : job_(std::move(job)),
      weights_(make_coefficients(job_.grid)),
      sink_(job_.sink_path, static_cast<std::uint32_t>(job_.grid.mics.size()),
            static_cast<std::uint32_t>(job_.drive.size())),
      source_{ActorId::make(job_.tiling.tile_of(job_.grid.source), 0)} {}

Capacities Simulation::capacities(const Tiling& tiling, std::uint32_t workers) {
  const std::uint32_t tiles = (tiling.tiles() + workers - 1) / workers;
  const std::uint64_t cells = std::uint64_t{largest_side(tiling, 0) + 2} *
                              (largest_side(tiling, 1) + 2) * (largest_side(tiling, 2) + 2);
  // what can wait for the tiles of one worker: two halos per face, a Go each, and the drive
  const std::uint32_t waiting = tiles * (2 * kFaces + 1) + kDriveRing / kChunk;
  Capacities capacity;
  capacity.inbox_slots = std::max(2 * waiting, 1024u);
  capacity.local_slots = std::max(waiting, 1024u);
  capacity.stash_slots = std::max(waiting, 1024u);
  capacity.outbox_slots = 1024;
  capacity.slab_blocks = 2 * kFaces * tiles + 2 * kFaces;
  capacity.slab_block_bytes = static_cast<std::uint32_t>(largest_face_bytes(tiling));
  capacity.h2k_slots = 2 * kDriveRing / kChunk;
  capacity.k2h_slots = 4096;
  const std::uint64_t state = tiles * (2 * sizeof(float) * cells + sizeof(Tile));
  capacity.snapshot_ring_bytes =
      std::clamp(std::bit_ceil(state + state / 4), kLeastRing, kMostRing);
  return capacity;
}

Result<std::unique_ptr<Simulation>> Simulation::create(Job job, std::unique_ptr<Executor> executor,
                                                       RuntimeOptions options) {
  if (job.drive.empty() || job.drive.size() > 0x7FFFFFFFu) {
    return fail(ErrorCode::invalid_argument,
                "a simulation has 1 to 2^31 steps; give a longer input or --seconds");
  }
  if (job.grid.mics.empty())
    return fail(ErrorCode::invalid_argument, "no microphone: give at least one --mic x,y,z");
  const std::uint64_t tiles =
      std::uint64_t{job.tiling.count[0]} * job.tiling.count[1] * job.tiling.count[2];
  if (tiles > kMaxActors) {
    return fail(ErrorCode::invalid_argument,
                std::to_string(tiles) + " tiles are too many; use larger tiles (--tile)");
  }
  if (largest_face_bytes(job.tiling) > kMaxBlockBytes) {
    return fail(ErrorCode::invalid_argument, "a face of a tile may have at most " +
                                                 std::to_string(kMaxBlockBytes / sizeof(float)) +
                                                 " cells; use smaller tiles (--tile)");
  }
  if (options.workers == 0)
    options.workers = std::min(executor->default_workers(), job.tiling.tiles());
  options.capacity = capacities(job.tiling, options.workers);
  std::unique_ptr<Simulation> simulation(new Simulation(std::move(job)));
  RK_TRY_ASSIGN(simulation->runtime_, Runtime::create(std::move(executor), std::move(options)));
  simulation->connect();
  return simulation;
}

void Simulation::connect() {
  runtime_->on_feed([this](Feed& out) { return feed(out); });
  runtime_->on_steps([this] { return std::uint64_t{step()}; });
  runtime_->on_cut([this] { return save(); },
                   [this](std::span<const std::byte> state) { return load(state); });
  runtime_->on_output<Confirm>([this](const Confirm& confirm, const OutputInfo&) {
    store_relaxed<Scope::system>(confirmed_, confirm.step);  // relaxed: other threads only show it
  });
  runtime_->on_output<MicSamples>([this](const MicSamples& out, const OutputInfo&) {
    if (!sink_.add(out.mic, out.first, {out.samples, out.count}) && !order_failure_) {
      order_failure_ = Error{ErrorCode::internal, 0,
                             "microphone " + std::to_string(out.mic) + ": sample " +
                                 std::to_string(out.first) + " arrived out of order"};
    }
    if (failure()) runtime_->request_stop();
  });
}

const std::optional<Error>& Simulation::failure() const {
  return order_failure_ ? order_failure_ : sink_.failure();
}

Tile Simulation::make_tile(std::uint32_t id) const {
  Tile tile{};
  tile.shape = job_.tiling.shape(id);
  tile.weights = weights_;
  tile.steps = static_cast<std::uint32_t>(job_.drive.size());
  for (std::uint32_t f = 0; f < kFaces; ++f) {
    const std::uint32_t neighbour = job_.tiling.neighbour(id, static_cast<Face>(f));
    if (neighbour == Tiling::kNoTile) continue;
    tile.neighbours[f] = {ActorId::make(neighbour, 0)};
    ++tile.faces;
  }
  if (source_.id.index() == id) {
    tile.has_source = 1;
    tile.source_cell = local_index(tile.shape, job_.grid.source);
  }
  for (std::uint32_t m = 0; m < job_.grid.mics.size(); ++m) {
    if (job_.tiling.tile_of(job_.grid.mics[m]) != id) continue;
    tile.mic_cell[tile.mic_count] = local_index(tile.shape, job_.grid.mics[m]);
    tile.mic_id[tile.mic_count++] = m;
  }
  return tile;
}

Result<void> Simulation::begin() {
  RK_TRY(sink_.create());
  SpawnOptions options;
  options.field_bytes_of = [this](std::uint32_t id) {
    return static_cast<std::uint32_t>(make_tile(id).field_floats() * sizeof(float));
  };
  RK_TRY_ASSIGN(
      const ActorRange<Tile> range,
      runtime_->spawn<Tile>(
          job_.tiling.tiles(), [this](std::uint32_t id, Tile& tile) { tile = make_tile(id); },
          std::move(options)));
  RK_ASSERT(range.first == 0);  // make_tile numbers neighbours from 0
  return {};
}

FeedState Simulation::feed(Feed& out) {
  const auto total = static_cast<std::uint32_t>(job_.drive.size());
  while (fed_ < total) {
    Drive drive{{}, fed_, std::min(kChunk, total - fed_), {}};
    if (fed_ + drive.count > load_relaxed<Scope::system>(confirmed_) + kDriveRing ||
        !out.has_room())
      return FeedState::more;
    std::copy_n(job_.drive.begin() + fed_, drive.count, drive.samples);
    // has_room() was asked and the source lives, so a failure is a full ring all the same: the next
    // call goes on
    if (!out.send(source_, drive)) return FeedState::more;
    fed_ += drive.count;
  }
  return FeedState::ended;
}

std::uint32_t Simulation::step() const { return load_relaxed<Scope::system>(confirmed_); }

Result<std::vector<std::byte>> Simulation::save() {
  const FeedPosition position{1, fed_, confirmed_, 0};
  std::vector<std::byte> state(sizeof(position));
  std::memcpy(state.data(), &position, sizeof(position));
  RK_TRY_ASSIGN(const std::vector<std::byte> sink, sink_.save());
  state.insert(state.end(), sink.begin(), sink.end());
  return state;
}

Result<void> Simulation::load(std::span<const std::byte> state) {
  FeedPosition position{};
  if (state.size() < sizeof(position))
    return fail(ErrorCode::corrupt, "the checkpoint's input position is cut short");
  std::memcpy(&position, state.data(), sizeof(position));
  if (position.version != 1)
    return fail(ErrorCode::incompatible, "the checkpoint's input position has another version");
  if (position.fed > job_.drive.size() || position.confirmed > position.fed) {
    return fail(ErrorCode::corrupt, "the checkpoint's input position lies behind the input");
  }
  RK_TRY(sink_.restore(state.subspan(sizeof(position))));
  fed_ = position.fed;
  store_relaxed<Scope::system>(confirmed_, position.confirmed);
  return {};
}

Result<Recording> Simulation::finish() {
  RK_TRY(runtime_->stop());
  if (failure()) return unexpected(*failure());
  if (!sink_.complete())
    return fail(ErrorCode::internal, "the run ended, but microphone samples are missing");
  Recording recording;
  if (!sink_.consumed()) {
    RK_TRY_ASSIGN(recording.mics, sink_.read_all());
  }
  recording.field.resize(job_.grid.cells());
  std::uint32_t late = 0;
  RK_TRY(runtime_->for_each_slot([&](const SlotHeader&, std::span<const std::byte> state,
                                     std::span<const std::byte> field) {
    Tile tile;
    std::memcpy(&tile, state.data(), sizeof(tile));
    if (tile.step != tile.steps) ++late;
    const TileShape& t = tile.shape;
    const auto* pressure = reinterpret_cast<const float*>(field.data()) + tile.buffer_at(tile.step);
    for (std::uint32_t z = 0; z < t.size[2]; ++z) {
      for (std::uint32_t y = 0; y < t.size[1]; ++y) {
        const std::size_t to = job_.grid.index({t.offset[0], t.offset[1] + y, t.offset[2] + z});
        std::memcpy(&recording.field[to], pressure + padded_index(t, 0, y, z),
                    t.size[0] * sizeof(float));
      }
    }
  }));
  if (late != 0)
    return fail(ErrorCode::internal, std::to_string(late) + " tiles did not do all their steps");
  return recording;
}

}  // namespace rk::acoustics
