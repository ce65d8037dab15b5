// Causal softmax attention over one document's keys, never holding T x T. For one head and a query
// at document position p:
//   o = sum_{j <= p} softmax_j(scale * q.k_j) v_j
// computed over key blocks of 64 positions (kKeyBlock) anchored at the document's first position,
// with a running maximum and sum (Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022). The
// operations on a query row depend on its own position only: not on which other queries are
// computed with it, nor on the chunk its keys arrived in. So a token decoded alone, prefilled in
// any chunking, or trained in any packing gets the same bits. Tests compare with the definition in
// plain loops (kernel/definitions_testing.h).
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"

namespace darkhorse {

inline constexpr int64_t kKeyPanel =
    16;  // keys are stored in panels [dim][16]: element (j, d) at ((j/16)*dim + d)*16 + j%16

// Floats that `positions` keys of width dim take as panels (rounded up to whole panels; the tail
// must be finite, e.g. zero).
int64_t KeyPanelSize(int64_t positions, int64_t dim);
// Writes keys[rows, dim] as positions first_position … first_position+rows-1 of a panel buffer.
void WriteKeyPanels(ConstMatrix keys, int64_t first_position, float* panels);

// One head of one document: `queries` consecutive query rows, the first at position `position`. Or
// the heads that share these keys, a row each, all at that position: a token decoded, for which the
// keys are then read once.
struct AttentionJob {
  ConstMatrix q;            // [queries, key_dim]
  const float* key_panels;  // positions 0 … that of the last row at least
  ConstMatrix v;            // [as many, value_dim], row j = position j
  Matrix out;               // [queries, value_dim]
  float* lse;               // [queries] log-sum-exp of the scaled scores, for backward; may be null
  int64_t position;
  bool one_position = false;  // of all rows

  int64_t PositionOf(int64_t row) const { return position + (one_position ? 0 : row); }
};
// Runs the jobs on all threads (a long job is split by query blocks). scale multiplies q.k. Nothing
// beyond a job's last query is read but its panel's tail; a key after a query but not after the
// job's last one may enter with weight zero, so it must be finite.
void AttentionForward(std::span<const AttentionJob> jobs, float scale);

// Backward for one head of the last T positions of one document; before them lie P (usually none),
// whose own queries are no part of this job. Gradients are written. In f32 each of them is a chain
// over positions in order: dq over the keys, dk and dv over the T queries.
struct AttentionBackwardJob {
  ConstMatrix q, k;                  // [T, key_dim]
  ConstMatrix v, out, dout;          // [T, value_dim]
  const float* lse;                  // [T]
  Matrix dq;                         // [T, key_dim]
  Matrix dk;                         // [P + T, key_dim]
  Matrix dv;                         // [P + T, value_dim]
  ConstMatrix k_before, v_before{};  // [P, key_dim], [P, value_dim]
};
void CheckShapes(std::span<const AttentionBackwardJob> jobs);  // CHECKs
void AttentionBackward(std::span<const AttentionBackwardJob> jobs, float scale);

}  // namespace darkhorse
