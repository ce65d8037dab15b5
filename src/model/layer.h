// One transformer block: x += attention(norm(x)); x += feed_forward(norm(x)).
#pragma once

#include "model/gqa.h"
#include "model/mla.h"
#include "model/mlp.h"
#include "model/moe.h"

namespace darkhorse {

struct LayerSaved {
  Matrix in, mid;  // [T, hidden] residual stream before attention, before the feed-forward
  Matrix in_normed, mid_normed;     // [T, hidden]
  float *in_inv_rms, *mid_inv_rms;  // [T]
  MlaSaved mla;
  GqaSaved gqa;
  MlpSaved mlp;
  MoeSaved moe;
};

// x [T, hidden] is the residual stream, updated in place. saved may be null: then nothing stays in
// the arena.
void LayerForward(const PassContext& pass, const LayerWeights& w, int64_t layer, Matrix x,
                  LayerSaved* saved);

// dx [T, hidden]: gradient of the block's output in, of its input out.
void LayerBackward(const PassContext& pass, const LayerWeights& w, const LayerSaved& saved,
                   float balance_alpha, Matrix dx, const LayerGradients& grads);

}  // namespace darkhorse
