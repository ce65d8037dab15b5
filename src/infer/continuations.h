// How probable each of several texts is as what follows a prompt, which is computed once for all.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/transformer.h"

namespace darkhorse {

// The sum of the log-probabilities of each continuation's tokens, nats; of an empty one 0. The bits
// of one depend on the prompt and itself alone. `weights` may be packed. Error: an empty prompt,
// one that with its longest continuation is beyond the model's context, a token outside the
// vocabulary.
std::vector<double> ContinuationLogp(const Transformer& model, const ModelWeights& weights,
                                     std::span<const int32_t> prompt,
                                     std::span<const std::vector<int32_t>> continuations);

}  // namespace darkhorse
