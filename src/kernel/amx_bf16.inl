// Bf16Loops on the matrix unit, for row_amx.cc. A tile register holds a tile of
// kernel/bf16_loops.h, or 16 x 16 sums; TDPBF16PS on three of them is one step of the definition in
// gemm_bf16.h.

// All eight tile registers hold 16 rows of 64 bytes. In static storage: GCC 12 believes that
// _tile_loadconfig reads 8 of the 64 bytes, and deletes the stores to a local one.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileConfig kTileConfig;

void ConfigureTiles() { _tile_loadconfig(&kTileConfig); }
void ReleaseTiles() { _tile_release(); }

constexpr int64_t kTileStride = 64;  // bytes from one row of a tile to the next

// Registers are named by constants: sums 0-3, right 4-6 or 5-7, left what is left.

// 32 rows x 32 columns.
inline void Amx2x2(const Bf16* left, int64_t left_block, const Bf16* right, int64_t right_block,
                   int64_t tiles, float* c, int64_t c_stride, bool accumulate) {
  const int64_t c_bytes = c_stride * static_cast<int64_t>(sizeof(float));
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, c + 16 * c_stride, c_bytes);
    _tile_loadd(3, c + 16 * c_stride + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t t = 0; t < tiles * kTileSize; t += kTileSize) {
    _tile_loadd(4, left + t, kTileStride);
    _tile_stream_loadd(6, right + t, kTileStride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_stream_loadd(7, right + right_block + t, kTileStride);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + left_block + t, kTileStride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, c + 16 * c_stride, c_bytes);
  _tile_stored(3, c + 16 * c_stride + 16, c_bytes);
}

// 16 rows x 64 columns: four chains, so that one does not wait for itself.
inline void Amx1x4(const Bf16* left, const Bf16* right, int64_t right_block, int64_t tiles,
                   float* c, int64_t c_stride, bool accumulate) {
  const int64_t c_bytes = c_stride * static_cast<int64_t>(sizeof(float));
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, c + 32, c_bytes);
    _tile_loadd(3, c + 48, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t t = 0; t < tiles * kTileSize; t += kTileSize) {
    _tile_loadd(4, left + t, kTileStride);
    _tile_loadd(5, right + t, kTileStride);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, right + right_block + t, kTileStride);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, right + 2 * right_block + t, kTileStride);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, right + 3 * right_block + t, kTileStride);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, c + 32, c_bytes);
  _tile_stored(3, c + 48, c_bytes);
}

// 16 rows x 16 columns.
inline void Amx1x1(const Bf16* left, const Bf16* right, int64_t tiles, float* c, int64_t c_stride,
                   bool accumulate) {
  const int64_t c_bytes = c_stride * static_cast<int64_t>(sizeof(float));
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
  } else {
    _tile_zero(0);
  }
  for (int64_t t = 0; t < tiles * kTileSize; t += kTileSize) {
    _tile_loadd(4, left + t, kTileStride);
    _tile_loadd(5, right + t, kTileStride);
    _tile_dpbf16ps(0, 4, 5);
  }
  _tile_stored(0, c, c_bytes);
}

// As `run` on rows x cols of C, which is narrower than what `run` writes: through a copy.
template <int kRows, int kCols, typename Run>
inline void ThroughCopy(int64_t rows, int64_t cols, float* c, int64_t c_stride, bool accumulate,
                        const Run& run) {
  alignas(64) float copy[kRows * kCols];
  const auto mask = [&](int64_t j) {
    const int64_t lanes = cols - j;
    return static_cast<__mmask16>(lanes >= 16 ? 0xffff : lanes > 0 ? (1 << lanes) - 1 : 0);
  };
  for (int64_t i = 0; i < kRows && accumulate; ++i) {
    for (int64_t j = 0; j < kCols; j += 16) {
      const __mmask16 wanted = i < rows ? mask(j) : __mmask16{0};
      _mm512_store_ps(copy + i * kCols + j,
                      _mm512_maskz_loadu_ps(wanted, c + (wanted ? i * c_stride + j : 0)));
    }
  }
  asm volatile("" : : "r"(copy) : "memory");  // tile loads and stores are not known to touch it
  run(copy);
  asm volatile("" : : "r"(copy) : "memory");
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; j += 16) {
      _mm512_mask_storeu_ps(c + i * c_stride + j, mask(j), _mm512_load_ps(copy + i * kCols + j));
    }
  }
}

// Up to 16 rows.
inline void AmxFewRows(const Bf16* left, int64_t rows, const Bf16* right, int64_t right_block,
                       int64_t cols, int64_t tiles, float* c, int64_t c_stride, bool accumulate) {
  int64_t j = 0;
  for (; j + 48 < cols; j += 64) {  // the last one may lack some of its 64 columns
    const Bf16* from = right + j / 16 * right_block;
    if (rows == 16 && j + 64 <= cols) {
      Amx1x4(left, from, right_block, tiles, c + j, c_stride, accumulate);
    } else {
      ThroughCopy<16, 64>(
          rows, cols - j < 64 ? cols - j : 64, c + j, c_stride, accumulate,
          [&](float* copy) { Amx1x4(left, from, right_block, tiles, copy, 64, accumulate); });
    }
  }
  for (; j < cols; j += 16) {
    ThroughCopy<16, 16>(rows, cols - j < 16 ? cols - j : 16, c + j, c_stride, accumulate,
                        [&](float* copy) {
                          Amx1x1(left, right + j / 16 * right_block, tiles, copy, 16, accumulate);
                        });
  }
}

void AmxProduct(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
                int64_t right_block, int64_t cols, int64_t tiles, float* c, int64_t c_stride,
                bool accumulate) {
  for (int64_t i = 0; i < rows; i += 32) {
    const Bf16* a = left + i / 16 * left_block;
    float* to = c + i * c_stride;
    const int64_t height = rows - i < 32 ? rows - i : 32;
    if (height <= 16) {
      AmxFewRows(a, height, right, right_block, cols, tiles, to, c_stride, accumulate);
      break;
    }
    int64_t j = 0;
    for (; j + 16 < cols; j += 32) {
      const Bf16* b = right + j / 16 * right_block;
      if (height == 32 && j + 32 <= cols) {
        Amx2x2(a, left_block, b, right_block, tiles, to + j, c_stride, accumulate);
      } else {
        ThroughCopy<32, 32>(height, cols - j < 32 ? cols - j : 32, to + j, c_stride, accumulate,
                            [&](float* copy) {
                              Amx2x2(a, left_block, b, right_block, tiles, copy, 32, accumulate);
                            });
      }
    }
    if (j < cols) {  // 16 columns or fewer
      const Bf16* b = right + j / 16 * right_block;
      AmxFewRows(a, 16, b, right_block, cols - j, tiles, to + j, c_stride, accumulate);
      AmxFewRows(a + left_block, height - 16, b, right_block, cols - j, tiles,
                 to + 16 * c_stride + j, c_stride, accumulate);
    }
  }
}

float AmxProbe(int64_t rounds) {
  ConfigureTiles();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  alignas(64) float sums[256];
  _tile_stored(0, sums, kTileStride);
  asm volatile("" : : "r"(sums) : "memory");
  ReleaseTiles();
  return sums[0];
}
