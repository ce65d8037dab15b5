// What kernel/bf16_pack.inl makes tiles with, in AVX-512 registers. See bf16_tiles_scalar.inl, the
// definition. Included once, in an anonymous namespace, after a bf16_round_*.inl.

inline __mmask16 FirstLanes(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : n > 0 ? (1 << n) - 1 : 0);
}

inline void TransposePairs(const Bf16* from, Bf16* to) {
  for (int j = 0; j < 16; j += 4) {
    __m512i row[4];  // lane l of row[i]: pairs j ... j+3 of row 4*l + i
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const auto quarter = [&](int lane) {
        return _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(from + (4 * lane + i) * kTileDepth + 2 * j));
      };
      row[i] = _mm512_castsi128_si512(quarter(0));
      row[i] = _mm512_inserti32x4(row[i], quarter(1), 1);
      row[i] = _mm512_inserti32x4(row[i], quarter(2), 2);
      row[i] = _mm512_inserti32x4(row[i], quarter(3), 3);
    }
    const __m512i low01 = _mm512_unpacklo_epi32(row[0], row[1]);
    const __m512i high01 = _mm512_unpackhi_epi32(row[0], row[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(row[2], row[3]);
    const __m512i high23 = _mm512_unpackhi_epi32(row[2], row[3]);
    Bf16* out = to + j * kTileDepth;
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(low01, low23));
    _mm512_storeu_si512(out + kTileDepth, _mm512_unpackhi_epi64(low01, low23));
    _mm512_storeu_si512(out + 2 * kTileDepth, _mm512_unpacklo_epi64(high01, high23));
    _mm512_storeu_si512(out + 3 * kTileDepth, _mm512_unpackhi_epi64(high01, high23));
  }
}

inline void RoundTile(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tile) {
  const __mmask16 low = FirstLanes(depth), high = FirstLanes(depth - 16);
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = a + i * stride;
    _mm512_storeu_si512(tile + i * kTileDepth,
                        Round(_mm512_maskz_loadu_ps(low, from),
                              _mm512_maskz_loadu_ps(high, from + (high ? 16 : 0))));
  }
  for (int64_t i = rows; i < kTileSide; ++i)
    _mm512_storeu_si512(tile + i * kTileDepth, _mm512_setzero_si512());
}

inline void RoundPairs(const float* b, int64_t stride, int64_t depth, int64_t cols, Bf16* tile) {
  const __mmask16 there = FirstLanes(cols);
  int64_t k = 0;
  for (; k + 1 < depth; k += 2) {
    const float* from = b + k * stride;
    _mm512_storeu_si512(tile + k * kTileSide,
                        RoundInTurn(_mm512_maskz_loadu_ps(there, from),
                                    _mm512_maskz_loadu_ps(there, from + stride)));
  }
  if (k < depth) {
    _mm512_storeu_si512(
        tile + k * kTileSide,
        RoundInTurn(_mm512_maskz_loadu_ps(there, b + k * stride), _mm512_setzero_ps()));
    k += 2;
  }
  for (; k < kTileDepth; k += 2) _mm512_storeu_si512(tile + k * kTileSide, _mm512_setzero_si512());
}

inline void InterleaveTile(const Bf16* from, Bf16* to) {
  const auto widen = [&](int64_t row) {
    return _mm512_cvtepu16_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + row * kTileDepth)));
  };
  for (int64_t i = 0; i < kTileSide; i += 2)
    _mm512_storeu_si512(to + i * kTileSide,
                        _mm512_or_si512(widen(i), _mm512_slli_epi32(widen(i + 1), 16)));
}

#include "kernel/bf16_pack.inl"
