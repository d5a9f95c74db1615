// What other programs get to read is exactly what the actors held.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <ringkernel/checkpoint/export.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Boxes of 2 x 1 x 1 in a row of `width`, and a type without regions.
struct Sample {
  struct State {
    std::uint32_t origin = 0;
    std::uint32_t width = 4;
    std::int64_t balance = 0;
  };

  explicit Sample(std::uint32_t boxes = 2, std::uint32_t width = 4) {
    for (std::uint32_t i = 0; i < boxes; ++i) {
      states.push_back({2 * i, width, -5 - std::int64_t{i}});
      fields.push_back({static_cast<float>(i), static_cast<float>(i) + 0.5F});
    }
  }

  [[nodiscard]] LoadedCheckpoint load() const {
    LoadedCheckpoint out;
    out.directory = "sim-3-run";
    out.manifest.epoch = 3;
    out.manifest.app = {{"cell_m", "0.25"}, {"bad_m", "wide"}};
    ActorTypeInfo box{.index = 0, .name = "a box", .version = 2, .state_bytes = sizeof(State)};
    box.regions = {region("balance", ElementType::i64, offsetof(State, balance)),
                   region("wave", ElementType::f32, 0, {2}).in_field().spaced_by(spacing_key)};
    if (placed) {
      box.regions[1] = std::move(box.regions[1]).placed({state_word(0)}, {state_word(4)});
    }
    out.manifest.types = {box, {.index = 1, .name = "raw", .version = 1, .state_bytes = 2}};
    for (std::uint32_t i = 0; i < states.size(); ++i) {
      LoadedSlot slot;
      slot.id = ActorId::make(i, 1);
      slot.type_region = region_id("a box");
      slot.version = 2;
      slot.row.handled = 7;
      slot.state = std::as_bytes(std::span(&states[i], 1));
      slot.field = std::as_bytes(std::span(fields[i]));
      out.slots.push_back(slot);
    }
    LoadedSlot raw;
    raw.id = ActorId::make(static_cast<std::uint32_t>(states.size()), 0);
    raw.type_region = region_id("raw");
    raw.version = 1;
    raw.state = std::as_bytes(std::span(raw_state));
    out.slots.push_back(raw);
    return out;
  }

  std::vector<State> states;
  std::vector<std::vector<float>> fields;
  std::array<std::uint8_t, 2> raw_state{0xAB, 0x01};
  bool placed = true;
  std::string spacing_key = "cell_m";
};

class Export : public testing::Test {
 protected:
  Result<ExportReport> run(const Sample& sample, ExportOptions options) {
    options.output = (folder_ / "out").string();
    return export_checkpoint(sample.load(), options);
  }
  std::string text(const Sample& sample, ExportFormat format, const std::string& type = {}) {
    const auto done = run(sample, {.format = format, .type = type});
    EXPECT_TRUE(done) << (done ? "" : done.error().message);
    return read_text(folder_ / "out");
  }

  TemporaryDirectory folder_;
};

TEST_F(Export, CsvHasOneLinePerActorAndHexWhereNothingIsDeclared) {
  EXPECT_EQ(text(Sample(), ExportFormat::csv),
            "actor,generation,type,version,handled,hlc,balance,wave,state_hex,field_hex\n"
            "0,1,a box,2,7,0,-5,0 0.5,,\n"
            "1,1,a box,2,7,0,-6,1 1.5,,\n"
            "2,0,raw,1,0,0,,,ab01,\n");
  EXPECT_EQ(text(Sample(1), ExportFormat::csv, "a box"),
            "actor,generation,type,version,handled,hlc,balance,wave\n"
            "0,1,a box,2,7,0,-5,0 0.5\n");
}

TEST_F(Export, JsonSaysShapeAndPlace) {
  Sample sample;
  sample.fields[1][0] = std::numeric_limits<float>::quiet_NaN();
  sample.fields[1][1] = -std::numeric_limits<float>::infinity();
  const auto all = json::parse(text(sample, ExportFormat::json));
  EXPECT_EQ(all.at("epoch"), 3);
  ASSERT_EQ(all.at("actors").size(), 3u);
  const auto& regions = all["actors"][1]["regions"];
  EXPECT_EQ(regions["balance"], -6);
  EXPECT_EQ(regions["wave"], json({{"shape", {2}}, {"origin", {2}}, {"values", {"nan", "-inf"}}}));
  EXPECT_EQ(all["actors"][2]["state_hex"], "ab01");
}

TEST_F(Export, AWholeIsPutTogetherFromItsBoxes) {
  const auto done = run(Sample(), {.format = ExportFormat::vtk});
  ASSERT_OK(done);
  EXPECT_EQ(done->values, 4u);
  EXPECT_EQ(done->actors, 2u);
  EXPECT_EQ(done->uncovered, 0u);
  ASSERT_EQ(done->files.size(), 1u);
  // 16 bytes of floats 0, 0.5, 1, 1.5 after their length.
  EXPECT_EQ(read_text(folder_ / "out/a_box.wave.vti"),
            "<?xml version=\"1.0\"?>\n"
            "<VTKFile type=\"ImageData\" version=\"1.0\" byte_order=\"LittleEndian\" "
            "header_type=\"UInt64\">\n"
            "  <ImageData WholeExtent=\"0 4 0 1 0 1\" Origin=\"0 0 0\" "
            "Spacing=\"0.25 0.25 0.25\">\n"
            "    <Piece Extent=\"0 4 0 1 0 1\">\n"
            "      <CellData Scalars=\"wave\">\n"
            "        <DataArray type=\"Float32\" Name=\"wave\" format=\"binary\">"
            "EAAAAAAAAAAAAAAAAAAAPwAAgD8AAMA/</DataArray>\n"
            "      </CellData>\n    </Piece>\n  </ImageData>\n</VTKFile>\n");
}

TEST_F(Export, PiecesAndBoxesThatStandAloneHaveAnIndex) {
  auto done = run(Sample(), {.format = ExportFormat::vtk, .pieces = true});
  ASSERT_OK(done);
  ASSERT_EQ(done->files.size(), 3u);
  EXPECT_TRUE(fs::exists(folder_ / "out/a_box.wave/1.vti"));
  const std::string index = read_text(folder_ / "out/a_box.wave.pvti");
  EXPECT_NE(index.find("<Piece Extent=\"2 4 0 1 0 1\" Source=\"a_box.wave/1.vti\"/>"),
            std::string::npos)
      << index;
  Sample alone;
  alone.placed = false;
  done = run(alone, {.format = ExportFormat::vtk});
  ASSERT_OK(done);
  EXPECT_NE(read_text(folder_ / "out/a_box.wave.vtm")
                .find("<DataSet index=\"1\" name=\"actor 1\" file=\"a_box.wave/1.vti\"/>"),
            std::string::npos);
}

TEST_F(Export, ElementsOfNobodyAreCountedAndNotANumber) {
  Sample sample;
  sample.states[0].width = sample.states[1].width = 5;
  const auto done = run(sample, {.format = ExportFormat::vtk});
  ASSERT_OK(done);
  EXPECT_EQ(done->uncovered, 1u);
  EXPECT_NE(read_text(folder_ / "out/a_box.wave.vti").find("AADAfw=="), std::string::npos);
}

TEST_F(Export, AWholeThatIsMostlyHolesIsRefusedBeforeItIsAllocated) {
  Sample sample;
  sample.states[0].width = sample.states[1].width = 0xFFFFFFFF;
  const auto done = run(sample, {.format = ExportFormat::vtk});
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("--pieces"), std::string::npos);
}

TEST_F(Export, WhatIsNotThereIsNamed) {
  auto done = run(Sample(), {.type = "cat"});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::not_found);
  EXPECT_NE(done.error().message.find("a box, raw"), std::string::npos);
  done = run(Sample(), {.region = "mass"});
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("balance, wave"), std::string::npos);
  done = run(Sample(), {.format = ExportFormat::vtk, .type = "raw"});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::invalid_argument);
  Sample bad;
  bad.spacing_key = "bad_m";
  EXPECT_FALSE(run(bad, {.format = ExportFormat::vtk}));
  EXPECT_TRUE(run(bad, {.format = ExportFormat::vtk, .spacing = {{1, 2, 3}}}));
}

TEST_F(Export, ADamagedActorLeavesNoHalfFile) {
  Sample sample;
  sample.fields[1].pop_back();
  const auto done = run(sample, {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::corrupt);
  EXPECT_NE(done.error().message.find("actor 1"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(Export, AnOutputThatCannotBeWrittenIsAnError) {
  const auto done =
      export_checkpoint(Sample().load(), {.output = (folder_ / "no/such/place").string()});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace rk::checkpoint::test
