// A checkpoint's numbers in formats that other programs read.
//
//   csv    one line per actor: actor, generation, type, version, handled, hlc, one column per
//          region (elements separated by blanks, x fastest); without regions state_hex, field_hex
//   json   {"checkpoint","epoch","actors":[{..., "regions":{NAME: number | {"shape","origin",
//          "values"}}}]}; not finite numbers are the strings "nan", "inf", "-inf"
//   vtk    every region with a shape as cell data of VTK image data, base64 in plain XML:
//            TYPE.REGION.vti                    the whole, put together from all actors' boxes
//            TYPE.REGION.pvti + TYPE.REGION/    with `pieces`: one file per actor and an index
//            TYPE.REGION.vtm  + TYPE.REGION/    boxes that stand alone: one file per actor
//
// Element i of an axis is the cell from i to i+1 times the spacing, from the origin of the whole.
//
// Thread-safety: free functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <ringkernel/checkpoint/restore.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

enum class ExportFormat : std::uint8_t { csv, json, vtk };

struct ExportOptions {
  ExportFormat format = ExportFormat::csv;
  /// A file, "-" for stdout; for vtk a directory, which is made. What is there is overwritten.
  std::string output{};
  std::string type{};    ///< only actors of this type
  std::string region{};  ///< only this region
  bool pieces = false;   ///< vtk: never put the whole together
  /// vtk: distance between elements. Else what the region's spacing key names, else 1.
  std::optional<std::array<double, 3>> spacing{};
};

struct ExportReport {
  std::uint64_t actors = 0;
  std::uint64_t values = 0;
  std::uint64_t uncovered = 0;       ///< vtk: elements of a whole that no actor has; NaN or 0
  std::vector<std::string> files{};  ///< in the order written; an index after what it names
};

/// `not_found`: no such type or region, the message lists those that are. `invalid_argument`: no
/// region has a shape, or a spacing is not a number. `corrupt`: a region does not fit its actor.
/// Files appear whole or not at all.
[[nodiscard]] Result<ExportReport> export_checkpoint(const LoadedCheckpoint& checkpoint,
                                                     const ExportOptions& options);

}  // namespace rk::checkpoint
