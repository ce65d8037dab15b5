#include "kernel/gemm_bf16.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/gemm_split.h"
#include "kernel/kernels.h"
#include "kernel/scratch.h"

namespace darkhorse {
namespace {

// Blocks: 32 rows of A of this depth fill five sixths of a first-level cache of 48 KiB, for reading
// and writing C once more costs more than what is lost there; kBlockN columns of B of this depth
// two thirds of a second-level one, where packed rows of A that lie in columns share it.
constexpr int64_t kBlockK = 640;
constexpr int64_t kBlockN = 1024;
constexpr int64_t kBlockCols = 256;  // rows of A that lie in columns
// A product of fewer multiply-adds than kSerial whose B has fewer numbers than kSerialB lasts less
// than a microsecond or two.
constexpr int64_t kSerial = 1 << 19;
constexpr int64_t kSerialB = 1 << 14;

// What an operand is read from. Tiles are those of its own side; kLeftTiles are tiles of rows that
// the product needs as a right operand.
enum class Source { kTiles, kRows, kCols, kLeftTiles };

// C[m,n] (+)= A . B over k.
struct Product {
  Source a_source;  // kRows: [m,k], kCols: [k,m]
  ConstMatrix a;
  const Bf16* a_tiles;
  Source b_source;  // kRows: [n,k], kCols: [k,n]
  ConstMatrix b;
  const Bf16* b_tiles;
  Matrix c;
  int64_t k;
  bool accumulate;
};

thread_local Scratch<Bf16> t_left;
thread_local Scratch<Bf16> t_right;

int64_t TileCount(int64_t k) { return CeilDiv(k, kTileDepth); }
int64_t BlockStride(int64_t k) { return TileCount(k) * kTileSize; }

// The tiles of some rows (columns) and depth, and the stride from 16 of them to the next.
struct Tiles {
  const Bf16* data;
  int64_t block;
};

// Rows row ... row+rows of A (columns of B) at depth k0 ... k0+k. Tiles are read in place, what is
// not rounded is packed into this thread's scratch.
Tiles InPlace(const Bf16* tiles, int64_t row, int64_t k0, int64_t whole_k) {
  const int64_t block = BlockStride(whole_k);
  return {tiles + row / kTileSide * block + k0 / kTileDepth * kTileSize, block};
}

Tiles Packed(const Bf16Loops& loops, Scratch<Bf16>& scratch, Bf16Packing packing) {
  packing.block = BlockStride(packing.depth);
  packing.tiles = scratch.Get(CeilDiv(packing.rows, kTileSide) * packing.block);
  loops.pack(packing);
  return {packing.tiles, packing.block};
}

Tiles Left(const Bf16Loops& loops, const Product& p, int64_t row, int64_t rows, int64_t k0,
           int64_t k) {
  using From = Bf16Packing::From;
  if (p.a_source == Source::kTiles) return InPlace(p.a_tiles, row, k0, p.k);
  if (p.a_source == Source::kRows)
    return Packed(loops, t_left, {From::kLeftRows, p.a.Row(row) + k0, p.a.stride, rows, k});
  return Packed(loops, t_left, {From::kLeftCols, p.a.Row(k0) + row, p.a.stride, rows, k});
}

Tiles Right(const Bf16Loops& loops, const Product& p, int64_t col, int64_t cols, int64_t k0,
            int64_t k) {
  using From = Bf16Packing::From;
  if (p.b_source == Source::kTiles) return InPlace(p.b_tiles, col, k0, p.k);
  if (p.b_source == Source::kRows)
    return Packed(loops, t_right, {From::kRightRows, p.b.Row(col) + k0, p.b.stride, cols, k});
  if (p.b_source == Source::kCols)
    return Packed(loops, t_right, {From::kRightCols, p.b.Row(k0) + col, p.b.stride, cols, k});
  const int64_t stride = BlockStride(p.b.cols);
  return Packed(
      loops, t_right,
      {From::kRightTiles, p.b_tiles + k0 / kTileSide * stride + col / kTileDepth * kTileSize,
       stride, cols, k});
}

// One thread's rectangle, which begins at a whole tile. C is carried through the blocks of k in
// order.
void RunBlock(const Bf16Loops& loops, const Product& p, const GemmBlock& block) {
  const Bf16Products products(loops);
  const int64_t row_end = block.row + block.rows, col_end = block.col + block.cols;
  if (p.k == 0 && !p.accumulate) {
    for (int64_t row = block.row; row < row_end; ++row)
      std::fill_n(p.c.Row(row) + block.col, block.cols, 0.0f);
  }
  const int64_t step =
      RoundUp(CeilDiv(p.k, std::max<int64_t>(1, CeilDiv(p.k, kBlockK))), kTileDepth);
  const int64_t block_m = p.a_source == Source::kCols ? kBlockCols : loops.rows;
  for (int64_t col = block.col; col < col_end; col += kBlockN) {
    const int64_t cols = std::min(kBlockN, col_end - col);
    for (int64_t k0 = 0; k0 < p.k; k0 += step) {
      const int64_t k = std::min(step, p.k - k0);
      const Tiles right = Right(loops, p, col, cols, k0, k);
      for (int64_t row = block.row; row < row_end; row += block_m) {
        const int64_t rows = std::min(block_m, row_end - row);
        const Tiles left = Left(loops, p, row, rows, k0, k);
        loops.product(left.data, left.block, rows, right.data, right.block, cols, TileCount(k),
                      p.c.Row(row) + col, p.c.stride, p.accumulate || k0 > 0);
      }
    }
  }
}

// Cost of a rectangle per k, in products of a tile: the products, and rounding what is not rounded.
double Cost(const Product& p, int64_t rows, int64_t cols) {
  const auto tiles = [](int64_t x) { return static_cast<double>(CeilDiv(x, kTileSide)); };
  const double round_a = p.a_source == Source::kTiles ? 0.1 : p.a_source == Source::kRows ? 1 : 3;
  const double round_b = p.b_source == Source::kTiles ? 0.1 : p.b_source == Source::kRows ? 3 : 1;
  return tiles(rows) * tiles(cols) + tiles(rows) * round_a + tiles(cols) * round_b;
}

void Run(const Product& p) {
  const Bf16Loops& loops = Kernels().bf16;
  const int64_t m = p.c.rows, n = p.c.cols;
  // A block of columns begins with a whole tile of the left tiles it may be read from.
  SplitGemm(
      m, n, kTileSide, kTileDepth, m * n * p.k < kSerial && n * p.k < kSerialB,
      [&](int64_t rows, int64_t cols) { return Cost(p, rows, cols); },
      [&](const GemmBlock& block) { RunBlock(loops, p, block); });
}

void RunGroups(std::span<const Product> products) {
  const Bf16Loops& loops = Kernels().bf16;
  SplitGroupedGemm(
      products, [](const Product& p, int64_t rows, int64_t cols) { return Cost(p, rows, cols); },
      [&](const Product& p, const GemmBlock& block) { RunBlock(loops, p, block); });
}

Source SourceOf(const Bf16Operand& x, Source otherwise) {
  return x.tiles ? Source::kTiles : otherwise;
}

Product NT(const Bf16Operand& a, const Bf16Operand& b, Matrix c, bool accumulate) {
  return {SourceOf(a, Source::kRows),
          a.x,
          a.tiles,
          SourceOf(b, Source::kRows),
          b.x,
          b.tiles,
          c,
          a.x.cols,
          accumulate};
}
Product NN(const Bf16Operand& a, const Bf16Operand& b, Matrix c, bool accumulate) {
  return {SourceOf(a, Source::kRows),
          a.x,
          a.tiles,
          SourceOf(b, Source::kCols),
          b.x,
          b.tiles,
          c,
          a.x.cols,
          accumulate};
}
Product TN(ConstMatrix a, const Bf16Operand& b, Matrix c, bool accumulate) {
  return {Source::kCols, a,       nullptr, b.tiles ? Source::kLeftTiles : Source::kCols,
          b.x,           b.tiles, c,       a.rows,
          accumulate};
}

// Calls round(first row, rows) for shares of the rows, of whole tiles.
template <typename Round>
void RoundInParallel(ConstMatrix x, const Round& round) {
  const int64_t grain =
      RoundUp(std::max<int64_t>(1, 8192 / std::max<int64_t>(1, x.cols)), kTileDepth);
  ParallelForRange(CeilDiv(x.rows, grain), 1, [&](int64_t begin, int64_t end) {
    const int64_t row = begin * grain;
    round(row, std::min(end * grain, x.rows) - row);
  });
}

}  // namespace

int64_t TilesSize(int64_t rows, int64_t cols) {
  return RoundUp(rows, kTileDepth) * RoundUp(cols, kTileDepth);
}

void RoundRows(ConstMatrix x, Bf16* tiles) {
  const int64_t block = BlockStride(x.cols);
  RoundInParallel(x, [&](int64_t row, int64_t rows) {
    Kernels().bf16.pack({Bf16Packing::From::kLeftRows, x.Row(row), x.stride, rows, x.cols,
                         tiles + row / kTileSide * block, block});
  });
}

void RoundForNT(ConstMatrix w, Bf16* tiles) {
  const int64_t block = BlockStride(w.cols);
  RoundInParallel(w, [&](int64_t row, int64_t rows) {
    Kernels().bf16.pack({Bf16Packing::From::kRightRows, w.Row(row), w.stride, rows, w.cols,
                         tiles + row / kTileSide * block, block});
  });
}

void RoundForNN(ConstMatrix w, Bf16* tiles) {
  const int64_t block = BlockStride(w.rows);
  RoundInParallel(w, [&](int64_t row, int64_t rows) {
    Kernels().bf16.pack({Bf16Packing::From::kRightCols, w.Row(row), w.stride, w.cols, rows,
                         tiles + row / kTileDepth * kTileSize, block});
  });
}

void Bf16GemmNT(const Bf16Operand& a, const Bf16Operand& b, Matrix c, bool accumulate) {
  CHECK(a.x.cols == b.x.cols && c.rows == a.x.rows && c.cols == b.x.rows);
  Run(NT(a, b, c, accumulate));
}

void Bf16GemmNN(const Bf16Operand& a, const Bf16Operand& b, Matrix c, bool accumulate) {
  CHECK(a.x.cols == b.x.rows && c.rows == a.x.rows && c.cols == b.x.cols);
  Run(NN(a, b, c, accumulate));
}

void Bf16GemmTN(ConstMatrix a, const Bf16Operand& b, Matrix c, bool accumulate) {
  CHECK(a.rows == b.x.rows && c.rows == a.cols && c.cols == b.x.cols);
  Run(TN(a, b, c, accumulate));
}

void GroupedBf16GemmNT(ConstMatrix a, std::span<const int64_t> row_begin,
                       std::span<const Bf16Operand> weights, Matrix c) {
  CHECK(row_begin.size() == weights.size() + 1);
  std::vector<Product> products;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t begin = row_begin[g], rows = row_begin[g + 1] - begin;
    CHECK(rows >= 0 && weights[g].x.cols == a.cols && weights[g].x.rows == c.cols);
    products.push_back(NT(a.Rows(begin, rows), weights[g], c.Rows(begin, rows), false));
  }
  RunGroups(products);
}

void GroupedBf16GemmNN(ConstMatrix a, std::span<const int64_t> row_begin,
                       std::span<const Bf16Operand> weights, Matrix c, bool accumulate) {
  CHECK(row_begin.size() == weights.size() + 1);
  std::vector<Product> products;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t begin = row_begin[g], rows = row_begin[g + 1] - begin;
    CHECK(rows >= 0 && weights[g].x.rows == a.cols && weights[g].x.cols == c.cols);
    products.push_back(NN(a.Rows(begin, rows), weights[g], c.Rows(begin, rows), accumulate));
  }
  RunGroups(products);
}

void GroupedBf16GemmTN(ConstMatrix a, ConstMatrix b, std::span<const int64_t> row_begin,
                       std::span<const Matrix> dw) {
  CHECK(row_begin.size() == dw.size() + 1 && a.rows == b.rows);
  std::vector<Product> products;
  for (size_t g = 0; g < dw.size(); ++g) {
    const int64_t begin = row_begin[g], rows = row_begin[g + 1] - begin;
    CHECK(rows >= 0);
    if (rows == 0 || !dw[g].data) continue;
    CHECK(dw[g].rows == a.cols && dw[g].cols == b.cols);
    products.push_back(TN(a.Rows(begin, rows), b.Rows(begin, rows), dw[g], true));
  }
  RunGroups(products);
}

}  // namespace darkhorse
