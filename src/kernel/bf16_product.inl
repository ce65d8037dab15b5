// Bf16Loops for a vector instruction set. Included once, in an anonymous namespace, after a
// simd_*.inl, bf16_tiles_*.inl and bf16_steps_*.inl and with kPairRows x kPairPanels, the register
// tile of two chains each, defined.

// Spread at once as steps take them, two lanes of 32 bits for each: the rows of A and panels of B
// of kChunk tiles of depth. Strides are such that rows side by side do not meet in the same set of
// a first-level cache.
constexpr int64_t kChunk = 8;
constexpr int64_t kSpreadStride = kChunk * 2 * kSteps + 16;
constexpr int64_t kSpreadRows = 96;
constexpr int64_t kSpreadPanel = kChunk * 2 * kSteps * 16;
// From so many rows on, panels are spread once for all of them.
constexpr int64_t kSpreadPanels = 16;

// B's panels: tiles, which are spread in registers, or spread ones.
struct TilePanels {
  const Bf16* b;
  int64_t block;
  V Even(int panel, int64_t step) const { return EvenColumns(b + panel * block, step); }
  V Odd(int panel, int64_t step) const { return OddColumns(b + panel * block, step); }
};
struct SpreadPanels {
  const float* b;
  V Even(int panel, int64_t step) const { return Load(b + panel * kSpreadPanel + step * 32); }
  V Odd(int panel, int64_t step) const { return Load(b + panel * kSpreadPanel + step * 32 + 16); }
};

// A register tile of R rows and P panels of 16 columns: for each 32 of depth a chain of even and
// one of odd k, whose sum is added to C. `a` holds the rows spread.
template <int R, int P, typename PanelsOf>
inline void PairTile(const float* a, const PanelsOf& b, int64_t tiles, float* c, int64_t c_stride,
                     int tail, bool accumulate) {
  for (int64_t t = 0; t < tiles; ++t) {
    V even[R][P], odd[R][P];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) even[r][p] = odd[r][p] = Zero();
    }
    for (int64_t step = kSteps * t; step < kSteps * (t + 1); ++step) {
      V column[P];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) column[p] = b.Even(p, step);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V x = Set1(a[r * kSpreadStride]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) even[r][p] = Chain(x, column[p], even[r][p]);
      }
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) column[p] = b.Odd(p, step);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V x = Set1(a[r * kSpreadStride + 1]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) odd[r][p] = Chain(x, column[p], odd[r][p]);
      }
      a += 2;
    }
    const bool add = accumulate || t > 0;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        float* to = c + r * c_stride + 16 * p;
        const int width = p < P - 1 ? 16 : tail;
        const V sum = Add(even[r][p], odd[r][p]);
        if (width == 16) {
          Store(to, Add(add ? Load(to) : Zero(), sum));
        } else {
          StoreN(to, Add(add ? LoadN(to, width) : Zero(), sum), width);
        }
      }
    }
  }
}

// Calls PairTile<R, P> for R = rows, 1 <= rows <= kRows.
template <int kRows, int P, typename... Args>
inline void PairTileOfRows(int64_t rows, const Args&... args) {
  if (rows == kRows) return PairTile<kRows, P>(args...);
  if constexpr (kRows > 1) PairTileOfRows<kRows - 1, P>(rows, args...);
}

// All rows, kRows at a time, against P panels.
template <int kRows, int P, typename PanelsOf>
inline void PairColumn(const float* spread, int64_t rows, const PanelsOf& panels, int64_t tiles,
                       float* c, int64_t c_stride, int tail, bool accumulate) {
  for (int64_t row = 0; row < rows; row += kRows) {
    const int64_t count = rows - row < kRows ? rows - row : kRows;
    PairTileOfRows<kRows, P>(count, spread + row * kSpreadStride, panels, tiles, c + row * c_stride,
                             c_stride, tail, accumulate);
  }
}

inline void SpreadRows(const Bf16* left, int64_t left_block, int64_t rows, int64_t tiles,
                       float* spread) {
  for (int64_t row = 0; row < rows; ++row) {
    const Bf16* from = left + row / kTileSide * left_block + row % kTileSide * kTileDepth;
    for (int64_t t = 0; t < tiles; ++t)
      SpreadRow(from + t * kTileSize, spread + row * kSpreadStride + t * 2 * kSteps);
  }
}

// Panels of tiles, P at a time; of a few rows spread in registers.
template <int kRows, int P>
inline void PairColumns(const float* spread, int64_t rows, const Bf16* right, int64_t right_block,
                        int64_t cols, int64_t tiles, float* c, int64_t c_stride, bool accumulate) {
  int64_t j = 0;
  const auto run = [&]<int kPanels>(int tail) {
    const TilePanels panels{right + j / 16 * right_block, right_block};
    if (rows < kSpreadPanels) {
      return PairColumn<kRows, kPanels>(spread, rows, panels, tiles, c + j, c_stride, tail,
                                        accumulate);
    }
    alignas(64) float columns[kPanels * kSpreadPanel];
    for (int p = 0; p < kPanels; ++p) {
      for (int64_t step = 0; step < kSteps * tiles; ++step) {
        float* to = columns + p * kSpreadPanel + step * 32;
        Store(to, panels.Even(p, step));
        Store(to + 16, panels.Odd(p, step));
      }
    }
    PairColumn<kRows, kPanels>(spread, rows, SpreadPanels{columns}, tiles, c + j, c_stride, tail,
                               accumulate);
  };
  for (; j + 16 * P <= cols; j += 16 * P) run.template operator()<P>(16);
  for (; j < cols; j += 16)
    run.template operator()<1>(cols - j < 16 ? static_cast<int>(cols - j) : 16);
}

void Bf16Product(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
                 int64_t right_block, int64_t cols, int64_t tiles, float* c, int64_t c_stride,
                 bool accumulate) {
  alignas(64) float spread[kSpreadRows * kSpreadStride];
  for (int64_t row = 0; row < rows; row += kSpreadRows) {
    const int64_t count = rows - row < kSpreadRows ? rows - row : kSpreadRows;
    for (int64_t t = 0; t < tiles; t += kChunk) {
      const int64_t depth = tiles - t < kChunk ? tiles - t : kChunk;
      SpreadRows(left + row / kTileSide * left_block + t * kTileSize, left_block, count, depth,
                 spread);
      const auto run = [&]<int kRows, int P>() {
        PairColumns<kRows, P>(spread, count, right + t * kTileSize, right_block, cols, depth,
                              c + row * c_stride, c_stride, accumulate || t > 0);
      };
      // One row has registers to spare: more panels hide the latency of a multiply-add.
      constexpr int kFit = kPairRows * kPairPanels;
      if (count == 1) {
        run.template operator() < 1, kFit<4 ? kFit : 4>();
      } else {
        run.template operator()<kPairRows, kPairPanels>();
      }
    }
  }
}

// Vector units need nothing beside kernel/denormals.h.
void BeginProducts() {}
void EndProducts() {}

constexpr Bf16Loops MakeBf16Loops() {
  return {Pack, BeginProducts, EndProducts, Bf16Product, StepProbe, kStepProbeWidth, kSpreadRows};
}
