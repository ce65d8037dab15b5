// A DeepSeekMoE layer: every token passes the shared experts and its K routed ones (Dai et al.
// 2024; DeepSeek-V3 section 2.1.2). Tokens are sorted by expert, each expert computes its rows as
// one product, and results are combined per token in the order of its choices, so a token's output
// does not depend on its neighbours.
#pragma once

#include <vector>

#include "model/mlp.h"
#include "model/router.h"

namespace darkhorse {

// Where each (token, choice) went.
struct Dispatch {
  std::vector<int64_t> row_begin;  // [E+1] expert e owns sorted rows [row_begin[e], row_begin[e+1])
  int32_t* source;                 // [T*K] token of each sorted row
  int32_t* slot;                   // [T*K] sorted row of each (token, choice)
};

struct MoeSaved {
  Routing routing;
  Dispatch dispatch;
  Matrix x;                    // [T*K, hidden] inputs, sorted
  Matrix gate, up, activated;  // [T*K, moe_intermediate]
  Matrix out;                  // [T*K, hidden] expert outputs, not yet weighted
  MlpSaved shared;
};

// y += moe(x). saved may be null.
void MoeForward(const PassContext& pass, const MoeWeights& w, ConstMatrix x, Matrix y,
                MoeSaved* saved);

// dx is written.
void MoeBackward(const PassContext& pass, const MoeWeights& w, const MoeSaved& saved,
                 ConstMatrix dy, ConstMatrix x, float balance_alpha, Matrix dx,
                 const MoeGradients& grads);

}  // namespace darkhorse
