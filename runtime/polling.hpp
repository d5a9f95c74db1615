// How often the host looks at memory that workers write: they cannot ring a bell.
#pragma once

#include <chrono>

namespace rk {

/// Pauses between two looks of one of the runtime's threads. They are `shortest` while something
/// comes or is known to come soon, and otherwise grow with the time since something came. A call
/// that needs the thread ends a pause.
struct Polling {
  std::chrono::nanoseconds shortest = std::chrono::microseconds(100);
  /// What comes unasked (an output after a silence, the end of a run, a signal's request) is
  /// noticed so late at most.
  std::chrono::nanoseconds longest = std::chrono::milliseconds(1);
  double growth = 0.0625;  ///< a pause over the time since something came
};

}  // namespace rk
