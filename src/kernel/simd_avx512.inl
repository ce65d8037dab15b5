// Sixteen float lanes as one AVX-512 register. See simd_scalar.inl, the definition. Needs
// <immintrin.h> before it.

struct V {
  __m512 v;
};

inline V Zero() { return {_mm512_setzero_ps()}; }
inline V Set1(float x) { return {_mm512_set1_ps(x)}; }
inline V Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void Store(float* p, V x) { _mm512_storeu_ps(p, x.v); }
inline __mmask16 LaneMask(int n) { return static_cast<__mmask16>((1u << n) - 1); }
inline V LoadN(const float* p, int n) { return {_mm512_maskz_loadu_ps(LaneMask(n), p)}; }
inline void StoreN(float* p, V x, int n) { _mm512_mask_storeu_ps(p, LaneMask(n), x.v); }
inline V LoadEven(const void* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
inline V LoadOdd(const void* p) {
  return {_mm512_castsi512_ps(
      _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000))))};
}
inline void StoreBf16(void* p, V x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i upper = _mm512_srli_epi32(bits, 16);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  __m512i y = _mm512_srli_epi32(
      _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
  y = _mm512_mask_and_epi32(y, _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x00800000)),
                            upper, _mm512_set1_epi32(0x8000));
  y = _mm512_mask_or_epi32(y, _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000)),
                           upper, _mm512_set1_epi32(0x40));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(y));
}
inline V Fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline V Add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
inline V Sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline V Mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline V Div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
inline V Max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
inline V Min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
inline V Sqrt(V a) { return {_mm512_sqrt_ps(a.v)}; }
inline V SelectLess(V x, V y, V a, V b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ), b.v, a.v)};
}
inline V SwapPairs(V a) { return {_mm512_permute_ps(a.v, 0xB1)}; }
inline V FirstOfPairs(V a) { return {_mm512_moveldup_ps(a.v)}; }
inline V SecondOfPairs(V a) { return {_mm512_movehdup_ps(a.v)}; }
inline V Pow2(V k) {
  const __m512i biased = _mm512_add_epi32(_mm512_cvttps_epi32(k.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
}
inline float ReduceAddHalf(__m256 eight) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float ReduceAdd(V a) {
  return ReduceAddHalf(_mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}
inline float ReduceMax(V a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#include "kernel/simd_transpose8.inl"
