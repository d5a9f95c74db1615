#include <ringkernel/checkpoint/storage.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rk::checkpoint {

bool is_valid_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Result<SplitPath> split_path(std::string_view path) {
  const auto slash = path.find('/');
  const bool is_nested = slash != std::string_view::npos;
  const std::string_view directory = is_nested ? path.substr(0, slash) : std::string_view{};
  const std::string_view name = is_nested ? path.substr(slash + 1) : path;
  if ((is_nested && !is_valid_name(directory)) || !is_valid_name(name)) {
    return fail(ErrorCode::invalid_argument,
                "'" + std::string(path) +
                    "' is not a name for a checkpoint: use letters, digits, '.', '_' and '-', at "
                    "most 128, no leading dot");
  }
  return SplitPath{.directory = std::string(directory), .name = std::string(name)};
}

Result<SplitPath> split_published_path(std::string_view path) {
  RK_TRY_ASSIGN(auto at, split_path(path));
  if (at.name.size() > kMaxPublishedNameBytes) {
    return fail(ErrorCode::invalid_argument, "'" + std::string(path) +
                                                 "' is too long a name to publish: at most " +
                                                 std::to_string(kMaxPublishedNameBytes) + " bytes");
  }
  return at;
}

bool is_already_there(const Error& error) { return error.native == EEXIST; }

Result<void> check_head(Bytes head, std::uint64_t appended_bytes, const std::string& path) {
  if (head.size() <= kRewritableBytes && head.size() <= appended_bytes) return {};
  return fail(ErrorCode::invalid_argument,
              "only the first " + std::to_string(kRewritableBytes) +
                  " bytes of a file, once appended, can be written again: " + path);
}

Result<void> FileLikeStorage::publish(std::string_view path, Bytes bytes, Overwrite overwrite) {
  RK_TRY_ASSIGN(const auto at, split_published_path(path));
  const std::string temporary = std::string(path) + std::string(kTemporarySuffix);
  const auto write = [&]() -> Result<void> {
    auto file = create(temporary);
    if (!file && is_already_there(file.error())) {
      RK_TRY(remove(temporary));
      file = create(temporary);
    }
    if (!file) return unexpected(file.error());
    RK_TRY((*file)->append(bytes));
    RK_TRY((*file)->sync());
    return rename(temporary, path, overwrite);
  };
  if (auto written = write(); !written) {
    (void)remove(temporary);  // best effort; the next publish removes it otherwise
    return written;
  }
  return sync_directory(at.directory);
}

unexpected system_error(std::string_view doing, const std::string& path, int native) {
  ErrorCode code = ErrorCode::io;
  std::string advice;
  switch (native) {
    case ENOSPC:
    case EDQUOT:
      code = ErrorCode::no_space;
      advice = ": free some space, keep fewer checkpoints or choose another directory";
      break;
    case EFBIG:
      code = ErrorCode::no_space;
      advice = ": raise the limit on file sizes (ulimit -f)";
      break;
    case EROFS: advice = ": choose a directory on a writable file system"; break;
    case EACCES:
    case EPERM: advice = ": check who owns it and its mode, or choose another directory"; break;
    case ENOENT: code = ErrorCode::not_found; break;
    case ELOOP: advice = ": symbolic links inside a checkpoint directory are not followed"; break;
    case EEXIST: advice = ": it is never overwritten; move it away first"; break;
    case ENOTDIR: advice = ": a file or a symbolic link is where a directory should be"; break;
    case EMFILE:
    case ENFILE: advice = ": raise the limit on open files (ulimit -n)"; break;
    default: break;
  }
  return fail(
      code,
      "cannot " + std::string(doing) + " " + path + " (" + std::strerror(native) + ")" + advice,
      native);
}

Result<std::vector<std::byte>> read_all(Storage& storage, std::string_view path,
                                        std::uint64_t max_bytes) {
  RK_TRY_ASSIGN(const auto bytes, storage.file_bytes(path));
  if (bytes > max_bytes) {
    return fail(ErrorCode::corrupt, storage.describe(path) + " is larger than it can be");
  }
  std::vector<std::byte> content(bytes);
  RK_TRY(storage.read(path, 0, content));
  return content;
}

}  // namespace rk::checkpoint
