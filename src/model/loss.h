// The pretraining objective: weighted cross-entropy of the next token, multi-token prediction,
// sequence-wise balance.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/transformer.h"

namespace darkhorse {

struct LossInput {
  const TokenBatch& batch;
  std::span<const int32_t> target;  // [T] next token, -1: none
  // [T] loss = sum_i weight_i * -log p(target_i); 1 / (tokens of the step) for a mean
  std::span<const float> weight;
};

struct LossResult {
  double loss = 0;      // main cross-entropy, weighted as given
  double mtp_loss = 0;  // sum over depths of their cross-entropies, before lambda / depths
  double balance = 0;   // sum over layers and sequences of the balance loss, before alpha
  // [MoE layer][expert] tokens that chose it; multi-token-prediction modules last.
  std::vector<std::vector<int64_t>> load;
};

// Forward and backward. Objective: loss + mtp_lambda / D * mtp_loss + balance_alpha * balance. Adds
// to grads. logp [T] may be null; so may clock, which takes where the time goes.
LossResult LossForwardBackward(const Transformer& model, const ModelWeights& weights,
                               const LossInput& input, float mtp_lambda, float balance_alpha,
                               Arena& arena, const ModelGradients& grads, float* logp = nullptr,
                               PartClock* clock = nullptr);

// The router biases of the MoE layers, in the order of LossResult::load; nullptr where the config
// has none.
std::vector<float*> RouterBiases(const ModelWeights& weights);

}  // namespace darkhorse
