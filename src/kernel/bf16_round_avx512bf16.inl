// f32 rounded as RoundToBf16 (kernel/bf16.h), 32 numbers at once, by the instruction of
// AVX512_BF16. Included once, in an anonymous namespace, after <immintrin.h>.

// `low` and `high` one after the other.
inline __m512i Round(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// A number of `even`, one of `odd`, and so on.
inline __m512i RoundInTurn(__m512 even, __m512 odd) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), Round(even, odd));
}
