// int_scalar.inl in one AVX-512 register: with VNNI where the file is compiled for it, else through
// sums of two 16-bit products, of the even and of the odd numbers.

struct I {
  __m512i v;
};

inline I IntSet1(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline V ToFloats(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
// Integers from -128 to 127.
inline void StoreBytes(int8_t* p, V x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x.v)));
}
inline V LoadHalfs(const F16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline __m512i BroadcastFour(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

typedef uint64_t Line __attribute__((vector_size(64), may_alias));
inline V FloatsOfBytes(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
}
inline V FloatsOfSigned(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}
inline Line LookUp(const uint8_t* table, Line index) {
  const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return reinterpret_cast<Line>(
      _mm512_shuffle_epi8(_mm512_broadcast_i32x4(numbers), reinterpret_cast<__m512i>(index)));
}

#ifdef __AVX512VNNI__
constexpr int32_t kSignedOffset = 128;

struct W {
  __m512i v;
};
struct X {
  __m512i four;
};

inline W LoadSigned(const uint8_t* p) {
  return {_mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0x80808080)))};
}
template <int kBits>
inline W FromLine(Line bytes) {
  return {reinterpret_cast<__m512i>(bytes)};
}
inline void LoadNibbles(const uint8_t* p, W* low, W* high) {
  const __m512i bytes = _mm512_loadu_si512(p), mask = _mm512_set1_epi32(0x0f0f0f0f);
  low->v = _mm512_and_si512(bytes, mask);
  high->v = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask);
}
inline X LoadFour(const int8_t* p) { return {BroadcastFour(p)}; }
inline I Dot(I sum, const W& w, const X& x) { return {_mm512_dpbusd_epi32(sum.v, w.v, x.four)}; }
inline void Forget(X&) {}
#else
constexpr int32_t kSignedOffset = 0;

struct W {
  __m512i even, odd;
};
struct X {
  __m512i even, odd;
};

inline __m512i EvenSigned(__m512i x) { return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8); }
inline __m512i OddSigned(__m512i x) { return _mm512_srai_epi16(x, 8); }
inline W LoadSigned(const uint8_t* p) {
  const __m512i bytes = _mm512_loadu_si512(p);
  return {EvenSigned(bytes), OddSigned(bytes)};
}
template <int kBits>
inline W FromLine(Line line) {
  const auto bytes = reinterpret_cast<__m512i>(line);
  return {_mm512_and_si512(bytes, _mm512_set1_epi16(255)), _mm512_srli_epi16(bytes, 8)};
}
inline void LoadNibbles(const uint8_t* p, W* low, W* high) {
  const __m512i bytes = _mm512_loadu_si512(p), mask = _mm512_set1_epi16(15);
  low->even = _mm512_and_si512(bytes, mask);
  high->even = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask);
  low->odd = _mm512_and_si512(_mm512_srli_epi16(bytes, 8), mask);
  high->odd = _mm512_srli_epi16(bytes, 12);
}
inline X LoadFour(const int8_t* p) {
  const __m512i four = BroadcastFour(p);
  return {EvenSigned(four), OddSigned(four)};
}
inline I Dot(I sum, const W& w, const X& x) {
  const __m512i even = _mm512_add_epi32(sum.v, _mm512_madd_epi16(w.even, x.even));
  return {_mm512_add_epi32(even, _mm512_madd_epi16(w.odd, x.odd))};
}
inline void Forget(X& x) { asm volatile("" : "+v"(x.even), "+v"(x.odd)); }
#endif

#include "kernel/int_sums.inl"
