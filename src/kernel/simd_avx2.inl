// Sixteen float lanes as two AVX2 registers. See simd_scalar.inl, the definition. Needs
// <immintrin.h> before it.

struct V {
  __m256 lo, hi;
};

inline V Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline V Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void Store(float* p, V x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
inline __m256i LaneMask(int n) {  // lanes 0 … n-1
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline V LoadN(const float* p, int n) {
  return {_mm256_maskload_ps(p, LaneMask(n)), _mm256_maskload_ps(p + 8, LaneMask(n - 8))};
}
inline void StoreN(float* p, V x, int n) {
  _mm256_maskstore_ps(p, LaneMask(n), x.lo);
  _mm256_maskstore_ps(p + 8, LaneMask(n - 8), x.hi);
}
inline __m256i LoadPairs(const void* p, int half) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p) + half);
}
inline V LoadEven(const void* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(LoadPairs(p, 0), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(LoadPairs(p, 1), 16))};
}
inline V LoadOdd(const void* p) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  return {_mm256_castsi256_ps(_mm256_and_si256(LoadPairs(p, 0), high)),
          _mm256_castsi256_ps(_mm256_and_si256(LoadPairs(p, 1), high))};
}
inline __m256i RoundLanes(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  __m256i y = _mm256_srli_epi32(
      _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  y = _mm256_blendv_epi8(y, _mm256_and_si256(upper, _mm256_set1_epi32(0x8000)),
                         _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude));
  return _mm256_blendv_epi8(y, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)),
                            _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000)));
}
inline void StoreBf16(void* p, V x) {
  const __m256i packed = _mm256_packus_epi32(RoundLanes(x.lo), RoundLanes(x.hi));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
inline V Fma(V a, V b, V c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline V Add(V a, V b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline V Sub(V a, V b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline V Mul(V a, V b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline V Div(V a, V b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline V Max(V a, V b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline V Min(V a, V b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline V Sqrt(V a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline V SelectLess(V x, V y, V a, V b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, y.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, y.hi, _CMP_LT_OQ))};
}
inline V SwapPairs(V a) { return {_mm256_permute_ps(a.lo, 0xB1), _mm256_permute_ps(a.hi, 0xB1)}; }
inline V FirstOfPairs(V a) { return {_mm256_moveldup_ps(a.lo), _mm256_moveldup_ps(a.hi)}; }
inline V SecondOfPairs(V a) { return {_mm256_movehdup_ps(a.lo), _mm256_movehdup_ps(a.hi)}; }
inline __m256 Pow2Half(__m256 k) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvttps_epi32(k), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
inline V Pow2(V k) { return {Pow2Half(k.lo), Pow2Half(k.hi)}; }
inline float ReduceAdd(V a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float ReduceMax(V a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#include "kernel/simd_transpose8.inl"
