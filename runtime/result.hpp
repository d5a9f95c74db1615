// Errors and results at the library's boundary. No exception crosses it.
//
// `Result<T>` has the member names of std::expected (C++23), so moving to it later is a rename.
// Thread-safety: values; no shared state.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace rk {

/// What went wrong, coarse enough to decide on. `exit_code()` maps it to the process exit status of
/// `rk`.
enum class ErrorCode : std::uint32_t {
  invalid_argument,   ///< the caller's input is wrong; the message says what is accepted
  not_found,          ///< a file, checkpoint, actor or type does not exist
  corrupt,            ///< bytes do not verify
  incompatible,       ///< valid bytes of another version, layout, room or program
  io,                 ///< the operating system refused; `native` is errno
  no_space,           ///< ENOSPC/EDQUOT
  would_block,        ///< a bounded queue is full: try again later
  deadline_exceeded,  ///< a bounded wait ended
  closed,             ///< the runtime is stopping or stopped
  handler_failed,     ///< an actor's handler broke its contract or called ctx.fail()
  device_lost,        ///< the device context is gone; the process must end
  locked,             ///< another process owns the checkpoint directory
  internal,           ///< a broken invariant of ours
  deadlock,           ///< bounded queues wait for each other; the message names the cycle
};

[[nodiscard]] constexpr std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid argument";
    case ErrorCode::not_found: return "not found";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::incompatible: return "incompatible";
    case ErrorCode::io: return "I/O error";
    case ErrorCode::no_space: return "no space";
    case ErrorCode::would_block: return "would block";
    case ErrorCode::deadline_exceeded: return "deadline exceeded";
    case ErrorCode::closed: return "closed";
    case ErrorCode::handler_failed: return "handler failed";
    case ErrorCode::device_lost: return "device lost";
    case ErrorCode::locked: return "locked";
    case ErrorCode::internal: return "internal error";
    case ErrorCode::deadlock: return "deadlock";
  }
  return "unknown error";
}

/// Exit status of the command line: 0 ok, 1 a check failed, 2 usage, 3 not found, 4 corrupt, 5
/// incompatible, 6 I/O or no space, 8 device lost.
[[nodiscard]] constexpr int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 2;
    case ErrorCode::not_found: return 3;
    case ErrorCode::corrupt: return 4;
    case ErrorCode::incompatible: return 5;
    case ErrorCode::io:
    case ErrorCode::no_space:
    case ErrorCode::locked: return 6;
    case ErrorCode::device_lost: return 8;
    default: return 1;
  }
}

/// An error: code, the native code where there is one (errno, cudaError_t), and a message that says
/// what to do.
struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::internal;
  int native = 0;
  std::string message;
};

/// Wraps an Error for construction of a failed Result, as std::unexpected does.
class unexpected {
 public:
  explicit unexpected(Error error) : error_(std::move(error)) {}
  [[nodiscard]] Error& error() & { return error_; }
  [[nodiscard]] Error&& error() && { return std::move(error_); }

 private:
  Error error_;
};

[[nodiscard]] inline unexpected fail(ErrorCode code, std::string message, int native = 0) {
  return unexpected(Error{code, native, std::move(message)});
}

/// Programming errors: kept in release builds on the host, because a broken invariant must not
/// reach a checkpoint.
[[noreturn]] inline void assertion_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "ringkernel: broken invariant: %s (%s:%d)\n", what, file, line);
  std::abort();
}

/// A value or an Error. Accessing the wrong alternative is a programming error and aborts.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using error_type = Error;

  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit as in std::expected
  Result(unexpected failure)
      : state_(std::in_place_index<1>, std::move(failure).error()) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  [[nodiscard]] explicit operator bool() const { return has_value(); }

  [[nodiscard]] T& value() & { return check(), std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return check(), std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return check(), std::get<0>(std::move(state_)); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const& {
    if (has_value()) assertion_failed("error() of a Result that holds a value", __FILE__, __LINE__);
    return std::get<1>(state_);
  }
  [[nodiscard]] Error&& error() && {
    if (has_value()) assertion_failed("error() of a Result that holds a value", __FILE__, __LINE__);
    return std::get<1>(std::move(state_));
  }

 private:
  void check() const {
    if (!has_value()) assertion_failed(std::get<1>(state_).message.c_str(), __FILE__, __LINE__);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  using error_type = Error;

  Result() = default;
  Result(unexpected failure) : error_(std::move(failure).error()), failed_(true) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return !failed_; }
  [[nodiscard]] explicit operator bool() const { return has_value(); }
  void value() const {
    if (failed_) assertion_failed(error_.message.c_str(), __FILE__, __LINE__);
  }
  [[nodiscard]] const Error& error() const& {
    if (!failed_) assertion_failed("error() of a Result that holds a value", __FILE__, __LINE__);
    return error_;
  }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace rk

/// Host-side invariant check, active in every build type.
#define RK_ASSERT(condition) \
  ((condition) ? void(0) : ::rk::assertion_failed(#condition, __FILE__, __LINE__))

#define RK_CONCAT_(a, b) a##b
#define RK_CONCAT(a, b) RK_CONCAT_(a, b)

/// Returns the Error of `expression` (a Result) to the caller, or goes on.
#define RK_TRY(expression)                                   \
  do {                                                       \
    if (auto rk_try_result_ = (expression); !rk_try_result_) \
      return ::rk::unexpected(rk_try_result_.error());       \
  } while (false)

/// Declares `name` from the value of `expression` (a Result), or returns its Error to the caller.
#define RK_TRY_ASSIGN(declaration, expression)                        \
  auto RK_CONCAT(rk_result_, __LINE__) = (expression);                \
  if (!RK_CONCAT(rk_result_, __LINE__))                               \
    return ::rk::unexpected(RK_CONCAT(rk_result_, __LINE__).error()); \
  declaration = *std::move(RK_CONCAT(rk_result_, __LINE__))
