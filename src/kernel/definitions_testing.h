// Tests only: what products and attention are defined as, in plain loops. The kernels have to give
// these bits (docs/architecture.md).
#pragma once

#include <vector>

#include "kernel/attention.h"
#include "kernel/gemm.h"

namespace darkhorse {

// The products of kernel/gemm.h: opa/opb read element (m,k) and (k,n).
void GemmReference(ConstMatrix a, bool a_transposed, ConstMatrix b, bool b_transposed, Matrix c,
                   bool accumulate);

// The products of kernel/gemm_bf16.h.
void Bf16GemmReference(ConstMatrix a, bool a_transposed, ConstMatrix b, bool b_transposed, Matrix c,
                       bool accumulate);

// A row's quantised block: number k stands for scale * q[k] + least.
struct Quantised {
  float scale, least;
  std::vector<int> q;
  float Number(size_t k) const { return scale * static_cast<float>(q[k]) + least; }
};
// The activations of row `row` from number `begin` on.
Quantised QuantisedBlock(ConstMatrix x, int64_t row, int64_t begin);

// x . W^T of kernel/gemm_quant.h, and the numbers that its quantised operands stand for.
void QuantGemmReference(Format format, ConstMatrix x, ConstMatrix w, Matrix c, bool accumulate);
std::vector<float> QuantisedActivations(ConstMatrix x);
std::vector<float> QuantisedWeights(Format format, ConstMatrix w);

// The attention of kernel/attention.h, in float over a row's own positions, block by block. The
// exponential is Kernels()'s.
void AttentionReference(const AttentionJob& job, ConstMatrix keys, float scale);

// The attention of kernel/attention_bf16.h over one document's keys and values, and its gradients.
// As above; dot products of dO and O are Kernels()'s too.
void Bf16AttentionReference(ConstMatrix q, ConstMatrix k, ConstMatrix v, float scale, Matrix out,
                            float* lse);
void Bf16AttentionBackwardReference(const AttentionBackwardJob& job, float scale);

}  // namespace darkhorse
