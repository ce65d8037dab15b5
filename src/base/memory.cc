#include "base/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/format.h"

namespace darkhorse {

int64_t PhysicalMemoryBytes(const std::vector<std::string>& limits) {
  if (const char* value = std::getenv("DARKHORSE_MEMORY")) {
    const int64_t bytes = std::atoll(value);
    if (bytes > 0) return bytes;
  }
  int64_t held =
      static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  for (const std::string& path : limits) {
    int64_t limit = 0;  // stays 0 where there is none: no such file, or "max"
    std::ifstream(path) >> limit;
    if (limit > 0) held = std::min(held, limit);
  }
  return held;
}

int64_t ResidentMemoryBytes() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;  // all pages, then those in memory
  return pages * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
}

void RequireMemory(double bytes, std::string_view what, std::string_view cure) {
  const auto held = static_cast<double>(PhysicalMemoryBytes());
  if (bytes <= held) return;
  Fail("{} needs {} of memory, this machine has {}; {}", what, FormatBytes(bytes),
       FormatBytes(held), cure);
}

void DropPages(void* data, size_t bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t behind = (begin + bytes) / page * page;
  if (first < behind)
    CHECK(madvise(reinterpret_cast<void*>(first), behind - first, MADV_DONTNEED) == 0);
}

}  // namespace darkhorse
