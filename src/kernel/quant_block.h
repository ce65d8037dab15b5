// Quantised activations: what all products of integers read (kernel/gemm_quant.h).
#pragma once

#include <cstdint>

#include "kernel/gemm_quant.h"

namespace darkhorse {

inline constexpr int64_t kQuantSide = 16;  // rows of a QuantBlock, columns of a panel

// One block of k of 16 rows of activations. What lies beyond the last row or k is zero.
struct alignas(64) QuantBlock {
  int8_t q[kQuantSide][kQuantBlock];
  float scale[kQuantSide];
  int32_t sum[kQuantSide];                     // of q
  float scaled_sum[kQuantSide];                // scale * sum
  int32_t sums[kQuantSide][kQuantBlock / 16];  // of 16 of q
};

inline constexpr int64_t kQ8Tile = kQuantBlock * kQuantSide;  // bytes
inline constexpr int64_t kQ4Tile = kQ8Tile / 2;

}  // namespace darkhorse
