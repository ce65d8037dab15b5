// The machine's memory. What cannot fit is refused before it is allocated: afterwards the system
// would kill the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

// Where a container's limit stands, in bytes: in cgroup v2 ("max" for none) and v1 (a number beyond
// any machine's for none).
inline const std::vector<std::string> kContainerLimits = {
    "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};

// Bytes of the machine, or the limit of its container where that is less. The environment variable
// DARKHORSE_MEMORY replaces both.
int64_t PhysicalMemoryBytes(const std::vector<std::string>& limits = kContainerLimits);

// Bytes of this process that are in the machine's memory now.
int64_t ResidentMemoryBytes();

// Error "<what> needs 3.10 TiB of memory, this machine has 62.7 GiB; <cure>" if it has less than
// `bytes`.
void RequireMemory(double bytes, std::string_view what, std::string_view cure);

// Gives the system back the pages that lie wholly within these bytes of an anonymous mapping: they
// hold zeros until they are written again.
void DropPages(void* data, size_t bytes);

}  // namespace darkhorse
