// Measuring points of the worker loop. A program without measuring has NoProbe, whose calls fold
// away; a benchmark gives its program another `Probe` with the same static functions.
#pragma once

#include <ringkernel/hlc/host_device.hpp>

namespace rk {

struct NoProbe {
  /// Lane 0 has picked a message; `cut_open`: its save unit may still have to be copied.
  RK_FN static void popped(bool cut_open) { (void)cut_open; }
  /// Lane 0 enters the handler.
  RK_FN static void entered() {}
};

}  // namespace rk
