// GemmLoops for one instruction set. Included once, in an anonymous namespace, after a simd_*.inl
// and with kTileRows (rows of the register tile), kTileVectors (accumulators that fit the
// registers) and kMaxPanels defined.

// A register tile of R rows and P panels. B's element (k, j) of panel p is b[p*b_panel + k*16 + j].
// Only the last panel may be narrower than 16: it has `tail` columns. Meanwhile the R rows of A
// from `next` on, if not null, are fetched into the caches.
template <int R, int P, bool kSlivers>
inline void GemmTile(const float* a, int64_t a_stride, const float* b, int64_t b_panel, int64_t k,
                     float* c, int64_t c_stride, int tail, bool accumulate, const float* next) {
  V acc[R][P];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      __builtin_prefetch(c + r * c_stride + 16 * p, 1);  // C is written once the chain is done
      if (!accumulate) {
        acc[r][p] = Zero();
      } else if (p < P - 1 || tail == 16) {
        acc[r][p] = Load(c + r * c_stride + 16 * p);
      } else {
        acc[r][p] = LoadN(c + r * c_stride + 16 * p, tail);
      }
    }
  }
  const auto step = [&]() __attribute__((always_inline)) {
    V column[P];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) column[p] = Load(b + p * b_panel);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V x = Set1(kSlivers ? a[r] : a[r * a_stride]);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) acc[r][p] = Fma(x, column[p], acc[r][p]);
    }
    a += kSlivers ? kTileRows : 1;
    b += kPanel;
  };
  int64_t i = 0;
  if constexpr (R == kTileRows) {  // where nearly all time goes: less counting for each product
    for (; i + 4 <= k; i += 4) {
      if (next != nullptr && i % 16 == 0) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) __builtin_prefetch(next + r * a_stride + i);
      }
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) step();
    }
  }
  for (; i < k; ++i) step();
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      if (p < P - 1 || tail == 16) {
        Store(c + r * c_stride + 16 * p, acc[r][p]);
      } else {
        StoreN(c + r * c_stride + 16 * p, acc[r][p], tail);
      }
    }
  }
}

// Calls GemmTile<R, P> for R = rows, 1 <= rows <= kRows.
template <int kRows, int P, bool kSlivers, typename... Args>
inline void GemmTileOfRows(int rows, Args... args) {
  if (rows == kRows) return GemmTile<kRows, P, kSlivers>(args...);
  if constexpr (kRows > 1) GemmTileOfRows<kRows - 1, P, kSlivers>(rows, args...);
}

// Panels side by side in a tile of `rows` rows, so that there are accumulators enough to hide the
// latency of an FMA.
constexpr int PanelsWide(int rows) {
  const int wide = kTileVectors / rows;
  return wide > kMaxPanels ? kMaxPanels : wide;
}

// Rows of the next tile: the last two tiles share what is left evenly.
inline int NextRows(int64_t left, bool slivers) {
  if (left <= kTileRows) return static_cast<int>(left);
  if (slivers || left >= 2 * kTileRows) return kTileRows;
  return static_cast<int>((left + 1) / 2);
}

// All rows against P panels. `fetch`: it is the first pass over A, whose rows may come from memory.
template <int P, bool kSlivers>
inline void GemmColumn(const float* a, int64_t a_stride, int64_t rows, const float* b,
                       int64_t b_panel, int64_t k, float* c, int64_t c_stride, int tail,
                       bool accumulate, bool fetch = false) {
  for (int64_t i = 0; i < rows;) {
    const int count = NextRows(rows - i, kSlivers);
    const bool ahead = fetch && i + count + kTileRows <= rows;
    const float* next = ahead ? a + (i + count) * a_stride : nullptr;
    GemmTileOfRows<kTileRows, P, kSlivers>(count, a + i * (kSlivers ? k : a_stride), a_stride, b,
                                           b_panel, k, c + i * c_stride, c_stride, tail, accumulate,
                                           next);
    i += count;
  }
}

// All rows against the last panels, at most P: all at once, for few accumulators would wait for
// each other.
template <int P, bool kSlivers>
inline void GemmLastColumns(const float* a, int64_t a_stride, int64_t rows, const float* b,
                            int64_t b_panel, int64_t cols, int64_t k, float* c, int64_t c_stride,
                            bool accumulate) {
  if (cols > 16 * (P - 1)) {
    return GemmColumn<P, kSlivers>(a, a_stride, rows, b, b_panel, k, c, c_stride,
                                   static_cast<int>(cols - 16 * (P - 1)), accumulate);
  }
  if constexpr (P > 1) {
    GemmLastColumns<P - 1, kSlivers>(a, a_stride, rows, b, b_panel, cols, k, c, c_stride,
                                     accumulate);
  }
}

// All rows against all panels, P at a time, which stay in a first- or second-level cache while the
// rows pass by.
template <int P, bool kSlivers>
inline void GemmColumns(const float* a, int64_t a_stride, int64_t rows, const float* b,
                        int64_t b_panel, int64_t cols, int64_t k, float* c, int64_t c_stride,
                        bool accumulate) {
  int64_t j = 0;
  for (; j + 16 * P <= cols; j += 16 * P) {
    GemmColumn<P, kSlivers>(a, a_stride, rows, b + j / 16 * b_panel, b_panel, k, c + j, c_stride,
                            16, accumulate, !kSlivers && j == 0);
  }
  if (j < cols) {
    GemmLastColumns<P, kSlivers>(a, a_stride, rows, b + j / 16 * b_panel, b_panel, cols - j, k,
                                 c + j, c_stride, accumulate);
  }
}

// Few rows: one tile high, as many panels wide as the registers hold.
template <int kRows>
inline void GemmFewRows(int64_t rows, const float* a, int64_t a_stride, const float* b,
                        int64_t b_panel, int64_t cols, int64_t k, float* c, int64_t c_stride,
                        bool accumulate) {
  if (rows == kRows) {
    return GemmColumns<PanelsWide(kRows), false>(a, a_stride, rows, b, b_panel, cols, k, c,
                                                 c_stride, accumulate);
  }
  if constexpr (kRows > 1) {
    GemmFewRows<kRows - 1>(rows, a, a_stride, b, b_panel, cols, k, c, c_stride, accumulate);
  }
}

void PanelProduct(const float* a, int64_t a_stride, int64_t rows, const float* panels,
                  int64_t panel_stride, int64_t cols, int64_t k, float* c, int64_t c_stride,
                  bool accumulate) {
  if (rows <= kTileRows) {
    return GemmFewRows<kTileRows>(rows, a, a_stride, panels, panel_stride, cols, k, c, c_stride,
                                  accumulate);
  }
  GemmColumns<PanelsWide(kTileRows), false>(a, a_stride, rows, panels, panel_stride, cols, k, c,
                                            c_stride, accumulate);
}

void SliverProduct(const float* slivers, int64_t rows, const float* panels, int64_t panel_stride,
                   int64_t cols, int64_t k, float* c, int64_t c_stride, bool accumulate) {
  GemmColumns<PanelsWide(kTileRows), true>(slivers, 0, rows, panels, panel_stride, cols, k, c,
                                           c_stride, accumulate);
}

// Transposes rows x k, element (r, i) to out[i * width + r]; rows <= width, the rest zero.
inline void TransposeEdge(const float* in, int64_t stride, int64_t rows, int64_t k, float* out,
                          int64_t width) {
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t r = 0; r < rows; ++r) out[i * width + r] = in[r * stride + i];
    for (int64_t r = rows; r < width; ++r) out[i * width + r] = 0;
  }
}

void PackPanelsNT(const float* w, int64_t stride, int64_t cols, int64_t k, float* panels,
                  int64_t panel_stride) {
  for (int64_t j = 0; j < cols; j += kPanel) {
    const int64_t width = cols - j < kPanel ? cols - j : kPanel;
    float* panel = panels + j / kPanel * panel_stride;
    const float* from = w + j * stride;
    int64_t i = 0;
    for (; width == kPanel && i + 8 <= k; i += 8) {
      Transpose8(from + i, stride, panel + i * kPanel, kPanel);
      Transpose8(from + 8 * stride + i, stride, panel + i * kPanel + 8, kPanel);
    }
    TransposeEdge(from + i, stride, width, k - i, panel + i * kPanel, kPanel);
  }
}

// As many of B's rows at a time as a processor prefetches side by side.
void PackPanelsNN(const float* b, int64_t stride, int64_t cols, int64_t k, float* panels,
                  int64_t panel_stride) {
  constexpr int64_t kChunk = 4;
  for (int64_t begin = 0; begin < k; begin += kChunk) {
    const int64_t end = k - begin < kChunk ? k : begin + kChunk;
    for (int64_t j = 0; j < cols; j += kPanel) {
      const int width = cols - j < kPanel ? static_cast<int>(cols - j) : kPanel;
      float* panel = panels + j / kPanel * panel_stride;
      for (int64_t i = begin; i < end; ++i) {
        const float* row = b + i * stride + j;
        Store(panel + i * kPanel, width == kPanel ? Load(row) : LoadN(row, width));
      }
    }
  }
}

// Transposes eight rows at a time. A tile of fewer rows than eight takes the next tile's first rows
// along; what that writes too much is written over by the next k, and at the end by the next tile.
void PackSlivers(const float* a, int64_t stride, int64_t rows, int64_t k, float* slivers) {
  constexpr int64_t kReach = kTileRows < 8 ? 8 : kTileRows;
  for (int64_t r = 0; r < rows; r += kTileRows) {
    const int64_t height = rows - r < kTileRows ? rows - r : kTileRows;
    const float* from = a + r * stride;
    int64_t i = 0;
    for (; r + kReach <= rows && i + 8 <= k; i += 8) {
      for (int64_t x = 0; x + 8 < kReach; x += 8) {
        Transpose8(from + x * stride + i, stride, slivers + i * kTileRows + x, kTileRows);
      }
      Transpose8(from + (kReach - 8) * stride + i, stride, slivers + i * kTileRows + kReach - 8,
                 kTileRows);
    }
    TransposeEdge(from + i, stride, height, k - i, slivers + i * kTileRows, kTileRows);
    slivers += k * kTileRows;
  }
}

// Some rows of A^T at a time, so that its lines are read in order and once.
void PackSliversT(const float* a, int64_t stride, int64_t rows, int64_t k, float* slivers) {
  constexpr int64_t kChunk = 8;
  constexpr int64_t kReach = (kTileRows + 3) / 4 * 4;  // whole registers
  static_assert(kReach <= 2 * kTileRows);
  for (int64_t begin = 0; begin < k; begin += kChunk) {
    const int64_t end = k - begin < kChunk ? k : begin + kChunk;
    for (int64_t r = 0; r < rows; r += kTileRows) {
      const int64_t height = rows - r < kTileRows ? rows - r : kTileRows;
      const float* from = a + begin * stride + r;
      float* to = slivers + r * k + begin * kTileRows;
      int64_t i = begin;
      // What this writes too much, the next k writes over.
      for (; r + kReach <= rows && i < end && i + 1 < k; ++i, from += stride, to += kTileRows) {
        __builtin_memcpy(to, from, kReach * sizeof(float));
      }
      for (; i < end; ++i, from += stride, to += kTileRows) {
        for (int64_t x = 0; x < kTileRows; ++x) to[x] = x < height ? from[x] : 0;
      }
    }
  }
}

float FmaProbe(int64_t rounds) {
  // The compiler must not see that lanes are equal, or it computes them once.
  float start[16] = {};
  asm volatile("" : : "r"(start) : "memory");
  V acc[kTileVectors];
#pragma GCC unroll 32
  for (int i = 0; i < kTileVectors; ++i) {
    acc[i] = Load(start);
    start[i % 16] += 1;
    asm volatile("" : : "r"(start) : "memory");
  }
  const V half = Set1(0.5f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kTileVectors; ++i) acc[i] = Fma(acc[i], half, half);
  }
  V sum = Zero();
  for (int i = 0; i < kTileVectors; ++i) sum = Add(sum, acc[i]);
  return ReduceAdd(sum);
}

float ReadProbe(const float* x, int64_t n) {
  constexpr int kSums = 8;  // enough that no addition waits for the one before
  V sums[kSums];
#pragma GCC unroll 8
  for (int i = 0; i < kSums; ++i) sums[i] = Zero();
  for (const float* end = x + n; x < end; x += 16 * kSums) {
#pragma GCC unroll 8
    for (int i = 0; i < kSums; ++i) sums[i] = Add(sums[i], Load(x + i * 16));
  }
  V sum = Zero();
  for (int i = 0; i < kSums; ++i) sum = Add(sum, sums[i]);
  return ReduceAdd(sum);
}

constexpr GemmLoops MakeGemmLoops() {
  return {kTileRows,   PanelProduct, SliverProduct, PackPanelsNT,      PackPanelsNN,
          PackSlivers, PackSliversT, FmaProbe,      kTileVectors * 16, ReadProbe};
}
