// Checksums of files' contents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace darkhorse {

// 64 bits that change when the bytes do (XXH64 with seed 0; not cryptographic).
uint64_t Checksum64(std::span<const std::byte> bytes);
inline uint64_t Checksum64(std::string_view text) {
  return Checksum64(std::as_bytes(std::span(text)));
}

// Sixteen lower-case hexadecimal digits.
std::string HexU64(uint64_t value);

}  // namespace darkhorse
