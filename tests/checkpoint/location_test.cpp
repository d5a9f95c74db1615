#include <gtest/gtest.h>

#include <ringkernel/checkpoint/location.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

TEST(Location, text_without_a_known_scheme_is_a_path) {
  for (const char* text : {"dir", "/tmp/a b", "./x:y", "a?b=c", "run:1", "://x", "a/b://c"}) {
    const auto location = parse_location(text);
    ASSERT_OK(location);
    EXPECT_EQ(location->scheme, "") << text;
    EXPECT_EQ(location->rest, text);
  }
}

TEST(Location, an_unknown_url_is_refused_and_the_message_says_what_is_known) {
  for (const char* text : {"ftp://host/x", "file:///tmp/x", "http://x"}) {
    const auto location = parse_location(text);
    ASSERT_FALSE(location.has_value()) << text;
    EXPECT_EQ(location.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(location.error().message.find("PATH"), std::string::npos);
  }
  EXPECT_FALSE(parse_location("").has_value());
}

TEST(Location, a_path_opens_a_store_of_files_there) {
  TemporaryDirectory temporary;
  const auto storage = open_storage((temporary / "here").string());
  ASSERT_OK(storage);
  EXPECT_FALSE(std::filesystem::exists(temporary / "here")) << "opening touches nothing";
  ASSERT_OK((*storage)->create_root());
  ASSERT_OK((*storage)->publish("f", bytes_of("x"), Overwrite::refuse));
  EXPECT_EQ(read_text(temporary / "here" / "f"), "x");
}

TEST(Location, shared_memory_takes_a_name_and_a_size) {
  const auto location = parse_location("shm:run_1?mib=8");
  ASSERT_OK(location);
  EXPECT_EQ(location->scheme, "shm");
  EXPECT_EQ(location->rest, "run_1");
  EXPECT_EQ(location->options.at("mib"), "8");
  EXPECT_TRUE(open_storage("shm:never_created").has_value()) << "opening touches nothing";
  for (const char* text : {"shm:", "shm:a/b", "shm:.a", "shm:a?mib=0", "shm:a?mib=1", "shm:a?mib=x",
                           "shm:a?mib=", "shm:a?mib=8x", "shm:a?mib=8&mib=9", "shm:a?size=8",
                           "shm:a?=8", "shm:a?mib"}) {
    const auto opened = open_storage(text);
    ASSERT_FALSE(opened.has_value()) << text;
    EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace rk::checkpoint::test
