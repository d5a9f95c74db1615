// Retries and the judgement of replies, with a scripted transport and a clock that only counts.
#include <gtest/gtest.h>

#include <deque>
#include <ringkernel/checkpoint/src/s3_client.hpp>
#include <ringkernel/checkpoint/src/s3_store.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

// Answers from a script; an exchange beyond its end fails the test.
class Script final : public HttpTransport {
 public:
  HttpReply send(const HttpRequest& request) override {
    requests.push_back(request);
    bodies.emplace_back(reinterpret_cast<const char*>(request.body.data()), request.body.size());
    if (replies.empty()) {
      ADD_FAILURE() << "unexpected " << request.method << " " << request.url;
      return {.failure = "end of script", .can_retry = false};
    }
    HttpReply reply = std::move(replies.front());
    replies.pop_front();
    const std::size_t filled = std::min(request.into.size(), content.size());
    if (reply.status == 206 && reply.received == 0) reply.received = filled;
    if (reply.status == 206) {
      std::copy_n(content.begin(), std::min(reply.received, filled), request.into.begin());
      content.erase(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(
                                                           std::min(reply.received, filled)));
    }
    return reply;
  }
  std::deque<HttpReply> replies;
  std::vector<std::byte> content;  // what 206 replies are cut from, front first
  std::vector<HttpRequest> requests;
  std::vector<std::string> bodies;
};

class CountingClock final : public S3Clock {
 public:
  std::int64_t unix_seconds() override { return 1440938160; }
  std::uint64_t monotonic_ms() override { return now_ms; }
  void sleep_ms(std::uint64_t duration_ms) override {
    sleeps.push_back(duration_ms);
    now_ms += duration_ms;
  }
  double uniform() override { return chance; }
  std::uint64_t now_ms = 0;
  double chance = 0.999999;
  std::vector<std::uint64_t> sleeps;
};

HttpReply status(int code, std::string body = "", std::map<std::string, std::string> headers = {}) {
  return {.status = code, .headers = std::move(headers), .body = std::move(body)};
}

HttpReply refusal(int code, const std::string& name) {
  return status(code, "<Error><Code>" + name + "</Code></Error>");
}

HttpReply lost() { return {.failure = "connection reset"}; }

HttpReply range(std::uint64_t first, std::uint64_t last) {
  return status(
      206, "",
      {{"content-range", "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/100"}});
}

HttpReply sized(std::uint64_t bytes) {
  return status(200, "", {{"content-length", std::to_string(bytes)}});
}

class S3ClientTest : public ::testing::Test {
 protected:
  S3ClientTest() {
    options_.bucket = "runs";
    options_.prefix = "p";
    options_.endpoint = "http://127.0.0.1:9000";
    options_.credentials = [this]() -> Result<S3Credentials> {
      ++credential_calls_;
      return S3Credentials{"ID" + std::to_string(credential_calls_), "secret", ""};
    };
    options_.max_attempts = 4;
    script_ = std::make_shared<Script>();
    clock_ = std::make_shared<CountingClock>();
  }
  std::shared_ptr<S3Client> client() {
    return std::make_shared<S3Client>(options_, script_, clock_);
  }
  void answer(std::vector<HttpReply> replies) {
    for (auto& reply : replies) script_->replies.push_back(std::move(reply));
  }
  std::string authorization(std::size_t i) {
    for (const auto& [name, value] : script_->requests.at(i).headers) {
      if (name == "authorization") return value;
    }
    return "";
  }
  std::string header(std::size_t i, const std::string& wanted) {
    for (const auto& [name, value] : script_->requests.at(i).headers) {
      if (name == wanted) return value;
    }
    return "";
  }

  S3Options options_;
  std::shared_ptr<Script> script_;
  std::shared_ptr<CountingClock> clock_;
  int credential_calls_ = 0;
};

TEST_F(S3ClientTest, transient_failures_are_repeated_with_growing_waits) {
  answer({lost(), status(503), refusal(500, "InternalError"), status(200)});
  ASSERT_OK(client()->put("k", bytes_of("x")));
  EXPECT_EQ(script_->requests.size(), 4u);
  EXPECT_EQ(clock_->sleeps, (std::vector<std::uint64_t>{99, 199, 399}));
  EXPECT_EQ(script_->requests[0].url, "http://127.0.0.1:9000/runs/k");
}

TEST_F(S3ClientTest, waits_are_jittered_down_to_nothing_and_capped) {
  clock_->chance = 0.0;
  answer({lost(), lost(), status(200)});
  ASSERT_OK(client()->put("k", bytes_of("x")));
  EXPECT_EQ(clock_->sleeps, (std::vector<std::uint64_t>{0, 0}));
  EXPECT_EQ(backoff_limit_ms(1), 100u);
  EXPECT_EQ(backoff_limit_ms(7), 6400u);
  EXPECT_EQ(backoff_limit_ms(8), 10'000u);
  EXPECT_EQ(backoff_limit_ms(1'000'000), 10'000u);
}

TEST_F(S3ClientTest, a_busy_store_says_how_long_to_wait) {
  answer({status(503, "", {{"retry-after", "7"}}), status(200)});
  ASSERT_OK(client()->put("k", bytes_of("x")));
  EXPECT_EQ(clock_->sleeps, std::vector<std::uint64_t>{7000});
}

TEST_F(S3ClientTest, attempts_end_and_the_error_says_what_happened) {
  answer({lost(), lost(), lost(), lost()});
  const auto put = client()->put("k", bytes_of("x"));
  ASSERT_FALSE(put.has_value());
  EXPECT_EQ(put.error().code, ErrorCode::io);
  EXPECT_NE(put.error().message.find("connection reset"), std::string::npos);
  EXPECT_EQ(put.error().message.find("secret"), std::string::npos);
}

TEST_F(S3ClientTest, the_deadline_ends_the_attempts_before_a_wait_that_would_pass_it) {
  options_.deadline_ms = 250;
  answer({lost(), lost()});
  ASSERT_FALSE(client()->put("k", bytes_of("x")).has_value());
  EXPECT_EQ(script_->requests[0].timeout_ms, 250u);
  EXPECT_EQ(script_->requests[1].timeout_ms, 151u);
  EXPECT_EQ(clock_->sleeps, std::vector<std::uint64_t>{99});
}

TEST_F(S3ClientTest, refusals_are_not_repeated_and_say_what_to_do) {
  struct Case {
    HttpReply reply;
    ErrorCode code;
    const char* says;
  };
  const std::vector<Case> cases{
      {refusal(403, "SignatureDoesNotMatch"), ErrorCode::io, "AWS_SECRET_ACCESS_KEY"},
      {refusal(403, "AccessDenied"), ErrorCode::io, "permission"},
      {refusal(403, "RequestTimeTooSkewed"), ErrorCode::io, "clock"},
      {refusal(404, "NoSuchBucket"), ErrorCode::not_found, "create the bucket"},
      {refusal(400, "AuthorizationHeaderMalformed"), ErrorCode::io, "AWS_REGION"},
      {refusal(301, "PermanentRedirect"), ErrorCode::io, "AWS_REGION"},
      {refusal(403, "QuotaExceeded"), ErrorCode::no_space, "quota"},
      {refusal(507, ""), ErrorCode::no_space, "quota"},
      {refusal(501, "NotImplemented"), ErrorCode::io, "does not implement"},
      {refusal(409, "BucketNotEmpty"), ErrorCode::io, "409"},
  };
  for (const auto& item : cases) {
    answer({item.reply});
    const auto put = client()->put("k", bytes_of("x"));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error().code, item.code) << put.error().message;
    EXPECT_EQ(put.error().native, item.reply.status);
    EXPECT_NE(put.error().message.find(item.says), std::string::npos) << put.error().message;
    EXPECT_EQ(put.error().message.find("secret"), std::string::npos);
  }
}

TEST_F(S3ClientTest, an_expired_session_is_renewed_once) {
  answer({refusal(400, "ExpiredToken"), status(200)});
  ASSERT_OK(client()->put("k", bytes_of("x")));
  EXPECT_NE(authorization(0).find("Credential=ID1/"), std::string::npos);
  EXPECT_NE(authorization(1).find("Credential=ID2/"), std::string::npos);
  answer({refusal(400, "ExpiredToken"), refusal(400, "ExpiredToken")});
  EXPECT_FALSE(client()->put("k", bytes_of("x")).has_value());
}

TEST_F(S3ClientTest, a_body_stored_wrongly_is_noticed_unless_the_store_encrypts) {
  const std::string other(32, 'a');
  answer({status(200, "", {{"etag", "\"" + other + "\""}})});
  EXPECT_FALSE(client()->put("k", bytes_of("x")).has_value());
  answer({status(200, "", {{"etag", "\"9dd4e461268c8034f5c8564e155c67a6\""}})});
  EXPECT_TRUE(client()->put("k", bytes_of("x")).has_value()) << "MD5 of x";
  answer({status(200, "", {{"etag", other}, {"x-amz-server-side-encryption", "aws:kms"}})});
  EXPECT_TRUE(client()->put("k", bytes_of("x")).has_value());
}

TEST_F(S3ClientTest, a_conditional_put_repeated_after_silence_recognises_its_own_work) {
  // The first attempt was carried out, its reply lost.
  script_->content = bytes_of("mine");
  answer({lost(), refusal(412, "PreconditionFailed"), sized(4), range(0, 3)});
  const auto mine = client()->put_if_absent("k", bytes_of("mine"));
  ASSERT_OK(mine);
  EXPECT_EQ(*mine, S3Client::Put::done);
  EXPECT_EQ(header(0, "if-none-match"), "*");

  script_->content = bytes_of("them");
  answer({lost(), refusal(412, "PreconditionFailed"), sized(4), range(0, 3)});
  EXPECT_EQ(client()->put_if_absent("k", bytes_of("mine")).value(), S3Client::Put::exists);

  answer({refusal(412, "PreconditionFailed")});  // no silence: somebody else's for sure
  EXPECT_EQ(client()->put_if_absent("k", bytes_of("mine")).value(), S3Client::Put::exists);
}

TEST_F(S3ClientTest, a_read_goes_on_where_the_connection_broke) {
  script_->content = pattern(10, 3);
  const auto expected = script_->content;
  HttpReply broken = range(20, 29);
  broken.failure = "transfer closed";
  broken.received = 6;
  answer({broken, range(26, 29)});
  std::vector<std::byte> out(10);
  ASSERT_OK(client()->get("k", 20, out));
  EXPECT_EQ(out, expected);
  EXPECT_EQ(header(0, "range"), "bytes=20-29");
  EXPECT_EQ(header(1, "range"), "bytes=26-29");
}

TEST_F(S3ClientTest, bytes_of_another_range_are_not_taken) {
  script_->content = pattern(20, 3);
  answer({range(0, 9), range(20, 29)});
  std::vector<std::byte> out(10);
  ASSERT_OK(client()->get("k", 20, out));
  const auto all = pattern(20, 3);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), all.begin() + 10));
}

TEST_F(S3ClientTest, an_object_that_ends_early_is_corrupt) {
  script_->content = pattern(4, 3);
  answer({range(0, 3)});
  std::vector<std::byte> out(10);
  const auto read = client()->get("k", 0, out);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  answer({refusal(416, "InvalidRange")});
  EXPECT_EQ(client()->get("k", 99, out).error().code, ErrorCode::corrupt);
}

TEST_F(S3ClientTest, lists_follow_every_page) {
  const std::string head = "<ListBucketResult><Contents><Key>p/a</Key><Size>1</Size></Contents>";
  answer({status(200, head + "<IsTruncated>true</IsTruncated><NextContinuationToken>t/1"
                             "</NextContinuationToken></ListBucketResult>"),
          status(200, head + "<IsTruncated>false</IsTruncated></ListBucketResult>")});
  const auto page = client()->list("p/");
  ASSERT_OK(page);
  EXPECT_EQ(page->objects.size(), 2u);
  EXPECT_NE(script_->requests[1].url.find("continuation-token=t%2F1"), std::string::npos);
}

constexpr char kCompleted[] = "<CompleteMultipartUploadResult/>";

TEST_F(S3ClientTest, a_completion_is_believed_only_after_its_object_was_seen) {
  answer({status(200, kCompleted), sized(10)});
  EXPECT_TRUE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
  answer({status(200, kCompleted), sized(9)});
  EXPECT_FALSE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
  answer({status(200, kCompleted), refusal(404, "")});
  EXPECT_FALSE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
}

TEST_F(S3ClientTest, an_error_under_status_200_fails_or_repeats_the_completion) {
  answer({refusal(200, "InternalError"), status(200, kCompleted), sized(10)});
  EXPECT_TRUE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
  answer({refusal(200, "InvalidPart")});
  EXPECT_FALSE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
}

TEST_F(S3ClientTest, a_completion_whose_reply_was_lost_is_recognised) {
  answer({lost(), refusal(404, "NoSuchUpload"), sized(10)});
  EXPECT_TRUE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
  answer({lost(), refusal(404, "NoSuchUpload"), refusal(404, "")});
  EXPECT_FALSE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
  answer({refusal(404, "NoSuchUpload")});  // without silence somebody aborted it
  EXPECT_FALSE(client()->complete_upload("k", "u", {"e"}, 10).has_value());
}

TEST_F(S3ClientTest, only_old_uploads_below_the_prefix_are_aborted) {
  const auto upload = [](const std::string& key, const std::string& time) {
    return "<Upload><Key>" + key + "</Key><UploadId>u</UploadId><Initiated>" + time +
           "</Initiated></Upload>";
  };
  // The clock stands at 2015-08-30T12:36:00Z.
  answer(
      {status(200, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>" +
                       upload("p/old", "2015-08-29T12:36:00Z") +
                       upload("p/new", "2015-08-29T12:36:01Z") +
                       upload("q/old", "2015-01-01T00:00:00Z") + "</ListMultipartUploadsResult>"),
       status(204)});
  const auto aborted = client()->abort_uploads("p/", 86'400);
  ASSERT_OK(aborted);
  EXPECT_EQ(*aborted, 1u);
  EXPECT_EQ(script_->requests[1].method, "DELETE");
  EXPECT_EQ(script_->requests[1].url, "http://127.0.0.1:9000/runs/p/old?uploadId=u");
}

TEST_F(S3ClientTest, a_short_file_is_one_put_with_its_head_rewritten) {
  S3Storage storage(client());
  answer({refusal(404, "")});
  auto file = storage.create("d/f");
  ASSERT_OK(file);
  ASSERT_OK((*file)->append(bytes_of("hello")));
  ASSERT_OK((*file)->rewrite_head(bytes_of("J")));
  answer({status(200)});
  ASSERT_OK((*file)->sync());
  EXPECT_EQ(script_->requests.back().method, "PUT");
  EXPECT_EQ(script_->requests.back().url, "http://127.0.0.1:9000/runs/p/d/f");
  EXPECT_EQ(script_->bodies.back(), "Jello");
  EXPECT_EQ((*file)->append(bytes_of("x")).error().code, ErrorCode::closed);
}

TEST_F(S3ClientTest, a_long_file_sends_its_first_part_last_and_a_dropped_one_is_aborted) {
  options_.part_bytes = 5u << 20;
  S3Storage storage(client());
  const auto content = pattern(11u << 20, 1);
  const std::string begun =
      "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
  const auto part = status(200, "", {{"etag", "e"}});
  answer({refusal(404, ""), status(200, begun), part});
  auto file = storage.create("f");
  ASSERT_OK(file);
  ASSERT_OK((*file)->append(content));
  EXPECT_NE(script_->requests.back().url.find("partNumber=2"), std::string::npos);
  ASSERT_OK((*file)->rewrite_head(bytes_of("head")));
  answer({part, part, status(200, kCompleted), sized(content.size())});
  ASSERT_OK((*file)->sync());
  const auto& urls = script_->requests;
  ASSERT_EQ(urls.size(), 7u);
  EXPECT_NE(urls[3].url.find("partNumber=3"), std::string::npos);
  EXPECT_NE(urls[4].url.find("partNumber=1"), std::string::npos);
  EXPECT_TRUE(script_->bodies[4].starts_with("head"));
  EXPECT_EQ(script_->bodies[2].size() + script_->bodies[3].size() + script_->bodies[4].size(),
            content.size());
  file->reset();

  answer({refusal(404, ""), status(200, begun), part, status(204)});
  {
    auto dropped = storage.create("g");
    ASSERT_OK(dropped);
    ASSERT_OK((*dropped)->append(content));
  }
  EXPECT_EQ(script_->requests.back().method, "DELETE");
  EXPECT_TRUE(script_->replies.empty());
}

TEST_F(S3ClientTest, conditional_writes_are_used_only_where_they_are_honoured) {
  S3Storage honours(client());
  answer({status(200), refusal(412, "PreconditionFailed"), status(200)});
  ASSERT_OK(honours.publish("d/M", bytes_of("x"), Overwrite::refuse));
  EXPECT_EQ(header(0, "if-none-match"), "*");
  EXPECT_EQ(script_->requests[0].url, "http://127.0.0.1:9000/runs/p/.conditional-put-probe");
  EXPECT_EQ(header(2, "if-none-match"), "*");
  answer({refusal(412, "PreconditionFailed")});  // the probe is not repeated
  const auto taken = honours.publish("d/M", bytes_of("y"), Overwrite::refuse);
  ASSERT_FALSE(taken.has_value());
  EXPECT_TRUE(is_already_there(taken.error()));

  for (const auto& probe : {std::vector<HttpReply>{status(200), status(200)},
                            std::vector<HttpReply>{refusal(501, "NotImplemented")}}) {
    S3Storage ignores(client());
    answer(probe);
    answer({refusal(404, ""), status(200)});
    ASSERT_OK(ignores.publish("d/M", bytes_of("x"), Overwrite::refuse));
    EXPECT_EQ(script_->requests.back().method, "PUT");
    EXPECT_EQ(header(script_->requests.size() - 1, "if-none-match"), "");
    answer({sized(1)});
    EXPECT_TRUE(is_already_there(ignores.publish("d/M", bytes_of("y"), Overwrite::refuse).error()));
  }
}

TEST_F(S3ClientTest, a_list_shows_valid_names_of_one_level) {
  S3Storage storage(client());
  answer({status(200,
                 "<ListBucketResult><IsTruncated>false</IsTruncated>"
                 "<Contents><Key>p/</Key><Size>0</Size></Contents>"
                 "<Contents><Key>p/b</Key><Size>7</Size></Contents>"
                 "<Contents><Key>p/.hidden</Key><Size>7</Size></Contents>"
                 "<Contents><Key>other</Key><Size>7</Size></Contents>"
                 "<CommonPrefixes><Prefix>p/a-1-x/</Prefix></CommonPrefixes>"
                 "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>")});
  const auto entries = storage.list("");
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "a-1-x");
  EXPECT_EQ((*entries)[0].kind, StorageEntry::Kind::directory);
  EXPECT_EQ((*entries)[1].name, "b");
  EXPECT_EQ((*entries)[1].bytes, 7u);
}

TEST_F(S3ClientTest, names_that_leave_the_prefix_reach_no_server) {
  S3Storage storage(client());
  for (const char* path : {"../x", "/x", "a/b/c", "a/../b", ".x", ""}) {
    EXPECT_EQ(storage.create(path).error().code, ErrorCode::invalid_argument) << path;
    EXPECT_EQ(storage.remove(path).error().code, ErrorCode::invalid_argument) << path;
    EXPECT_EQ(storage.file_bytes(path).error().code, ErrorCode::invalid_argument) << path;
    EXPECT_EQ(storage.publish(path, bytes_of("x"), Overwrite::replace).error().code,
              ErrorCode::invalid_argument)
        << path;
  }
  EXPECT_TRUE(script_->requests.empty());
}

TEST(CurlTransport, a_server_that_is_not_there_is_worth_another_try) {
  const auto transport = make_curl_transport("");
  // Port 1 of the loopback address: nothing listens there.
  const auto reply = transport->send(
      {.method = "GET", .url = "http://127.0.0.1:1/", .headers = {}, .timeout_ms = 5000});
  EXPECT_FALSE(reply.failure.empty());
  EXPECT_TRUE(reply.can_retry);
  const auto wrong =
      transport->send({.method = "GET", .url = "file:///etc/hostname", .headers = {}});
  EXPECT_FALSE(wrong.failure.empty());
  EXPECT_FALSE(wrong.can_retry);
}

}  // namespace
}  // namespace rk::checkpoint::test
