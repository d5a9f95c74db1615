// The room simulated by actors must equal the plain reference bit for bit: any tiling, worker
// count, group size, restart.
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <ringkernel/examples/acoustics/simulation.hpp>
#include <ringkernel/kernels/host_executor.hpp>

namespace rk::acoustics {
namespace {

namespace fs = std::filesystem;
using Sides = std::array<std::uint32_t, 3>;

Grid odd_grid() {
  RoomSpec spec;
  spec.size_m = {1.9, 1.3, 1.1};
  spec.absorption = {0.02, 0.7, 0.0, 0.3, 0.11, 1.0};
  spec.source_m = {0.3, 0.4, 0.5};
  spec.mics_m = {{1.7, 1.1, 0.9}, {0.0, 0.0, 0.0}, {1.9, 1.3, 1.1}};
  return *make_grid(spec);
}

std::vector<float> noisy_drive(std::size_t steps) {
  std::vector<float> drive(steps);
  std::uint32_t state = 12345;
  for (float& value : drive) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<std::int32_t>(state)) / 2147483648.0F;
  }
  return drive;
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void expect_same(const Recording& got, const Recording& expected) {
  EXPECT_TRUE(same_bytes(got.field, expected.field)) << "field";
  ASSERT_EQ(got.mics.size(), expected.mics.size());
  for (std::size_t m = 0; m < got.mics.size(); ++m) {
    EXPECT_TRUE(same_bytes(got.mics[m], expected.mics[m])) << "microphone " << m;
  }
}

class Folder {
 public:
  Folder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = test->name();
    for (char& c : name) c = c == '/' ? '_' : c;
    path_ = fs::temp_directory_path() / ("rk_actors_" + std::to_string(::getpid()) + "_" + name);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  [[nodiscard]] std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::unique_ptr<Simulation> make_simulation(const Job& job, RuntimeOptions options,
                                            std::uint32_t lanes = 1) {
  auto simulation = Simulation::create(job, make_host_executor<Tile>({.lanes_per_worker = lanes}),
                                       std::move(options));
  EXPECT_TRUE(simulation) << simulation.error().message;
  return simulation ? std::move(*simulation) : nullptr;
}

Recording run_to_end(Simulation& simulation) {
  const auto report = simulation.runtime().run();
  EXPECT_TRUE(report) << report.error().message;
  if (!report) return {};
  EXPECT_EQ(report->reason, StopReason::quiescent);
  auto recording = simulation.finish();
  EXPECT_TRUE(recording) << recording.error().message;
  return recording ? std::move(*recording) : Recording{};
}

struct Shape {
  Sides tile;
  std::uint32_t workers;
  std::uint32_t lanes;
};

class AcousticsActors : public ::testing::TestWithParam<Shape> {};

TEST_P(AcousticsActors, FieldAndMicsAreByteIdenticalToTheReference) {
  const Folder folder;
  const Grid grid = odd_grid();
  // no multiple of the chunk, so that the last messages are short
  const Job job{grid, *make_tiling(grid, GetParam().tile),
                noisy_drive(GetParam().lanes == 1 ? 205 : 45), folder / "part"};
  const auto simulation = make_simulation(job, {.workers = GetParam().workers}, GetParam().lanes);
  ASSERT_TRUE(simulation);
  ASSERT_TRUE(simulation->begin());
  expect_same(run_to_end(*simulation), simulate_reference(grid, job.drive));
}

INSTANTIATE_TEST_SUITE_P(Sizes, AcousticsActors,
                         ::testing::Values(Shape{{0, 0, 0}, 1, 1}, Shape{{8, 8, 8}, 1, 1},
                                           Shape{{8, 8, 8}, 2, 1}, Shape{{8, 8, 8}, 4, 1},
                                           Shape{{7, 5, 3}, 1, 1}, Shape{{7, 5, 3}, 2, 1},
                                           Shape{{7, 5, 3}, 4, 1}, Shape{{26, 1, 2}, 2, 1},
                                           Shape{{1, 9, 15}, 4, 1}, Shape{{16, 16, 4}, 4, 1},
                                           Shape{{0, 0, 0}, 1, 4}, Shape{{8, 8, 8}, 1, 4},
                                           Shape{{8, 8, 8}, 2, 4}),
                         [](const auto& shape) {
                           const Shape& s = shape.param;
                           return "Tile" + std::to_string(s.tile[0]) + "x" +
                                  std::to_string(s.tile[1]) + "x" + std::to_string(s.tile[2]) +
                                  "Workers" + std::to_string(s.workers) + "Lanes" +
                                  std::to_string(s.lanes);
                         });

class AcousticsResume : public ::testing::TestWithParam<std::array<std::uint32_t, 2>> {};

TEST_P(AcousticsResume, AnotherWorkerCountGoesOnBitExactFromTheMiddle) {
  const Folder folder;
  const Grid grid = odd_grid();
  const Job job{grid, *make_tiling(grid, {8, 8, 8}), noisy_drive(6000), folder / "part"};
  RuntimeOptions options;
  options.checkpoint.dir = folder / "checkpoints";
  options.workers = GetParam()[0];
  {
    const auto first = make_simulation(job, options);
    ASSERT_TRUE(first);
    ASSERT_TRUE(first->begin());
    ASSERT_TRUE(first->runtime().start());
    while (first->step() < 500) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto cost = first->runtime().checkpoint_now();
    ASSERT_TRUE(cost) << cost.error().message;
    EXPECT_LT(first->step(), job.drive.size())
        << "the checkpoint is to come from the middle of the run";
    ASSERT_TRUE(first->runtime().stop());
  }
  options.workers = GetParam()[1];
  const auto second = make_simulation(job, options);
  ASSERT_TRUE(second);
  const auto restored = second->runtime().restore_latest();
  ASSERT_TRUE(restored) << restored.error().message;
  ASSERT_TRUE(restored->restored);
  EXPECT_GE(second->step(), 400u);
  expect_same(run_to_end(*second), simulate_reference(grid, job.drive));
}

INSTANTIATE_TEST_SUITE_P(Workers, AcousticsResume,
                         ::testing::Values(std::array<std::uint32_t, 2>{1, 4},
                                           std::array<std::uint32_t, 2>{4, 1},
                                           std::array<std::uint32_t, 2>{2, 3}));

TEST(AcousticsSink, RowsWaitForTheLastMicrophoneAndSurviveARestart) {
  const Folder folder;
  const std::string path = folder / "part";
  const std::vector<float> a{1, 2, 3, 4}, b{10, 20, 30, 40};
  std::vector<std::byte> state;
  {
    MicSink sink(path, 2, 4);
    ASSERT_TRUE(sink.create());
    ASSERT_TRUE(sink.add(0, 0, std::span(a).first(3)));
    ASSERT_TRUE(sink.add(1, 0, std::span(b).first(1)));
    state = sink.save().value();
    EXPECT_EQ(fs::file_size(path), 8u);
    EXPECT_FALSE(sink.add(1, 3, std::span(b).first(1))) << "a gap";
    EXPECT_FALSE(sink.add(0, 0, std::span(a).first(1))) << "a repeat";
    ASSERT_TRUE(sink.add(1, 1, std::span(b).subspan(1)));
    (void)sink.save();  // a later time, which is lost
    EXPECT_EQ(fs::file_size(path), 24u);
  }
  MicSink sink(path, 2, 4);
  ASSERT_TRUE(sink.restore(state));
  EXPECT_EQ(fs::file_size(path), 8u);
  ASSERT_TRUE(sink.add(0, 3, std::span(a).subspan(3)));
  ASSERT_TRUE(sink.add(1, 1, std::span(b).subspan(1)));
  ASSERT_TRUE(sink.complete());
  const auto rows = sink.read_all();
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ((*rows)[0], a);
  EXPECT_EQ((*rows)[1], b);
}

TEST(AcousticsSink, AMissingShortOrForeignFileIsRefusedAndLeftAlone) {
  const Folder folder;
  const std::string path = folder / "part";
  const std::vector<float> samples{1, 2, 3};
  std::vector<std::byte> state;
  {
    MicSink sink(path, 1, 4);
    ASSERT_TRUE(sink.create());
    ASSERT_TRUE(sink.add(0, 0, samples));
    state = sink.save().value();
  }
  fs::rename(path, path + ".moved");
  EXPECT_EQ(MicSink(path, 1, 4).restore(state).error().code, ErrorCode::not_found);
  fs::rename(path + ".moved", path);
  EXPECT_EQ(MicSink(path, 2, 4).restore(state).error().code, ErrorCode::incompatible);
  EXPECT_EQ(MicSink(path, 1, 4).restore(std::span(state).first(26)).error().code,
            ErrorCode::corrupt);
  {
    MicSink holder(path, 1, 4);
    ASSERT_TRUE(holder.restore(state));
    EXPECT_EQ(MicSink(path, 1, 4).restore(state).error().code, ErrorCode::locked);
  }
  fs::resize_file(path, 8);
  EXPECT_EQ(MicSink(path, 1, 4).restore(state).error().code, ErrorCode::incompatible);
  fs::resize_file(path, 40);
  EXPECT_EQ(MicSink(path, 1, 4).restore(state).error().code, ErrorCode::incompatible)
      << "zeros instead of a sample";
  EXPECT_EQ(fs::file_size(path), 40u);
}

}  // namespace
}  // namespace rk::acoustics
