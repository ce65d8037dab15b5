// The machine's memory: what cannot fit is refused before it is allocated, not by the kernel after.
#pragma once

#include <cstdint>
#include <string_view>

namespace darkhorse {

// In bytes: the machine's, or its container's limit (cgroup v2) if that is less. DARKHORSE_MEMORY
// of the environment, if set, stands for both.
int64_t PhysicalMemoryBytes();

// Error "<what> needs 3.10 TiB of memory, this machine has 62.7 GiB; <cure>" if it has less than
// `bytes`.
void RequireMemory(double bytes, std::string_view what, std::string_view cure);

}  // namespace darkhorse
