#include "kernel/gemm.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/gemm_split.h"
#include "kernel/kernels.h"
#include "kernel/scratch.h"

namespace darkhorse {
namespace {

// Blocks, in floats: kBlockM x kBlockK of A and kPackedB of B stay in a second-level cache, and
// kBlockK x kBlockN of packed B in the third.
constexpr int64_t kBlockK = 512;
constexpr int64_t kBlockM = 96;
constexpr int64_t kBlockN = 1024;
constexpr int64_t kUpperBlockM = 48;  // rows where only what is right of the diagonal is wanted
constexpr int64_t kPackedB = int64_t{1} << 17;  // packed at once, or kBlockK rows
// Rows of A this far apart are packed when this many columns share the cost.
constexpr int64_t kPackStride = 1024;
constexpr int64_t kPackCols = 128;
// A product of fewer multiply-adds than kSerial whose B has fewer floats than kSerialB lasts less
// than a microsecond or two; sharing it would cost more than it saves. (Of few rows, reading B is
// what lasts.)
constexpr int64_t kSerial = 1 << 17;
constexpr int64_t kSerialB = 1 << 13;

enum class Right { kNT, kNN, kPanels };  // B is W[N,K], B[K,N], or W packed

// C[m,n] (+)= A . B, A[m,k] or its transpose stored as [k,m].
struct Product {
  const float* a;
  int64_t a_stride;
  bool a_transposed;
  const float* b;
  int64_t b_stride;
  Right right;
  Matrix c;
  int64_t k;
  bool accumulate;
  bool upper = false;  // C is square, and left of the diagonal anything or nothing may be written
};

thread_local Scratch<float> t_panels;
thread_local Scratch<float> t_slivers;

void Clear(const Matrix& c, const GemmBlock& block) {
  for (int64_t i = 0; i < block.rows; ++i) {
    std::fill_n(c.Row(block.row + i) + block.col, block.cols, 0.0f);
  }
}

// A transposed A is packed always. One in rows only where a block of it would crowd into few sets
// of the caches, and enough columns repay the copy.
bool PackA(const Product& p, int64_t cols) {
  return p.a_transposed || (p.a_stride >= kPackStride && cols >= kPackCols);
}

// B[k0 … k0+k, col … col+cols] as panels in this thread's scratch.
const float* PackB(const GemmLoops& loops, const Product& p, int64_t col, int64_t cols, int64_t k0,
                   int64_t k) {
  float* panels = t_panels.Get(RoundUp(cols, kPanel) * k);
  if (p.right == Right::kNT) {
    loops.pack_panels_nt(p.b + col * p.b_stride + k0, p.b_stride, cols, k, panels, k * kPanel);
  } else {
    loops.pack_panels_nn(p.b + k0 * p.b_stride + col, p.b_stride, cols, k, panels, k * kPanel);
  }
  return panels;
}

// A block of rows against panels that hold k0 … k0+depth, through cache-sized blocks of k.
void RunRows(const GemmLoops& loops, const Product& p, int64_t row, int64_t rows, int64_t col,
             int64_t cols, int64_t k0, int64_t depth, const float* panels) {
  float* c = p.c.Row(row) + col;
  const int64_t step = CeilDiv(depth, CeilDiv(depth, kBlockK));
  for (int64_t at = 0; at < depth; at += step) {
    const int64_t k = std::min(step, depth - at);
    const bool accumulate = p.accumulate || k0 + at > 0;
    const float* b = panels + at * kPanel;
    const float* a =
        p.a + (p.a_transposed ? (k0 + at) * p.a_stride + row : row * p.a_stride + k0 + at);
    if (!PackA(p, cols)) {
      loops.panel_product(a, p.a_stride, rows, b, depth * kPanel, cols, k, c, p.c.stride,
                          accumulate);
      continue;
    }
    float* slivers = t_slivers.Get(RoundUp(rows, loops.tile_rows) * k);
    (p.a_transposed ? loops.pack_slivers_t : loops.pack_slivers)(a, p.a_stride, rows, k, slivers);
    loops.sliver_product(slivers, rows, b, depth * kPanel, cols, k, c, p.c.stride, accumulate);
  }
}

// One thread's rectangle. C is carried through the blocks of k in order, so each element is one
// chain. B is packed as deep as kPackedB allows, then a block of rows passes all of it while its
// part of C stays in the second-level cache.
void RunBlock(const GemmLoops& loops, const Product& p, const GemmBlock& block) {
  if (p.k == 0 && !p.accumulate) Clear(p.c, block);
  const int64_t col_end = block.col + block.cols;
  const int64_t block_m = p.upper ? kUpperBlockM : kBlockM;
  for (int64_t col = block.col; col < col_end; col += kBlockN) {
    const int64_t cols = std::min(kBlockN, col_end - col);
    const bool packed = p.right == Right::kPanels;
    const int64_t depth =
        packed ? p.k : std::max(kBlockK, kPackedB / RoundUp(cols, kPanel) / kBlockK * kBlockK);
    for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
      const int64_t k = std::min(depth, p.k - k0);
      const float* panels =
          packed ? p.b + col / kPanel * p.k * kPanel : PackB(loops, p, col, cols, k0, k);
      for (int64_t row = block.row; row < block.row + block.rows; row += block_m) {
        const int64_t rows = std::min(block_m, block.row + block.rows - row);
        const int64_t left = p.upper ? std::max<int64_t>(0, row - col) / kPanel * kPanel : 0;
        if (left >= cols) break;
        RunRows(loops, p, row, rows, col + left, cols - left, k0, k, panels + left * k);
      }
    }
  }
}

// Cost of a rectangle in FMA-instruction times of sixteen lanes per k: the products, packing B, and
// reading A, or packing it where transposed.
double Cost(const Product& p, int64_t rows, int64_t cols) {
  const double product =
      static_cast<double>(rows) * static_cast<double>(RoundUp(cols, kPanel)) / 16;
  const double pack_b = p.right == Right::kPanels ? 0 : static_cast<double>(cols) / 2;
  const double read_a = static_cast<double>(rows) / (p.a_transposed ? 2 : 8);
  return product + pack_b + read_a;
}

void Run(const Product& p) {
  const GemmLoops& loops = Kernels().gemm;
  const int64_t m = p.c.rows, n = p.c.cols;
  SplitGemm(
      m, n, loops.tile_rows, kPanel, m * n * p.k < kSerial && n * p.k < kSerialB,
      [&](int64_t rows, int64_t cols) { return Cost(p, rows, cols); },
      [&](const GemmBlock& block) { RunBlock(loops, p, block); });
}

void RunGroups(std::span<const Product> products) {
  const GemmLoops& loops = Kernels().gemm;
  SplitGroupedGemm(
      products, [](const Product& p, int64_t rows, int64_t cols) { return Cost(p, rows, cols); },
      [&](const Product& p, const GemmBlock& block) { RunBlock(loops, p, block); });
}

}  // namespace

void GemmNT(ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate) {
  CHECK(a.cols == b.cols && c.rows == a.rows && c.cols == b.rows);
  Run({a.data, a.stride, false, b.data, b.stride, Right::kNT, c, a.cols, accumulate});
}

void GemmNN(ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate) {
  CHECK(a.cols == b.rows && c.rows == a.rows && c.cols == b.cols);
  Run({a.data, a.stride, false, b.data, b.stride, Right::kNN, c, a.cols, accumulate});
}

void GemmTN(ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate) {
  CHECK(a.rows == b.rows && c.rows == a.cols && c.cols == b.cols);
  Run({a.data, a.stride, true, b.data, b.stride, Right::kNN, c, a.rows, accumulate});
}

void Syrk(ConstMatrix a, Matrix c) {
  CHECK(c.rows == a.rows && c.cols == a.rows);
  RunBlock(Kernels().gemm,
           {a.data, a.stride, false, a.data, a.stride, Right::kNT, c, a.cols, false, true},
           {0, c.rows, 0, c.cols});
  // Multiplication commutes, so element (i, j) is the chain of (j, i). Some rows at a time, whose
  // lines stay in the first-level cache.
  constexpr int64_t kRows = 16;
  for (int64_t begin = 0; begin < c.rows; begin += kRows) {
    const int64_t end = std::min(begin + kRows, c.rows);
    for (int64_t i = begin + 1; i < c.rows; ++i) {
      for (int64_t j = begin; j < std::min(i, end); ++j) c(i, j) = c(j, i);
    }
  }
}

int64_t PackedSize(int64_t n, int64_t k) { return RoundUp(n, kPanel) * k; }

void PackNT(ConstMatrix w, float* packed) {
  const GemmLoops& loops = Kernels().gemm;
  constexpr int64_t kGrain = 4 * kPanel;
  ParallelForRange(w.rows, kGrain, [&](int64_t begin, int64_t end) {
    loops.pack_panels_nt(w.Row(begin), w.stride, end - begin, w.cols, packed + begin * w.cols,
                         w.cols * kPanel);
  });
}

void GemmPacked(ConstMatrix a, const float* packed, Matrix c, bool accumulate) {
  CHECK(c.rows == a.rows);
  Run({a.data, a.stride, false, packed, 0, Right::kPanels, c, a.cols, accumulate});
}

void GroupedGemmNT(ConstMatrix a, std::span<const int64_t> row_begin,
                   std::span<const Weight> weights, Matrix c) {
  CHECK(row_begin.size() == weights.size() + 1);
  std::vector<Product> products;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t begin = row_begin[g];
    const int64_t rows = row_begin[g + 1] - begin;
    const Matrix& w = weights[g].w;
    CHECK(rows >= 0 && w.cols == a.cols && w.rows == c.cols);
    const auto* panels = static_cast<const float*>(weights[g].forward);
    products.push_back({a.Row(begin), a.stride, false, panels ? panels : w.data, w.stride,
                        panels ? Right::kPanels : Right::kNT, c.Rows(begin, rows), a.cols, false});
  }
  RunGroups(products);
}

void GroupedGemmNN(ConstMatrix a, std::span<const int64_t> row_begin,
                   std::span<const Weight> weights, Matrix c, bool accumulate) {
  CHECK(row_begin.size() == weights.size() + 1);
  std::vector<Product> products;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t begin = row_begin[g];
    const int64_t rows = row_begin[g + 1] - begin;
    const Matrix& w = weights[g].w;
    CHECK(rows >= 0 && w.rows == a.cols && w.cols == c.cols);
    products.push_back({a.Row(begin), a.stride, false, w.data, w.stride, Right::kNN,
                        c.Rows(begin, rows), a.cols, accumulate});
  }
  RunGroups(products);
}

void GroupedGemmTN(ConstMatrix a, ConstMatrix b, std::span<const int64_t> row_begin,
                   std::span<const Matrix> dw) {
  CHECK(row_begin.size() == dw.size() + 1 && a.rows == b.rows);
  std::vector<Product> products;
  for (size_t g = 0; g < dw.size(); ++g) {
    const int64_t begin = row_begin[g];
    const int64_t rows = row_begin[g + 1] - begin;
    CHECK(rows >= 0);
    if (rows == 0 || !dw[g].data) continue;
    CHECK(dw[g].rows == a.cols && dw[g].cols == b.cols);
    products.push_back(
        {a.Row(begin), a.stride, true, b.Row(begin), b.stride, Right::kNN, dw[g], rows, true});
  }
  RunGroups(products);
}

}  // namespace darkhorse
