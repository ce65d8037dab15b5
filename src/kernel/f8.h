// Eight-bit floating point as checkpoints store it: e4m3 for weights, e8m0 for scales of blocks of
// them (OCP Microscaling 1.0; e4m3 is PyTorch's float8_e4m3fn).
#pragma once

#include <bit>
#include <cstdint>

namespace darkhorse {

// A sign, four bits of exponent, three of fraction. No infinities: all bits but the sign set is
// NaN, and the largest number is 448.
struct F8E4m3 {
  uint8_t bits;
};

// Exact.
inline float ToFloat(F8E4m3 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x80) << 24;
  const uint32_t magnitude = x.bits & 0x7f;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000);
  if (magnitude >= 8) return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
  const float y = static_cast<float>(magnitude) * 0x1p-9f;
  return sign ? -y : y;
}

// A power of two: 2^(bits - 127); 255 is NaN.
struct F8E8m0 {
  uint8_t bits;
};

// Exact; the least, 2^-127, is a denormal.
inline float ToFloat(F8E8m0 x) {
  if (x.bits == 0) return 0x1p-127f;
  return std::bit_cast<float>(x.bits == 255 ? 0x7fc00000 : static_cast<uint32_t>(x.bits) << 23);
}

}  // namespace darkhorse
