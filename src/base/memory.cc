#include "base/memory.h"

#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/progress.h"

namespace darkhorse {

int64_t PhysicalMemoryBytes() {
  if (const char* value = std::getenv("DARKHORSE_MEMORY")) {
    const int64_t bytes = std::atoll(value);
    if (bytes > 0) return bytes;
  }
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<int64_t>(sysconf(_SC_PAGESIZE));
}

void RequireMemory(double bytes, std::string_view what, std::string_view cure) {
  const auto held = static_cast<double>(PhysicalMemoryBytes());
  if (bytes <= held) return;
  Fail("{} needs {} of memory, this machine has {}; {}", what, FormatBytes(bytes),
       FormatBytes(held), cure);
}

}  // namespace darkhorse
