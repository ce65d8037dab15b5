// Bf16Loops on the matrix unit, for row_amx.cc. A tile register holds a tile of
// kernel/bf16_loops.h, or 16 x 16 sums; TDPBF16PS on three of them is one step of the definition in
// gemm_bf16.h. Registers are named by constants: sums 0-3, left 4 and 5, right 6 and 7, or for up
// to 16 rows left 4, right 5-7. Right tiles pass by once for each 16 or 32 rows, and are loaded as
// such: they would drive the left ones out of a first-level cache.

// Tile registers for up to 32 rows of C: what lies beyond the last is neither computed nor stored.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};

  constexpr TileConfig() = default;
  constexpr explicit TileConfig(int height) {
    const auto first = static_cast<uint8_t>(height < 16 ? height : 16);
    const auto second = static_cast<uint8_t>(height - first);
    if (second > 0) {
      rows[2] = rows[3] = rows[5] = second;
    } else {
      rows[0] = rows[1] = rows[2] = rows[3] = rows[4] = first;
    }
  }
};
// In static storage: GCC 12 believes that _tile_loadconfig reads 8 of the 64 bytes, and deletes the
// stores to a local one.
struct TileConfigs {
  TileConfig of_height[33];
  constexpr TileConfigs() {
    for (int height = 1; height <= 32; ++height) of_height[height] = TileConfig(height);
  }
};
constexpr TileConfigs kTileConfigs;

void ConfigureTiles() { _tile_loadconfig(&kTileConfigs.of_height[32]); }
void ReleaseTiles() { _tile_release(); }

// 17 to 32 rows x kPanels * 16 columns, two panels at most.
template <int kPanels>
inline void AmxTall(const Bf16* left, int64_t left_block, const Bf16* right, int64_t right_block,
                    int64_t tiles, float* c, int64_t c_stride, bool accumulate) {
  const int64_t c_bytes = c_stride * static_cast<int64_t>(sizeof(float));
  float* lower = c + 16 * c_stride;
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (kPanels > 1) _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, lower, c_bytes);
    if constexpr (kPanels > 1) _tile_loadd(3, lower + 16, c_bytes);
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
    if constexpr (kPanels > 1) {
      _tile_stream_loadd(7, right + right_block + t, kTileStride);
      _tile_dpbf16ps(1, 4, 7);
    }
    _tile_loadd(5, left + left_block + t, kTileStride);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (kPanels > 1) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (kPanels > 1) _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, lower, c_bytes);
  if constexpr (kPanels > 1) _tile_stored(3, lower + 16, c_bytes);
}

// 1 to 16 rows x kPanels * 16 columns, four panels at most: four chains, so that one does not wait
// for itself.
template <int kPanels>
inline void AmxFlat(const Bf16* left, const Bf16* right, int64_t right_block, int64_t tiles,
                    float* c, int64_t c_stride, bool accumulate) {
  const int64_t c_bytes = c_stride * static_cast<int64_t>(sizeof(float));
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (kPanels > 1) _tile_loadd(1, c + 16, c_bytes);
    if constexpr (kPanels > 2) _tile_loadd(2, c + 32, c_bytes);
    if constexpr (kPanels > 3) _tile_loadd(3, c + 48, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t t = 0; t < tiles * kTileSize; t += kTileSize) {
    _tile_loadd(4, left + t, kTileStride);
    _tile_stream_loadd(5, right + t, kTileStride);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (kPanels > 1) {
      _tile_stream_loadd(6, right + right_block + t, kTileStride);
      _tile_dpbf16ps(1, 4, 6);
    }
    if constexpr (kPanels > 2) {
      _tile_stream_loadd(7, right + 2 * right_block + t, kTileStride);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (kPanels > 3) {
      _tile_stream_loadd(5, right + 3 * right_block + t, kTileStride);
      _tile_dpbf16ps(3, 4, 5);
    }
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (kPanels > 1) _tile_stored(1, c + 16, c_bytes);
  if constexpr (kPanels > 2) _tile_stored(2, c + 32, c_bytes);
  if constexpr (kPanels > 3) _tile_stored(3, c + 48, c_bytes);
}

template <int kPanels>
struct Panels {
  static constexpr int kCount = kPanels;
};

// `rows` rows, for which the registers are configured, x kPanels * 16 columns.
template <int kPanels>
inline void AmxPanels(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
                      int64_t right_block, int64_t tiles, float* c, int64_t c_stride,
                      bool accumulate) {
  if constexpr (kPanels <= 2) {
    if (rows > 16) {
      return AmxTall<kPanels>(left, left_block, right, right_block, tiles, c, c_stride, accumulate);
    }
  }
  AmxFlat<kPanels>(left, right, right_block, tiles, c, c_stride, accumulate);
}

// The same for up to 64 columns, where rows > 16 up to 32, by way of a copy where the last panel is
// not whole.
void AmxEdge(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
             int64_t right_block, int64_t cols, int64_t tiles, float* c, int64_t c_stride,
             bool accumulate) {
  constexpr int64_t kCopyStride = 64;
  alignas(64) float copy[32 * kCopyStride];
  const bool whole = cols % 16 == 0;
  for (int64_t i = 0; i < rows && accumulate && !whole; ++i) {
    for (int64_t j = 0; j < cols; j += 16) {
      _mm512_store_ps(copy + i * kCopyStride + j,
                      _mm512_maskz_loadu_ps(FirstLanes(cols - j), c + i * c_stride + j));
    }
  }
  asm volatile("" : : "r"(copy) : "memory");  // tile loads and stores are not known to touch it
  const auto run = [&](auto panels) {
    AmxPanels<panels.kCount>(left, left_block, rows, right, right_block, tiles, whole ? c : copy,
                             whole ? c_stride : kCopyStride, accumulate);
  };
  if (cols > 48) {
    run(Panels<4>{});
  } else if (cols > 32) {
    run(Panels<3>{});
  } else if (cols > 16) {
    run(Panels<2>{});
  } else {
    run(Panels<1>{});
  }
  asm volatile("" : : "r"(copy) : "memory");
  for (int64_t i = 0; i < rows && !whole; ++i) {
    for (int64_t j = 0; j < cols; j += 16) {
      _mm512_mask_storeu_ps(c + i * c_stride + j, FirstLanes(cols - j),
                            _mm512_load_ps(copy + i * kCopyStride + j));
    }
  }
}

void AmxProduct(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
                int64_t right_block, int64_t cols, int64_t tiles, float* c, int64_t c_stride,
                bool accumulate) {
  for (int64_t i = 0; i < rows; i += 32) {
    const int64_t height = rows - i < 32 ? rows - i : 32;
    if (height < 32) _tile_loadconfig(&kTileConfigs.of_height[height]);
    const Bf16* a = left + i / 16 * left_block;
    float* to = c + i * c_stride;
    int64_t j = 0;
    // Nothing else is stored here: while C is written to memory, the queue of stores is full, and
    // a store that waits for a place in it would hold up the products behind it.
    if (height > 16) {
      for (; j + 32 <= cols; j += 32) {
        AmxTall<2>(a, left_block, right + j / 16 * right_block, right_block, tiles, to + j,
                   c_stride, accumulate);
      }
    } else {
      for (; j + 64 <= cols; j += 64) {
        AmxFlat<4>(a, right + j / 16 * right_block, right_block, tiles, to + j, c_stride,
                   accumulate);
      }
    }
    if (j < cols) {
      AmxEdge(a, left_block, height, right + j / 16 * right_block, right_block, cols - j, tiles,
              to + j, c_stride, accumulate);
    }
    if (height < 32) ConfigureTiles();
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
