// How a matrix product is shared by threads: what gemm.cc and gemm_bf16.cc have in common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"

namespace darkhorse {

inline int64_t CeilDiv(int64_t x, int64_t y) { return (x + y - 1) / y; }
inline int64_t RoundUp(int64_t x, int64_t unit) { return CeilDiv(x, unit) * unit; }

// A rectangle of C: the unit of work of one thread.
struct GemmBlock {
  int64_t row, rows, col, cols;
};

// Splits C[m, n] over down x across threads so that the largest share costs least, by
// cost(rows, cols), and calls run(block) for each share. Shares begin at multiples of row_unit and
// col_unit. `small`: sharing costs more than it saves.
template <typename Cost, typename Run>
void SplitGemm(int64_t m, int64_t n, int64_t row_unit, int64_t col_unit, bool small,
               const Cost& cost, const Run& run) {
  if (m == 0 || n == 0) return;
  const int threads = small || InParallelLoop() ? 1 : NumThreads();
  int64_t row_step = m;
  int64_t col_step = RoundUp(n, col_unit);
  double best = cost(m, n);
  for (int down = 1; down <= threads && threads > 1; ++down) {
    const int64_t rows = std::min(m, RoundUp(CeilDiv(m, down), row_unit));
    const int64_t cols = RoundUp(CeilDiv(n, threads / down), col_unit);
    const double share = cost(rows, std::min(n, cols));
    if (share >= best) continue;
    best = share;
    row_step = rows;
    col_step = cols;
  }
  const int64_t down = CeilDiv(m, row_step);
  const int64_t across = CeilDiv(n, col_step);
  ParallelFor(down * across, [&](int64_t item) {
    const int64_t row = item / across * row_step;
    const int64_t col = item % across * col_step;
    run(GemmBlock{row, std::min(row_step, m - row), col, std::min(col_step, n - col)});
  });
}

// The products of all groups as one list of rectangles, dearest first, so that the threads finish
// together. A product has its result `c` and its depth `k`.
template <typename Product, typename Cost, typename Run>
void SplitGroupedGemm(std::span<const Product> products, const Cost& cost, const Run& run) {
  constexpr int64_t kRows = 1024;  // the most that one item holds
  // Each item reads, and may pack, all of its rows of A: the wider the better, where there are
  // items enough for the threads to share evenly.
  constexpr int64_t kWidest = 512, kNarrowest = 128;
  struct Item {
    const Product* product;
    GemmBlock block;
    double cost;
  };
  std::vector<Item> items;
  const auto list = [&](int64_t width) {
    items.clear();
    for (const Product& p : products) {
      for (int64_t row = 0; row < p.c.rows; row += kRows) {
        const int64_t rows = std::min(kRows, p.c.rows - row);
        for (int64_t col = 0; col < p.c.cols; col += width) {
          const int64_t cols = std::min(width, p.c.cols - col);
          items.push_back(
              {&p, {row, rows, col, cols}, cost(p, rows, cols) * static_cast<double>(p.k)});
        }
      }
    }
    return static_cast<int64_t>(items.size());
  };
  const int64_t enough = int64_t{4} * NumThreads();
  for (int64_t width = kWidest; list(width) < enough && width > kNarrowest;) width /= 2;
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& x, const Item& y) { return x.cost > y.cost; });
  ParallelFor(static_cast<int64_t>(items.size()),
              [&](int64_t i) { run(*items[i].product, items[i].block); });
}

}  // namespace darkhorse
