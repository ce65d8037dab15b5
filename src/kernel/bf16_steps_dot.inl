// The steps of kernel/bf16_product.inl with AVX512_BF16's VDPBF16PS, which is two links of a chain
// of fused multiply-adds: the upper halves of its pairs, then the lower ones, each rounded to the
// nearest, denormals being zero both ways. So one step takes 4 of k: in the upper halves k and k+1,
// in the lower k+2 and k+3, the even ones and the odd ones apart. Included once, in an anonymous
// namespace, after simd_avx512.inl.

constexpr int64_t kSteps = 8;  // for the 32 of k of a tile

inline V FromBits(__m512i bits) { return {_mm512_castsi512_ps(bits)}; }

// Two rows of a right tile hold k and k+1, k+2 and k+3 of each column, lower half first.
inline V EvenColumns(const Bf16* tile, int64_t step) {
  const __m512i first = _mm512_loadu_si512(tile + step * 64);
  const __m512i second = _mm512_loadu_si512(tile + step * 64 + 32);
  return FromBits(_mm512_mask_blend_epi16(0x55555555, _mm512_slli_epi32(first, 16), second));
}
inline V OddColumns(const Bf16* tile, int64_t step) {
  const __m512i first = _mm512_loadu_si512(tile + step * 64);
  const __m512i second = _mm512_loadu_si512(tile + step * 64 + 32);
  return FromBits(_mm512_mask_blend_epi16(0x55555555, first, _mm512_srli_epi32(second, 16)));
}

inline void SpreadRow(const Bf16* row, float* spread) {
  alignas(64) static constexpr uint16_t kOrder[32] = {2,  0,  3,  1,  6,  4,  7,  5,  10, 8,  11,
                                                      9,  14, 12, 15, 13, 18, 16, 19, 17, 22, 20,
                                                      23, 21, 26, 24, 27, 25, 30, 28, 31, 29};
  _mm512_storeu_si512(spread,
                      _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), _mm512_loadu_si512(row)));
}

inline V Chain(V row, V columns, V sum) {
  return {_mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_castps_si512(row.v),
                           (__m512bh)_mm512_castps_si512(columns.v))};
}

bool DotIsTwoLinks() {
  uint64_t state = 1;
  const auto next = [&](uint32_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 33) % below;
  };
  for (int round = 0; round < 256; ++round) {
    // Numbers around 1, or such that their products are around the least normal number.
    const bool small = round % 2 == 1;
    const auto number = [&] {
      return next(2) << 15 | ((small ? 60 : 124) + next(8)) << 7 | next(128);
    };
    alignas(64) uint32_t a[16], b[16], c[16];
    for (int lane = 0; lane < 16; ++lane) {
      a[lane] = number() << 16 | number();
      b[lane] = number() << 16 | number();
      c[lane] = next(2) << 31 | ((small ? 0 : 124) + next(8)) << 23 | next(1 << 23);
    }
    const V sum = FromBits(_mm512_load_si512(c));
    const V got = Chain(FromBits(_mm512_load_si512(a)), FromBits(_mm512_load_si512(b)), sum);
    const V upper = Fma(LoadOdd(a), LoadOdd(b), sum);
    const V both = Fma(LoadEven(a), LoadEven(b), upper);
    if (_mm512_cmpneq_epi32_mask(_mm512_castps_si512(got.v), _mm512_castps_si512(both.v)) != 0)
      return false;
  }
  return true;
}

constexpr int kStepProbeSums = 12;
constexpr int64_t kStepProbeWidth = kStepProbeSums * 32;
float StepProbe(int64_t rounds) {
  // 1/2 * 1/2 twice: each sum grows by a half. The compiler must not see that they are equal.
  float start[16] = {};
  asm volatile("" : : "r"(start) : "memory");
  V sums[kStepProbeSums];
#pragma GCC unroll 16
  for (int i = 0; i < kStepProbeSums; ++i) {
    sums[i] = Load(start);
    asm volatile("" : : "r"(start) : "memory");
  }
  const V halves = FromBits(_mm512_set1_epi16(0x3f00));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kStepProbeSums; ++i) sums[i] = Chain(halves, halves, sums[i]);
  }
  V sum = Zero();
  for (int i = 0; i < kStepProbeSums; ++i) sum = Add(sum, sums[i]);
  return ReduceAdd(sum);
}
