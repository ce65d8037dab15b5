// The router of a mixture of experts: which K of E experts a token visits, and with what weight
// (DeepSeek-V3 eq. 12-16; V2's variants by config). In f32 throughout.
#pragma once

#include <cstdint>
#include <vector>

#include "model/pass_context.h"
#include "model/tensors.h"

namespace darkhorse {

// T tokens, E = n_routed_experts, K = num_experts_per_tok.
struct Routing {
  Matrix scores;    // [T, E] sigmoid or softmax of the gate's logits
  int32_t* expert;  // [T, K] chosen experts, best first; ties go to the lower index
  float* weight;    // [T, K] what each one's output is multiplied by
};

// Buffers come from pass.arena.
Routing Route(const PassContext& pass, const MoeWeights& w, ConstMatrix x);

// One row's choice: K distinct experts by score plus bias (bias may be null), in the groups that
// topk_method allows.
void SelectExperts(const ModelConfig& config, const float* scores, const float* bias,
                   int32_t* expert);

// dweight [T, K] -> dx (added to) and the gate's gradient. balance_alpha > 0 adds the gradient of
// the sequence-wise balance loss.
void RouteBackward(const PassContext& pass, const MoeWeights& w, const Routing& routing,
                   const float* dweight, ConstMatrix x, float balance_alpha, Matrix dx,
                   const MoeGradients& grads);

// The balance loss itself, sum over sequences of sum_i f_i P_i (eq. 17-20), alpha not applied. f_i
// counts the experts that were visited; the paper's would be those of the best scores without bias
// and groups, which are not the ones whose load is to be balanced.
double BalanceLoss(const PassContext& pass, const Routing& routing);

// Adds to counts[E] how many of the T*K choices fell on each expert.
void CountLoad(const ModelConfig& config, const Routing& routing, int64_t rows,
               std::vector<int64_t>& counts);

// Auxiliary-loss-free balancing (Wang et al. 2024; DeepSeek-V3 section 2.1.2), once per optimizer
// step over the whole batch: bias_i += gamma * sign(mean(counts) - counts_i).
void UpdateRouterBias(const std::vector<int64_t>& counts, float gamma, float* bias);

}  // namespace darkhorse
