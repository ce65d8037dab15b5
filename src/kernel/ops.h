// The row-wise operations of a transformer, forward and backward, with threads. T = tokens (rows),
// D = columns. Parameter gradients (dweight) accumulate; activation gradients (dx) are written
// unless a comment says otherwise. Sums over a row use 16 fixed partial sums and one tree, so a
// row's result never depends on its batch, on threads or on the instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"

namespace darkhorse {

// y = x / sqrt(mean(x^2) + eps) * weight. inv_rms[T] is kept for backward (may be null).
void RmsNormForward(ConstMatrix x, const float* weight, float eps, Matrix y, float* inv_rms);
// dx (written, or added to where add_to_dx) and dweight[D] (accumulated, in a fixed order of row
// chunks; null: not wanted).
void RmsNormBackward(ConstMatrix dy, ConstMatrix x, const float* weight, const float* inv_rms,
                     Matrix dx, bool add_to_dx, float* dweight);

// Which columns of a rotated vector are a pair: 2j and 2j + 1, or j and j + dim/2.
enum class RopeOrder { kNeighbours, kHalves };

// Rotations of the rotary position embedding: a view of what RopeCosSin fills.
struct RopeTable {
  int64_t dim = 0;  // rotary columns, even
  const float* cos_sin =
      nullptr;  // per position dim/2 pairs (cos, sin), or dim/2 cos, then the sin
  int64_t max_position = 0;
  RopeOrder order = RopeOrder::kNeighbours;
};
// Fills the entries of the positions from `begin` to `end` of a table at cos_sin. Pair j at a
// position: mscale * (cos, sin)(position * inv_freq[j]), computed in double and rounded once.
void RopeCosSin(std::span<const double> inv_freq, double mscale, RopeOrder order, int64_t begin,
                int64_t end, float* cos_sin);
// Rotates the pairs of each row's `heads` slices of table.dim columns, in place: (a, b) -> (a cos -
// b sin, b cos + a sin). Slice h starts at column first + h * head_stride; row r is rotated by the
// table's entry at position[r]. inverse = true rotates back, which is the backward pass.
void RopeInPlace(Matrix x, int64_t first, int64_t heads, int64_t head_stride,
                 const RopeTable& table, const int32_t* position, bool inverse);

// y = silu(gate) * up,  silu(g) = g * sigmoid(g).
void SwiGluForward(ConstMatrix gate, ConstMatrix up, Matrix y);
// dgate and dup written; may alias gate and up.
void SwiGluBackward(ConstMatrix dy, ConstMatrix gate, ConstMatrix up, Matrix dgate, Matrix dup);

void Sigmoid(ConstMatrix x, Matrix y);
// Row softmax, in one pass per row: y = exp(x - max) / sum. May alias.
void SoftmaxRows(ConstMatrix x, Matrix y);

// For each row: log_softmax(x)[target] and (where non-null) the entropy -sum p log p. THE
// log-softmax of the project: training, scoring and sampling all call it, so their
// log-probabilities agree bit for bit.
void LogSoftmaxRows(ConstMatrix logits, const int32_t* target, float* logp, float* entropy);
// logits -> dlogits in place: dlogit = dlogp * (onehot(target) - p) + dentropy * d(entropy)/dlogit.
// dentropy may be null; so may logp, which takes what LogSoftmaxRows would give.
void LogSoftmaxBackwardRows(Matrix logits, const int32_t* target, const float* dlogp,
                            const float* dentropy, float* logp);

// y[i] += the sum of x's column i, rows in ascending order. A null y is not wanted.
void AddColumnSums(ConstMatrix x, float* y);

// y = x + y, elementwise.
void AddInPlace(ConstMatrix x, Matrix y);

// y[row] = x[index[row]] (gather rows); index -1 gives a zero row.
void GatherRows(ConstMatrix x, std::span<const int32_t> index, Matrix y);

// Row t of a [T, D] matrix stands for k rows of a [T * k, D] one: those of slot[t * k + i], i < k,
// each of one t only.
//
// Combining experts: y[t] = (add_to_y ? y[t] : 0) + sum of weight[t * k + i] * x[slot[t * k + i]],
// i in order. weight null: all 1.
void CombineRows(ConstMatrix x, const int32_t* slot, const float* weight, int64_t k, Matrix y,
                 bool add_to_y);
// dx[slot[j]] = weight[j] * dy[j / k], written; dweight[j] = dy[j / k] . x[slot[j]], written,
// summed in double. dx may alias x.
void CombineRowsBackward(ConstMatrix dy, ConstMatrix x, const int32_t* slot, const float* weight,
                         int64_t k, Matrix dx, float* dweight);

// Embedding gradient: dtable[token[row]] += dy[row], rows of equal token in ascending row order;
// token -1 adds nothing. A null dtable is not wanted.
void ScatterAddRows(ConstMatrix dy, std::span<const int32_t> token, Matrix dtable);

// Sum of squares of x[0..n) in double: chunks of a fixed size, summed in order. Deterministic,
// threaded.
double SumSquares(const float* x, int64_t n);

// AdamW on n elements (Loshchilov & Hutter 2019): m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
// w -= lr * ( (m/bias1) / (sqrt(v/bias2) + eps) + weight_decay * w ), g = grad * grad_scale.
struct AdamWParams {
  float lr, beta1, beta2, eps, weight_decay, bias1, bias2, grad_scale;
};
void AdamWUpdate(const AdamWParams& p, const float* grad, float* w, float* m, float* v, int64_t n);

}  // namespace darkhorse
