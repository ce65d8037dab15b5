// Products of integers with f32 sums: weights of 8 or 4 bits that were quantised before, and
// activations that are quantised to 8 bits on the way. Both have a scale per row and block of
// kQuantBlock along k; k is padded with zeros to whole blocks. For each block, ascending,
//   c = fma(float(dot), sx * sw, c),   dot = the sum of xq[k] * wq[k] over the block, an integer,
//   q4 then: c = fma(mw, sx * float(sum), c),   sum = that of xq[k],
// in f32 to the nearest; c = 0 before the first, or the old C where `accumulate`. The integers are
// exact in any order and fit int32. So the result does not depend on blocking, on the other rows of
// the batch, on threads or on the instruction set. Tests compare with this written out
// (kernel/definitions_testing.h).
//
// Quantising rounds to the nearest, ties to even:
//   activations  sx = a / 127, xq = round(x * (127 / a)) in f32, a = the block's largest magnitude;
//                a block whose a is below 2^-100 is all zero
//   q8           sw = f16(a / 127), wq = round(w / sw) within [-127, 127]
//   q4           mw = f16(the least w), sw = f16((the greatest w - mw) / 15),
//                wq = round((w - mw) / sw) within [0, 15]
// where wq = 0 if sw = 0. A block that holds an infinity or a NaN, or of weights whose scale or
// minimum is beyond f16 (65504), has the scale NaN, and so has every result that it enters.
//
// With d = 2^-11 * (the block's greatest magnitude, twice that for q4) + 2^-18, what f16 may cost,
// sw * wq (+ mw) is within sw / 2 + d of w: half a step.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernel/weight.h"

namespace darkhorse {

// 64 of k are what a matrix unit multiplies in one instruction, and divide the widths of published
// models (576, 896). After a block its sums are scaled in vector registers, in three or four
// instructions per 16 sums, which at 32 would outweigh the matrix unit; at 128 four bits lose more,
// to save 0.25 of 4.5 bits.
inline constexpr int64_t kQuantBlock = 64;

// Weights W[N,K], quantised by QuantizeWeights, or in a block format (kernel/block_formats.h, which
// says what its products are).
struct QuantOperand {
  Format format;  // an integer one
  int64_t rows, cols;
  const void* data;
};

// Bytes of quantised weights: 8.25 or 4.5 bits a number; of block formats, about the file's.
int64_t QuantBytes(Format format, int64_t rows, int64_t cols);
// To q8 or q4, in memory aligned to 64 bytes.
void QuantizeWeights(Format format, ConstMatrix w, void* data);

// Activations [rows, cols]: quantised by the product, or before, for all products that share them.
// Then only the shape of `x` is read.
struct QuantBlock;  // kernel/quant_block.h
struct QuantInput {
  ConstMatrix x;
  const QuantBlock* blocks = nullptr;
};
int64_t QuantBlocks(int64_t rows, int64_t cols);  // that such activations take
void QuantizeRows(ConstMatrix x, QuantBlock* blocks);

// C[M,N] = A[M,K] . W[N,K]^T. Views may have any stride >= cols; C must not overlap A.
void QuantGemm(const QuantInput& a, const QuantOperand& w, Matrix c, bool accumulate = false);
inline void QuantGemm(ConstMatrix a, const QuantOperand& w, Matrix c, bool accumulate = false) {
  QuantGemm(QuantInput{a}, w, c, accumulate);
}
// Grouped, as in kernel/gemm.h: group g owns rows row_begin[g] ... row_begin[g+1] - 1 of A and C.
void GroupedQuantGemm(ConstMatrix a, std::span<const int64_t> row_begin,
                      std::span<const QuantOperand> weights, Matrix c);

}  // namespace darkhorse
