// How a matrix product is shared by threads: what gemm.cc and gemm_bf16.cc have in common.
#pragma once

#include <algorithm>
#include <cstdint>

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

}  // namespace darkhorse
