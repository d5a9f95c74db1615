// The XML of S3's replies and requests. A reply that lacks what it must hold is an error, never an
// empty answer: a cut-off list must not look like a short one.
//
// Thread-safety: functions without shared state. Errors: `io`, with what was wrong.
#pragma once

#include <cstdint>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rk::checkpoint {

struct ListedObject {
  std::string key;
  std::uint64_t bytes = 0;
};

struct ListPage {
  std::vector<ListedObject> objects;
  std::vector<std::string> prefixes;
  std::string continuation;  ///< empty: this was the last page
};

struct ListedUpload {
  std::string key;
  std::string upload_id;
  std::int64_t initiated_unix_s = 0;
};

struct UploadsPage {
  std::vector<ListedUpload> uploads;
  bool is_truncated = false;
  std::string next_key_marker;
  std::string next_upload_id_marker;
};

/// ListBucketResult of ListObjectsV2, with or without encoding-type=url.
[[nodiscard]] Result<ListPage> parse_list_page(std::string_view xml);
/// ListMultipartUploadsResult.
[[nodiscard]] Result<UploadsPage> parse_uploads_page(std::string_view xml);
/// The upload id of InitiateMultipartUploadResult.
[[nodiscard]] Result<std::string> parse_upload_id(std::string_view xml);
/// Fails unless it is a CompleteMultipartUploadResult: an Error element (some arrive with status
/// 200) or anything else. Not all stores fill in its ETag.
[[nodiscard]] Result<void> check_completed(std::string_view xml);
/// The Code of an Error document, reduced to letters and digits; empty if it is none.
[[nodiscard]] std::string parse_error_code(std::string_view xml);

/// The body of CompleteMultipartUpload; part numbers count from 1.
[[nodiscard]] std::string format_complete(const std::vector<std::string>& etags);

}  // namespace rk::checkpoint
