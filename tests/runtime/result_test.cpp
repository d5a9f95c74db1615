// Result: an error is neither lost nor read as a value on its way to the caller.
#include <gtest/gtest.h>

#include <memory>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <vector>

namespace rk {
namespace {

Result<int> parse(bool good) {
  if (!good) return fail(ErrorCode::corrupt, "bad digit", 7);
  return 42;
}
Result<std::unique_ptr<int>> own(bool good) {
  RK_TRY_ASSIGN(const int value, parse(good));
  return std::make_unique<int>(value);
}
Result<void> check(bool good) {
  RK_TRY(parse(good));
  return {};
}
Result<std::string> assign_two(bool first, bool second, int& reached) {
  RK_TRY_ASSIGN(const int a, parse(first));
  reached = 1;
  RK_TRY_ASSIGN(const int b, parse(second));
  reached = 2;
  return std::to_string(a + b);
}

TEST(Result, TryReturnsTheErrorWithCodeNativeCodeAndMessage) {
  const Result<void> failed = check(false);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::corrupt);
  EXPECT_EQ(failed.error().native, 7);
  EXPECT_EQ(failed.error().message, "bad digit");
  EXPECT_TRUE(check(true).has_value());
}

TEST(Result, TryAssignStopsAtTheFirstErrorAndRunsNothingAfterIt) {
  int reached = 0;
  EXPECT_FALSE(assign_two(false, true, reached));
  EXPECT_EQ(reached, 0);
  EXPECT_FALSE(assign_two(true, false, reached));
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(assign_two(true, true, reached).value(), "84");
}

TEST(Result, TryEvaluatesItsExpressionOnce) {
  int calls = 0;
  const auto count = [&]() -> Result<int> { return ++calls; };
  const auto caller = [&]() -> Result<void> {
    RK_TRY(count());
    RK_TRY_ASSIGN(const int value, count());
    EXPECT_EQ(value, 2);
    return {};
  };
  EXPECT_TRUE(caller());
  EXPECT_EQ(calls, 2);
}

TEST(Result, MovesOutAValueThatCannotBeCopied) {
  const auto add_one = [](bool good) -> Result<int> {
    RK_TRY_ASSIGN(const std::unique_ptr<int> value, own(good));
    return *value + 1;
  };
  EXPECT_EQ(add_one(true).value(), 43);
  EXPECT_EQ(add_one(false).error().native, 7);
}

TEST(Result, MovedOutErrorKeepsItsMessage) {
  Result<int> failed = fail(ErrorCode::io, std::string(100, 'x'), 5);
  const Error error = std::move(failed).error();
  EXPECT_EQ(error.message, std::string(100, 'x'));
  EXPECT_EQ(error.native, 5);
}

TEST(ResultDeathTest, ReadingTheWrongAlternativeAbortsInEveryBuildType) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH((void)parse(false).value(), "bad digit");
  EXPECT_DEATH((void)parse(true).error(), "broken invariant");
  EXPECT_DEATH(check(false).value(), "bad digit");
  EXPECT_DEATH((void)check(true).error(), "broken invariant");
  EXPECT_DEATH(RK_ASSERT(1 + 1 == 3), "1 \\+ 1 == 3");
}

TEST(Result, EveryErrorCodeHasATextAndADocumentedExitStatus) {
  const std::vector<ErrorCode> codes = {
      ErrorCode::invalid_argument, ErrorCode::not_found, ErrorCode::corrupt,
      ErrorCode::incompatible,     ErrorCode::io,        ErrorCode::no_space,
      ErrorCode::would_block,      ErrorCode::closed,    ErrorCode::deadline_exceeded,
      ErrorCode::handler_failed,   ErrorCode::locked,    ErrorCode::device_lost,
      ErrorCode::internal};
  for (const ErrorCode code : codes) {
    EXPECT_NE(to_string(code), "unknown error");
    EXPECT_NE(exit_code(code), 0);
  }
  EXPECT_EQ(exit_code(ErrorCode::invalid_argument), 2);
  EXPECT_EQ(exit_code(ErrorCode::not_found), 3);
  EXPECT_EQ(exit_code(ErrorCode::corrupt), 4);
  EXPECT_EQ(exit_code(ErrorCode::incompatible), 5);
  EXPECT_EQ(exit_code(ErrorCode::no_space), 6);
  EXPECT_EQ(exit_code(ErrorCode::device_lost), 8);
}

}  // namespace
}  // namespace rk
