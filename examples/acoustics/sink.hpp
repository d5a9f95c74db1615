// Where microphone samples go while a simulation runs: an append-only file of float32 rows, one
// value per microphone, in step order. Microphones in different tiles arrive in any order; rows
// that lack one wait in memory.
//
// Invariant: what save() returned and the bytes that the file had then are all that is needed to go
// on. The file may be longer (rows of a later, lost time); restore() cuts it back. It is never
// shorter: save() fsyncs first.
//
// Threads: one at a time (the runtime calls from its service thread; the owner before and after).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ringkernel/runtime/result.hpp>

namespace rk::acoustics {

class MicSink {
 public:
  /// `rows` is the number of rows of a complete recording.
  MicSink(std::string path, std::uint32_t mics, std::uint32_t rows);
  ~MicSink();
  MicSink(const MicSink&) = delete;
  MicSink& operator=(const MicSink&) = delete;

  /// Starts an empty file. Errors: `locked` (another process writes it), `not_found` (no such
  /// folder), `io`.
  [[nodiscard]] Result<void> create();
  /// Goes on where `state`, from save(), was taken. Errors: `not_found` or `incompatible` when the
  /// file is missing, shorter than then, or holds something else; it is not changed then. A
  /// complete recording may do without its file.
  [[nodiscard]] Result<void> restore(std::span<const std::byte> state);
  /// Writes and fsyncs the complete rows; the others go into the state. A failure is also kept for
  /// failure(); the rows stay in memory.
  [[nodiscard]] Result<std::vector<std::byte>> save();

  /// Samples first.. of one microphone; false when they do not follow what it delivered before.
  [[nodiscard]] bool add(std::uint32_t mic, std::uint32_t first, std::span<const float> samples);

  /// All rows, by microphone. Precondition: none is missing and restore() did not find the file
  /// gone.
  [[nodiscard]] Result<std::vector<std::vector<float>>> read_all();
  /// Deletes the file.
  void discard();

  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  /// Whether restore() found a complete recording whose file was already turned into the output.
  [[nodiscard]] bool consumed() const { return consumed_; }
  [[nodiscard]] bool complete() const;

 private:
  [[nodiscard]] Result<void> open_file(int extra_flags);
  [[nodiscard]] Result<void> check_prefix();
  void flush();
  void fail_with(ErrorCode code, const std::string& what, int error);
  [[nodiscard]] std::uint64_t row_bytes() const { return pending_.size() * sizeof(float); }

  std::string path_;
  std::uint32_t total_rows_;
  int fd_ = -1;
  std::uint32_t rows_ = 0;                   ///< in the file
  std::uint64_t hash_;                       ///< of these rows
  std::vector<std::vector<float>> pending_;  ///< by microphone, after the rows in the file
  std::optional<Error> failure_;
  bool consumed_ = false;
};

}  // namespace rk::acoustics
