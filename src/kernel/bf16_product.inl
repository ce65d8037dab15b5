// Bf16Loops for a vector instruction set: f32 multiply-adds on widened numbers. Included once, in
// an anonymous namespace, after a simd_*.inl, gemm.inl and bf16_pack.inl and with kPairRows x
// kPairPanels, the register tile of two chains each, defined.

// A register tile of R rows and P panels of 16 columns: for each 32 of depth a chain of even and
// one of odd k, whose sum is added to C. `a` holds the rows widened: element (r, k) at k*R + r.
template <int R, int P>
inline void PairTile(const float* a, const Bf16* b, int64_t b_block, int64_t tiles, float* c,
                     int64_t c_stride, int tail, bool accumulate) {
  for (int64_t t = 0; t < tiles; ++t) {
    V even[R][P], odd[R][P];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) even[r][p] = odd[r][p] = Zero();
    }
    for (int pair = 0; pair < 16; ++pair) {
      V column[P];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) column[p] = LoadEven(b + p * b_block + pair * 32);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V x = Set1(a[r]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) even[r][p] = Fma(x, column[p], even[r][p]);
      }
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) column[p] = LoadOdd(b + p * b_block + pair * 32);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V x = Set1(a[R + r]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) odd[r][p] = Fma(x, column[p], odd[r][p]);
      }
      a += 2 * R;
    }
    b += kTileSize;
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

// `rows` rows against all panels, P at a time.
template <int R, int P>
inline void PairRows(const float* a, const Bf16* right, int64_t right_block, int64_t cols,
                     int64_t tiles, float* c, int64_t c_stride, bool accumulate) {
  int64_t j = 0;
  for (; j + 16 * P <= cols; j += 16 * P) {
    PairTile<R, P>(a, right + j / 16 * right_block, right_block, tiles, c + j, c_stride, 16,
                   accumulate);
  }
  for (; j < cols; j += 16) {
    PairTile<R, 1>(a, right + j / 16 * right_block, right_block, tiles, c + j, c_stride,
                   cols - j < 16 ? static_cast<int>(cols - j) : 16, accumulate);
  }
}

template <int R>
inline void PairProduct(int64_t rows, const Bf16* left, int64_t left_block, int64_t row,
                        const Bf16* right, int64_t right_block, int64_t cols, int64_t tiles,
                        float* c, int64_t c_stride, bool accumulate) {
  if constexpr (R > 1) {
    if (rows < R) {
      return PairProduct<R - 1>(rows, left, left_block, row, right, right_block, cols, tiles, c,
                                c_stride, accumulate);
    }
  }
  // Few rows have registers to spare: more panels hide the latency of a multiply-add.
  constexpr int kFit = kPairRows * kPairPanels / R;
  constexpr int kPanels = kFit > 4 ? 4 : kFit;
  constexpr int64_t kChunk = 16;  // tiles widened at once
  float wide[kChunk * kTileDepth * R];
  for (int64_t t = 0; t < tiles; t += kChunk) {
    const int64_t count = tiles - t < kChunk ? tiles - t : kChunk;
    for (int r = 0; r < R; ++r) {
      const Bf16* from = left + (row + r) / kTileSide * left_block + t * kTileSize +
                         (row + r) % kTileSide * kTileDepth;
      for (int64_t k = 0; k < count * kTileDepth; ++k) {
        const uint32_t bits =
            static_cast<uint32_t>(from[k / kTileDepth * kTileSize + k % kTileDepth].bits) << 16;
        __builtin_memcpy(&wide[k * R + r], &bits, sizeof(bits));
      }
    }
    PairRows<R, kPanels>(wide, right + t * kTileSize, right_block, cols, count, c, c_stride,
                         accumulate || t > 0);
  }
}

void Bf16Product(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
                 int64_t right_block, int64_t cols, int64_t tiles, float* c, int64_t c_stride,
                 bool accumulate) {
  for (int64_t row = 0; row < rows; row += kPairRows) {
    PairProduct<kPairRows>(rows - row, left, left_block, row, right, right_block, cols, tiles,
                           c + row * c_stride, c_stride, accumulate);
  }
}

// Vector units need nothing beside kernel/denormals.h.
void BeginProducts() {}
void EndProducts() {}

constexpr Bf16Loops MakeBf16Loops() {
  return {Pack, BeginProducts, EndProducts, Bf16Product, FmaProbe, kTileVectors * 16};
}
