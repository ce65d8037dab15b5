// The machine's memory. What cannot fit is refused before it is allocated: afterwards the system
// would kill the process.
#pragma once

#include <cstdint>
#include <string_view>

namespace darkhorse {

// Bytes of the machine, or the limit of its container (cgroup v2) where that is less. The
// environment variable DARKHORSE_MEMORY replaces both.
int64_t PhysicalMemoryBytes();

// Error "<what> needs 3.10 TiB of memory, this machine has 62.7 GiB; <cure>" if it has less than
// `bytes`.
void RequireMemory(double bytes, std::string_view what, std::string_view cure);

}  // namespace darkhorse
