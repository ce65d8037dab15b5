// Matrix products of bf16 numbers with f32 sums, defined as the matrix units of today's processors
// compute them (Intel's TDPBF16PS), so that every instruction set can give the same bits. k is
// padded with zeros to a multiple of 32; for each 32 of k, ascending,
//   even = the chain of fused multiply-adds over the even k from 0, odd = that over the odd k,
//   c = c + (even + odd),   c = 0 before the first, or the old C where `accumulate`,
// in f32, to the nearest, where a denormal that is read counts as zero and one that would be
// written is zero. Infinities and NaN go through as IEEE has them; which NaN is not defined.
// So the result does not depend on blocking, on the other rows of the batch, on threads or on the
// instruction set. Tests compare with this written out (kernel/definitions_testing.h).
//
// Operands are f32 matrices, rounded here by RoundToBf16, or the tiles of one rounded before, for
// all the products that share it. Views may have any stride >= cols; C must not overlap A or B.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernel/bf16.h"

namespace darkhorse {

// An operand: the matrix and, where it was rounded before, its tiles. Then only the shape of `x` is
// read, and its data may be null.
struct Bf16Operand {
  ConstMatrix x;
  const Bf16* tiles = nullptr;

  Bf16Operand(ConstMatrix x_in) : x(x_in) {}
  Bf16Operand(Matrix x_in) : x(x_in) {}
  Bf16Operand(int64_t rows, int64_t cols, const Bf16* tiles_in)
      : x(nullptr, rows, cols), tiles(tiles_in) {}
};

// Numbers that the tiles of a [rows, cols] matrix take, by whichever function below.
int64_t TilesSize(int64_t rows, int64_t cols);
// X as the first operand of NT and NN, and the second of TN: activations, gradients of outputs.
void RoundRows(ConstMatrix x, Bf16* tiles);
// W as the second operand of NT, and of NN: weights.
void RoundForNT(ConstMatrix w, Bf16* tiles);
void RoundForNN(ConstMatrix w, Bf16* tiles);

// C[M,N] = A[M,K] . B[N,K]^T; tiles by RoundRows and RoundForNT.
void Bf16GemmNT(const Bf16Operand& a, const Bf16Operand& b, Matrix c, bool accumulate = false);
// C[M,N] = A[M,K] . B[K,N]; tiles by RoundRows and RoundForNN.
void Bf16GemmNN(const Bf16Operand& a, const Bf16Operand& b, Matrix c, bool accumulate = false);
// C[M,N] = A[K,M]^T . B[K,N]; tiles of B by RoundRows.
void Bf16GemmTN(ConstMatrix a, const Bf16Operand& b, Matrix c, bool accumulate = false);

// Grouped, as in kernel/gemm.h: group g owns rows row_begin[g] ... row_begin[g+1] - 1 of A and C.
// C[rows of g, N] = A[rows of g, K] . W_g[N,K]^T; tiles of W_g by RoundForNT.
void GroupedBf16GemmNT(ConstMatrix a, std::span<const int64_t> row_begin,
                       std::span<const Bf16Operand> weights, Matrix c);
// C[rows of g, K] = A[rows of g, N] . W_g[N,K]; tiles of W_g by RoundForNN.
void GroupedBf16GemmNN(ConstMatrix a, std::span<const int64_t> row_begin,
                       std::span<const Bf16Operand> weights, Matrix c, bool accumulate = false);
// dW_g[N,K] += A[rows of g, N]^T . B[rows of g, K]; a null dW_g is not wanted.
void GroupedBf16GemmTN(ConstMatrix a, ConstMatrix b, std::span<const int64_t> row_begin,
                       std::span<const Matrix> dw);

}  // namespace darkhorse
