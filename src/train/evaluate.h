// Held-out loss.
#pragma once

#include <cstdint>
#include <span>

#include "data/loader.h"
#include "model/transformer.h"
#include "train/micro_batch.h"

namespace darkhorse {

struct EvaluationLoss {
  double loss = 0;     // mean negative log-likelihood of a token, nats
  int64_t tokens = 0;  // with a target
};

// The first `max_tokens` tokens (whole sequences, at least one) of the shard, in its own order.
// `weights` may be packed. UsageError: sequences longer than the model's context.
EvaluationLoss EvaluateLoss(const Transformer& model, const ModelWeights& weights,
                            const TokenShard& shard, int64_t sequence_length, bool cross_documents,
                            int64_t max_tokens);

// Of all these rows that have a target. Error: a loss that is not finite.
EvaluationLoss EvaluateLoss(const Transformer& model, const ModelWeights& weights,
                            std::span<const MicroBatch> parts);

// The loader's rows as the model takes them; every target that has no weight becomes -1.
TokenBatch ToTokenBatch(const TrainBatch& batch, int64_t sequence_length);
std::vector<int32_t> Targets(const TrainBatch& batch);

}  // namespace darkhorse
