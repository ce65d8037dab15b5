// The clock that work is timed with, and deadlines too.
#pragma once

#include <chrono>

namespace darkhorse {

// Seconds of the steady clock. Its zero has no meaning: only differences do.
inline double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace darkhorse
