// The products of QuantLoops for a vector instruction set. Included once, in an anonymous
// namespace, after a simd_*.inl and an int_*.inl and with kQuantRows, the most rows of a register
// tile, and kQuantSums, the most integer sums of one, defined.

constexpr int64_t kPanelGroup = 4;  // panels that many rows share in the first-level cache
constexpr int64_t kBlockGroup = 8;  // blocks of them

// The integer sums of one block: R rows from `row` on and P panels.
template <bool kQ4, int R, int P>
inline void QuantDots(const QuantBlock& left, int64_t row, const uint8_t* integers, int64_t stride,
                      Dots<kQ4 ? 4 : 8> (&dot)[R][P]) {
  const int8_t* x = left.q[row];
  if constexpr (kQ4) {
#pragma GCC unroll 16
    for (int line = 0; line < 16; line += 2) {
      W low[P], high[P];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) LoadNibbles(integers + p * stride + 32 * line, &low[p], &high[p]);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const X first = LoadFour(x + r * kQuantBlock + 4 * line);
        const X second = LoadFour(x + r * kQuantBlock + 4 * line + 4);
        const auto start = [] { return IntSet1(0); };
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          dot[r][p].Add(low[p], first, line, start);
          dot[r][p].Add(high[p], second, line + 1, start);
        }
      }
    }
  } else {
#pragma GCC unroll 16
    for (int line = 0; line < 16; ++line) {
      W w[P];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) w[p] = LoadSigned(integers + p * stride + 64 * line);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const X four = LoadFour(x + r * kQuantBlock + 4 * line);
        const auto start = [&] { return IntSet1(-kSignedOffset * left.sum[row + r]); };
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) dot[r][p].Add(w[p], four, line, start);
      }
    }
  }
}

// A register tile of R rows from `row` on and P panels, of the last one `tail` columns.
template <bool kQ4, int R, int P>
inline void QuantTile(const QuantBlock* left, int64_t row, const QuantPanels& right, int64_t blocks,
                      float* c, int64_t c_stride, int tail, bool accumulate) {
  constexpr int64_t kTile = kQ4 ? kQ4Tile : kQ8Tile;
  constexpr int64_t kScales = kQ4 ? 2 * kQuantSide : kQuantSide;
  const int64_t scales_stride = right.stride / static_cast<int64_t>(sizeof(F16));
  V sum[R][P];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const float* from = c + r * c_stride + 16 * p;
      sum[r][p] = !accumulate ? Zero() : p < P - 1 ? Load(from) : LoadN(from, tail);
    }
  }
  for (int64_t b = 0; b < blocks; ++b) {
    Dots<kQ4 ? 4 : 8> dot[R][P];
    QuantDots<kQ4, R, P>(left[b], row, right.integers + b * kTile, right.stride, dot);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const F16* scales = right.scales + p * scales_stride + b * kScales;
      const V scale = LoadHalfs(scales);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V both = Mul(Set1(left[b].scale[row + r]), scale);
        sum[r][p] = Fma(ToFloats(dot[r][p].sum), both, sum[r][p]);
      }
      if constexpr (kQ4) {
        const V least = LoadHalfs(scales + kQuantSide);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
          sum[r][p] = Fma(least, Set1(left[b].scaled_sum[row + r]), sum[r][p]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      float* to = c + r * c_stride + 16 * p;
      if (p < P - 1 || tail == 16) {
        Store(to, sum[r][p]);
      } else {
        StoreN(to, sum[r][p], tail);
      }
    }
  }
}

inline QuantPanels PanelsFrom(const QuantPanels& panels, int64_t panel) {
  return {panels.integers + panel * panels.stride,
          panels.scales + panel * panels.stride / static_cast<int64_t>(sizeof(F16)), panels.stride};
}

// The first R of `rows` rows, or all, against some panels.
template <bool kQ4, int R>
inline void QuantFewRows(const QuantBlock* left, int64_t row, int64_t rows,
                         const QuantPanels& right, int64_t cols, int64_t blocks, float* c,
                         int64_t c_stride, bool accumulate) {
  if constexpr (R > 1) {
    if (rows < R) {
      return QuantFewRows<kQ4, R - 1>(left, row, rows, right, cols, blocks, c, c_stride,
                                      accumulate);
    }
  }
  constexpr int kFit = kQuantSums / R;
  constexpr int kPanels = kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  int64_t j = 0;
  for (; j + 16 * kPanels <= cols; j += 16 * kPanels) {
    QuantTile<kQ4, R, kPanels>(left, row, PanelsFrom(right, j / 16), blocks, c + j, c_stride, 16,
                               accumulate);
  }
  for (; j < cols; j += 16) {
    QuantTile<kQ4, R, 1>(left, row, PanelsFrom(right, j / 16), blocks, c + j, c_stride,
                         cols - j < 16 ? static_cast<int>(cols - j) : 16, accumulate);
  }
}

template <bool kQ4>
void QuantProduct(const QuantBlock* left, int64_t left_stride, int64_t rows,
                  const QuantPanels& right, int64_t cols, int64_t blocks, float* c,
                  int64_t c_stride, bool accumulate) {
  // Few rows read the weights once, in their order in memory.
  const int64_t step = rows <= kQuantSide ? blocks : kBlockGroup;
  for (int64_t b = 0; b < blocks; b += step) {
    const int64_t count = blocks - b < step ? blocks - b : step;
    for (int64_t j = 0; j < cols; j += 16 * kPanelGroup) {
      QuantPanels panels = PanelsFrom(right, j / 16);
      panels.integers += b * (kQ4 ? kQ4Tile : kQ8Tile);
      panels.scales += b * (kQ4 ? 2 * kQuantSide : kQuantSide);
      const int64_t width = cols - j < 16 * kPanelGroup ? cols - j : 16 * kPanelGroup;
      for (int64_t row = 0; row < rows;) {
        const int64_t in_block = row % kQuantSide;
        int64_t height = rows - row < kQuantRows ? rows - row : kQuantRows;
        if (height > kQuantSide - in_block) height = kQuantSide - in_block;
        QuantFewRows<kQ4, kQuantRows>(left + row / kQuantSide * left_stride + b, in_block, height,
                                      panels, width, count, c + row * c_stride + j, c_stride,
                                      accumulate || b > 0);
        row += height;
      }
    }
  }
}

// One more than a tile has, where the registers hold them.
constexpr int kProbeSums = kQuantSums < 12 ? kQuantSums + (SumBits(4) == 8) : 12;
constexpr int kProbeLines = 8;

template <int kBits>
float QuantProbeOf(int64_t rounds) {
  Line line = {};
  int8_t numbers[4] = {};
  Dots<kBits> dot[kProbeSums];
#pragma GCC unroll 16
  for (int i = 0; i < kProbeSums; ++i) {
    I zero = IntSet1(0);
    asm volatile("" : "+m"(zero));  // or equal sums become one
    dot[i].sum = zero;
  }
  // What the compiler cannot know to be zero.
  asm volatile("" : : "r"(&line), "r"(numbers) : "memory");
  const W w = FromLine<kBits>(line);
  X x = LoadFour(numbers);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int at = 0; at < kProbeLines; ++at) {
#pragma GCC unroll 16
      for (int i = 0; i < kProbeSums; ++i) {
        Forget(x);
        dot[i].Add(w, x, kProbeLines + at, [] { return I{}; });  // none of them the first
      }
    }
  }
  V total = Zero();
#pragma GCC unroll 16
  for (int i = 0; i < kProbeSums; ++i) total = Add(total, ToFloats(dot[i].sum));
  return ReduceAdd(total);
}

float QuantProbe(int64_t rounds, int bits) {
  if (bits == 4) return QuantProbeOf<SumBits(4)>(rounds);
  if (bits == 5) return QuantProbeOf<SumBits(5)>(rounds);
  if (bits == 6) return QuantProbeOf<SumBits(6)>(rounds);
  return QuantProbeOf<8>(rounds);
}
constexpr int64_t kProbeWidth = 64 * kProbeSums * kProbeLines;
