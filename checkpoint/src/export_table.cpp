// csv and json: one row per actor.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/src/export_parts.hpp>

namespace rk::checkpoint {
namespace {

std::string hex(Bytes bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    out += kDigits[std::to_integer<unsigned>(byte) >> 4];
    out += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return out;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// JSON knows no number that is not finite.
std::string json_number(const std::string& text) {
  return text.find_first_of("n") == std::string::npos ? text : "\"" + text + "\"";
}

std::string json_triple(const RegionTriple& triple, std::size_t axes) {
  std::string out = "[";
  for (std::size_t axis = 0; axis < axes; ++axis)
    out += (axis == 0 ? "" : ",") + std::to_string(triple[axis]);
  return out + "]";
}

/// Elements with `separator` between them.
template <class ToText>
std::string values_of(const RegionView& view, std::string_view separator, ToText to_text) {
  std::string out;
  view.for_each([&](const std::byte* element) {
    if (!out.empty()) out += separator;
    out += to_text(element_text(view.region->element, element));
  });
  return out;
}

std::string json_region(const RegionView& view) {
  const std::size_t axes = view.region->shape.size();
  const std::string values = values_of(view, ",", json_number);
  if (axes == 0) return values;
  std::string out = "{\"shape\":" + json_triple(view.shape, axes);
  if (view.is_placed()) out += ",\"origin\":" + json_triple(view.origin, axes);
  return out + ",\"values\":[" + values + "]}";
}

unexpected of_actor(const LoadedSlot& slot, const Error& error) {
  return fail(error.code, "actor " + std::to_string(slot.id.index()) + ": " + error.message);
}

/// Region columns of a table that holds all selected types.
struct Columns {
  std::vector<std::string> regions{};
  bool has_hex = false;  ///< some type has no region

  explicit Columns(const Selection& selection) {
    for (const auto& [id, selected] : selection) {
      has_hex = has_hex || selected.regions.empty();
      for (const Region* region : selected.regions) {
        if (std::find(regions.begin(), regions.end(), region->name) == regions.end())
          regions.push_back(region->name);
      }
    }
  }
};

Result<std::string> csv_row(const LoadedSlot& slot, const SelectedType& selected,
                            const Columns& columns, ExportReport& report) {
  std::string line = std::to_string(slot.id.index()) + "," + std::to_string(slot.id.generation()) +
                     "," + csv_cell(selected.type->name) + "," + std::to_string(slot.version) +
                     "," + std::to_string(slot.row.handled) + "," + std::to_string(slot.row.hlc);
  for (const std::string& column : columns.regions) {
    line += ",";
    const auto at = std::find_if(selected.regions.begin(), selected.regions.end(),
                                 [&](const Region* region) { return region->name == column; });
    if (at == selected.regions.end()) continue;
    const auto view = view_region(**at, slot.state, slot.field);
    if (!view) return of_actor(slot, view.error());
    report.values += view->count();
    line += values_of(*view, " ", [](std::string text) { return text; });
  }
  if (columns.has_hex) {
    const bool shown = selected.regions.empty();
    line += "," + (shown ? hex(slot.state) : "") + "," + (shown ? hex(slot.field) : "");
  }
  return line + "\n";
}

Result<std::string> json_row(const LoadedSlot& slot, const SelectedType& selected,
                             ExportReport& report) {
  std::string line = "{\"actor\":" + std::to_string(slot.id.index()) +
                     ",\"generation\":" + std::to_string(slot.id.generation()) +
                     ",\"type\":" + json_text(selected.type->name) +
                     ",\"version\":" + std::to_string(slot.version) +
                     ",\"handled\":" + std::to_string(slot.row.handled) + ",\"hlc\":\"" +
                     std::to_string(slot.row.hlc) + "\"";
  if (selected.regions.empty()) {
    return line + ",\"state_hex\":\"" + hex(slot.state) + "\",\"field_hex\":\"" + hex(slot.field) +
           "\"}";
  }
  std::string regions;
  for (const Region* region : selected.regions) {
    const auto view = view_region(*region, slot.state, slot.field);
    if (!view) return of_actor(slot, view.error());
    report.values += view->count();
    regions += (regions.empty() ? "" : ",") + json_text(region->name) + ":" + json_region(*view);
  }
  return line + ",\"regions\":{" + regions + "}}";
}

/// Calls f(slot, its type) for the slots that are wanted.
template <class F>
Result<void> for_each_selected(const LoadedCheckpoint& checkpoint, const Selection& selection,
                               F f) {
  for (const LoadedSlot& slot : checkpoint.slots) {
    const auto selected = selection.find(slot.type_region);
    if (selected == selection.end()) continue;
    RK_TRY(f(slot, selected->second));
  }
  return {};
}

}  // namespace

Result<ExportReport> export_csv(const LoadedCheckpoint& checkpoint, const Selection& selection,
                                const ExportOptions& options) {
  const Columns columns(selection);
  RK_TRY_ASSIGN(Output out, Output::open(options.output));
  std::string head = "actor,generation,type,version,handled,hlc";
  for (const std::string& region : columns.regions) head += "," + csv_cell(region);
  out.put(head + (columns.has_hex ? ",state_hex,field_hex\n" : "\n"));
  ExportReport report{.files = {options.output}};
  RK_TRY(
      for_each_selected(checkpoint, selection,
                        [&](const LoadedSlot& slot, const SelectedType& selected) -> Result<void> {
                          RK_TRY_ASSIGN(const auto row, csv_row(slot, selected, columns, report));
                          out.put(row);
                          ++report.actors;
                          return {};
                        }));
  RK_TRY(out.close());
  return report;
}

Result<ExportReport> export_json(const LoadedCheckpoint& checkpoint, const Selection& selection,
                                 const ExportOptions& options) {
  RK_TRY_ASSIGN(Output out, Output::open(options.output));
  out.put("{\"checkpoint\":" + json_text(checkpoint.directory) +
          ",\"epoch\":" + std::to_string(checkpoint.manifest.epoch) + ",\"actors\":[");
  ExportReport report{.files = {options.output}};
  RK_TRY(
      for_each_selected(checkpoint, selection,
                        [&](const LoadedSlot& slot, const SelectedType& selected) -> Result<void> {
                          RK_TRY_ASSIGN(const auto row, json_row(slot, selected, report));
                          out.put((report.actors == 0 ? "\n" : ",\n") + row);
                          ++report.actors;
                          return {};
                        }));
  out.put("\n]}\n");
  RK_TRY(out.close());
  return report;
}

}  // namespace rk::checkpoint
