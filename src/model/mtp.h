// Multi-token prediction (DeepSeek-V3 section 2.2): module k predicts, at row i, the token k+2
// places ahead, from the previous depth's output at i and the embedding of token i+k+1. Embedding
// and output head are the main model's.
#pragma once

#include <cstdint>
#include <vector>

#include "model/layer.h"

namespace darkhorse {

struct MtpSaved {
  std::vector<int32_t> next;  // [T] token whose embedding enters, -1 where the document ends before
                              // it (a zero vector)
  Matrix embedding;           // [T, hidden]
  float *embedding_inv_rms, *hidden_inv_rms, *out_inv_rms;  // [T]
  Matrix concat;    // [T, 2*hidden] [enorm(embedding); hnorm(h)]
  Matrix layer_in;  // [T, hidden] eh_proj's output: where the block begins
  LayerSaved layer;
  Matrix layer_out;  // [T, hidden]
  Matrix out;        // [T, hidden] after shared_head.norm: to the head, and to the next depth
};

// Targets of depth k: shifted(i) = target[i + shift] where row i + shift lies in i's segment, else
// -1. weight likewise, else 0.
std::vector<int32_t> ShiftWithinSegments(const TokenBatch& batch, const int32_t* target,
                                         int64_t shift);

// previous [T, hidden]: the output of the depth before (the main model's after its final norm).
// saved->next must be set.
void MtpForward(const PassContext& pass, const ModelWeights& model, int64_t depth,
                ConstMatrix previous, MtpSaved* saved);

// dout [T, hidden] (overwritten) -> dprevious (added to) and gradients, the embedding's among them.
void MtpBackward(const PassContext& pass, const ModelWeights& model, int64_t depth,
                 ConstMatrix previous, const MtpSaved& saved, float balance_alpha, Matrix dout,
                 Matrix dprevious, const ModelGradients& grads);

}  // namespace darkhorse
