// Weights in the block formats of GGUF's files, as they are: packed for products, they stand for
// the file's numbers and take its bytes, 3 % more at most.
//
// A row is cut along k into groups of 32 numbers (Q6_K: of 16), each with a scale and, in some
// formats, a minimum:
//
//   format  bits  offset   scale       minimum    bytes in the file
//   Q4_0    4     8        d                      18 for 32 numbers
//   Q4_1    4              d           m          20
//   Q5_0    5     16       d                      22
//   Q5_1    5              d           m          24
//   Q8_0    8     (signed) d                      34
//   IQ4_NL  4     (table)  d                      18
//   Q4_K    4              d * s       -(e * t)   144 for 256
//   Q5_K    5              d * s       -(e * t)   176
//   Q6_K    6     32       d * s                  210
//
// with d, m and e in f16, e and d of Q4_K, Q5_K and Q6_K for 256 numbers, s and t integers of a
// group. With the stored integer less the offset (IQ4_NL: the table's number) as q, a number is
//   w = scale * q (+ minimum),
// where all products are exact in f32, so that only the sum rounds.
//
// Products are those of gemm_quant.h with other weights. Activations are quantised as there, with a
// scale sx for each block of 64 along k: it divides published widths (576, 896) where 128 and 256
// do not, is finer than the 256 that the files' formats of 256 are commonly multiplied with, and is
// one form for all integer formats, for the layers that read one input often differ in theirs. For
// each block of 64, ascending:
//   t = 0; for each group in it, ascending:
//     t = fma(float(dot), scale, t),          dot = the sum of xq * q over the group, an integer
//     t = fma(minimum, float(sum), t),        where there is one; sum = that of xq
//   c = fma(sx, t, c)
// in f32 to the nearest; c = 0 before the first, or the old C where `accumulate`. So groups cost
// two vector instructions for each 16 sums, and scales of activations a quarter of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "kernel/gemm_quant.h"
#include "kernel/ggml_blocks.h"

namespace darkhorse {

// The file's type of a block format, and the format of a type if products read it packed.
GgmlType GgmlTypeOf(Format format);
std::optional<Format> BlockFormatOf(GgmlType type);

// Packs W[rows, cols] to QuantBytes(format, rows, cols) bytes aligned to 64. row(i) is where the
// blocks of row i lie, as the file has them; it is asked from several threads, once for each i.
// cols is a multiple of the numbers of a block.
void PackBlocks(Format format, int64_t rows, int64_t cols,
                const std::function<const std::byte*(int64_t)>& row, void* data);

}  // namespace darkhorse
