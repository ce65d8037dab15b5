// int_scalar.inl in two AVX2 registers: with AVX-VNNI where the file is compiled for it, else
// through sums of two 16-bit products, of the even and of the odd numbers.

struct I {
  __m256i half[2];
};

inline I IntSet1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline V ToFloats(I a) { return {_mm256_cvtepi32_ps(a.half[0]), _mm256_cvtepi32_ps(a.half[1])}; }
// Integers from -128 to 127.
inline void StoreBytes(int8_t* p, V x) {
  const __m256i both = _mm256_permute4x64_epi64(
      _mm256_packs_epi32(_mm256_cvttps_epi32(x.lo), _mm256_cvttps_epi32(x.hi)), 0xd8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(p),
      _mm_packs_epi16(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)));
}
inline V LoadHalfs(const F16* p) {
  const auto* halfs = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halfs)), _mm256_cvtph_ps(_mm_loadu_si128(halfs + 1))};
}
inline __m256i LoadBytes(const uint8_t* p, int half) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p) + half);
}
inline __m256i BroadcastFour(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm256_set1_epi32(four);
}
inline __m256i LowNibbles(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }

typedef uint64_t Line __attribute__((vector_size(64), may_alias));
inline __m256i HalfOf(const Line& line, int half) {
  __m256i x;
  __builtin_memcpy(&x, reinterpret_cast<const char*>(&line) + 32 * half, sizeof(x));
  return x;
}
inline __m128i LoadEight(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
inline V FloatsOfBytes(const uint8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(LoadEight(p))),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(LoadEight(p + 8)))};
}
inline V FloatsOfSigned(const uint8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(LoadEight(p))),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(LoadEight(p + 8)))};
}
inline Line LookUp(const uint8_t* table, Line index) {
  const __m256i numbers =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  const __m256i halfs[2] = {_mm256_shuffle_epi8(numbers, HalfOf(index, 0)),
                            _mm256_shuffle_epi8(numbers, HalfOf(index, 1))};
  Line line;
  __builtin_memcpy(&line, halfs, sizeof(line));
  return line;
}

#ifdef __AVXVNNI__
constexpr int32_t kSignedOffset = 128;

struct W {
  __m256i half[2];
};
struct X {
  __m256i four;
};

inline W LoadSigned(const uint8_t* p) {
  const __m256i flip = _mm256_set1_epi8(static_cast<char>(-128));
  return {_mm256_xor_si256(LoadBytes(p, 0), flip), _mm256_xor_si256(LoadBytes(p, 1), flip)};
}
inline W FromLine(const Line& line) { return {HalfOf(line, 0), HalfOf(line, 1)}; }
inline void LoadNibbles(const uint8_t* p, W* low, W* high) {
  for (int h = 0; h < 2; ++h) {
    const __m256i bytes = LoadBytes(p, h);
    low->half[h] = LowNibbles(bytes);
    high->half[h] = LowNibbles(_mm256_srli_epi16(bytes, 4));
  }
}
inline X LoadFour(const int8_t* p) { return {BroadcastFour(p)}; }
inline I Dot(I sum, const W& w, const X& x) {
  return {_mm256_dpbusd_avx_epi32(sum.half[0], w.half[0], x.four),
          _mm256_dpbusd_avx_epi32(sum.half[1], w.half[1], x.four)};
}
#else
constexpr int32_t kSignedOffset = 0;

struct W {
  __m256i even[2], odd[2];
};
struct X {
  __m256i even, odd;
};

inline __m256i EvenSigned(__m256i x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
inline __m256i OddSigned(__m256i x) { return _mm256_srai_epi16(x, 8); }
inline W LoadSigned(const uint8_t* p) {
  const __m256i low = LoadBytes(p, 0), high = LoadBytes(p, 1);
  return {{EvenSigned(low), EvenSigned(high)}, {OddSigned(low), OddSigned(high)}};
}
inline W FromLine(const Line& line) {
  const __m256i low = HalfOf(line, 0), high = HalfOf(line, 1), mask = _mm256_set1_epi16(255);
  return {{_mm256_and_si256(low, mask), _mm256_and_si256(high, mask)},
          {_mm256_srli_epi16(low, 8), _mm256_srli_epi16(high, 8)}};
}
inline void LoadNibbles(const uint8_t* p, W* low, W* high) {
  const __m256i mask = _mm256_set1_epi16(15);
  for (int h = 0; h < 2; ++h) {
    const __m256i bytes = LoadBytes(p, h);
    low->even[h] = _mm256_and_si256(bytes, mask);
    high->even[h] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask);
    low->odd[h] = _mm256_and_si256(_mm256_srli_epi16(bytes, 8), mask);
    high->odd[h] = _mm256_srli_epi16(bytes, 12);
  }
}
inline X LoadFour(const int8_t* p) {
  const __m256i four = BroadcastFour(p);
  return {EvenSigned(four), OddSigned(four)};
}
inline I Dot(I sum, const W& w, const X& x) {
  for (int h = 0; h < 2; ++h) {
    sum.half[h] = _mm256_add_epi32(sum.half[h], _mm256_madd_epi16(w.even[h], x.even));
    sum.half[h] = _mm256_add_epi32(sum.half[h], _mm256_madd_epi16(w.odd[h], x.odd));
  }
  return sum;
}
#endif
