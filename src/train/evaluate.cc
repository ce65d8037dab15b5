#include "train/evaluate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/head.h"

namespace darkhorse {
namespace {

constexpr int64_t kRowsAtOnce = 4096;

}  // namespace

TokenBatch ToTokenBatch(const TrainBatch& batch, int64_t sequence_length) {
  TokenBatch out;
  out.tokens = batch.tokens;
  out.sequence_rows = sequence_length;
  for (const BatchSegment& segment : batch.segments)
    out.segments.push_back({segment.row, segment.rows, 0, -1});
  return out;
}

std::vector<int32_t> Targets(const TrainBatch& batch) {
  std::vector<int32_t> targets = batch.targets;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (batch.weights[i] == 0) targets[i] = -1;
  }
  return targets;
}

EvaluationLoss EvaluateLoss(const Transformer& model, const ModelWeights& weights,
                            const TokenShard& shard, int64_t sequence_length, bool cross_documents,
                            int64_t max_tokens) {
  if (sequence_length > model.config().max_position_embeddings) {
    FailUsage("the sequence length is {}; it must be at most the model's context of {} tokens",
              sequence_length, model.config().max_position_embeddings);
  }
  const Loader loader(shard, "validation shard",
                      {.seed = 0,
                       .sequence_length = sequence_length,
                       .cross_documents = cross_documents,
                       .shuffle = false,
                       .repeat = false});
  const int64_t total =
      std::min(loader.sequences_per_epoch(), std::max<int64_t>(1, max_tokens / sequence_length));
  const int64_t at_once = std::max<int64_t>(1, kRowsAtOnce / sequence_length);
  EvaluationLoss result;
  double sum = 0;
  Arena arena;
  for (int64_t first = 0; first < total; first += at_once) {
    const TrainBatch rows = loader.Sequences(first, std::min(at_once, total - first));
    if (rows.rows() == 0) break;
    ArenaScope scope(arena);
    const std::vector<int32_t> targets = Targets(rows);
    const ConstMatrix hidden =
        model.Forward(weights, ToTokenBatch(rows, sequence_length), nullptr, arena, nullptr);
    std::vector<float> logp(targets.size());
    HeadForward(hidden, weights.lm_head, targets.data(), arena, logp.data(), nullptr);
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      sum -= logp[i];
      ++result.tokens;
    }
  }
  if (!std::isfinite(sum))
    Fail("the loss is {}; take an earlier checkpoint or a sound copy of the model", sum);
  result.loss = sum / static_cast<double>(std::max<int64_t>(1, result.tokens));
  return result;
}

}  // namespace darkhorse
