// What kernel/bf16_pack.inl makes tiles with, as plain loops: the definition that the other forms
// match. Included once, in an anonymous namespace.

inline uint32_t Bf16Bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const uint32_t flushed = magnitude < 0x00800000 ? bits >> 16 & 0x8000 : rounded;
  return magnitude > 0x7f800000 ? bits >> 16 | 0x40 : flushed;
}

// 16 x 16 pairs of numbers, transposed.
inline void TransposePairs(const Bf16* from, Bf16* to) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      to[j * 32 + 2 * i] = from[i * 32 + 2 * j];
      to[j * 32 + 2 * i + 1] = from[i * 32 + 2 * j + 1];
    }
  }
}

// One left tile of rows x depth numbers (at most 16 x 32).
inline void RoundTile(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tile) {
  for (int64_t i = 0; i < kTileSide; ++i) {
    Bf16* to = tile + i * kTileDepth;
    const float* from = a + i * stride;
    const int64_t valid = i < rows ? depth : 0;
    if (valid == kTileDepth) {
      for (int64_t k = 0; k < kTileDepth; ++k)
        to[k].bits = static_cast<uint16_t>(Bf16Bits(from[k]));
      continue;
    }
    for (int64_t k = 0; k < kTileDepth; ++k) {
      to[k].bits = static_cast<uint16_t>(k < valid ? Bf16Bits(from[k]) : 0);
    }
  }
}

// One right tile of depth x cols numbers (at most 32 x 16).
inline void RoundPairs(const float* b, int64_t stride, int64_t depth, int64_t cols, Bf16* tile) {
  using Pair = uint32_t __attribute__((may_alias));  // the first number is the lower half
  for (int64_t pair = 0; pair < kTileDepth / 2; ++pair) {
    const float* even = b + 2 * pair * stride;
    const float* odd = even + stride;
    Pair* to = reinterpret_cast<Pair*>(tile) + pair * kTileSide;
    if (cols == kTileSide && 2 * pair + 1 < depth) {
      for (int64_t j = 0; j < kTileSide; ++j) to[j] = Bf16Bits(even[j]) | Bf16Bits(odd[j]) << 16;
      continue;
    }
    for (int64_t j = 0; j < kTileSide; ++j) {
      const uint32_t low = j < cols && 2 * pair < depth ? Bf16Bits(even[j]) : 0;
      const uint32_t high = j < cols && 2 * pair + 1 < depth ? Bf16Bits(odd[j]) : 0;
      to[j] = low | high << 16;
    }
  }
}

// Half a right tile of 16 x 16 numbers, the first of each row of a left tile: each two rows of it
// in turn.
inline void InterleaveTile(const Bf16* from, Bf16* to) {
  for (int64_t i = 0; i < kTileSide; ++i) {
    for (int64_t j = 0; j < kTileSide; ++j)
      to[i / 2 * kTileDepth + 2 * j + i % 2] = from[i * kTileDepth + j];
  }
}

#include "kernel/bf16_pack.inl"
