// vtk: cell data of ImageData files (VTK file formats, "XML file formats"), and their indexes.
//
// Inline binary data is base64 of a 64-bit length followed by the values, in one run.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <ringkernel/checkpoint/src/export_parts.hpp>
#include <ringkernel/checkpoint/storage.hpp>
#include <set>

namespace rk::checkpoint {
namespace {

namespace fs = std::filesystem;
using Spacing = std::array<double, 3>;

constexpr std::array<const char*, 10> kVtkTypes{"UInt8", "Int8",   "UInt16", "Int16",   "UInt32",
                                                "Int32", "UInt64", "Int64",  "Float32", "Float64"};
/// A whole is put together in memory; one that is mostly holes is a mistake or damage.
constexpr std::uint64_t kMostHoles = 4;
constexpr std::uint64_t kAlwaysAllowed = 1u << 20;

const char* vtk_type(ElementType type) { return kVtkTypes[static_cast<std::size_t>(type)]; }

class Base64 {
 public:
  explicit Base64(Output& out) : out_(out) {}
  void put(const std::byte* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      bits_ = (bits_ << 8) | std::to_integer<std::uint32_t>(bytes[i]);
      if (++held_ == 3) flush(4);
    }
    if (text_.size() > 1u << 16) write();
  }
  void finish() {
    if (held_ != 0) {
      const std::uint32_t digits = held_ + 1;
      bits_ <<= 8 * (3 - held_);
      flush(digits);
      text_.append(4 - digits, '=');
    }
    write();
  }

 private:
  void flush(std::uint32_t digits) {
    constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::uint32_t i = 0; i < digits; ++i) text_ += kDigits[(bits_ >> (18 - 6 * i)) & 63];
    bits_ = held_ = 0;
  }
  void write() {
    out_.put(text_);
    text_.clear();
  }
  Output& out_;
  std::uint32_t bits_ = 0;
  std::uint32_t held_ = 0;
  std::string text_;
};

std::string attribute(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string number(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::string spacing_text(const Spacing& spacing) {
  return number(spacing[0]) + " " + number(spacing[1]) + " " + number(spacing[2]);
}

std::string extent_text(const RegionTriple& origin, const RegionTriple& shape) {
  std::string out;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    out += (axis == 0 ? "" : " ") + std::to_string(origin[axis]) + " " +
           std::to_string(origin[axis] + shape[axis]);
  }
  return out;
}

std::string vtk_file(const char* type) {
  return std::string("<?xml version=\"1.0\"?>\n<VTKFile type=\"") + type +
         "\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n";
}

std::string data_array(const char* element, const Region& region) {
  return std::string("<") + element + " type=\"" + vtk_type(region.element) + "\" Name=\"" +
         attribute(region.name) + "\"";
}

/// A box of elements, x fastest, as a .vti. `each` calls its argument with runs of bytes.
template <class Each>
Result<void> write_vti(const std::string& path, const Region& region, const RegionTriple& origin,
                       const RegionTriple& shape, const Spacing& spacing, Each each) {
  RK_TRY_ASSIGN(Output out, Output::open(path));
  const std::string extent = extent_text(origin, shape);
  const std::string scalars = attribute(region.name);
  out.put(vtk_file("ImageData") + "  <ImageData WholeExtent=\"" + extent +
          "\" Origin=\"0 0 0\" Spacing=\"" + spacing_text(spacing) + "\">\n    <Piece Extent=\"" +
          extent + "\">\n      <CellData Scalars=\"" + scalars + "\">\n        " +
          data_array("DataArray", region) + " format=\"binary\">");
  const std::uint64_t bytes = shape[0] * shape[1] * shape[2] * element_bytes(region.element);
  Base64 data(out);
  data.put(reinterpret_cast<const std::byte*>(&bytes), sizeof(bytes));
  each([&](const std::byte* run, std::size_t count) { data.put(run, count); });
  data.finish();
  out.put("</DataArray>\n      </CellData>\n    </Piece>\n  </ImageData>\n</VTKFile>\n");
  return out.close();
}

Result<void> write_piece(const std::string& path, const RegionView& view, const Spacing& spacing) {
  const std::uint64_t size = element_bytes(view.region->element);
  return write_vti(path, *view.region, view.origin, view.shape, spacing, [&](auto put) {
    for (std::uint64_t z = 0; z < view.shape[2]; ++z) {
      for (std::uint64_t y = 0; y < view.shape[1]; ++y) {
        put(view.elements.data() + (y * view.stride[1] + z * view.stride[2]) * size,
            view.shape[0] * size);
      }
    }
  });
}

/// All boxes of one region.
struct Boxes {
  const ActorTypeInfo* type = nullptr;
  const Region* region = nullptr;
  std::vector<std::pair<ActorId, RegionView>> views{};
  std::uint64_t elements = 0;
  bool has_one_whole = true;
};

Result<Boxes> collect(const LoadedCheckpoint& checkpoint, std::uint64_t type_region,
                      const ActorTypeInfo& type, const Region& region) {
  Boxes boxes{&type, &region};
  for (const LoadedSlot& slot : checkpoint.slots) {
    if (slot.type_region != type_region) continue;
    auto view = view_region(region, slot.state, slot.field);
    if (!view) {
      return fail(view.error().code,
                  "actor " + std::to_string(slot.id.index()) + ": " + view.error().message);
    }
    if (view->count() == 0) continue;
    boxes.elements += view->count();
    boxes.views.emplace_back(slot.id, *view);
    boxes.has_one_whole =
        boxes.has_one_whole && view->is_placed() && view->whole == boxes.views.front().second.whole;
  }
  return boxes;
}

Result<Spacing> spacing_of(const Manifest& manifest, const Region& region,
                           const ExportOptions& options) {
  if (options.spacing) return *options.spacing;
  const auto at = manifest.app.find(region.spacing_key);
  if (region.spacing_key.empty() || at == manifest.app.end()) return Spacing{1, 1, 1};
  const std::string& text = at->second;
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || !(value > 0) ||
      std::isinf(value)) {
    return fail(ErrorCode::invalid_argument, "the checkpoint's " + region.spacing_key + " is '" +
                                                 text + "', which is no distance; give --spacing");
  }
  return Spacing{value, value, value};
}

/// Elements nobody has are NaN where there is one.
std::vector<std::byte> unknown_elements(ElementType type, std::uint64_t count) {
  std::vector<std::byte> out(count * element_bytes(type));
  const auto fill = [&](auto value) {
    for (std::size_t at = 0; at < out.size(); at += sizeof(value))
      std::memcpy(out.data() + at, &value, sizeof(value));
  };
  if (type == ElementType::f32) fill(std::numeric_limits<float>::quiet_NaN());
  if (type == ElementType::f64) fill(std::numeric_limits<double>::quiet_NaN());
  return out;
}

Result<void> write_whole(const std::string& path, const Boxes& boxes, const Spacing& spacing,
                         ExportReport& report) {
  const RegionTriple& whole = boxes.views.front().second.whole;
  const std::uint64_t most = kAlwaysAllowed + kMostHoles * boxes.elements;
  std::uint64_t count = 1;
  for (const std::uint64_t side : whole) {
    if (side == 0 || count > most / side) {
      return fail(ErrorCode::invalid_argument,
                  "the region '" + boxes.region->name + "' of '" + boxes.type->name + "' covers " +
                      std::to_string(boxes.elements) + " elements of a whole that is more than " +
                      std::to_string(kMostHoles) + " times as large; use --pieces");
    }
    count *= side;
  }
  const std::uint64_t size = element_bytes(boxes.region->element);
  std::vector<std::byte> all = unknown_elements(boxes.region->element, count);
  std::vector<bool> covered(count);
  for (const auto& [id, view] : boxes.views) {
    for (std::uint64_t z = 0; z < view.shape[2]; ++z) {
      for (std::uint64_t y = 0; y < view.shape[1]; ++y) {
        const std::uint64_t to =
            view.origin[0] + whole[0] * (view.origin[1] + y + whole[1] * (view.origin[2] + z));
        std::memcpy(all.data() + to * size,
                    view.elements.data() + (y * view.stride[1] + z * view.stride[2]) * size,
                    view.shape[0] * size);
        for (std::uint64_t x = 0; x < view.shape[0]; ++x) covered[to + x] = true;
      }
    }
  }
  report.uncovered +=
      count - static_cast<std::uint64_t>(std::count(covered.begin(), covered.end(), true));
  report.files.push_back(path);
  return write_vti(path, *boxes.region, {0, 0, 0}, whole, spacing,
                   [&](auto put) { put(all.data(), all.size()); });
}

/// One file per actor, and an index that ParaView opens.
Result<void> write_pieces(const std::string& base, const Boxes& boxes, const Spacing& spacing,
                          ExportReport& report) {
  std::error_code error;
  fs::create_directories(base, error);
  if (error) return system_error("make", base, error.value());
  const std::string folder = fs::path(base).filename().string();
  const bool is_one_image = boxes.has_one_whole;
  std::string index;
  if (is_one_image) {
    index = vtk_file("PImageData") + "  <PImageData WholeExtent=\"" +
            extent_text({0, 0, 0}, boxes.views.front().second.whole) +
            "\" GhostLevel=\"0\" Origin=\"0 0 0\" Spacing=\"" + spacing_text(spacing) +
            "\">\n    <PCellData Scalars=\"" + attribute(boxes.region->name) + "\">\n      " +
            data_array("PDataArray", *boxes.region) + "/>\n    </PCellData>\n";
  } else {
    index = vtk_file("vtkMultiBlockDataSet") + "  <vtkMultiBlockDataSet>\n";
  }
  std::size_t block = 0;
  for (const auto& [id, view] : boxes.views) {
    const std::string file = std::to_string(id.index()) + ".vti";
    RK_TRY(write_piece(base + "/" + file, view, spacing));
    report.files.push_back(base + "/" + file);
    const std::string source = attribute(folder + "/" + file);
    if (is_one_image) {
      index += "    <Piece Extent=\"" + extent_text(view.origin, view.shape) + "\" Source=\"" +
               source + "\"/>\n";
    } else {
      index += "    <DataSet index=\"" + std::to_string(block++) + "\" name=\"actor " +
               std::to_string(id.index()) + "\" file=\"" + source + "\"/>\n";
    }
  }
  index +=
      is_one_image ? "  </PImageData>\n</VTKFile>\n" : "  </vtkMultiBlockDataSet>\n</VTKFile>\n";
  const std::string path = base + (is_one_image ? ".pvti" : ".vtm");
  RK_TRY_ASSIGN(Output out, Output::open(path));
  out.put(index);
  report.files.push_back(path);
  return out.close();
}

/// Type names are the compiler's unless the user gave one.
std::string file_name(const ActorTypeInfo& type, const Region& region) {
  std::string name = type.name + "." + region.name;
  for (char& c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0 || c == '.' || c == '_' || c == '-';
    if (!plain || byte >= 0x80) c = '_';
  }
  return name;
}

}  // namespace

Result<ExportReport> export_vtk(const LoadedCheckpoint& checkpoint, const Selection& selection,
                                const ExportOptions& options) {
  if (options.output == "-") {
    return fail(ErrorCode::invalid_argument, "vtk makes several files: --output names a directory");
  }
  ExportReport report;
  std::vector<bool> seen;
  std::set<std::string> names;
  bool has_shape = false;
  for (const auto& [id, selected] : selection) {
    for (const Region* region : selected.regions) {
      if (region->shape.empty()) continue;
      has_shape = true;
      RK_TRY_ASSIGN(const Boxes boxes, collect(checkpoint, id, *selected.type, *region));
      if (boxes.views.empty()) continue;
      RK_TRY_ASSIGN(const Spacing spacing, spacing_of(checkpoint.manifest, *region, options));
      std::error_code error;
      fs::create_directories(options.output, error);
      if (error) return system_error("make", options.output, error.value());
      std::string name = file_name(*selected.type, *region);
      if (!names.insert(name).second) name += "." + std::to_string(selected.type->index);
      const std::string base = options.output + "/" + name;
      if (boxes.has_one_whole && !options.pieces) {
        RK_TRY(write_whole(base + ".vti", boxes, spacing, report));
      } else {
        RK_TRY(write_pieces(base, boxes, spacing, report));
      }
      report.values += boxes.elements;
      for (const auto& [actor, view] : boxes.views) {
        if (actor.index() >= seen.size()) seen.resize(actor.index() + 1);
        seen[actor.index()] = true;
      }
    }
  }
  if (!has_shape) {
    return fail(ErrorCode::invalid_argument,
                "no region has a shape, so there is no image to write; declare one in regions() "
                "(runtime/region.hpp) or use --to csv or json");
  }
  report.actors = static_cast<std::uint64_t>(std::count(seen.begin(), seen.end(), true));
  return report;
}

}  // namespace rk::checkpoint
