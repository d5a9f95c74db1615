#include "sink.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rk::acoustics {
namespace {

constexpr std::uint32_t kStateVersion = 1;
constexpr std::uint64_t kEmptyHash = 0xcbf29ce484222325ull;
constexpr std::size_t kFlushBytes = 64 << 10;

struct StateHeader {
  std::uint32_t version;
  std::uint32_t mics;
  std::uint32_t rows;
  std::uint32_t total_rows;
  std::uint64_t hash;
};
static_assert(sizeof(StateHeader) == 24);

/// FNV-1a over 32-bit words: cheap to continue, and it only has to tell one recording from another.
std::uint64_t extend_hash(std::uint64_t hash, std::span<const float> values) {
  for (const float value : values) {
    std::uint32_t word = 0;
    std::memcpy(&word, &value, sizeof(word));
    hash = (hash ^ word) * 0x100000001b3ull;
  }
  return hash;
}

/// errno, or 0. Writes or reads all bytes at `offset`; a file that ends early is EIO.
template <class Call, class Byte>
int transfer(Call call, int fd, std::span<Byte> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = call(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return 0;
}

ErrorCode code_of(int error) {
  if (error == ENOENT || error == ENOTDIR) return ErrorCode::not_found;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return ErrorCode::no_space;
  return ErrorCode::io;
}

template <class T>
void append(std::vector<std::byte>& to, const T* values, std::size_t count) {
  const auto bytes = std::as_bytes(std::span(values, count));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// Takes `count` values off the front of `from`; false when it is shorter.
template <class T>
bool take(std::span<const std::byte>& from, T* values, std::size_t count) {
  if (from.size() / sizeof(T) < count) return false;
  if (count != 0) std::memcpy(values, from.data(), count * sizeof(T));
  from = from.subspan(count * sizeof(T));
  return true;
}

}  // namespace

MicSink::MicSink(std::string path, std::uint32_t mics, std::uint32_t rows)
    : path_(std::move(path)), total_rows_(rows), hash_(kEmptyHash), pending_(mics) {}

MicSink::~MicSink() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> MicSink::open_file(int extra_flags) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC | extra_flags, 0644);
  if (fd_ < 0)
    return fail(code_of(errno), "cannot write " + path_ + ": " + std::strerror(errno), errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    return fail(
        ErrorCode::locked,
        path_ + " is being written by another process: wait for it, or choose another --output");
  }
  return {};
}

Result<void> MicSink::create() {
  RK_TRY(open_file(O_CREAT));
  if (::ftruncate(fd_, 0) != 0)
    return fail(code_of(errno), "cannot write " + path_ + ": " + std::strerror(errno), errno);
  return {};
}

Result<void> MicSink::restore(std::span<const std::byte> state) {
  StateHeader header{};
  if (!take(state, &header, 1))
    return fail(ErrorCode::corrupt, "the checkpoint's recording state is cut short");
  if (header.version != kStateVersion || header.mics != pending_.size() ||
      header.total_rows != total_rows_) {
    return fail(ErrorCode::incompatible,
                "the checkpoint's recording has another version, number of microphones or length");
  }
  for (std::vector<float>& samples : pending_) {
    std::uint32_t count = 0;
    if (!take(state, &count, 1) || count > total_rows_)
      return fail(ErrorCode::corrupt, "the checkpoint's recording state is cut short");
    samples.resize(count);
    if (!take(state, samples.data(), count))
      return fail(ErrorCode::corrupt, "the checkpoint's recording state is cut short");
  }
  rows_ = header.rows;
  hash_ = header.hash;
  if (auto opened = open_file(0); !opened) {
    if (opened.error().code == ErrorCode::not_found && rows_ == total_rows_) {
      consumed_ = true;
      return {};
    }
    if (opened.error().code != ErrorCode::not_found) return opened;
    return fail(ErrorCode::not_found,
                "the checkpoint goes on a recording in " + path_ +
                    ", which is missing: put it back, or start over with --fresh");
  }
  return check_prefix();
}

Result<void> MicSink::check_prefix() {
  struct stat facts {};
  const std::uint64_t wanted = rows_ * row_bytes();
  if (::fstat(fd_, &facts) != 0)
    return fail(ErrorCode::io, "cannot read " + path_ + ": " + std::strerror(errno), errno);
  if (static_cast<std::uint64_t>(facts.st_size) < wanted) {
    return fail(
        ErrorCode::incompatible,
        path_ + " holds " + std::to_string(facts.st_size) + " bytes, but had " +
            std::to_string(wanted) +
            " when the checkpoint was taken: put the right file back, or start over with --fresh");
  }
  std::vector<float> values(rows_ * pending_.size());
  if (const int error = transfer(::pread, fd_, std::as_writable_bytes(std::span(values)), 0)) {
    return fail(code_of(error), "cannot read " + path_ + ": " + std::strerror(error), error);
  }
  if (extend_hash(kEmptyHash, values) != hash_) {
    return fail(ErrorCode::incompatible,
                path_ +
                    " is not the recording that the checkpoint goes on: put the right file "
                    "back, or start over with --fresh");
  }
  if (::ftruncate(fd_, static_cast<off_t>(wanted)) != 0) {
    return fail(code_of(errno), "cannot write " + path_ + ": " + std::strerror(errno), errno);
  }
  return {};
}

bool MicSink::add(std::uint32_t mic, std::uint32_t first, std::span<const float> samples) {
  if (mic >= pending_.size() || first != rows_ + pending_[mic].size() ||
      first + samples.size() > total_rows_)
    return false;
  pending_[mic].insert(pending_[mic].end(), samples.begin(), samples.end());
  if (pending_[mic].size() * row_bytes() >= kFlushBytes) flush();
  return true;
}

bool MicSink::complete() const {
  return std::all_of(pending_.begin(), pending_.end(),
                     [&](const auto& p) { return rows_ + p.size() == total_rows_; });
}

void MicSink::flush() {
  if (failure_ || fd_ < 0) return;
  std::size_t rows = total_rows_;
  for (const auto& samples : pending_) rows = std::min(rows, samples.size());
  if (rows == 0) return;
  std::vector<float> values;
  values.reserve(rows * pending_.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (const auto& samples : pending_) values.push_back(samples[row]);
  }
  if (const int error =
          transfer(::pwrite, fd_, std::as_bytes(std::span(values)), rows_ * row_bytes())) {
    return fail_with(code_of(error), "cannot write " + path_, error);
  }
  hash_ = extend_hash(hash_, values);
  rows_ += static_cast<std::uint32_t>(rows);
  for (auto& samples : pending_)
    samples.erase(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(rows));
}

void MicSink::fail_with(ErrorCode code, const std::string& what, int error) {
  failure_ = Error{code, error, what + ": " + std::strerror(error)};
}

Result<std::vector<std::byte>> MicSink::save() {
  flush();
  if (fd_ >= 0 && !failure_ && ::fsync(fd_) != 0)
    fail_with(code_of(errno), "cannot sync " + path_, errno);
  if (failure_) return unexpected(*failure_);
  const StateHeader header{kStateVersion, static_cast<std::uint32_t>(pending_.size()), rows_,
                           total_rows_, hash_};
  std::vector<std::byte> state;
  append(state, &header, 1);
  for (const auto& samples : pending_) {
    const auto count = static_cast<std::uint32_t>(samples.size());
    append(state, &count, 1);
    append(state, samples.data(), samples.size());
  }
  return state;
}

Result<std::vector<std::vector<float>>> MicSink::read_all() {
  flush();
  if (failure_) return unexpected(*failure_);
  RK_ASSERT(complete() && rows_ == total_rows_ && !consumed_);
  std::vector<float> values(rows_ * pending_.size());
  if (const int error = transfer(::pread, fd_, std::as_writable_bytes(std::span(values)), 0)) {
    return fail(code_of(error), "cannot read " + path_ + ": " + std::strerror(error), error);
  }
  std::vector<std::vector<float>> channels(pending_.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    channels[i % channels.size()].push_back(values[i]);
  return channels;
}

void MicSink::discard() {
  ::unlink(path_.c_str());
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace rk::acoustics
