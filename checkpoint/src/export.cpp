#include <cerrno>
#include <filesystem>
#include <ringkernel/checkpoint/src/export_parts.hpp>
#include <ringkernel/checkpoint/storage.hpp>

namespace rk::checkpoint {
namespace {

constexpr std::string_view kTemporary = ".tmp";

std::string listed(const std::string& names) { return names.empty() ? "none" : names; }

void append_name(std::string& names, const std::string& name) {
  names += (names.empty() ? "" : ", ") + name;
}

}  // namespace

Result<Selection> select(const Manifest& manifest, const ExportOptions& options) {
  Selection selection;
  std::string types, regions;
  bool has_type = false;
  for (const ActorTypeInfo& type : manifest.types) {
    append_name(types, type.name);
    if (!options.type.empty() && type.name != options.type) continue;
    has_type = true;
    SelectedType wanted{&type};
    for (const Region& region : type.regions) {
      append_name(regions, region.name);
      if (options.region.empty() || region.name == options.region)
        wanted.regions.push_back(&region);
    }
    if (!options.region.empty() && wanted.regions.empty()) continue;
    selection[region_id(type.name)] = std::move(wanted);
  }
  if (!has_type && !options.type.empty()) {
    return fail(ErrorCode::not_found,
                "there is no actor type '" + options.type + "'; there are: " + listed(types));
  }
  if (selection.empty() && !options.region.empty()) {
    return fail(ErrorCode::not_found,
                "there is no region '" + options.region + "'; declared are: " + listed(regions));
  }
  return selection;
}

Result<Output> Output::open(const std::string& path) {
  Output out;
  out.path_ = path;
  if (path == "-") {
    out.file_.reset(stdout);
    return out;
  }
  const std::string temporary = path + std::string(kTemporary);
  out.file_.reset(std::fopen(temporary.c_str(), "wb"));
  if (!out.file_) return system_error("write", path, errno);
  return out;
}

Output::~Output() {
  if (!file_ || path_ == "-") return;
  file_.reset();
  std::error_code ignored;
  std::filesystem::remove(path_ + std::string(kTemporary), ignored);
}

void Output::put(std::string_view text) {
  if (native_ != 0 || text.empty()) return;
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) native_ = errno;
}

Result<void> Output::close() {
  if (native_ == 0 && std::fflush(file_.get()) != 0) native_ = errno;
  file_.reset();
  if (path_ == "-") {
    if (native_ != 0) return system_error("write to", "stdout", native_);
    return {};
  }
  const std::string temporary = path_ + std::string(kTemporary);
  std::error_code error;
  if (native_ == 0) {
    std::filesystem::rename(temporary, path_, error);
    if (!error) return {};
    native_ = error.value();
  }
  std::filesystem::remove(temporary, error);
  return system_error("write", path_, native_);
}

Result<ExportReport> export_checkpoint(const LoadedCheckpoint& checkpoint,
                                       const ExportOptions& options) {
  RK_TRY_ASSIGN(const Selection selection, select(checkpoint.manifest, options));
  switch (options.format) {
    case ExportFormat::csv: return export_csv(checkpoint, selection, options);
    case ExportFormat::json: return export_json(checkpoint, selection, options);
    default: return export_vtk(checkpoint, selection, options);
  }
}

}  // namespace rk::checkpoint
