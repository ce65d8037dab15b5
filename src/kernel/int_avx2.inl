// int_scalar.inl in two AVX2 registers: with AVX-VNNI where the file is compiled for it, else with
// VPMADDUBSW, which adds two products of an unsigned and a signed byte in 16 bits.

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

struct W {
  __m256i half[2];
};
struct X {
  __m256i four;
};
inline X LoadFour(const int8_t* p) { return {BroadcastFour(p)}; }
inline void LoadNibbles(const uint8_t* p, W* low, W* high) {
  for (int h = 0; h < 2; ++h) {
    const __m256i bytes = LoadBytes(p, h);
    low->half[h] = LowNibbles(bytes);
    high->half[h] = LowNibbles(_mm256_srli_epi16(bytes, 4));
  }
}
// Bytes with 128 added become signed ones, and signed ones such.
inline __m256i Flip(__m256i bytes) {
  return _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(-128)));
}

#ifdef __AVXVNNI__
constexpr int32_t kSignedOffset = 128;

inline W LoadSigned(const uint8_t* p) { return {Flip(LoadBytes(p, 0)), Flip(LoadBytes(p, 1))}; }
template <int kBits>
inline W FromLine(const Line& line) {
  return {HalfOf(line, 0), HalfOf(line, 1)};
}
inline I Dot(I sum, const W& w, const X& x) {
  return {_mm256_dpbusd_avx_epi32(sum.half[0], w.half[0], x.four),
          _mm256_dpbusd_avx_epi32(sum.half[1], w.half[1], x.four)};
}

#include "kernel/int_sums.inl"
inline void Forget(X&) {}
#else
constexpr int32_t kSignedOffset = 0;

inline W LoadSigned(const uint8_t* p) { return {LoadBytes(p, 0), LoadBytes(p, 1)}; }
constexpr int32_t TakenFrom(int bits) { return bits == 8 ? 128 : 0; }
template <int kBits>
inline W FromLine(const Line& line) {
  const __m256i low = HalfOf(line, 0), high = HalfOf(line, 1);
  return kBits == 8 ? W{{Flip(low), Flip(high)}} : W{{low, high}};
}

inline void Forget(X& x) { asm volatile("" : "+x"(x.four)); }

// A sum that the compiler may not add up in another order, which takes more registers than there
// are.
inline __m256i InThisOrder(__m256i sum) {
  asm("" : "+x"(sum));
  return sum;
}

// Activations reach from -127 to 127, so a pair of products lies within 254 times the greatest
// weight, and so many lines of pairs within 16 bits: 8 of 15, 4 of 31, 2 of 63; of signed bytes
// (at most 128) one.
constexpr int LinesAtOnce(int bits) { return bits >= 8 ? 1 : 1 << (7 - bits); }
static_assert(LinesAtOnce(4) * 254 * 15 < 1 << 15 && LinesAtOnce(5) * 254 * 31 < 1 << 15 &&
              LinesAtOnce(6) * 254 * 63 < 1 << 15 && LinesAtOnce(8) * 254 * 128 < 1 << 15);

constexpr int SumBits(int bits) { return bits; }
// Of bytes below 1 << kBits, or signed ones where kBits is 8, line after line: LinesAtOnce of them
// in 16 bits, then in 32. The first begins with start().
template <int kBits>
struct Dots {
  __m256i part[2];
  I sum;

  template <typename Start>
  inline void Add(const W& w, const X& x, int line, const Start& start) {
    constexpr int kLines = LinesAtOnce(kBits);
    for (int h = 0; h < 2; ++h) {
      // A signed product is that of the magnitude and of the number with the weight's sign.
      const __m256i pairs = kBits == 8 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w.half[h]),
                                                              _mm256_sign_epi8(x.four, w.half[h]))
                                       : _mm256_maddubs_epi16(w.half[h], x.four);
      part[h] = line % kLines == 0 ? pairs : InThisOrder(_mm256_add_epi16(part[h], pairs));
    }
    if ((line + 1) % kLines != 0) return;
    const I before = line < kLines ? start() : sum;
    for (int h = 0; h < 2; ++h) {
      const __m256i four = _mm256_madd_epi16(part[h], _mm256_set1_epi16(1));
      sum.half[h] = InThisOrder(_mm256_add_epi32(before.half[h], four));
    }
  }
};
#endif
