// Products of block formats with many rows on the matrix unit, for row_amx.cc, after amx_int8.inl
// and block_product.inl. A group of 32 of k has its own scale, so that one TDPBSSD multiplies half
// of a QuantBlock's rows with half of an unpacked tile; vector registers scale its 16 x 16 sums and
// hold C's, while the unit is 64 of k ahead. The unit and vector instructions take turns at the
// processor's ports: this is 1.6 times the speed of VNNI, not eight times. Groups of 16, of Q6_K,
// would gain nothing.

// So many rows beyond whole blocks of 16 are as fast in vector registers.
constexpr int64_t kBlockVectorRows = 8;

constexpr TileConfig MakeHalfTiles() {
  TileConfig config;
  config.row_bytes[4] = config.row_bytes[5] = 32;  // left
  config.rows[6] = config.rows[7] = 8;             // right
  return config;
}
constexpr TileConfig kHalfTiles = MakeHalfTiles();

// 16 x 16 sums of each of the two groups in 64 of k.
struct alignas(64) HalfDots {
  int32_t group[2][kQuantSide * kQuantSide];
};

inline void AmxHalfDots(const QuantBlock& left, const Unpacked& right, HalfDots* dots) {
  _tile_zero(0);
  _tile_loadd(4, left.q[0], kTileStride);
  _tile_loadd(6, right.q, kTileStride);
  _tile_dpbssd(0, 4, 6);
  _tile_stored(0, dots->group[0], kTileStride);
  _tile_zero(1);
  _tile_loadd(5, left.q[0] + 32, kTileStride);
  _tile_loadd(7, right.q + kQ8Tile / 2, kTileStride);
  _tile_dpbssd(1, 5, 7);
  _tile_stored(1, dots->group[1], kTileStride);
}

// Sums of 16 rows' numbers over the groups of a block: that of group g of row r at [r][2 * g].
using GroupSums = float[kQuantSide][4];

inline void FindGroupSums(const QuantBlock& left, GroupSums& to) {
#pragma GCC unroll 4
  for (int r = 0; r < kQuantSide; r += 4) {
    const __m512i of_16 = _mm512_load_si512(left.sums[r]);
    const __m512i of_32 = _mm512_add_epi32(of_16, _mm512_shuffle_epi32(of_16, _MM_PERM_CDAB));
    _mm512_store_ps(to[r], _mm512_cvtepi32_ps(of_32));
  }
}

// `rows` of 16 rows against unpacked panels, whose bytes are signed.
template <bool kLeast>
inline void AmxBlockPanels(const QuantBlock* left, int64_t rows, const Unpacked (*right)[kUnits],
                           int64_t cols, int64_t units, float* c, int64_t c_stride,
                           bool accumulate) {
  alignas(64) GroupSums group_sums[kUnits];
  for (int64_t u = 0; kLeast && u < units; ++u) FindGroupSums(left[u], group_sums[u]);
  HalfDots dots[2];
  __m512 sum[kQuantSide];
  AmxHalfDots(left[0], right[0][0], &dots[0]);
  int64_t u = 0;
  const int64_t steps = (cols + kQuantSide - 1) / kQuantSide * units;
  for (int64_t step = 0, p = 0; step < steps; ++step) {
    const __mmask16 columns = LaneMask(
        static_cast<int>(cols - p * kQuantSide < kQuantSide ? cols - p * kQuantSide : kQuantSide));
    float* to = c + p * kQuantSide;
    if (u == 0) {
#pragma GCC unroll 16
      for (int r = 0; r < kQuantSide; ++r) {
        sum[r] = accumulate && r < rows ? _mm512_maskz_loadu_ps(columns, to + r * c_stride)
                                        : _mm512_setzero_ps();
      }
    }
    const bool last = u + 1 == units;
    if (step + 1 < steps)
      AmxHalfDots(left[last ? 0 : u + 1], right[last ? p + 1 : p][last ? 0 : u + 1],
                  &dots[(step + 1) % 2]);
    const HalfDots& now = dots[step % 2];
    const Unpacked& w = right[p][u];
    const __m512 scale[2] = {_mm512_load_ps(w.scale[0]), _mm512_load_ps(w.scale[1])};
    const __m512 least[2] = {_mm512_load_ps(w.least[0]), _mm512_load_ps(w.least[1])};
#pragma GCC unroll 16
    for (int r = 0; r < kQuantSide; ++r) {
      __m512 total = _mm512_setzero_ps();
#pragma GCC unroll 2
      for (int g = 0; g < 2; ++g) {
        const __m512i dot = _mm512_load_si512(now.group[g] + r * kQuantSide);
        total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale[g], total);
        if constexpr (kLeast)
          total = _mm512_fmadd_ps(least[g], _mm512_set1_ps(group_sums[u][r][2 * g]), total);
      }
      sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(left[u].scale[r]), total, sum[r]);
    }
    if (!last) {
      ++u;
      continue;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kQuantSide; ++r) {
      if (r < rows) _mm512_mask_storeu_ps(to + r * c_stride, columns, sum[r]);
    }
    u = 0;
    ++p;
  }
}

template <bool kLeast>
[[gnu::noinline]] void AmxBlockGroup(const QuantBlock* left, int64_t left_stride, int64_t rows,
                                     Unpacked (*right)[kUnits], int32_t offset, int64_t cols,
                                     int64_t units, float* c, int64_t c_stride, bool accumulate) {
  const __m512i offsets = _mm512_set1_epi8(static_cast<char>(offset));
  for (int64_t p = 0; offset != 0 && p * kQuantSide < cols; ++p) {
    for (int64_t u = 0; u < units; ++u) {
      uint8_t* q = right[p][u].q;
#pragma GCC unroll 16
      for (int64_t i = 0; i < kQ8Tile; i += 64)
        _mm512_store_si512(q + i, _mm512_sub_epi8(_mm512_load_si512(q + i), offsets));
    }
  }
  asm volatile("" : : "r"(right) : "memory");  // tile loads are not known to read it
  for (int64_t row = 0; row < rows; row += kQuantSide) {
    AmxBlockPanels<kLeast>(left + row / kQuantSide * left_stride,
                           rows - row < kQuantSide ? rows - row : kQuantSide, right, cols, units,
                           c + row * c_stride, c_stride, accumulate);
  }
}

template <typename Block>
void AmxBlockProduct(const QuantBlock* left, int64_t left_stride, int64_t rows,
                     const BlockPanels& right, int64_t cols, int64_t blocks, float* c,
                     int64_t c_stride, bool accumulate) {
  const int64_t last = rows % kQuantSide;
  const int64_t on_unit = last <= kBlockVectorRows ? rows - last : rows;
  if (on_unit > 0) {
    _tile_loadconfig(&kHalfTiles);
    BlockManyRows<Block>(AmxBlockGroup<Block::kLeast>, left, left_stride, on_unit, right, cols,
                         blocks, c, c_stride, accumulate);
    ReleaseTiles();
  }
  if (on_unit < rows) {
    BlockProduct<Block>(left + on_unit / kQuantSide * left_stride, left_stride, rows - on_unit,
                        right, cols, blocks, c + on_unit * c_stride, c_stride, accumulate);
  }
}

struct AmxBlockProducts {
  template <typename Block>
  static constexpr BlockLoops Make() {
    if constexpr (Block::kGroups == 2) return {UnpackBlock<Block>, AmxBlockProduct<Block>};
    return BlockProducts::Make<Block>();
  }
};
