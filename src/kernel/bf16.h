// bf16: the upper half of an f32, so 8 bits of precision at f32's range. Products of bf16 treat
// denormals as zero (kernel/gemm_bf16.h), so rounding does too.
#pragma once

#include <cstdint>
#include <cstring>

namespace darkhorse {

struct Bf16 {
  uint16_t bits;
};

// To the nearest, ties to even, as the instruction vcvtneps2bf16: a denormal becomes a zero of its
// sign, what is beyond the largest bf16 an infinity, a NaN a quiet NaN.
inline Bf16 RoundToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  if (magnitude < 0x00800000) return {static_cast<uint16_t>(bits >> 16 & 0x8000)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Exact.
inline float ToFloat(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float y;
  std::memcpy(&y, &bits, sizeof(y));
  return y;
}

}  // namespace darkhorse
