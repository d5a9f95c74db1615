#include "s3_xml.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <pugixml.hpp>

#include "s3_sign.hpp"

namespace rk::checkpoint {
namespace {

// Names are compared without a namespace prefix: stores differ in whether they write one.
bool is_named(const pugi::xml_node& node, std::string_view name) {
  std::string_view own = node.name();
  if (const auto colon = own.find(':'); colon != std::string_view::npos) {
    own.remove_prefix(colon + 1);
  }
  return own == name;
}

pugi::xml_node child(const pugi::xml_node& node, std::string_view name) {
  for (const auto& item : node.children()) {
    if (is_named(item, name)) return item;
  }
  return {};
}

std::string text(const pugi::xml_node& node, std::string_view name) {
  return child(node, name).text().get();
}

Result<pugi::xml_node> load(pugi::xml_document& document, std::string_view xml,
                            std::string_view root) {
  const auto parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed) {
    return fail(ErrorCode::io,
                std::string("the store's reply is not XML: ") + parsed.description());
  }
  const auto element = document.document_element();
  if (!is_named(element, root)) {
    return fail(ErrorCode::io, "the store's reply is not a " + std::string(root));
  }
  return element;
}

Result<std::uint64_t> number(const pugi::xml_node& node, std::string_view name) {
  const std::string digits = text(node, name);
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) {
    return fail(ErrorCode::io, "the store's reply has no number in " + std::string(name));
  }
  return value;
}

Result<bool> truth(const pugi::xml_node& node, std::string_view name) {
  const std::string value = text(node, name);
  if (value == "true") return true;
  if (value == "false") return false;
  return fail(ErrorCode::io, "the store's reply does not say " + std::string(name));
}

// `2026-01-02T03:04:05[.678]Z`.
Result<std::int64_t> instant(const pugi::xml_node& node, std::string_view name) {
  const std::string value = text(node, name);
  std::tm parts{};
  const char* end = ::strptime(value.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr || (*end != '.' && *end != 'Z')) {
    return fail(ErrorCode::io, "the store's reply has no time in " + std::string(name));
  }
  return static_cast<std::int64_t>(::timegm(&parts));
}

class Decoder {
 public:
  explicit Decoder(const pugi::xml_node& root) : is_encoded_(text(root, "EncodingType") == "url") {}
  [[nodiscard]] std::string operator()(std::string value) const {
    return is_encoded_ ? uri_decode(value) : value;
  }

 private:
  bool is_encoded_;
};

Result<std::string> demanded(const pugi::xml_node& node, std::string_view name) {
  std::string value = text(node, name);
  if (value.empty()) return fail(ErrorCode::io, "the store's reply has no " + std::string(name));
  return value;
}

}  // namespace

Result<ListPage> parse_list_page(std::string_view xml) {
  pugi::xml_document document;
  RK_TRY_ASSIGN(const auto root, load(document, xml, "ListBucketResult"));
  const Decoder decoded(root);
  ListPage page;
  for (const auto& item : root.children()) {
    if (is_named(item, "Contents")) {
      RK_TRY_ASSIGN(auto key, demanded(item, "Key"));
      RK_TRY_ASSIGN(const auto bytes, number(item, "Size"));
      page.objects.push_back({.key = decoded(std::move(key)), .bytes = bytes});
    } else if (is_named(item, "CommonPrefixes")) {
      RK_TRY_ASSIGN(auto prefix, demanded(item, "Prefix"));
      page.prefixes.push_back(decoded(std::move(prefix)));
    }
  }
  RK_TRY_ASSIGN(const bool is_truncated, truth(root, "IsTruncated"));
  if (is_truncated) {
    RK_TRY_ASSIGN(page.continuation, demanded(root, "NextContinuationToken"));
  }
  return page;
}

Result<UploadsPage> parse_uploads_page(std::string_view xml) {
  pugi::xml_document document;
  RK_TRY_ASSIGN(const auto root, load(document, xml, "ListMultipartUploadsResult"));
  const Decoder decoded(root);
  UploadsPage page;
  for (const auto& item : root.children()) {
    if (!is_named(item, "Upload")) continue;
    ListedUpload upload;
    RK_TRY_ASSIGN(auto key, demanded(item, "Key"));
    upload.key = decoded(std::move(key));
    RK_TRY_ASSIGN(upload.upload_id, demanded(item, "UploadId"));
    RK_TRY_ASSIGN(upload.initiated_unix_s, instant(item, "Initiated"));
    page.uploads.push_back(std::move(upload));
  }
  RK_TRY_ASSIGN(page.is_truncated, truth(root, "IsTruncated"));
  page.next_key_marker = decoded(text(root, "NextKeyMarker"));
  page.next_upload_id_marker = text(root, "NextUploadIdMarker");
  if (page.is_truncated && page.next_key_marker.empty()) {
    return fail(ErrorCode::io, "the store's reply has no NextKeyMarker");
  }
  return page;
}

Result<std::string> parse_upload_id(std::string_view xml) {
  pugi::xml_document document;
  RK_TRY_ASSIGN(const auto root, load(document, xml, "InitiateMultipartUploadResult"));
  return demanded(root, "UploadId");
}

Result<void> check_completed(std::string_view xml) {
  if (const std::string code = parse_error_code(xml); !code.empty()) {
    return fail(ErrorCode::io, code + " in the reply to the completion of an upload");
  }
  pugi::xml_document document;
  RK_TRY(load(document, xml, "CompleteMultipartUploadResult"));
  return {};
}

std::string parse_error_code(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  const auto root = document.document_element();
  if (!is_named(root, "Error")) return {};
  std::string code = text(root, "Code");
  std::erase_if(code, [](char c) {
    return !((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'));
  });
  if (code.empty()) return "UnknownError";
  return code.substr(0, 64);
}

std::string format_complete(const std::vector<std::string>& etags) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < etags.size(); ++i) {
    std::string escaped;
    for (const char c : etags[i]) {
      if (c == '&')
        escaped += "&amp;";
      else if (c == '<')
        escaped += "&lt;";
      else if (c == '"')
        escaped += "&quot;";
      else
        escaped += c;
    }
    body += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + escaped +
            "</ETag></Part>";
  }
  return body + "</CompleteMultipartUpload>";
}

}  // namespace rk::checkpoint
