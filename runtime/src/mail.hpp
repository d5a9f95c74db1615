// The host's own mail: dead letters it keeps, questions it asked. Guarded by the lane's lock.
#pragma once

#include <ringkernel/runtime/dead_letter.hpp>
#include <ringkernel/runtime/result.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace rk {

/// The newest dead letters. What does not fit any more is counted.
class DeadLetters {
 public:
  static constexpr std::size_t kMost = 4096;

  void add(DeadLetter letter);
  [[nodiscard]] std::vector<DeadLetter> all() const { return {letters_.begin(), letters_.end()}; }
  std::vector<DeadLetter> take();
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

  /// For the host's part of a checkpoint.
  [[nodiscard]] std::vector<std::byte> encode() const;
  [[nodiscard]] Result<void> decode(std::span<const std::byte> bytes);

 private:
  std::deque<DeadLetter> letters_;  ///< oldest first
  std::uint64_t dropped_ = 0;
};

[[nodiscard]] DeadLetter letter_of(const MessageView& message);

/// Questions of the host that wait for their answers.
class Asks {
 public:
  using Clock = std::chrono::steady_clock;
  using Answer = std::function<void(Result<std::vector<std::byte>>)>;

  [[nodiscard]] std::uint32_t next_correlation() { return ++newest_; }
  [[nodiscard]] std::uint32_t newest() const { return newest_; }
  /// Numbers go on after those of the run that is continued.
  void restore(std::uint32_t newest) { newest_ = newest; }
  [[nodiscard]] bool empty() const { return pending_.empty(); }
  void add(std::uint32_t correlation, Clock::time_point deadline, Answer answer);
  /// False if nobody waits for it.
  bool settle(std::uint32_t correlation, Result<std::vector<std::byte>> answer);
  void expire(Clock::time_point now);
  void close(const Error& error);

 private:
  struct Pending {
    Clock::time_point deadline;
    Answer answer;
  };
  std::uint32_t newest_ = 0;
  std::map<std::uint32_t, Pending> pending_;
};

}  // namespace rk
