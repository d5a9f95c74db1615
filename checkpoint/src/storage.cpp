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
