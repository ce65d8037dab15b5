// BlockLoops::product for a vector instruction set. Included once, in an anonymous namespace, after
// quant_product.inl and block_unpack.inl. Panels are unpacked to bytes and f32 scales, four panels
// and 256 of k at a time, which the first-level cache holds while all rows read them: few rows need
// the time for memory anyway, and many share the work.

constexpr int64_t kUnits = 4;  // of 64 of k
constexpr int64_t kWidth = kPanelGroup * kQuantSide;

// What some rows add to the integer sums at first, and their own sums for the minima.
struct RowSums {
  int32_t start[kQuantRows][kUnits][4];
  float sum[kQuantRows][kUnits][2];
};

template <int kGroups, bool kLeast>
inline void FindSums(const QuantBlock* left, int64_t row, int64_t rows, int64_t units,
                     int32_t offset, RowSums* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t u = 0; u < units; ++u) {
      const int32_t* sums = left[u].sums[row + r];
      for (int g = 0; g < kGroups; ++g) {
        const int32_t sum = kGroups == 4 ? sums[g] : sums[2 * g] + sums[2 * g + 1];
        to->start[r][u][g] = -offset * sum;
        if constexpr (kLeast) to->sum[r][u][g] = static_cast<float>(sum);
      }
    }
  }
}

// R rows from `row` on and P panels, the first at right: sums += the products of `units` units.
template <int kGroups, bool kLeast, int R, int P>
inline void BlockTile(const QuantBlock* left, int64_t row, const RowSums& rows,
                      const Unpacked (*right)[kUnits], int64_t units, float (*sums)[kWidth]) {
  constexpr int kLines = 16 / kGroups;
  for (int64_t u = 0; u < units; ++u) {
    const int8_t* x = left[u].q[row];
    V total[R][P];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      I dot[R][P];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const I start = IntSet1(rows.start[r][u][g]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) dot[r][p] = start;
      }
#pragma GCC unroll 16
      for (int line = kLines * g; line < kLines * (g + 1); ++line) {
        W w[P];
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) w[p] = LoadUnsigned(right[p][u].q + 64 * line);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const X four = LoadFour(x + r * kQuantBlock + 4 * line);
#pragma GCC unroll 16
          for (int p = 0; p < P; ++p) dot[r][p] = Dot(dot[r][p], w[p], four);
        }
      }
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const V scale = Load(right[p][u].scale[g]);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
          total[r][p] = Fma(ToFloats(dot[r][p]), scale, g == 0 ? Zero() : total[r][p]);
        if constexpr (kLeast) {
          const V least = Load(right[p][u].least[g]);
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r)
            total[r][p] = Fma(least, Set1(rows.sum[r][u][g]), total[r][p]);
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V scale = Set1(left[u].scale[row + r]);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        float* sum = sums[r] + p * kQuantSide;
        Store(sum, Fma(scale, total[r][p], Load(sum)));
      }
    }
  }
}

// The first R of `rows` rows, or all, against some panels.
template <int kGroups, bool kLeast, int R>
inline void BlockFewRows(const QuantBlock* left, int64_t row, int64_t rows, const RowSums& of_rows,
                         const Unpacked (*right)[kUnits], int64_t panels, int64_t units,
                         float (*sums)[kWidth]) {
  if constexpr (R > 1) {
    if (rows < R) {
      return BlockFewRows<kGroups, kLeast, R - 1>(left, row, rows, of_rows, right, panels, units,
                                                  sums);
    }
  }
  constexpr int kFit = kQuantSums / R;
  constexpr int kPanels = kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  int64_t p = 0;
  for (; p + kPanels <= panels; p += kPanels) {
    BlockTile<kGroups, kLeast, R, kPanels>(
        left, row, of_rows, right + p, units,
        reinterpret_cast<float(*)[kWidth]>(sums[0] + p * kQuantSide));
  }
  if constexpr (kPanels > 1) {
    for (; p < panels; ++p) {
      BlockTile<kGroups, kLeast, R, 1>(
          left, row, of_rows, right + p, units,
          reinterpret_cast<float(*)[kWidth]>(sums[0] + p * kQuantSide));
    }
  }
}

// All rows against one group of panels, over `units` units.
template <int kGroups, bool kLeast>
inline void BlockGroup(const QuantBlock* left, int64_t left_stride, int64_t rows,
                       const Unpacked (*right)[kUnits], int32_t offset, int64_t cols, int64_t units,
                       float* c, int64_t c_stride, bool accumulate) {
  const int64_t panels = (cols + kQuantSide - 1) / kQuantSide;
  const int64_t whole = cols / kQuantSide * kQuantSide;
  const int tail = static_cast<int>(cols - whole);
  for (int64_t row = 0; row < rows;) {
    const int64_t in_block = row % kQuantSide;
    int64_t height = rows - row < kQuantRows ? rows - row : kQuantRows;
    if (height > kQuantSide - in_block) height = kQuantSide - in_block;
    const QuantBlock* blocks = left + row / kQuantSide * left_stride;
    RowSums of_rows;
    FindSums<kGroups, kLeast>(blocks, in_block, height, units, offset, &of_rows);
    alignas(64) float sums[kQuantRows][kWidth];
    for (int64_t r = 0; r < height; ++r) {
      const float* from = c + (row + r) * c_stride;
      for (int64_t j = 0; j < panels * kQuantSide; j += kQuantSide) {
        Store(sums[r] + j, !accumulate ? Zero()
                           : j < whole ? Load(from + j)
                                       : LoadN(from + j, tail));
      }
    }
    BlockFewRows<kGroups, kLeast, kQuantRows>(blocks, in_block, height, of_rows, right, panels,
                                              units, sums);
    for (int64_t r = 0; r < height; ++r) {
      float* to = c + (row + r) * c_stride;
      for (int64_t j = 0; j < whole; j += kQuantSide) Store(to + j, Load(sums[r] + j));
      if (tail > 0) StoreN(to + whole, Load(sums[r] + whole), tail);
    }
    row += height;
  }
}

void BlockProduct(const QuantBlock* left, int64_t left_stride, int64_t rows,
                  const BlockPanels& right, BlockLoops::Unpack* unpack, int64_t cols,
                  int64_t blocks, float* c, int64_t c_stride, bool accumulate) {
  Unpacked unpacked[kPanelGroup][kUnits];
  const auto group = right.groups == 4 ? BlockGroup<4, false>
                     : right.least     ? BlockGroup<2, true>
                                       : BlockGroup<2, false>;
  for (int64_t j = 0; j < cols; j += kWidth) {
    const int64_t width = cols - j < kWidth ? cols - j : kWidth;
    for (int64_t b = 0; b < blocks; b += kUnits) {
      const int64_t units = blocks - b < kUnits ? blocks - b : kUnits;
      for (int64_t p = 0; p * kQuantSide < width; ++p) {
        const uint8_t* from =
            right.data + (j / kQuantSide + p) * right.stride + b / right.units * right.bytes;
        for (int64_t u = 0; u < units; u += right.units, from += right.bytes)
          unpack(from, unpacked[p] + u);
      }
      group(left + b, left_stride, rows, unpacked, right.offset, width, units, c + j, c_stride,
            accumulate || b > 0);
    }
  }
}

constexpr BlockLoops MakeBlockLoops() {
  // In the order of Format.
  return {
      {UnpackOf64<4, false>, UnpackOf64<4, true>, UnpackOf64<5, false>, UnpackOf64<5, true>,
       UnpackOf64<8, false>, UnpackOf64<4, false, true>, UnpackOf256<4>, UnpackOf256<5>, UnpackQ6K},
      BlockProduct};
}
