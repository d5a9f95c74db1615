#include <gtest/gtest.h>

#include <ringkernel/checkpoint/src/s3_xml.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

constexpr std::string_view kList =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>runs</Name>"
    "<Prefix>a/</Prefix><KeyCount>3</KeyCount><EncodingType>url</EncodingType>"
    "<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1==</NextContinuationToken>"
    "<Contents><Key>a/f%20g</Key><ETag>&quot;49f6&quot;</ETag><Size>12</Size></Contents>"
    "<Contents><Key>a/h</Key><Size>0</Size></Contents>"
    "<CommonPrefixes><Prefix>a/d/</Prefix></CommonPrefixes></ListBucketResult>";

TEST(S3Xml, a_list_gives_objects_prefixes_and_the_next_page) {
  const auto page = parse_list_page(kList);
  ASSERT_OK(page);
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "a/f g");
  EXPECT_EQ(page->objects[0].bytes, 12u);
  EXPECT_EQ(page->objects[1].key, "a/h");
  EXPECT_EQ(page->prefixes, std::vector<std::string>{"a/d/"});
  EXPECT_EQ(page->continuation, "t&1==");
}

TEST(S3Xml, a_list_cut_off_anywhere_is_an_error_never_a_shorter_list) {
  for (std::size_t length = 0; length < kList.size(); ++length) {
    EXPECT_FALSE(parse_list_page(kList.substr(0, length)).has_value()) << length;
  }
}

TEST(S3Xml, a_list_that_does_not_say_whether_it_goes_on_is_an_error) {
  EXPECT_FALSE(parse_list_page("<ListBucketResult></ListBucketResult>").has_value());
  EXPECT_FALSE(parse_list_page("<ListBucketResult><IsTruncated>true</IsTruncated>"
                               "</ListBucketResult>")
                   .has_value());
  EXPECT_FALSE(parse_list_page("<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
                               "<Key>k</Key><Size>-1</Size></Contents></ListBucketResult>")
                   .has_value());
  EXPECT_FALSE(parse_list_page("<html><body>login</body></html>").has_value());
}

TEST(S3Xml, uploads_have_a_key_an_id_and_an_age) {
  const auto page = parse_uploads_page(
      "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
      "<NextUploadIdMarker>i</NextUploadIdMarker><Upload><Key>a/b</Key><UploadId>2~x</UploadId>"
      "<Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload></ListMultipartUploadsResult>");
  ASSERT_OK(page);
  ASSERT_EQ(page->uploads.size(), 1u);
  EXPECT_EQ(page->uploads[0].key, "a/b");
  EXPECT_EQ(page->uploads[0].upload_id, "2~x");
  EXPECT_EQ(page->uploads[0].initiated_unix_s, 1767323045);
  EXPECT_TRUE(page->is_truncated);
  EXPECT_EQ(page->next_key_marker, "k");
  EXPECT_FALSE(parse_uploads_page("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
                                  "<Upload><Key>a</Key><UploadId>i</UploadId><Initiated>soon"
                                  "</Initiated></Upload></ListMultipartUploadsResult>")
                   .has_value());
}

TEST(S3Xml, namespace_prefixes_and_blanks_before_the_declaration_are_accepted) {
  const auto id = parse_upload_id(
      "\n \n<?xml version='1.0'?><s:InitiateMultipartUploadResult xmlns:s='u'>"
      "<s:UploadId>42</s:UploadId></s:InitiateMultipartUploadResult>");
  ASSERT_OK(id);
  EXPECT_EQ(*id, "42");
}

TEST(S3Xml, an_error_with_status_200_is_seen) {
  EXPECT_FALSE(check_completed("<Error><Code>InternalError</Code></Error>").has_value());
  EXPECT_FALSE(check_completed("").has_value());
  EXPECT_TRUE(check_completed("  <CompleteMultipartUploadResult/>").has_value());
}

TEST(S3Xml, error_codes_are_reduced_to_what_is_safe_to_print) {
  EXPECT_EQ(parse_error_code("<Error><Code>No\x1b[31mSuch Key\n</Code></Error>"), "No31mSuchKey");
  EXPECT_EQ(parse_error_code("<Error><Code>No Such-Key</Code></Error>"), "NoSuchKey");
  EXPECT_EQ(parse_error_code("<Error/>"), "UnknownError");
  EXPECT_EQ(parse_error_code("<html/>"), "");
  EXPECT_EQ(parse_error_code("not xml"), "");
  EXPECT_EQ(parse_error_code("<Error><Code>" + std::string(1000, 'x') + "</Code></Error>").size(),
            64u);
}

TEST(S3Xml, a_completion_names_every_part_in_order) {
  EXPECT_EQ(format_complete({"\"a\"", "b<&"}),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>"
            "<Part><PartNumber>2</PartNumber><ETag>b&lt;&amp;</ETag></Part>"
            "</CompleteMultipartUpload>");
}

}  // namespace
}  // namespace rk::checkpoint::test
