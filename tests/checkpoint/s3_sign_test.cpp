// Signatures against values that AWS publishes: the Signature Version 4 test suite (service
// "service", key AKIDEXAMPLE) and the examples of the S3 API reference (AKIAIOSFODNN7EXAMPLE).
#include <gtest/gtest.h>

#include <ringkernel/checkpoint/src/s3_sign.hpp>

namespace rk::checkpoint::test {
namespace {

constexpr char kEmptyHash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// 2015-08-30T12:36:00Z and 2013-05-24T00:00:00Z
constexpr std::int64_t kSuiteTime = 1440938160;
constexpr std::int64_t kExampleTime = 1369353600;

const S3Credentials kSuiteKeys{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
const S3Credentials kExampleKeys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 ""};

std::string suite(const std::string& method, const NameValues& query) {
  return sign_v4(
             kSuiteKeys, "us-east-1", "service", kSuiteTime,
             {.method = method,
              .path = "/",
              .query = canonical_query(query),
              .headers = {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}},
              .body_hash = kEmptyHash})
      .authorization;
}

std::string example(const std::string& method, const std::string& key, const NameValues& query,
                    NameValues headers, const std::string& body_hash = kEmptyHash) {
  headers.emplace_back("host", "examplebucket.s3.amazonaws.com");
  headers.emplace_back("x-amz-date", amz_date(kExampleTime));
  headers.emplace_back("x-amz-content-sha256", body_hash);
  return sign_v4(kExampleKeys, "us-east-1", "s3", kExampleTime,
                 {.method = method,
                  .path = uri_encode(key, true),
                  .query = canonical_query(query),
                  .headers = std::move(headers),
                  .body_hash = body_hash})
      .authorization;
}

void expect_signature(const std::string& authorization, const std::string& signature) {
  EXPECT_TRUE(authorization.ends_with(",Signature=" + signature)) << authorization;
}

TEST(S3Sign, the_test_suite_of_aws_is_reproduced) {
  EXPECT_EQ(suite("GET", {}),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
            "SignedHeaders=host;x-amz-date,"
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  expect_signature(suite("POST", {}),
                   "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
  expect_signature(suite("GET", {{"Param2", "value2"}, {"Param1", "value1"}}),
                   "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(S3Sign, the_examples_of_the_s3_reference_are_reproduced) {
  expect_signature(example("GET", "/test.txt", {}, {{"range", "bytes=0-9"}}),
                   "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  const std::string body = "Welcome to Amazon S3.";
  const std::string body_hash = sha256_hex(as_bytes(body));
  EXPECT_EQ(body_hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  expect_signature(example("PUT", "/test$file.text", {},
                           {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                            {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                           body_hash),
                   "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  expect_signature(example("GET", "/", {{"lifecycle", ""}}, {}),
                   "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  expect_signature(example("GET", "/", {{"max-keys", "2"}, {"prefix", "J"}}, {}),
                   "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(S3Sign, hashes_match_their_standards) {
  EXPECT_EQ(sha256_hex({}), kEmptyHash);
  // RFC 4231, test case 2; RFC 1321, appendix A.5.
  EXPECT_EQ(hex_of(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex_of(md5(as_bytes("message digest"))), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(S3Sign, every_byte_survives_encoding_and_only_unreserved_ones_stay) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const std::string encoded = uri_encode(all, false);
  EXPECT_EQ(uri_decode(encoded), all);
  EXPECT_EQ(encoded.find_first_of(" +/?&=#"), std::string::npos);
  EXPECT_EQ(uri_encode("a/b c~", true), "a/b%20c~");
  EXPECT_EQ(uri_encode("a/b", false), "a%2Fb");
  EXPECT_EQ(uri_decode("%zz%4"), "%zz%4");
}

TEST(S3Sign, a_query_is_sorted_as_encoded) {
  EXPECT_EQ(canonical_query({{"uploads", ""}, {"a b", "c/d"}, {"Z", "1"}}),
            "Z=1&a%20b=c%2Fd&uploads=");
}

}  // namespace
}  // namespace rk::checkpoint::test
