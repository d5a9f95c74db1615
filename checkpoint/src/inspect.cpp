#include <ringkernel/checkpoint/inspect.hpp>
#include <ringkernel/checkpoint/location.hpp>

#include <algorithm>
#include <cerrno>

namespace rk::checkpoint {
namespace {

// Written by hand: key order and escapes are part of what other tools compare.
std::string quoted(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string field(std::string_view key, const std::string& value) {
  return quoted(key) + ":" + value;
}

std::string text_field(std::string_view key, std::string_view value) {
  return field(key, quoted(value));
}

std::string number_field(std::string_view key, std::uint64_t value) {
  return field(key, std::to_string(value));
}

std::string triple(const std::array<std::uint32_t, 3>& sides) {
  return "[" + std::to_string(sides[0]) + "," + std::to_string(sides[1]) + "," +
         std::to_string(sides[2]) + "]";
}

struct ChunkList {
  std::string json;
  std::uint32_t digest = 0;
};

// One chunk in memory at a time. What is shown is the data, however it is stored.
Result<ChunkList> list_chunks(const StoredFile& file) {
  ChunkList out{.json = "["};
  ChunkReader reader;
  for (const auto& stored : file.chunks) {
    RK_TRY_ASSIGN(const auto chunk, reader.read(stored));
    if (out.json.size() > 1) out.json += ",";
    out.json += "{" + number_field("type", static_cast<std::uint32_t>(chunk.type)) + "," +
                text_field("id", to_hex(chunk.id)) + "," +
                number_field("uncompressed_size", chunk.data.size()) + "," +
                text_field("crc32", to_hex(crc32(chunk.data))) + "}";
    out.digest = content_digest(out.digest, chunk);
  }
  out.json += "]";
  return out;
}

template <class Range, class ToJson>
std::string array_json(const Range& range, ToJson to_json) {
  std::string out = "[";
  for (const auto& item : range) {
    if (out.size() > 1) out += ",";
    out += to_json(item);
  }
  return out + "]";
}

// A path split into the store that holds it and its name in there.
struct Located {
  enum class Kind : std::uint8_t { file, checkpoint, directory };
  Kind kind = Kind::directory;
  std::filesystem::path root;
  std::string name;
  std::shared_ptr<Storage> storage{};  ///< that of `root`
};

// `text` names a store that is no directory; its last component may be one checkpoint.
Result<Located> locate_in_store(const std::string& text) {
  const auto end = std::min(text.find('?'), text.size());
  const auto slash = text.rfind('/', end);
  if (slash != std::string::npos && slash < end) {
    const std::string name = text.substr(slash + 1, end - slash - 1);
    if (parse_checkpoint_name(name)) {
      RK_TRY_ASSIGN(auto storage, open_storage(text.substr(0, slash) + text.substr(end)));
      return Located{.kind = Located::Kind::checkpoint,
                     .root = text.substr(0, slash),
                     .name = name,
                     .storage = std::move(storage)};
    }
  }
  RK_TRY_ASSIGN(auto storage, open_storage(text));
  return Located{
      .kind = Located::Kind::directory, .root = text, .name = {}, .storage = std::move(storage)};
}

Result<Located> locate(const std::filesystem::path& given) {
  const auto location = parse_location(given.string());
  if (location && !location->scheme.empty()) return locate_in_store(given.string());
  std::error_code error;
  auto path = given;
  if (!path.has_filename() && path.has_parent_path()) path = path.parent_path();
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorCode::not_found, path.string() + " does not exist", ENOENT);
  }
  if (error) return system_error("look up", path.string(), error.value());
  if (!std::filesystem::is_directory(status)) {
    return Located{
        .kind = Located::Kind::file, .root = path.parent_path(), .name = path.filename()};
  }
  // "." and ".." have no name of their own; the real path has one.
  const auto real = std::filesystem::canonical(path, error);
  if (error) return system_error("look up", path.string(), error.value());
  const std::string name = real.filename().string();
  if (parse_checkpoint_name(name)) {
    return Located{.kind = Located::Kind::checkpoint,
                   .root = real.parent_path(),
                   .name = name,
                   .storage = std::make_shared<FileStorage>(real.parent_path())};
  }
  return Located{.kind = Located::Kind::directory,
                 .root = path,
                 .name = {},
                 .storage = std::make_shared<FileStorage>(path)};
}

// A single file may have any name and be reached through links: the user named exactly this one.
Result<std::vector<std::byte>> read_file(const Located& at) {
  const auto path = at.root / at.name;
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  if (error) return system_error("look up", path.string(), error.value());
  const auto bytes = std::filesystem::file_size(real, error);
  if (error) return system_error("read", path.string(), error.value());
  if (bytes > kMaxFileBytes) {
    return fail(ErrorCode::incompatible,
                path.string() + " is larger than the 1 GiB of a .rkcp file");
  }
  std::FILE* stream = std::fopen(real.c_str(), "rb");
  if (stream == nullptr) return system_error("open", path.string(), errno);
  std::vector<std::byte> content(bytes);
  const std::size_t got = std::fread(content.data(), 1, content.size(), stream);
  const int native = std::ferror(stream) != 0 ? errno : 0;
  std::fclose(stream);
  if (native != 0) return system_error("read", path.string(), native);
  content.resize(got);
  return content;
}

template <class T>
Result<T> named(Result<T> result, const std::string& name) {
  if (result) return result;
  return fail(result.error().code, name + ": " + result.error().message);
}

Result<void> check_chunks(const StoredFile& file) {
  ChunkReader reader;
  for (const auto& chunk : file.chunks) RK_TRY(reader.read(chunk));
  return {};
}

Result<std::string> checkpoint_json(const Located& at) {
  Storage& storage = *at.storage;
  const auto name = parse_checkpoint_name(at.name);
  RK_TRY_ASSIGN(const auto entry, examine_checkpoint(storage, *name, Depth::shards));
  if (!entry.manifest || entry.state != CheckpointState::valid) {
    const auto code =
        entry.state == CheckpointState::incompatible ? ErrorCode::incompatible : ErrorCode::corrupt;
    return fail(code, at.name + ": " + entry.reason);
  }
  RK_TRY_ASSIGN(const auto text, format_manifest(*entry.manifest));
  // The manifest's own text without its hash line is JSON already.
  std::string out = "{\"manifest\":" + text.substr(0, text.rfind('}') + 1) + ",\"shards\":[";
  for (const auto& shard : entry.manifest->shards) {
    RK_TRY_ASSIGN(const auto content, read_all(storage, at.name + "/" + shard.name, kMaxFileBytes));
    RK_TRY_ASSIGN(const auto file, named(decode_stored(content), shard.name));
    RK_TRY_ASSIGN(const auto chunks, named(list_chunks(file), shard.name));
    if (out.back() != '[') out += ",";
    out += "{" + text_field("name", shard.name) + "," + number_field("bytes", shard.bytes) + "," +
           field("chunks", chunks.json) + "}";
  }
  return out + "]}";
}

Result<VerifyReport> verify_file(const Located& at) {
  RK_TRY_ASSIGN(const auto content, read_file(at));
  if (at.name == kManifestName) {
    RK_TRY(parse_manifest({reinterpret_cast<const char*>(content.data()), content.size()}));
  } else {
    const std::string name = (at.root / at.name).string();
    RK_TRY_ASSIGN(const auto file, named(decode_stored(content), name));
    RK_TRY(named(check_chunks(file), name));
  }
  VerifyReport report;
  report.files = 1;
  report.bytes = content.size();
  return report;
}

Result<VerifyReport> verify_entries(const std::vector<Entry>& entries, bool allow_incomplete) {
  VerifyReport report;
  std::string faults;
  bool any_corrupt = false;
  for (const auto& entry : entries) {
    const bool is_unfinished = entry.state == CheckpointState::incomplete;
    if (entry.state == CheckpointState::valid) {
      ++report.checkpoints;
      report.files += entry.manifest->shards.size();
      report.bytes += entry.bytes;
    } else if (is_unfinished && allow_incomplete) {
      report.incomplete.push_back(
          {.directory = entry.directory, .state = entry.state, .reason = entry.reason});
    } else {
      any_corrupt = any_corrupt || entry.state != CheckpointState::incompatible;
      faults += (faults.empty() ? "" : "; ") + entry.directory + ": " + entry.reason;
    }
  }
  if (faults.empty()) return report;
  return fail(any_corrupt ? ErrorCode::corrupt : ErrorCode::incompatible, faults);
}

}  // namespace

Result<std::string> file_json(const StoredFile& file) {
  RK_TRY_ASSIGN(const auto chunks, list_chunks(file));
  const Metadata& meta = file.metadata;
  std::string custom = "{";
  for (const auto& [key, value] : meta.custom) {
    if (custom.size() > 1) custom += ",";
    custom += text_field(key, value);
  }
  custom += "}";
  const std::string hlc = "{" + number_field("physical", meta.hlc.physical) + "," +
                          number_field("logical", meta.hlc.logical) + "," +
                          number_field("node", meta.hlc.node) + "}";
  return "{" + text_field("kernel_id", meta.kernel_id) + "," +
         text_field("kernel_type", meta.kernel_type) + "," + number_field("step", meta.step) + "," +
         field("grid", triple(meta.grid)) + "," + field("tile", triple(meta.tile)) + "," +
         field("hlc", hlc) + "," + field("custom", custom) + "," + field("chunks", chunks.json) +
         "," + text_field("digest", to_hex(chunks.digest)) + "}";
}

std::string list_json(const std::vector<Entry>& entries) {
  return array_json(entries, [](const Entry& entry) {
    std::string out = "{" + text_field("directory", entry.directory) + "," +
                      text_field("prefix", entry.name.prefix) + "," +
                      number_field("epoch", entry.name.epoch) + "," +
                      text_field("run_id", entry.name.run_id) + "," +
                      text_field("state", to_string(entry.state)) + "," +
                      text_field("reason", entry.reason) + "," + number_field("bytes", entry.bytes);
    if (entry.manifest) {
      out += "," + text_field("hlc", std::to_string(entry.manifest->hlc)) + "," +
             number_field("created_at_us", entry.manifest->created_at_us);
    }
    return out + "}";
  });
}

Result<std::vector<Entry>> list_path(const std::filesystem::path& path, Depth depth) {
  RK_TRY_ASSIGN(const auto at, locate(path));
  if (at.kind == Located::Kind::file) {
    return fail(ErrorCode::invalid_argument, path.string() + " is a file, not a directory");
  }
  Storage& storage = *at.storage;
  if (at.kind == Located::Kind::directory) return list_checkpoints(storage, depth);
  RK_TRY_ASSIGN(auto entry, examine_checkpoint(storage, *parse_checkpoint_name(at.name), depth));
  return std::vector<Entry>{std::move(entry)};
}

Result<std::vector<std::byte>> read_single_file(const std::filesystem::path& path) {
  RK_TRY_ASSIGN(const auto at, locate(path));
  if (at.kind != Located::Kind::file) {
    return fail(ErrorCode::invalid_argument, path.string() + " is a directory, not a file");
  }
  return read_file(at);
}

Result<std::string> inspect_json(const std::filesystem::path& path) {
  RK_TRY_ASSIGN(const auto at, locate(path));
  if (at.kind == Located::Kind::checkpoint) return checkpoint_json(at);
  if (at.kind == Located::Kind::directory) {
    RK_TRY_ASSIGN(const auto entries, list_path(path, Depth::manifest));
    return list_json(entries);
  }
  RK_TRY_ASSIGN(const auto content, read_file(at));
  RK_TRY_ASSIGN(const auto file, named(decode_stored(content), path.string()));
  return named(file_json(file), path.string());
}

Result<VerifyReport> verify_path(const std::filesystem::path& path) {
  RK_TRY_ASSIGN(const auto at, locate(path));
  if (at.kind == Located::Kind::file) return verify_file(at);
  RK_TRY_ASSIGN(const auto entries, list_path(path, Depth::shards));
  if (entries.empty()) {
    return fail(ErrorCode::not_found, path.string() + " holds no checkpoint");
  }
  return verify_entries(entries, at.kind == Located::Kind::directory);
}

}  // namespace rk::checkpoint
