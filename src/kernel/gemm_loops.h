// The inner loops of matrix products: single-threaded, on cache-sized blocks. gemm.cc blocks and
// threads them. The right-hand side B[k, cols] lies in panels: element (k, j) at
// panels[(j/16) * panel_stride + k*16 + j%16], panel_stride >= 16*k, the last panel padded with
// finite numbers (the layout of kKeyPanel in attention.h).
// Each element of C is the chain of fused multiply-adds over k in ascending order that gemm.h
// defines, starting from the old C where `accumulate`, else from 0. Any rows, cols, k >= 0; strides
// in floats; C overlaps nothing.
#pragma once

#include <cstdint>

namespace darkhorse {

inline constexpr int64_t kPanel = 16;  // columns of a panel

struct GemmLoops {
  // Rows of a register tile, and of a sliver of packed A: element (i, k) of A[rows, k] at
  // slivers[(i/tile_rows) * tile_rows*k_total + k*tile_rows + i%tile_rows].
  int64_t tile_rows;

  // C[rows, cols] = A[rows, k] . panels, A row-major.
  void (*panel_product)(const float* a, int64_t a_stride, int64_t rows, const float* panels,
                        int64_t panel_stride, int64_t cols, int64_t k, float* c, int64_t c_stride,
                        bool accumulate);
  // The same with A packed as slivers.
  void (*sliver_product)(const float* slivers, int64_t rows, const float* panels,
                         int64_t panel_stride, int64_t cols, int64_t k, float* c, int64_t c_stride,
                         bool accumulate);

  // B^T given as W[cols, k] (a linear layer's weight), or B[k, cols], to panels.
  void (*pack_panels_nt)(const float* w, int64_t stride, int64_t cols, int64_t k, float* panels,
                         int64_t panel_stride);
  void (*pack_panels_nn)(const float* b, int64_t stride, int64_t cols, int64_t k, float* panels,
                         int64_t panel_stride);
  // A[rows, k], or A^T given as [k, rows], to slivers; rows beyond the last are zero.
  void (*pack_slivers)(const float* a, int64_t stride, int64_t rows, int64_t k, float* slivers);
  void (*pack_slivers_t)(const float* a, int64_t stride, int64_t rows, int64_t k, float* slivers);

  // Nothing but independent FMAs from registers, rounds * probe_width of them: measures the peak.
  // The result only keeps the compiler honest.
  float (*fma_probe)(int64_t rounds);
  int64_t probe_width;
  // The sum of n floats, a multiple of 256, in any order: nothing but the widest loads, to measure
  // the bandwidth.
  float (*read_probe)(const float* x, int64_t n);
};

}  // namespace darkhorse
