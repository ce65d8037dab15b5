// The inner loops of integer products: single-threaded. gemm_quant.cc threads them.
//
// Weights lie in panels of 16 columns (rows of W), a panel's blocks one after the other, first the
// integers of all, then the scales of all:
//   q8: number k of column j of a block at byte k/4*64 + j*4 + k%4, as signed: a tile of a matrix
//       unit, whose 64-byte rows are what VNNI multiplies with four activations;
//   q4: rows 2i and 2i+1 of such a tile in the low and high halves of the bytes of row i;
//   scales: sw of 16 columns in f16, of q4 then mw of 16 columns.
// Activations lie in QuantBlocks of 16 rows. What lies beyond the last column or k is zero. Weights
// in block formats have panels and loops of their own (kernel/block_loops.h).
#pragma once

#include <cstdint>

#include "kernel/block_loops.h"
#include "kernel/f16.h"
#include "kernel/quant_block.h"

namespace darkhorse {

struct QuantPanels {
  const uint8_t* integers;
  const F16* scales;
  int64_t stride;  // bytes from one panel to the next, of both
};

struct QuantLoops {
  // X[rows, k], stride in floats, to `blocks`, of which `stride` lie between 16 rows and the next.
  void (*quantize)(const float* x, int64_t x_stride, int64_t rows, int64_t k, QuantBlock* blocks,
                   int64_t stride);

  // C[rows, cols] (+)= left . right over `blocks` blocks of k, as gemm_quant.h defines. Any rows,
  // cols and blocks >= 1.
  using Product = void(const QuantBlock* left, int64_t left_stride, int64_t rows,
                       const QuantPanels& right, int64_t cols, int64_t blocks, float* c,
                       int64_t c_stride, bool accumulate);
  Product* product_q8;
  Product* product_q4;

  AllBlockLoops blocks;

  // Nothing but independent products from registers with weights of so many bits, 4, 5, 6 or 8,
  // rounds * probe_width multiply-adds: measures the peak. Its value is 0.
  float (*probe)(int64_t rounds, int bits);
  int64_t probe_width;

  const char* name;  // which instructions multiply
};

}  // namespace darkhorse
