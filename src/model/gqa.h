// Grouped-query attention (Ainslie et al. 2023): multi-head attention whose query heads share keys
// and values in groups, as Llama and Qwen have it. Biases and the norms of queries and keys are
// where the config has them.
#pragma once

#include "model/pass_context.h"
#include "model/tensors.h"

namespace darkhorse {

// H heads, G = num_key_value_heads, D = head_dim.
struct GqaSaved {
  Matrix q_in, k_in;             // [T, H*D], [T, G*D] before their norms, where there are such
  float *q_inv_rms, *k_inv_rms;  // [T*H], [T*G]
  Matrix q, k;                   // rotated
  Matrix v;                      // [T, G*D]
  Matrix heads_out;              // [T, H*D]
  float* lse;                    // [H, T]
};

// y += attention(x). x [T, hidden] is the normed input, y [T, hidden] the residual stream. `layer`
// names the cache's layer. saved may be null.
void GqaForward(const PassContext& pass, const GqaWeights& w, int64_t layer, ConstMatrix x,
                Matrix y, GqaSaved* saved);

// dx [T, hidden] is written; x is what forward was given.
void GqaBackward(const PassContext& pass, const GqaWeights& w, const GqaSaved& saved,
                 ConstMatrix dy, ConstMatrix x, Matrix dx, const GqaGradients& grads);

}  // namespace darkhorse
