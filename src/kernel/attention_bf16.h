// Causal softmax attention (kernel/attention.h) whose products are bf16's (kernel/gemm_bf16.h). For
// one head and a query at document position p, over key blocks of 64 positions:
//   s_j = scale * (q . k_j), a bf16 product over the key's width, for j <= p
//   running maximum and sum of exp(s_j - max) in f32, as in kernel/attention.h
//   acc = acc * exp(old max - max), then acc += P . V, a bf16 product over the block's positions of
//         P_j = exp(s_j - max), rounded, 0 for j > p
//   o = acc / sum
// and for its gradients, with P_ij = exp(scale * s_ij - lse_i), dP = dO . V^T and dS_ij =
// scale * P_ij * (dP_ij - dO_i . O_i), zero for j > i: the bf16 products
//   dQ = dS . K,   dK = dS^T . Q,   dV = P^T . dO
// over the keys of the document and the queries of the job. All of it with denormals flushed
// (kernel/denormals.h). So, as there, a row's bits depend on its own position only.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernel/attention.h"
#include "kernel/bf16.h"

namespace darkhorse {

// Keys and values of positions 0, 1, ... as right tiles (kernel/bf16_loops.h): keys as W of x .
// W^T, values as B of x . B. `positions`: the most there may be; what no position has been written
// to is read, so it must hold numbers, e.g. zeros.
int64_t KeyTilesSize(int64_t positions, int64_t dim);
int64_t ValueTilesSize(int64_t positions, int64_t dim);
// Rounds keys [rows, dim] and values [rows, dim] as positions first_position ... of such tiles;
// what follows them in a tile that they begin becomes zero.
void WriteKeyTiles(ConstMatrix keys, int64_t first_position, Bf16* tiles);
void WriteValueTiles(ConstMatrix values, int64_t first_position, int64_t positions, Bf16* tiles);

// One head of one document: `queries` consecutive query rows, the first at position `position`; or
// heads that share keys, a query row of each at that position.
struct Bf16AttentionJob {
  ConstMatrix q;            // [queries, key_dim]
  const Bf16* key_tiles;    // positions 0 ... position+queries-1 at least
  const Bf16* value_tiles;  // likewise,
  int64_t value_positions;  // of so many positions at most
  Matrix out;               // [queries, value_dim]
  float* lse;               // [queries] log-sum-exp of the scaled scores; may be null
  int64_t position;
  bool one_position = false;  // of all rows

  int64_t PositionOf(int64_t row) const { return position + (one_position ? 0 : row); }
};
void Bf16AttentionForward(std::span<const Bf16AttentionJob> jobs, float scale);

void Bf16AttentionBackward(std::span<const AttentionBackwardJob> jobs, float scale);

}  // namespace darkhorse
