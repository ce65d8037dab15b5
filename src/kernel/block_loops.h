// The inner loops of block formats (kernel/block_formats.h): single-threaded.
//
// Weights lie in panels of 16 rows of W, a panel's blocks one after the other. A block is 64 of k,
// or 256 of the formats that are 256 in the file: first the integers, 64 of k after 64 of k, then
// the scales.
//   64 of k: the tile of q8 (kernel/quant_loops.h), number k of row j at byte n = k/4*64 + j*4 +
//   k%4:
//     8 bits: as they are, the signed ones with 128 added;
//     else the low 4 bits, the lines of 64 bytes 2i and 2i+1 in the low and high halves of line i,
//     then the fifth bits of lines 2i and 2i+1 as bit i of two lines,
//     or the fifth and sixth of line i as bits 2(i/4) and above of line i%4 of four.
//   Scales of blocks of 64: d[2][16] of the two groups, m[2][16]; of 256: bytes s[8][16], t[8][16],
//     f16 d[16], e[16]; of Q6_K: bytes s[16][16], f16 d[16] and 32 bytes of nothing.
// What lies beyond the last row or k is zero, its scales too.
#pragma once

#include <cstdint>

#include "kernel/f16.h"
#include "kernel/quant_block.h"

namespace darkhorse {

inline constexpr int kBlockFormats = 9;  // of Format, from kQ4_0 on

// 64 of k of a panel, of whatever format, as products read it.
struct alignas(64) Unpacked {
  uint8_t q[kQ8Tile];          // q + offset
  float scale[4][kQuantSide];  // of each group
  float least[2][kQuantSide];
};

// Those of one weight, its rows of 16 one after the other.
struct BlockPanels {
  const uint8_t* data;
  int64_t stride;  // bytes from one panel to the next
};

// Of one format.
struct BlockLoops {
  // A panel's block to as many of 64 of k.
  void (*unpack)(const uint8_t* block, Unpacked* to);

  // C[rows, cols] (+)= left . right over `blocks` blocks of 64 of k, as block_formats.h defines.
  // `left` as in QuantLoops. Any rows, cols and blocks >= 1.
  void (*product)(const QuantBlock* left, int64_t left_stride, int64_t rows,
                  const BlockPanels& right, int64_t cols, int64_t blocks, float* c,
                  int64_t c_stride, bool accumulate);
};

struct AllBlockLoops {
  BlockLoops of[kBlockFormats];
};

}  // namespace darkhorse
