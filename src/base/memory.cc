#include "base/memory.h"

#include <unistd.h>

#include "base/error.h"
#include "base/progress.h"

namespace darkhorse {

int64_t PhysicalMemoryBytes() {
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
