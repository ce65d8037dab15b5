#include "infer/continuations.h"

#include <algorithm>

#include "base/error.h"
#include "model/attention.h"
#include "model/head.h"

namespace darkhorse {
namespace {

constexpr int64_t kRowsAtOnce = 1024;

int64_t Size(std::span<const int32_t> tokens) { return static_cast<int64_t>(tokens.size()); }

}  // namespace

std::vector<double> ContinuationLogp(const Transformer& model, const ModelWeights& weights,
                                     std::span<const int32_t> prompt,
                                     std::span<const std::vector<int32_t>> continuations) {
  int64_t longest = 0;
  for (const auto& continuation : continuations) longest = std::max(longest, Size(continuation));
  const int64_t context = model.config().max_position_embeddings;
  if (prompt.empty()) Fail("the prompt is empty; give it at least one token");
  if (Size(prompt) + longest > context) {
    Fail("the prompt and its longest continuation have {} tokens; the model's context holds {}",
         Size(prompt) + longest, context);
  }
  std::vector<double> sums(continuations.size());
  if (continuations.empty()) return sums;
  // Each continuation's last token predicts nothing that is asked for; the prompt's last predicts
  // its first. So the prompt's last is computed with each.
  const int64_t shared = Size(prompt) - 1;
  // Slot 0 keeps the prompt, slot 1 takes each continuation.
  KvCache cache(model.config(), CacheForm::kExpanded, 2, Size(prompt) + longest,
                AttentionFormat(weights.layers.front()));
  Arena arena;
  const auto forward = [&](std::span<const int32_t> tokens, int64_t position, int64_t slot,
                           const int32_t* targets, float* logp) {
    for (int64_t begin = 0; begin < Size(tokens); begin += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, Size(tokens) - begin);
      const auto piece = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
      TokenBatch batch;
      batch.tokens.assign(piece.begin(), piece.end());
      batch.segments = {{0, rows, position + begin, slot}};
      ArenaScope scope(arena);
      const ConstMatrix hidden = model.Forward(weights, batch, &cache, arena, nullptr);
      if (targets)
        HeadForward(hidden, weights.lm_head, targets + begin, arena, logp + begin, nullptr);
    }
  };
  forward(prompt.first(static_cast<size_t>(shared)), 0, 0, nullptr, nullptr);
  for (size_t i = 0; i < continuations.size(); ++i) {
    const std::vector<int32_t>& continuation = continuations[i];
    if (continuation.empty()) continue;
    std::vector<int32_t> tokens = {prompt.back()};
    tokens.insert(tokens.end(), continuation.begin(), continuation.end() - 1);
    std::vector<float> logp(continuation.size());
    if (shared > 0) cache.CopyPrefix(0, 1, shared);
    forward(tokens, shared, 1, continuation.data(), logp.data());
    for (const float value : logp) sums[i] += value;
  }
  return sums;
}

}  // namespace darkhorse
