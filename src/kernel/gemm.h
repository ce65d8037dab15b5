// f32 matrix products. Every element of C is one chain of fused multiply-adds over k in ascending
// order,
//   c = start; for k: c = fma(a[k], b[k], c),   start = 0, or the old C where `accumulate`,
// so the result does not depend on blocking, on the other rows of the batch, on threads or on the
// instruction set (docs/architecture.md). Tests compare with that chain written out
// (kernel/definitions_testing.h). All operands are row-major views with any stride >= cols; C must
// not overlap A or B.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernel/weight.h"

namespace darkhorse {

// C[M,N] = A[M,K] . B[N,K]^T   (a linear layer: x . W^T)
void GemmNT(ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate = false);
// C[M,N] = A[M,K] . B[K,N]     (its input gradient: dout . W)
void GemmNN(ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate = false);
// C[M,N] = A[K,M]^T . B[K,N]   (its weight gradient: dout^T . x, usually accumulated)
void GemmTN(ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate = false);

// C[M,M] = A[M,K] . A^T, bit for bit GemmNT(a, a, c) for little more than half its work. By the
// calling thread alone.
void Syrk(ConstMatrix a, Matrix c);

// A weight matrix W[N,K] packed once for many products x . W^T (decoding, rollouts). Opaque layout.
int64_t PackedSize(int64_t n, int64_t k);  // floats needed
void PackNT(ConstMatrix w, float* packed);
// C[M,N] = A[M,K] . W^T. Fast for one row (bandwidth-bound) as for thousands. Bit-equal to GemmNT.
void GemmPacked(ConstMatrix a, const float* packed, Matrix c, bool accumulate = false);

// Grouped products for mixture of experts: rows of the batch are sorted by group, group g owns rows
// [row_begin[g], row_begin[g+1]). row_begin has groups+1 entries. Empty groups cost nothing; work
// is balanced over threads across groups. Same chains as the plain forms, so a row's result does
// not depend on its neighbours.
//
// C[rows of g, N] = A[rows of g, K] . W_g[N,K]^T, W_g packed by PackNT or not at all
void GroupedGemmNT(ConstMatrix a, std::span<const int64_t> row_begin,
                   std::span<const Weight> weights, Matrix c);
// C[rows of g, K] = A[rows of g, N] . W_g[N,K]
void GroupedGemmNN(ConstMatrix a, std::span<const int64_t> row_begin,
                   std::span<const Weight> weights, Matrix c, bool accumulate = false);
// dW_g[N,K] += A[rows of g, N]^T . B[rows of g, K]; a null dW_g is not wanted.
void GroupedGemmTN(ConstMatrix a, ConstMatrix b, std::span<const int64_t> row_begin,
                   std::span<const Matrix> dw);

}  // namespace darkhorse
