// The feed-forward network with SwiGLU (Shazeer 2020): down(silu(gate(x)) * up(x)).
#pragma once

#include "model/pass_context.h"
#include "model/tensors.h"

namespace darkhorse {

struct MlpSaved {
  Matrix gate, up, activated;  // [T, intermediate]
};

// y += mlp(x). saved may be null.
void MlpForward(const PassContext& pass, const MlpWeights& w, ConstMatrix x, Matrix y,
                MlpSaved* saved);

// dx is written, or added to where add_to_dx.
void MlpBackward(const PassContext& pass, const MlpWeights& w, const MlpSaved& saved,
                 ConstMatrix dy, ConstMatrix x, Matrix dx, bool add_to_dx,
                 const MlpGradients& grads);

}  // namespace darkhorse
