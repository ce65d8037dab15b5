// f16: IEEE's half precision, for scales that are stored beside integers. No function of its own is
// called, so that files compiled for one instruction set may include it.
#pragma once

#include <cstdint>

namespace darkhorse {

struct F16 {
  uint16_t bits;
};

// To the nearest, ties to even, as the instruction vcvtps2ph; a NaN becomes a quiet NaN.
[[gnu::always_inline]] inline F16 RoundToF16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00;
  } else if (magnitude >= 0x477ff000) {  // 65520 and more
    half = 0x7c00;
  } else if (magnitude >= 0x38800000) {  // 2^-14, the least that is no denormal, and more
    half = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
  } else {
    // Beside 1/2, the last place of an f32 is a denormal f16's: 2^-24.
    float y;
    __builtin_memcpy(&y, &magnitude, sizeof(y));
    y += 0.5f;
    __builtin_memcpy(&half, &y, sizeof(half));
    half -= 0x3f000000;
  }
  return {static_cast<uint16_t>(sign | half)};
}

// Exact.
[[gnu::always_inline]] inline float ToFloat(F16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  const uint32_t magnitude = x.bits & 0x7fff;
  float y;
  if (magnitude >= 0x0400) {
    const uint32_t bias = magnitude >= 0x7c00 ? 0x70000000 : 0x38000000;
    const uint32_t bits = sign | ((magnitude << 13) + bias);
    __builtin_memcpy(&y, &bits, sizeof(y));
    return y;
  }
  y = static_cast<float>(magnitude) * 0x1p-24f;
  return sign ? -y : y;
}

}  // namespace darkhorse
