#include <cstring>
#include <ringkernel/checkpoint/format.hpp>

namespace rk::checkpoint {
namespace {

class Writer {
 public:
  template <class T>
  void number(T value) {
    const auto bytes = std::as_bytes(std::span<const T>(&value, 1));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    const auto bytes = as_bytes(value);
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

// Reads past the end yield zeros and set `failed`: one check at the end instead of one per field.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    T value{};
    if (rest_.size() < sizeof(T)) {
      failed_ = true;
      rest_ = {};
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  std::string text() {
    const auto size = number<std::uint32_t>();
    if (rest_.size() < size) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    std::string value(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    if (!is_utf8(value)) failed_ = true;
    return value;
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t remaining() const { return rest_.size(); }

 private:
  Bytes rest_;
  bool failed_ = false;
};

}  // namespace

bool is_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    std::size_t extra = 0;
    std::uint32_t code = lead;
    std::uint32_t smallest = 0;
    if (lead < 0x80) {
    } else if ((lead & 0xE0) == 0xC0) {
      extra = 1, code = lead & 0x1F, smallest = 0x80;
    } else if ((lead & 0xF0) == 0xE0) {
      extra = 2, code = lead & 0x0F, smallest = 0x800;
    } else if ((lead & 0xF8) == 0xF0) {
      extra = 3, code = lead & 0x07, smallest = 0x10000;
    } else {
      return false;
    }
    if (text.size() - i <= extra) return false;
    for (std::size_t k = 1; k <= extra; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = (code << 6) | (next & 0x3F);
    }
    if (code < smallest || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    i += extra + 1;
  }
  return true;
}

Result<std::vector<std::byte>> encode_metadata(const Metadata& metadata) {
  std::uint64_t text_bytes = metadata.kernel_id.size() + metadata.kernel_type.size();
  bool utf8 = is_utf8(metadata.kernel_id) && is_utf8(metadata.kernel_type);
  for (const auto& [key, value] : metadata.custom) {
    text_bytes += key.size() + value.size() + 8;
    utf8 = utf8 && is_utf8(key) && is_utf8(value);
  }
  if (!utf8) {
    return fail(ErrorCode::invalid_argument,
                "checkpoint metadata must be UTF-8 text; put binary data into a chunk");
  }
  if (text_bytes > kMaxMetadataBytes - 256) {
    return fail(ErrorCode::invalid_argument,
                "checkpoint metadata is larger than 16 MiB; put large data into a chunk");
  }
  Writer out;
  out.text(metadata.kernel_id);
  out.text(metadata.kernel_type);
  out.number(metadata.step);
  for (auto side : metadata.grid) out.number(side);
  for (auto side : metadata.tile) out.number(side);
  out.number(metadata.hlc.physical);
  out.number(metadata.hlc.logical);
  out.number(metadata.hlc.node);
  out.number(static_cast<std::uint32_t>(metadata.custom.size()));
  for (const auto& [key, value] : metadata.custom) {
    out.text(key);
    out.text(value);
  }
  return out.take();
}

Result<Metadata> decode_metadata(Bytes bytes) {
  const auto corrupt = [](const char* what) { return fail(ErrorCode::corrupt, what); };
  Reader in(bytes);
  Metadata metadata;
  metadata.kernel_id = in.text();
  metadata.kernel_type = in.text();
  metadata.step = in.number<std::uint64_t>();
  for (auto& side : metadata.grid) side = in.number<std::uint32_t>();
  for (auto& side : metadata.tile) side = in.number<std::uint32_t>();
  metadata.hlc.physical = in.number<std::uint64_t>();
  metadata.hlc.logical = in.number<std::uint64_t>();
  metadata.hlc.node = in.number<std::uint64_t>();
  const auto entries = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < entries && !in.failed(); ++i) {
    std::string key = in.text();
    std::string value = in.text();
    if (in.failed()) break;
    if (!metadata.custom.emplace(std::move(key), std::move(value)).second) {
      return corrupt("metadata has a key twice");
    }
  }
  if (in.failed()) return corrupt("metadata is cut short or not UTF-8");
  if (in.remaining() != 0) return corrupt("metadata is followed by unexplained bytes");
  return metadata;
}

}  // namespace rk::checkpoint
