#include "train/window_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "model/attention.h"
#include "model/head.h"

namespace darkhorse {
namespace {

constexpr int64_t kRowsAtOnce = 2048;
constexpr int64_t kShortest = 4;  // judges one token

class Sums {
 public:
  void Add(double nll) {
    sum_ += nll;
    squares_ += nll * nll;
    ++tokens_;
  }
  WindowLoss Result(int64_t windows) const {
    if (!std::isfinite(sum_))
      Fail("the loss is {}; take an earlier checkpoint or a sound copy of the model", sum_);
    const auto n = static_cast<double>(tokens_);
    const double mean = sum_ / n;
    const double variance = std::max(0.0, squares_ / n - mean * mean);
    return {mean, tokens_ > 1 ? std::sqrt(variance / (n - 1)) : 0, tokens_, windows};
  }

 private:
  double sum_ = 0, squares_ = 0;
  int64_t tokens_ = 0;
};

void Check(const WindowOptions& options, int64_t tokens, int64_t context) {
  const int64_t window = options.window;
  if (window < kShortest)
    FailUsage("the window is {} tokens; it must be at least {}", window, kShortest);
  if (window > context)
    FailUsage("the window is {} tokens; it must be at most the model's context of {}", window,
              context);
  if (window > tokens)
    FailUsage("the window is {} tokens, but the text has only {}; take a shorter window", window,
              tokens);
}

}  // namespace

double WindowLoss::perplexity() const { return std::exp(loss); }
double WindowLoss::perplexity_error() const { return standard_error * perplexity(); }

WindowLoss LossOfWindows(const Transformer& model, const ModelWeights& weights,
                         std::span<const int32_t> tokens, const WindowOptions& options,
                         const std::function<void(const WindowLoss&, int64_t)>& progress) {
  const auto text = static_cast<int64_t>(tokens.size());
  Check(options, text, model.config().max_position_embeddings);
  const int64_t window = options.window, judged = window / 2;
  const int64_t total = std::max<int64_t>(1, std::min(options.max_tokens, text) / window);
  // Short windows side by side, a long one piece by piece.
  const int64_t side_by_side = std::clamp<int64_t>(kRowsAtOnce / window, 1, total);
  const int64_t piece = std::min(window, kRowsAtOnce);
  KvCache cache(model.config(), CacheForm::kExpanded, side_by_side, window,
                AttentionFormat(weights.layers.front()));
  Arena arena;
  Sums sums;
  for (int64_t first = 0; first < total; first += side_by_side) {
    const int64_t count = std::min(side_by_side, total - first);
    for (int64_t begin = 0; begin < window; begin += piece) {
      const int64_t end = std::min(begin + piece, window);
      TokenBatch batch;
      std::vector<int32_t> targets;
      for (int64_t w = 0; w < count; ++w) {
        batch.segments.push_back({batch.rows(), end - begin, begin, w});
        const int32_t* at = tokens.data() + (first + w) * window;
        for (int64_t i = begin; i < end; ++i) {
          batch.tokens.push_back(i == 0 && options.bos >= 0 ? options.bos : at[i]);
          targets.push_back(i >= judged && i + 1 < window ? at[i + 1] : -1);
        }
      }
      ArenaScope scope(arena);
      const ConstMatrix hidden = model.Forward(weights, batch, &cache, arena, nullptr);
      std::vector<float> logp(targets.size());
      HeadForward(hidden, weights.lm_head, targets.data(), arena, logp.data(), nullptr);
      for (size_t i = 0; i < targets.size(); ++i) {
        if (targets[i] >= 0) sums.Add(-logp[i]);
      }
    }
    if (progress) progress(sums.Result(first + count), total);
  }
  return sums.Result(total);
}

}  // namespace darkhorse
