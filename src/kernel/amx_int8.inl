// Integer products on the matrix unit, for row_amx.cc, after amx_bf16.inl, simd_avx512.inl,
// int_avx512.inl and quant_product.inl. One TDPBSSD multiplies a block of 16 rows with one of a
// panel; vector registers scale its 16 x 16 sums and hold C's, while the unit is a block ahead.

// With so few rows of 16 the vector loop, which reads each weight once too, is as fast.
constexpr int64_t kVectorRows = 4;

inline void AmxDots(const QuantBlock* left, const uint8_t* integers, int32_t* dots) {
  _tile_zero(0);
  _tile_loadd(4, left->q, kTileStride);
  _tile_loadd(5, integers, kTileStride);
  _tile_dpbssd(0, 4, 5);
  _tile_stored(0, dots, kTileStride);
}

// 16 rows of which `rows` are C's, and a panel whose integers are bytes, of which `columns` are.
template <bool kQ4>
inline void AmxQuantTile(const QuantBlock* left, int64_t rows, const uint8_t* integers,
                         const F16* scales, __mmask16 columns, int64_t blocks, float* c,
                         int64_t c_stride, bool accumulate) {
  alignas(64) int32_t dots[2][kQuantSide * kQuantSide];
  __m512 sum[kQuantSide];
#pragma GCC unroll 16
  for (int r = 0; r < kQuantSide; ++r) {
    sum[r] = accumulate && r < rows ? _mm512_maskz_loadu_ps(columns, c + r * c_stride)
                                    : _mm512_setzero_ps();
  }
  AmxDots(left, integers, dots[0]);
  for (int64_t b = 0; b < blocks; ++b) {
    if (b + 1 < blocks) AmxDots(left + b + 1, integers + (b + 1) * kQ8Tile, dots[(b + 1) % 2]);
    const int32_t* from = dots[b % 2];
    const __m512 scale = LoadHalfs(scales).v;
    scales += kQuantSide;
#pragma GCC unroll 16
    for (int r = 0; r < kQuantSide; ++r) {
      const __m512 both = _mm512_mul_ps(_mm512_set1_ps(left[b].scale[r]), scale);
      sum[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(from + r * kQuantSide)), both,
                               sum[r]);
    }
    if constexpr (kQ4) {
      const __m512 least = LoadHalfs(scales).v;
      scales += kQuantSide;
#pragma GCC unroll 16
      for (int r = 0; r < kQuantSide; ++r)
        sum[r] = _mm512_fmadd_ps(least, _mm512_set1_ps(left[b].scaled_sum[r]), sum[r]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kQuantSide; ++r) {
    if (r < rows) _mm512_mask_storeu_ps(c + r * c_stride, columns, sum[r]);
  }
}

// Q4's tiles as bytes.
inline void SpreadNibbles(const uint8_t* from, int64_t blocks, uint8_t* to) {
  for (int64_t i = 0; i < blocks * kQ4Tile; i += 64) {
    W low, high;
    LoadNibbles(from + i, &low, &high);
    _mm512_store_si512(to + 2 * i, low.v);
    _mm512_store_si512(to + 2 * i + 64, high.v);
  }
}

// Panels of one group against all rows, over `blocks` <= kBlockGroup blocks.
template <bool kQ4>
inline void AmxQuantGroup(const QuantBlock* left, int64_t left_stride, int64_t rows,
                          const QuantPanels& right, int64_t cols, int64_t blocks, float* c,
                          int64_t c_stride, bool accumulate) {
  alignas(64) uint8_t bytes[kQ4 ? kPanelGroup * kBlockGroup * kQ8Tile : 64];
  const uint8_t* integers = right.integers;
  int64_t stride = right.stride;
  if constexpr (kQ4) {
    stride = kBlockGroup * kQ8Tile;
    for (int64_t j = 0; j < cols; j += kQuantSide)
      SpreadNibbles(right.integers + j / kQuantSide * right.stride, blocks,
                    bytes + j / kQuantSide * stride);
    integers = bytes;
    asm volatile("" : : "r"(bytes) : "memory");  // tile loads are not known to read it
  }
  for (int64_t row = 0; row < rows; row += kQuantSide) {
    const int64_t height = rows - row < kQuantSide ? rows - row : kQuantSide;
    for (int64_t j = 0; j < cols; j += kQuantSide) {
      const int64_t panel = j / kQuantSide;
      const int64_t width = cols - j < kQuantSide ? cols - j : kQuantSide;
      AmxQuantTile<kQ4>(left + row / kQuantSide * left_stride, height, integers + panel * stride,
                        PanelsFrom(right, panel).scales, LaneMask(static_cast<int>(width)), blocks,
                        c + row * c_stride + j, c_stride, accumulate);
    }
  }
}

template <bool kQ4>
void AmxQuantProduct(const QuantBlock* left, int64_t left_stride, int64_t rows,
                     const QuantPanels& right, int64_t cols, int64_t blocks, float* c,
                     int64_t c_stride, bool accumulate) {
  const int64_t last = rows % kQuantSide;
  const int64_t on_unit = last <= kVectorRows ? rows - last : rows;
  if (on_unit > 0) {
    ConfigureTiles();
    for (int64_t b = 0; b < blocks; b += kBlockGroup) {
      const int64_t count = blocks - b < kBlockGroup ? blocks - b : kBlockGroup;
      for (int64_t j = 0; j < cols; j += kQuantSide * kPanelGroup) {
        QuantPanels panels = PanelsFrom(right, j / kQuantSide);
        panels.integers += b * (kQ4 ? kQ4Tile : kQ8Tile);
        panels.scales += b * (kQ4 ? 2 * kQuantSide : kQuantSide);
        const int64_t width =
            cols - j < kQuantSide * kPanelGroup ? cols - j : kQuantSide * kPanelGroup;
        AmxQuantGroup<kQ4>(left + b, left_stride, on_unit, panels, width, count, c + j, c_stride,
                           accumulate || b > 0);
      }
    }
    ReleaseTiles();
  }
  if (on_unit < rows) {
    QuantProduct<kQ4>(left + on_unit / kQuantSide * left_stride, left_stride, rows - on_unit, right,
                      cols, blocks, c + on_unit * c_stride, c_stride, accumulate);
  }
}
