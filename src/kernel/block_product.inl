// BlockLoops::product for a vector instruction set. Included once, in an anonymous namespace, after
// quant_product.inl and block_bytes.inl.
//
// One to kFewRows rows wait for memory: each panel is read once, from its first byte to its last,
// and unpacked in registers. For more rows, six panels and 256 of k at a time are unpacked to
// bytes and f32 scales, which the first-level cache holds while all rows read them.

constexpr int64_t kFewRows = 4;
constexpr int64_t kAhead = 4096;  // bytes that are fetched before they are read
constexpr int64_t kUnits = 4;     // of 64 of k
constexpr int64_t kGroupPanels = 6;
// With twelve sums, four rows and three panels: no rows of 16 are left over.
constexpr int kBlockRows = kQuantSums < 12 ? kQuantRows : 4;
constexpr int64_t kWidth = kGroupPanels * kQuantSide;

// What rows add to the integer sums at first, and their own sums for the minima. Of two groups each
// stands twice.
struct RowSums {
  alignas(64) int32_t start[kUnits][kBlockRows][4];
  alignas(64) float sum[kUnits][kBlockRows][4];

  I Start(int r, int64_t unit, int at) const { return IntSet1(start[unit][r][at]); }
  V Sum(int r, int64_t unit, int at) const { return Set1(sum[unit][r][at]); }
};

typedef int32_t FourInts __attribute__((vector_size(16)));
typedef float FourFloats __attribute__((vector_size(16)));

template <int kGroups, bool kLeast>
inline void FindSums(const QuantBlock* left, int64_t row, int64_t rows, int64_t units,
                     int32_t offset, RowSums* to) {
  for (int64_t u = 0; u < units; ++u) {
    for (int64_t r = 0; r < rows; ++r) {
      FourInts sums;
      __builtin_memcpy(&sums, left[u].sums[row + r], sizeof(sums));
      if constexpr (kGroups == 2) sums += __builtin_shuffle(sums, FourInts{1, 0, 3, 2});
      const FourInts start = -offset * sums;
      __builtin_memcpy(to->start[u][r], &start, sizeof(start));
      if constexpr (kLeast) {
        const auto floats = __builtin_convertvector(sums, FourFloats);
        __builtin_memcpy(to->sum[u][r], &floats, sizeof(floats));
      }
    }
  }
}

// The same of few rows from `row` on, as they are asked for.
template <typename Block>
struct FewSums {
  const QuantBlock* left;
  int64_t row;

  int32_t SumAt(int r, int64_t unit, int at) const {
    const int32_t* sums = left[unit].sums[row + r];
    return Block::kGroups == 4 ? sums[at] : sums[at] + sums[at + 1];
  }
  I Start(int r, int64_t unit, int at) const {
    return IntSet1((TakenFrom(Block::kLineBits) - Block::kOffset) * SumAt(r, unit, at));
  }
  V Sum(int r, int64_t unit, int at) const { return Set1(static_cast<float>(SumAt(r, unit, at))); }
};

// R rows from `row` on and P panels: sums += the products of one block of 64.
template <int R, int P, typename Block, typename Sums>
inline void BlockUnit(const QuantBlock* left, int64_t row, const Sums& of_rows,
                      const Block (&right)[P], int64_t u, V (&sums)[R][P]) {
  constexpr int kLines = 16 / Block::kGroups;
  constexpr int kStep = 4 / Block::kGroups;
  const int8_t* x = left[u].q[row];
  V total[R][P];
#pragma GCC unroll 4
  for (int g = 0; g < Block::kGroups; ++g) {
    Dots<Block::kLineBits> dot[R][P];
#pragma GCC unroll 16
    for (int i = 0; i < kLines; ++i) {
      const int line = kLines * g + i;
      W w[P];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) w[p] = FromLine<Block::kLineBits>(right[p].At(u, line));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const X four = LoadFour(x + r * kQuantBlock + 4 * line);
        const auto start = [&] { return of_rows.Start(r, u, kStep * g); };
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) dot[r][p].Add(w[p], four, i, start);
      }
    }
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const V scale = right[p].Scale(u, g);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
        total[r][p] = Fma(ToFloats(dot[r][p].sum), scale, g == 0 ? Zero() : total[r][p]);
      if constexpr (Block::kLeast) {
        const V least = right[p].Least(u, g);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
          total[r][p] = Fma(least, of_rows.Sum(r, u, kStep * g), total[r][p]);
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
                      const Unpacked (*right)[kUnits], int64_t units, float* c, int64_t c_stride,
                      bool accumulate) {
  Block blocks[P];
  V sums[R][P];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
    blocks[p].units = right[p];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      sums[r][p] = accumulate ? Load(c + r * c_stride + p * kQuantSide) : Zero();
  }
  for (int64_t u = 0; u < units; ++u) BlockUnit(left, row, of_rows, blocks, u, sums);
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) Store(c + r * c_stride + p * kQuantSide, sums[r][p]);
  }
}

// The first R of `rows` rows, or all, against some unpacked panels.
template <int R, typename Block>
inline void BlockRows(const QuantBlock* left, int64_t row, int64_t rows, const RowSums& of_rows,
                      const Unpacked (*right)[kUnits], int64_t panels, int64_t units, float* c,
                      int64_t c_stride, bool accumulate) {
  if constexpr (R > 1) {
    if (rows < R) {
      return BlockRows<R - 1, Block>(left, row, rows, of_rows, right, panels, units, c, c_stride,
                                     accumulate);
    }
  }
  constexpr int kFit = kQuantSums / R;
  constexpr int kPanels = kFit >= 3 ? 3 : 1;
  int64_t p = 0;
  for (; p + kPanels <= panels; p += kPanels) {
    BlockTile<R, kPanels, Block>(left, row, of_rows, right + p, units, c + p * kQuantSide, c_stride,
                                 accumulate);
  }
  if constexpr (kPanels > 1) {
    for (; p < panels; ++p) {
      BlockTile<R, 1, Block>(left, row, of_rows, right + p, units, c + p * kQuantSide, c_stride,
                             accumulate);
    }
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
  for (int64_t row = 0; row < rows;) {
    const int64_t in_block = row % kQuantSide;
    int64_t height = rows - row < kBlockRows ? rows - row : kBlockRows;
    if (height > kQuantSide - in_block) height = kQuantSide - in_block;
    const QuantBlock* blocks = left + row / kQuantSide * left_stride;
    RowSums of_rows;
    FindSums<Block::kGroups, Block::kLeast>(blocks, in_block, height, units,
                                            offset - TakenFrom(Block::kLineBits), &of_rows);
    float* to = c + row * c_stride;
    if (cols % kQuantSide == 0) {
      BlockRows<kBlockRows, Block>(blocks, in_block, height, of_rows, right, panels, units, to,
                                   c_stride, accumulate);
    } else {
      // Whole panels, beside C.
      alignas(64) float sums[kBlockRows][kWidth] = {};
      const size_t bytes = static_cast<size_t>(cols) * sizeof(float);
      for (int64_t r = 0; r < height && accumulate; ++r)
        __builtin_memcpy(sums[r], to + r * c_stride, bytes);
      BlockRows<kBlockRows, Block>(blocks, in_block, height, of_rows, right, panels, units, sums[0],
                                   kWidth, accumulate);
      for (int64_t r = 0; r < height; ++r) __builtin_memcpy(to + r * c_stride, sums[r], bytes);
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
      // A unit's share at a time: all of a block's lines at once would wait for each other.
      constexpr int64_t kShare = Block::kBytes / Block::kUnits;
      for (int64_t u = 0; u < Block::kUnits; ++u) {
#pragma GCC unroll 64
        for (int64_t i = 0; i < kShare; i += 64) __builtin_prefetch(from + kAhead + u * kShare + i);
        BlockUnit(left + b, row, of_rows, block, u, sums);
      }
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
    using Bytes = BlockBytes<Block::kGroups, Block::kLeast, SumBits(Block::kLineBits)>;
    BlockManyRows<Block>(BlockGroup<Bytes>, left, left_stride, rows, right, cols, blocks, c,
                         c_stride, accumulate);
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
