// A room simulation on a Runtime: tiles spawned or restored, source samples fed in, microphone
// samples collected.
//
// Use: create; runtime().restore_latest(); begin() if nothing was restored; runtime().run() until
// quiescent; finish(). Threads: as Runtime; step() from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ringkernel/runtime/runtime.hpp>

#include "reference.hpp"
#include "room.hpp"
#include "sink.hpp"
#include "tile.hpp"
#include "tiling.hpp"

namespace rk::acoustics {

struct Job {
  Grid grid;
  Tiling tiling{};
  std::vector<float> drive;  ///< one value per step
  std::string sink_path;     ///< of the recording while it grows
};

class Simulation {
 public:
  /// Sizes options.capacity so that nothing can block for ever; `executor` must be made for Tile.
  /// Errors: `invalid_argument` (no microphone, no step, tiles too many or too large), those of
  /// Runtime::create.
  [[nodiscard]] static Result<std::unique_ptr<Simulation>> create(
      Job job, std::unique_ptr<Executor> executor, RuntimeOptions options);

  [[nodiscard]] Runtime& runtime() { return *runtime_; }

  /// Starts from silence: spawns the tiles and empties the sink.
  [[nodiscard]] Result<void> begin();
  /// Steps that the source has done, as last heard.
  [[nodiscard]] std::uint32_t step() const;
  /// Stops the workers and collects what a complete run left behind. `mics` is empty when an
  /// earlier process already turned the sink into the output. Errors: those of the sink, `internal`
  /// when samples are missing.
  [[nodiscard]] Result<Recording> finish();
  /// Why outputs could not be kept; valid after the runtime stopped.
  [[nodiscard]] const std::optional<Error>& failure() const;
  void discard_sink() { sink_.discard(); }

  [[nodiscard]] static Capacities capacities(const Tiling& tiling, std::uint32_t workers);

 private:
  explicit Simulation(Job job);
  void connect();
  [[nodiscard]] Tile make_tile(std::uint32_t id) const;
  [[nodiscard]] FeedState feed(Feed& out);
  [[nodiscard]] Result<std::vector<std::byte>> save();
  [[nodiscard]] Result<void> load(std::span<const std::byte> state);

  Job job_;
  StencilCoefficients weights_;
  MicSink sink_;
  std::optional<Error> order_failure_;
  ref<Tile> source_;
  std::uint32_t fed_ = 0;  ///< samples handed to the runtime
  mutable std::uint32_t confirmed_ =
      0;  ///< steps the source reported; read by other threads through the shim
  std::unique_ptr<Runtime> runtime_;  ///< last: its callbacks use the members above
};

}  // namespace rk::acoustics
