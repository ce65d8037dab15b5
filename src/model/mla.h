// Multi-head latent attention (DeepSeek-V2 section 2.1, DeepSeek-V3 section 2.1.1).
#pragma once

#include "model/pass_context.h"
#include "model/tensors.h"

namespace darkhorse {

// H heads, R = kv_lora_rank, P = qk_rope_head_dim, Q = qk_nope + P, V = v_head_dim.
struct MlaSaved {
  Matrix q_a, q_a_normed;  // [T, q_lora_rank], where there is one
  float* q_a_inv_rms;      // [T]
  Matrix q;                // [T, H*Q] rotated queries
  Matrix kv_a;             // [T, R+P] latent before its norm, rotated shared key
  float* latent_inv_rms;   // [T]
  Matrix latent;           // [T, R] after its norm
  Matrix kv;               // [T, H*(nope+V)]
  Matrix k;                // [T, H*Q] keys: per head [nope; rotary]
  Matrix heads_out;        // [T, H*V]
  float* lse;              // [H, T]
};

// y += attention(x). x [T, hidden] is the normed input, y [T, hidden] the residual stream. `layer`
// names the cache's layer. saved may be null.
void MlaForward(const PassContext& pass, const MlaWeights& w, int64_t layer, ConstMatrix x,
                Matrix y, MlaSaved* saved);

// dx [T, hidden] is written; x is what forward was given.
void MlaBackward(const PassContext& pass, const MlaWeights& w, const MlaSaved& saved,
                 ConstMatrix dy, ConstMatrix x, Matrix dx, const MlaGradients& grads);

}  // namespace darkhorse
