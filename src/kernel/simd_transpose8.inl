// out[j*out_stride + i] = in[i*stride + j] for i, j < 8, written in the order of j, in AVX
// registers. Included by simd_avx2.inl and simd_avx512.inl.
inline void Transpose8(const float* in, int64_t stride, float* out, int64_t out_stride) {
  // Pairs of rows four apart share a register, so that the shuffles below stay inside 128-bit
  // lanes.
  __m256 half[8];  // half[2*i + h]: columns 4h … 4h+3 of rows i and i+4
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    const float* low = in + i * stride;
    const float* high = in + (i + 4) * stride;
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      half[2 * i + h] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4 * h)),
                                             _mm_loadu_ps(high + 4 * h), 1);
    }
  }
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    const __m256 t0 = _mm256_unpacklo_ps(half[h], half[2 + h]);
    const __m256 t1 = _mm256_unpackhi_ps(half[h], half[2 + h]);
    const __m256 t2 = _mm256_unpacklo_ps(half[4 + h], half[6 + h]);
    const __m256 t3 = _mm256_unpackhi_ps(half[4 + h], half[6 + h]);
    float* to = out + 4 * h * out_stride;
    _mm256_storeu_ps(to, _mm256_shuffle_ps(t0, t2, 0x44));
    _mm256_storeu_ps(to + out_stride, _mm256_shuffle_ps(t0, t2, 0xee));
    _mm256_storeu_ps(to + 2 * out_stride, _mm256_shuffle_ps(t1, t3, 0x44));
    _mm256_storeu_ps(to + 3 * out_stride, _mm256_shuffle_ps(t1, t3, 0xee));
  }
}
