// The inner loops of integer products: single-threaded. gemm_quant.cc threads them.
//
// Weights lie in panels of 16 columns (rows of W), a panel's blocks one after the other, first the
// integers of all, then the scales of all:
//   q8: number k of column j of a block at byte k/4*64 + j*4 + k%4, as signed: a tile of a matrix
//       unit, whose 64-byte rows are what VNNI multiplies with four activations;
//   q4: rows 2i and 2i+1 of such a tile in the low and high halves of the bytes of row i;
//   scales: sw of 16 columns in f16, of q4 then mw of 16 columns.
// Activations lie in QuantBlocks of 16 rows. What lies beyond the last row, column or k is zero.
#pragma once

#include <cstdint>

#include "kernel/f16.h"
#include "kernel/gemm_quant.h"

namespace darkhorse {

inline constexpr int64_t kQuantSide = 16;  // rows of a QuantBlock, columns of a panel

// One block of k of 16 rows of activations.
struct alignas(64) QuantBlock {
  int8_t q[kQuantSide][kQuantBlock];
  float scale[kQuantSide];
  int32_t sum[kQuantSide];       // of q
  float scaled_sum[kQuantSide];  // scale * sum
};

inline constexpr int64_t kQ8Tile = kQuantBlock * kQuantSide;  // bytes
inline constexpr int64_t kQ4Tile = kQ8Tile / 2;

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

  const char* name;  // which instructions multiply
};

}  // namespace darkhorse
