#include "kernel/gemm_quant.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/gemm_split.h"
#include "kernel/kernels.h"
#include "kernel/quant_panels.h"
#include "kernel/scratch.h"

namespace darkhorse {
namespace {

// A product of fewer multiply-adds than kSerial whose weights are fewer than kSerialW lasts less
// than a microsecond or two.
constexpr int64_t kSerial = 1 << 20;
constexpr int64_t kSerialW = 1 << 15;

thread_local Scratch<QuantBlock> t_left;  // the activations of the product that it runs

// C[m,n] (+)= A . W^T.
struct Product {
  const QuantBlock* left;
  QuantOperand w;
  Matrix c;
  int64_t k;
  bool accumulate;
};

void RunBlock(const QuantLoops& loops, const Product& p, const GemmBlock& block) {
  if (p.k == 0) {
    for (int64_t row = block.row; row < block.row + block.rows && !p.accumulate; ++row)
      std::fill_n(p.c.Row(row) + block.col, block.cols, 0.0f);
    return;
  }
  if (IsBlocks(p.w.format)) {
    const int64_t blocks = CeilDiv(p.k, kQuantBlock);
    BlockLoopsOf(loops, p.w.format)
        .product(p.left + block.row / kQuantSide * blocks, blocks, block.rows,
                 PanelsOf(p.w, block.col), block.cols, blocks, p.c.Row(block.row) + block.col,
                 p.c.stride, p.accumulate);
    return;
  }
  const PanelShape shape(p.w.format, p.k);
  const auto* panel = static_cast<const uint8_t*>(p.w.data) + block.col / kQuantSide * shape.bytes;
  const QuantPanels right = {
      panel, reinterpret_cast<const F16*>(panel + shape.blocks * shape.tile_bytes), shape.bytes};
  (p.w.format == Format::kQ4 ? loops.product_q4 : loops.product_q8)(
      p.left + block.row / kQuantSide * shape.blocks, shape.blocks, block.rows, right, block.cols,
      shape.blocks, p.c.Row(block.row) + block.col, p.c.stride, p.accumulate);
}

// Cost of a rectangle per k, in products of 16 x 16: reading the weights counts as half a one.
double Cost(int64_t rows, int64_t cols) {
  return static_cast<double>(CeilDiv(cols, kQuantSide)) *
         (static_cast<double>(rows) / kQuantSide + 0.5);
}

}  // namespace

int64_t QuantBlocks(int64_t rows, int64_t cols) {
  return CeilDiv(rows, kQuantSide) * CeilDiv(cols, kQuantBlock);
}

void QuantizeRows(ConstMatrix x, QuantBlock* to) {
  const QuantLoops& loops = Kernels().quant;
  const int64_t blocks = CeilDiv(x.cols, kQuantBlock);
  const int64_t grain =
      RoundUp(std::max<int64_t>(1, 16384 / std::max<int64_t>(1, x.cols)), kQuantSide);
  ParallelForRange(x.rows, grain, [&](int64_t begin, int64_t end) {
    loops.quantize(x.Row(begin), x.stride, end - begin, x.cols, to + begin / kQuantSide * blocks,
                   blocks);
  });
}

void QuantGemm(const QuantInput& a, const QuantOperand& w, Matrix c, bool accumulate) {
  const int64_t m = c.rows, n = c.cols, k = a.x.cols;
  CHECK(k == w.cols && m == a.x.rows && n == w.rows);
  const QuantBlock* left = a.blocks;
  if (!left) {
    QuantBlock* own = t_left.Get(QuantBlocks(m, k));
    QuantizeRows(a.x, own);
    left = own;
  }
  const QuantLoops& loops = Kernels().quant;
  const Product product = {left, w, c, k, accumulate};
  SplitGemm(m, n, kQuantSide, kQuantSide, m * n * k < kSerial && n * k < kSerialW, Cost,
            [&](const GemmBlock& block) { RunBlock(loops, product, block); });
}

void GroupedQuantGemm(ConstMatrix a, std::span<const int64_t> row_begin,
                      std::span<const QuantOperand> weights, Matrix c) {
  CHECK(row_begin.size() == weights.size() + 1);
  const QuantLoops& loops = Kernels().quant;
  int64_t count = 0;
  for (size_t g = 0; g < weights.size(); ++g)
    count += QuantBlocks(row_begin[g + 1] - row_begin[g], a.cols);
  QuantBlock* left = t_left.Get(count);
  std::vector<Product> products;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t begin = row_begin[g], rows = row_begin[g + 1] - begin;
    CHECK(rows >= 0 && weights[g].cols == a.cols && weights[g].rows == c.cols);
    if (rows == 0) continue;
    products.push_back({left, weights[g], c.Rows(begin, rows), a.cols, false});
    QuantizeRows(a.Rows(begin, rows), left);
    left += QuantBlocks(rows, a.cols);
  }
  SplitGroupedGemm(
      std::span<const Product>(products),
      [](const Product&, int64_t rows, int64_t cols) { return Cost(rows, cols); },
      [&](const Product& p, const GemmBlock& block) { RunBlock(loops, p, block); });
}

}  // namespace darkhorse
