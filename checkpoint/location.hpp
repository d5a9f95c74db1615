// Where checkpoints lie, as users write it:
//
//   PATH                            a directory of files
//   SCHEME:REST[?KEY=VALUE[&...]]   a store of another kind; the schemes are a table in
//                                   src/location.cpp
//
// Text that does not begin with a known scheme is a path, except that an unknown `scheme://` is
// refused: nobody means a directory by it. A path that looks like a scheme can be written `./...`.
//
// Thread-safety: functions without shared state.
#pragma once

#include <map>
#include <memory>
#include <ringkernel/checkpoint/storage.hpp>
#include <ringkernel/runtime/result.hpp>
#include <string>
#include <string_view>

namespace rk::checkpoint {

struct Location {
  std::string scheme{};  ///< empty: `rest` is a path
  std::string rest{};    ///< between the scheme's ':' and '?'
  std::map<std::string, std::string> options{};
};

/// `invalid_argument` for an empty text, an unknown `scheme://`, or options that are not KEY=VALUE
/// or repeat.
[[nodiscard]] Result<Location> parse_location(std::string_view text);

/// Opens the store that `text` names. Touches nothing yet and asks nobody: that the store exists or
/// can be reached shows at its first call.
[[nodiscard]] Result<std::shared_ptr<Storage>> open_storage(std::string_view text);

}  // namespace rk::checkpoint
