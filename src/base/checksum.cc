// XXH64 (Yann Collet), seed 0: four independent lanes of 8-byte words, so it runs at memory speed.
#include "base/checksum.h"

#include <bit>
#include <cstring>

namespace darkhorse {
namespace {

constexpr uint64_t kP1 = 0x9E3779B185EBCA87, kP2 = 0xC2B2AE3D27D4EB4F, kP3 = 0x165667B19E3779F9,
                   kP4 = 0x85EBCA77C2B2AE63, kP5 = 0x27D4EB2F165667C5;

uint64_t Load64(const std::byte* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

uint64_t Round(uint64_t lane, uint64_t word) { return std::rotl(lane + word * kP2, 31) * kP1; }

}  // namespace

uint64_t Checksum64(std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = kP5;
  if (left >= 32) {
    uint64_t lane[4] = {kP1 + kP2, kP2, 0, 0 - kP1};
    for (; left >= 32; left -= 32, p += 32) {
      for (int i = 0; i < 4; ++i) lane[i] = Round(lane[i], Load64(p + 8 * i));
    }
    hash = std::rotl(lane[0], 1) + std::rotl(lane[1], 7) + std::rotl(lane[2], 12) +
           std::rotl(lane[3], 18);
    for (const uint64_t one : lane) hash = (hash ^ Round(0, one)) * kP1 + kP4;
  }
  hash += bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    hash = std::rotl(hash ^ Round(0, Load64(p)), 27) * kP1 + kP4;
  }
  if (left >= 4) {
    uint32_t word;
    std::memcpy(&word, p, sizeof(word));
    hash = std::rotl(hash ^ word * kP1, 23) * kP2 + kP3;
    left -= 4;
    p += 4;
  }
  for (; left > 0; --left, ++p) {
    hash = std::rotl(hash ^ std::to_integer<uint64_t>(*p) * kP5, 11) * kP1;
  }
  hash = (hash ^ hash >> 33) * kP2;
  hash = (hash ^ hash >> 29) * kP3;
  return hash ^ hash >> 32;
}

std::string HexU64(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace darkhorse
