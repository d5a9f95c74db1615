// What the export formats share: which actors and regions are wanted, and an output that appears
// whole.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <ringkernel/checkpoint/export.hpp>
#include <ringkernel/checkpoint/regions.hpp>

namespace rk::checkpoint {

/// One actor type and those of its regions that are wanted.
struct SelectedType {
  const ActorTypeInfo* type = nullptr;
  std::vector<const Region*> regions{};
};

/// By the id of the type's chunks.
using Selection = std::map<std::uint64_t, SelectedType>;

[[nodiscard]] Result<Selection> select(const Manifest& manifest, const ExportOptions& options);

/// A file that gets its name when it is complete, and is gone if it never is; "-" is stdout.
class Output {
 public:
  Output(Output&&) = default;
  Output& operator=(Output&&) = delete;
  ~Output();
  [[nodiscard]] static Result<Output> open(const std::string& path);
  /// Remembers a failure for `close`.
  void put(std::string_view text);
  [[nodiscard]] Result<void> close();

 private:
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdout) std::fclose(file);
    }
  };
  Output() = default;

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  int native_ = 0;
};

[[nodiscard]] Result<ExportReport> export_csv(const LoadedCheckpoint& checkpoint,
                                              const Selection& selection,
                                              const ExportOptions& options);
[[nodiscard]] Result<ExportReport> export_json(const LoadedCheckpoint& checkpoint,
                                               const Selection& selection,
                                               const ExportOptions& options);
[[nodiscard]] Result<ExportReport> export_vtk(const LoadedCheckpoint& checkpoint,
                                              const Selection& selection,
                                              const ExportOptions& options);

}  // namespace rk::checkpoint
