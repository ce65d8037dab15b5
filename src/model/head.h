// The output head: hidden states to log-probabilities of given tokens and back, in chunks of rows,
// so that [tokens, vocabulary] is never held whole. It knows no objective: a loss is what its
// caller does with log-probabilities, and comes back as their gradient. Pretraining, policy
// gradients and distillation share it.
#pragma once

#include <cstdint>

#include "base/arena.h"
#include "kernel/weight.h"

namespace darkhorse {

// Rows whose logits are held at once, at most.
int64_t HeadChunkRows(int64_t vocabulary);

// logp[i] = log p(target[i] | hidden row i); entropy[i] of the distribution (may be null). Rows
// with target -1 give 0.
void HeadForward(ConstMatrix hidden, const Weight& lm_head, const int32_t* target, Arena& arena,
                 float* logp, float* entropy);

// Given d(loss)/d(logp) and d(loss)/d(entropy) (may be null) per row: dhidden (written) and
// dlm_head (accumulated; null: not wanted). Computes the logits again, and with them logp (may be
// null), so that a loss whose dlogp is known beforehand, as cross-entropy's, needs this one call.
// Rows with target -1 give nothing.
void HeadBackward(ConstMatrix hidden, const Weight& lm_head, const int32_t* target,
                  const float* dlogp, const float* dentropy, Arena& arena, Matrix dhidden,
                  const WeightGradient& dlm_head, float* logp);

}  // namespace darkhorse
