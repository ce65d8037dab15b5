// How evenly a model's experts are used, and keeping them so.
#pragma once

#include <cstdint>
#include <vector>

#include "model/params.h"

namespace darkhorse {

// Tokens to each expert: [MoE layer][expert].
using ExpertLoad = std::vector<std::vector<int64_t>>;

// sum += load; an empty sum takes load's shape.
void AddLoad(const ExpertLoad& load, ExpertLoad& sum);

// MaxVio of the worst layer: max(load) / mean(load) - 1; 0 without layers.
double MaxViolation(const ExpertLoad& load);

// One step of the auxiliary-loss-free balancing (model/router.h) in every layer that has biases.
void UpdateRouterBiases(const ExpertLoad& load, double gamma, const ModelWeights& weights);

}  // namespace darkhorse
