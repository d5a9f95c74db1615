// Replays what fuzzing kept: the corpus, and every input that once broke something.
#include <gtest/gtest.h>

#include <ringkernel/tests/fuzz/decode_harness.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

std::size_t replay(const char* folder) {
  std::size_t inputs = 0;
  const auto path = std::filesystem::path(RK_TEST_DATA_DIR) / "fuzz" / folder;
  if (!std::filesystem::is_directory(path)) return 0;
  for (const auto& item : std::filesystem::directory_iterator(path)) {
    SCOPED_TRACE(item.path().string());
    fuzz::run(read_bytes(item.path()));
    ++inputs;
  }
  return inputs;
}

TEST(FuzzReplay, the_kept_corpus_breaks_no_promise) { EXPECT_GE(replay("corpus"), 50u); }

TEST(FuzzReplay, what_was_found_once_stays_fixed) { (void)replay("finds"); }

TEST(FuzzReplay, a_broken_promise_ends_the_process) {
  EXPECT_DEATH(fuzz::require(false, "planted"), "broken promise: planted");
}

}  // namespace
}  // namespace rk::checkpoint::test
