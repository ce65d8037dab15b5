// BlockLoops::product for a vector instruction set. Included once, in an anonymous namespace, after
// quant_product.inl and block_bytes.inl.
//
// One to kFewRows rows wait for memory: each panel is read once, from its first byte to its last,
// and unpacked in registers. For more rows, six panels and 256 of k at a time are unpacked to
// bytes and f32 scales, which the first-level cache holds while all rows read them.

constexpr int64_t kFewRows = 4;
constexpr int64_t kAhead = 2048;  // bytes that are fetched before they are read
constexpr int64_t kUnits = 4;     // of 64 of k
constexpr int64_t kGroupPanels = 6;
// With twelve sums, four rows and three panels: no rows of 16 are left over.
constexpr int kBlockRows = kQuantSums < 12 ? kQuantRows : 4;
constexpr int64_t kWidth = kGroupPanels * kQuantSide;

// What rows add to the integer sums at first, and their own sums for the minima.
struct RowSums {
  int32_t start[kBlockRows][kUnits][4];
  float sum[kBlockRows][kUnits][2];

  I Start(int r, int64_t unit, int g) const { return IntSet1(start[r][unit][g]); }
  V Sum(int r, int64_t unit, int g) const { return Set1(sum[r][unit][g]); }
};

template <int kGroups>
inline int32_t SumOfGroup(const QuantBlock& block, int64_t row, int g) {
  const int32_t* sums = block.sums[row];
  return kGroups == 4 ? sums[g] : sums[2 * g] + sums[2 * g + 1];
}

template <int kGroups, bool kLeast>
inline void FindSums(const QuantBlock* left, int64_t row, int64_t rows, int64_t units,
                     int32_t offset, RowSums* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t u = 0; u < units; ++u) {
      for (int g = 0; g < kGroups; ++g) {
        const int32_t sum = SumOfGroup<kGroups>(left[u], row + r, g);
        to->start[r][u][g] = -offset * sum;
        if constexpr (kLeast) to->sum[r][u][g] = static_cast<float>(sum);
      }
    }
  }
}

// The same of few rows from `row` on, as they are asked for.
template <typename Block>
struct FewSums {
  const QuantBlock* left;
  int64_t row;

  I Start(int r, int64_t unit, int g) const {
    return IntSet1(-Block::kOffset * SumOfGroup<Block::kGroups>(left[unit], row + r, g));
  }
  V Sum(int r, int64_t unit, int g) const {
    return Set1(static_cast<float>(SumOfGroup<Block::kGroups>(left[unit], row + r, g)));
  }
};

// R rows from `row` on and P panels: sums += the products of one block of 64.
template <int R, int P, typename Block, typename Sums>
inline void BlockUnit(const QuantBlock* left, int64_t row, const Sums& of_rows,
                      const Block (&right)[P], int64_t u, V (&sums)[R][P]) {
  constexpr int kLines = 16 / Block::kGroups;
  const int8_t* x = left[u].q[row];
  V total[R][P];
#pragma GCC unroll 4
  for (int g = 0; g < Block::kGroups; ++g) {
    I dot[R][P];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const I start = of_rows.Start(r, u, g);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) dot[r][p] = start;
    }
#pragma GCC unroll 16
    for (int line = kLines * g; line < kLines * (g + 1); ++line) {
      W w[P];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) w[p] = FromLine(right[p].At(u, line));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const X four = LoadFour(x + r * kQuantBlock + 4 * line);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) dot[r][p] = Dot(dot[r][p], w[p], four);
      }
    }
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const V scale = right[p].Scale(u, g);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
        total[r][p] = Fma(ToFloats(dot[r][p]), scale, g == 0 ? Zero() : total[r][p]);
      if constexpr (Block::kLeast) {
        const V least = right[p].Least(u, g);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) total[r][p] = Fma(least, of_rows.Sum(r, u, g), total[r][p]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const V scale = Set1(left[u].scale[row + r]);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) sums[r][p] = Fma(scale, total[r][p], sums[r][p]);
  }
}

template <int R, int P, typename Block>
inline void BlockTile(const QuantBlock* left, int64_t row, const RowSums& of_rows,
                      const Unpacked (*right)[kUnits], int64_t units, float (*c)[kWidth]) {
  Block blocks[P];
  V sums[R][P];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
    blocks[p].units = right[p];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sums[r][p] = Load(c[r] + p * kQuantSide);
  }
  for (int64_t u = 0; u < units; ++u) BlockUnit(left, row, of_rows, blocks, u, sums);
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) Store(c[r] + p * kQuantSide, sums[r][p]);
  }
}

// The first R of `rows` rows, or all, against some unpacked panels.
template <int R, typename Block>
inline void BlockRows(const QuantBlock* left, int64_t row, int64_t rows, const RowSums& of_rows,
                      const Unpacked (*right)[kUnits], int64_t panels, int64_t units,
                      float (*c)[kWidth]) {
  if constexpr (R > 1) {
    if (rows < R) return BlockRows<R - 1, Block>(left, row, rows, of_rows, right, panels, units, c);
  }
  constexpr int kFit = kQuantSums / R;
  constexpr int kPanels = kFit >= 3 ? 3 : 1;
  const auto from = [c](int64_t p) {
    return reinterpret_cast<float(*)[kWidth]>(c[0] + p * kQuantSide);
  };
  int64_t p = 0;
  for (; p + kPanels <= panels; p += kPanels)
    BlockTile<R, kPanels, Block>(left, row, of_rows, right + p, units, from(p));
  if constexpr (kPanels > 1) {
    for (; p < panels; ++p) BlockTile<R, 1, Block>(left, row, of_rows, right + p, units, from(p));
  }
}

// All rows against one group of unpacked panels, whose bytes are `offset` above q. It may change
// the panels.
using GroupProduct = void(const QuantBlock* left, int64_t left_stride, int64_t rows,
                          Unpacked (*right)[kUnits], int32_t offset, int64_t cols, int64_t units,
                          float* c, int64_t c_stride, bool accumulate);

template <typename Block>
[[gnu::noinline]] void BlockGroup(const QuantBlock* left, int64_t left_stride, int64_t rows,
                                  Unpacked (*right)[kUnits], int32_t offset, int64_t cols,
                                  int64_t units, float* c, int64_t c_stride, bool accumulate) {
  const int64_t panels = (cols + kQuantSide - 1) / kQuantSide;
  const int64_t whole = cols / kQuantSide * kQuantSide;
  const int tail = static_cast<int>(cols - whole);
  for (int64_t row = 0; row < rows;) {
    const int64_t in_block = row % kQuantSide;
    int64_t height = rows - row < kBlockRows ? rows - row : kBlockRows;
    if (height > kQuantSide - in_block) height = kQuantSide - in_block;
    const QuantBlock* blocks = left + row / kQuantSide * left_stride;
    RowSums of_rows;
    FindSums<Block::kGroups, Block::kLeast>(blocks, in_block, height, units, offset, &of_rows);
    alignas(64) float sums[kBlockRows][kWidth];
    for (int64_t r = 0; r < height; ++r) {
      const float* from = c + (row + r) * c_stride;
      for (int64_t j = 0; j < panels * kQuantSide; j += kQuantSide) {
        const V old = !accumulate ? Zero() : j < whole ? Load(from + j) : LoadN(from + j, tail);
        Store(sums[r] + j, old);
      }
    }
    BlockRows<kBlockRows, Block>(blocks, in_block, height, of_rows, right, panels, units, sums);
    for (int64_t r = 0; r < height; ++r) {
      float* to = c + (row + r) * c_stride;
      for (int64_t j = 0; j < whole; j += kQuantSide) Store(to + j, Load(sums[r] + j));
      if (tail > 0) StoreN(to + whole, Load(sums[r] + whole), tail);
    }
    row += height;
  }
}

template <typename Block>
void BlockManyRows(GroupProduct* group, const QuantBlock* left, int64_t left_stride, int64_t rows,
                   const BlockPanels& right, int64_t cols, int64_t blocks, float* c,
                   int64_t c_stride, bool accumulate) {
  Unpacked unpacked[kGroupPanels][kUnits];
  for (int64_t j = 0; j < cols; j += kWidth) {
    const int64_t width = cols - j < kWidth ? cols - j : kWidth;
    for (int64_t b = 0; b < blocks; b += kUnits) {
      const int64_t units = blocks - b < kUnits ? blocks - b : kUnits;
      for (int64_t p = 0; p * kQuantSide < width; ++p) {
        const uint8_t* from =
            right.data + (j / kQuantSide + p) * right.stride + b / Block::kUnits * Block::kBytes;
        for (int64_t u = 0; u < units; u += Block::kUnits, from += Block::kBytes)
          UnpackBlock<Block>(from, unpacked[p] + u);
      }
      group(left + b, left_stride, rows, unpacked, Block::kOffset, width, units, c + j, c_stride,
            accumulate || b > 0);
    }
  }
}

template <int R, typename Block>
inline void BlockFewRows(const QuantBlock* left, int64_t row, int64_t rows,
                         const BlockPanels& right, int64_t cols, int64_t blocks, float* c,
                         int64_t c_stride, bool accumulate) {
  if constexpr (R > 1) {
    if (rows < R) {
      return BlockFewRows<R - 1, Block>(left, row, rows, right, cols, blocks, c, c_stride,
                                        accumulate);
    }
  }
  const uint8_t* from = right.data;
  for (int64_t j = 0; j < cols; j += kQuantSide) {
    const int width = cols - j < kQuantSide ? static_cast<int>(cols - j) : int{kQuantSide};
    V sums[R][1];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      sums[r][0] = accumulate ? LoadN(c + r * c_stride + j, width) : Zero();
    for (int64_t b = 0; b < blocks; b += Block::kUnits, from += Block::kBytes) {
      const Block block[1] = {{from}};
      const FewSums<Block> of_rows = {left + b, row};
#pragma GCC unroll 64
      for (int64_t i = 0; i < Block::kBytes; i += 64) __builtin_prefetch(from + kAhead + i);
      for (int64_t u = 0; u < Block::kUnits; ++u) BlockUnit(left + b, row, of_rows, block, u, sums);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) StoreN(c + r * c_stride + j, sums[r][0], width);
  }
}

template <typename Block>
void BlockProduct(const QuantBlock* left, int64_t left_stride, int64_t rows,
                  const BlockPanels& right, int64_t cols, int64_t blocks, float* c,
                  int64_t c_stride, bool accumulate) {
  if (rows > kFewRows) {
    BlockManyRows<Block>(BlockGroup<BlockBytes<Block::kGroups, Block::kLeast>>, left, left_stride,
                         rows, right, cols, blocks, c, c_stride, accumulate);
  } else {
    BlockFewRows<kFewRows, Block>(left, 0, rows, right, cols, blocks, c, c_stride, accumulate);
  }
}

struct BlockProducts {
  template <typename Block>
  static constexpr BlockLoops Make() {
    return {UnpackBlock<Block>, BlockProduct<Block>};
  }
};

// In the order of Format.
template <typename Products>
constexpr AllBlockLoops MakeAllBlockLoops() {
  return {{Products::template Make<Block64<4, 8, false>>(),
           Products::template Make<Block64<4, 0, true>>(),
           Products::template Make<Block64<5, 16, false>>(),
           Products::template Make<Block64<5, 0, true>>(),
           Products::template Make<Block64<8, 128, false>>(), Products::template Make<BlockIq4Nl>(),
           Products::template Make<Block256<4>>(), Products::template Make<Block256<5>>(),
           Products::template Make<BlockQ6K>()}};
}
