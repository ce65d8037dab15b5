#include "train/evaluate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/head.h"

namespace darkhorse {
namespace {

constexpr int64_t kRowsAtOnce = 4096;

// The mean over what was added.
class LossSum {
 public:
  LossSum(const Transformer& model, const ModelWeights& weights)
      : model_(model), weights_(weights) {}

  void Add(const TokenBatch& batch, const std::vector<int32_t>& targets) {
    ArenaScope scope(arena_);
    const ConstMatrix hidden = model_.Forward(weights_, batch, nullptr, arena_, nullptr);
    std::vector<float> logp(targets.size());
    HeadForward(hidden, weights_.lm_head, targets.data(), arena_, logp.data(), nullptr);
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      sum_ -= logp[i];
      ++tokens_;
    }
  }
  EvaluationLoss Mean() const {
    if (!std::isfinite(sum_))
      Fail("the loss is {}; take an earlier checkpoint or a sound copy of the model", sum_);
    return {sum_ / static_cast<double>(std::max<int64_t>(1, tokens_)), tokens_};
  }

 private:
  const Transformer& model_;
  const ModelWeights& weights_;
  Arena arena_;
  double sum_ = 0;
  int64_t tokens_ = 0;
};

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
  LossSum sum(model, weights);
  for (int64_t first = 0; first < total; first += at_once) {
    const TrainBatch rows = loader.Sequences(first, std::min(at_once, total - first));
    if (rows.rows() == 0) break;
    sum.Add(ToTokenBatch(rows, sequence_length), Targets(rows));
  }
  return sum.Mean();
}

EvaluationLoss EvaluateLoss(const Transformer& model, const ModelWeights& weights,
                            std::span<const MicroBatch> parts) {
  LossSum sum(model, weights);
  for (const MicroBatch& part : parts) sum.Add(part.batch, part.target);
  return sum.Mean();
}

}  // namespace darkhorse
