#include <gtest/gtest.h>

#include <map>
#include <ringkernel/checkpoint/location.hpp>
#include <ringkernel/checkpoint/src/s3_config.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

using Values = std::map<std::string, std::string>;

S3Surroundings surroundings(Values variables, Values files = {}) {
  return {.variable = [variables](const std::string& name) -> std::optional<std::string> {
            const auto at = variables.find(name);
            return at == variables.end() ? std::nullopt : std::optional(at->second);
          },
          .file = [files](const std::string& path) -> std::optional<std::string> {
            const auto at = files.find(path);
            return at == files.end() ? std::nullopt : std::optional(at->second);
          }};
}

TEST(S3Config, addresses_name_a_bucket_and_a_prefix) {
  const auto plain = parse_s3_address("//runs");
  ASSERT_OK(plain);
  EXPECT_EQ(plain->bucket, "runs");
  EXPECT_EQ(plain->prefix, "");
  const auto deep = parse_s3_address("//my.runs-1/a/b_c/D=1/");
  ASSERT_OK(deep);
  EXPECT_EQ(deep->bucket, "my.runs-1");
  EXPECT_EQ(deep->prefix, "a/b_c/D=1");
}

TEST(S3Config, addresses_that_mean_something_else_are_refused) {
  for (const char* address :
       {"", "/", "//", "bucket", "/bucket/x", "//ab", "//Bucket", "//-ab", "//a_b", "//bucket//x",
        "//bucket/a//b", "//bucket/../x", "//bucket/a/./b", "//bucket/a b", "//bucket/a%2Fb",
        "//bucket/a#b", "//bucket/x//"}) {
    const auto parsed = parse_s3_address(address);
    ASSERT_FALSE(parsed.has_value()) << address;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument) << address;
  }
}

TEST(S3Config, credentials_in_an_address_are_refused_and_not_repeated) {
  const auto parsed = parse_s3_address("//AKIAEXAMPLE:topsecret@bucket/x");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().message.find("topsecret"), std::string::npos);
  EXPECT_NE(parsed.error().message.find("AWS_ACCESS_KEY_ID"), std::string::npos);
}

TEST(S3Config, settings_come_from_the_environment_in_the_usual_order) {
  const auto options =
      load_s3_options("//runs/x", surroundings({{"AWS_ENDPOINT_URL", "http://other"},
                                                {"AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000/"},
                                                {"AWS_DEFAULT_REGION", "eu-west-2"},
                                                {"AWS_REGION", "eu-west-1"},
                                                {"RK_S3_PART_MIB", "5"},
                                                {"RK_S3_TIMEOUT_S", "20"},
                                                {"RK_S3_ABORT_UPLOADS_AFTER_S", "0"}}));
  ASSERT_OK(options);
  EXPECT_EQ(options->endpoint, "http://127.0.0.1:9000/");
  EXPECT_EQ(options->region, "eu-west-1");
  EXPECT_EQ(options->part_bytes, 5u << 20);
  EXPECT_EQ(options->deadline_ms, 20'000u);
  EXPECT_EQ(options->abort_uploads_after_s, 0u);
}

TEST(S3Config, without_an_endpoint_the_region_decides) {
  const auto options = load_s3_options("//runs", surroundings({{"AWS_REGION", "eu-west-1"}}));
  ASSERT_OK(options);
  EXPECT_EQ(options->endpoint, "https://s3.eu-west-1.amazonaws.com");
  const auto china = load_s3_options("//runs", surroundings({{"AWS_REGION", "cn-north-1"}}));
  ASSERT_OK(china);
  EXPECT_EQ(china->endpoint, "https://s3.cn-north-1.amazonaws.com.cn");
  const auto neither = load_s3_options("//runs", surroundings({}));
  ASSERT_FALSE(neither.has_value());
  EXPECT_NE(neither.error().message.find("AWS_REGION"), std::string::npos);
}

TEST(S3Config, wrong_settings_are_refused_by_name) {
  const Values good{{"AWS_ENDPOINT_URL_S3", "http://localhost:1"}};
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"RK_S3_ADDRESSING", "dns"},        {"RK_S3_PART_MIB", "4"},
      {"RK_S3_PART_MIB", "65"},           {"RK_S3_PART_MIB", "8x"},
      {"RK_S3_TIMEOUT_S", "0"},           {"RK_S3_ABORT_UPLOADS_AFTER_S", "-1"},
      {"AWS_ENDPOINT_URL_S3", "ftp://x"}, {"AWS_ENDPOINT_URL_S3", "http://user:pw@x"},
      {"AWS_ENDPOINT_URL_S3", "http://"}, {"AWS_ENDPOINT_URL_S3", "http://x/path"},
  };
  for (const auto& [name, value] : wrong) {
    Values variables = good;
    variables[name] = value;
    const auto options = load_s3_options("//runs", surroundings(variables));
    ASSERT_FALSE(options.has_value()) << name << "=" << value;
    EXPECT_EQ(options.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(options.error().message.find(name), std::string::npos) << options.error().message;
    EXPECT_EQ(options.error().message.find("pw"), std::string::npos);
  }
}

TEST(S3Config, keys_of_the_environment_win_over_the_profile) {
  const Values files{{"/h/.aws/credentials",
                      "[default]\naws_access_key_id = PROFILEID\naws_secret_access_key = p\n"}};
  const auto keys = load_s3_credentials(surroundings({{"HOME", "/h"},
                                                      {"AWS_ACCESS_KEY_ID", "ID"},
                                                      {"AWS_SECRET_ACCESS_KEY", "s"},
                                                      {"AWS_SESSION_TOKEN", "t"}},
                                                     files));
  ASSERT_OK(keys);
  EXPECT_EQ(*keys, (S3Credentials{"ID", "s", "t"}));
}

TEST(S3Config, a_profile_is_read_from_both_files) {
  const Values files{{"/c",
                      "# comment\r\n[default]\naws_access_key_id=no\n\n[ gpu ]\r\n"
                      "aws_access_key_id = GPUID\r\n aws_secret_access_key = nested, ignored\n"
                      "aws_secret_access_key = a=b/c+d\n; comment\naws_session_token=tok\n"},
                     {"/h/.aws/config",
                      "[default]\nregion=us-east-1\n[profile gpu]\nregion = eu-north-1\n"
                      "endpoint_url = http://localhost:8000\ns3 =\n  addressing_style = path\n"}};
  const auto from = surroundings(
      {{"HOME", "/h"}, {"AWS_SHARED_CREDENTIALS_FILE", "/c"}, {"AWS_PROFILE", "gpu"}}, files);
  const auto keys = load_s3_credentials(from);
  ASSERT_OK(keys);
  EXPECT_EQ(*keys, (S3Credentials{"GPUID", "a=b/c+d", "tok"}));
  const auto options = load_s3_options("//runs", from);
  ASSERT_OK(options);
  EXPECT_EQ(options->region, "eu-north-1");
  EXPECT_EQ(options->endpoint, "http://localhost:8000");
}

TEST(S3Config, missing_credentials_say_what_to_set) {
  const auto none = load_s3_credentials(surroundings({{"HOME", "/h"}, {"AWS_PROFILE", "gpu"}}));
  ASSERT_FALSE(none.has_value());
  EXPECT_NE(none.error().message.find("AWS_SECRET_ACCESS_KEY"), std::string::npos);
  EXPECT_NE(none.error().message.find("gpu"), std::string::npos);
  const auto half = load_s3_credentials(surroundings({{"AWS_ACCESS_KEY_ID", "ID"}}));
  ASSERT_FALSE(half.has_value());
}

TEST(S3Config, the_bucket_goes_into_the_path_or_the_host) {
  using Addressing = S3Options::Addressing;
  struct Case {
    const char* endpoint;
    const char* bucket;
    Addressing addressing;
    const char* origin;
    const char* path_prefix;
  };
  const std::vector<Case> cases{
      {"https://s3.eu-west-1.amazonaws.com", "runs", Addressing::automatic,
       "https://runs.s3.eu-west-1.amazonaws.com", ""},
      {"https://s3.eu-west-1.amazonaws.com", "my.runs", Addressing::automatic,
       "https://s3.eu-west-1.amazonaws.com", "/my.runs"},
      {"http://127.0.0.1:9000", "runs", Addressing::automatic, "http://127.0.0.1:9000", "/runs"},
      {"http://[::1]:9000", "runs", Addressing::automatic, "http://[::1]:9000", "/runs"},
      {"http://localhost:9000/", "runs", Addressing::automatic, "http://localhost:9000", "/runs"},
      {"http://localhost", "runs", Addressing::virtual_host, "http://runs.localhost", ""},
      {"https://store.example:443", "runs", Addressing::path, "https://store.example", "/runs"},
      {"http://store.example:80", "runs", Addressing::automatic, "http://runs.store.example", ""},
  };
  for (const auto& item : cases) {
    S3Options options{.bucket = item.bucket, .endpoint = item.endpoint};
    options.addressing = item.addressing;
    const auto resolved = resolve_endpoint(options);
    ASSERT_OK(resolved);
    EXPECT_EQ(resolved->origin, item.origin);
    EXPECT_EQ(resolved->path_prefix, item.path_prefix) << item.endpoint;
    EXPECT_TRUE(resolved->origin.ends_with("//" + resolved->host));
  }
}

TEST(S3Config, an_s3_location_takes_no_options) {
  const auto opened = open_storage("s3://runs/x?key=value");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace rk::checkpoint::test
