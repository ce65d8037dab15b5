#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/format.h"

namespace darkhorse {

int64_t PhysicalMemoryBytes() {
  if (const char* value = std::getenv("DARKHORSE_MEMORY")) {
    const int64_t bytes = std::atoll(value);
    if (bytes > 0) return bytes;
  }
  const int64_t machine =
      static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  int64_t container = 0;  // stays 0 where there is no limit: no such file, or "max"
  std::ifstream("/sys/fs/cgroup/memory.max") >> container;
  return container > 0 ? std::min(machine, container) : machine;
}

void RequireMemory(double bytes, std::string_view what, std::string_view cure) {
  const auto held = static_cast<double>(PhysicalMemoryBytes());
  if (bytes <= held) return;
  Fail("{} needs {} of memory, this machine has {}; {}", what, FormatBytes(bytes),
       FormatBytes(held), cure);
}

}  // namespace darkhorse
