// f32 rounded as RoundToBf16 (kernel/bf16.h), 32 numbers at once, by AVX-512's integer
// instructions. Included once, in an anonymous namespace, after <immintrin.h>.

// In the upper halves; the lower ones are anything.
inline __m512i RoundUpperHalves(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const auto set1 = [](uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); };
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __mmask16 denormal = _mm512_testn_epi32_mask(bits, set1(0x7f800000));
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), set1(1));
  __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, set1(0x7fff)), odd);
  rounded = _mm512_mask_and_epi32(rounded, denormal, bits, set1(0x80000000));
  return _mm512_mask_or_epi32(rounded, nan, bits, set1(0x00400000));
}

// `low` and `high` one after the other.
inline __m512i Round(__m512 low, __m512 high) {
  // The upper halves of the one in the even places, of the other in the odd ones; in place.
  const __m512i words = _mm512_mask_blend_epi16(
      0xaaaaaaaa, _mm512_srli_epi32(RoundUpperHalves(low), 16), RoundUpperHalves(high));
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                                      22, 24, 26, 28, 30, 1,  3,  5,  7,  9,  11,
                                                      13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), words);
}

// A number of `even`, one of `odd`, and so on.
inline __m512i RoundInTurn(__m512 even, __m512 odd) {
  return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(RoundUpperHalves(even), 16),
                                 RoundUpperHalves(odd));
}
