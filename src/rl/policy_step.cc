#include "rl/policy_step.h"

#include <algorithm>

#include "base/error.h"
#include "model/head.h"

namespace darkhorse {

std::vector<PolicyBatch> PackSamples(std::span<const PolicySample> samples,
                                     const Packing& packing) {
  std::vector<PolicyBatch> batches;
  for (size_t i = 0; i < samples.size(); ++i) {
    const Sample& s = *samples[i].sample;
    if (s.completion.empty()) continue;
    // The rows before the one that predicts the completion's first token.
    const auto lead = static_cast<int64_t>(s.prompt.size()) - 1;
    const int64_t shared = lead + 1 >= packing.shared_prompt_tokens ? lead : 0;
    const int64_t own = lead - shared + static_cast<int64_t>(s.completion.size());
    bool shares = shared > 0 && !batches.empty() &&
                  samples[batches.back().first_row.back().second].sample->prompt == s.prompt;
    if (batches.empty() ||
        batches.back().batch.rows() + own + (shares ? 0 : shared) > packing.micro_batch_tokens) {
      batches.emplace_back();
      shares = false;
    }
    PolicyBatch& out = batches.back();
    const auto add = [&](auto begin, auto end) {
      out.batch.tokens.insert(out.batch.tokens.end(), begin, end);
    };
    int64_t prefix = -1;
    if (shares) {
      prefix = out.batch.segments.back().prefix;
    } else if (shared > 0) {
      prefix = out.batch.rows();
      out.batch.segments.push_back({prefix, shared});
      add(s.prompt.begin(), s.prompt.begin() + shared);
      out.target.insert(out.target.end(), static_cast<size_t>(shared), -1);
    }
    out.first_row.emplace_back(out.batch.rows() + lead - shared, i);
    out.batch.segments.push_back({out.batch.rows(), own, shared, -1, prefix});
    add(s.prompt.begin() + shared, s.prompt.end());
    add(s.completion.begin(), s.completion.end() - 1);
    out.target.insert(out.target.end(), static_cast<size_t>(lead - shared), -1);
    out.target.insert(out.target.end(), s.completion.begin(), s.completion.end());
  }
  return batches;
}

double ForwardFlops(const ModelCost& cost, std::span<const PolicyBatch> batches) {
  double flops = 0;
  for (const PolicyBatch& part : batches) {
    for (const Segment& segment : part.batch.segments) {
      const auto rows = static_cast<double>(segment.rows);
      const double context = static_cast<double>(segment.position) + (rows + 1) / 2;
      flops += rows * cost.ForwardFlopsPerToken(context);
    }
  }
  return flops;
}

std::vector<std::vector<float>> CompletionLogps(const Transformer& model,
                                                const ModelWeights& weights, const Packing& packing,
                                                Arena& arena,
                                                std::span<const PolicySample> samples) {
  std::vector<std::vector<float>> logps(samples.size());
  for (const PolicyBatch& part : PackSamples(samples, packing)) {
    ArenaScope scope(arena);
    const ConstMatrix hidden = model.Forward(weights, part.batch, nullptr, arena, nullptr);
    std::vector<float> logp(part.target.size());
    HeadForward(hidden, weights.lm_head, part.target.data(), arena, logp.data(), nullptr);
    for (const auto& [row, i] : part.first_row) {
      const int64_t length = static_cast<int64_t>(samples[i].sample->completion.size());
      logps[i].assign(logp.begin() + row, logp.begin() + row + length);
    }
  }
  return logps;
}

GrpoScale ScaleOf(std::span<const PolicySample> samples, int64_t max_tokens) {
  GrpoScale scale;
  scale.max_tokens = max_tokens;
  for (const PolicySample& s : samples) {
    if (s.masked) continue;
    ++scale.samples;
    scale.tokens += static_cast<int64_t>(s.sample->completion.size());
  }
  return scale;
}

PolicyMetrics PolicyUpdate(TrainedModel& trained, const GrpoOptions& options,
                           const GrpoScale& scale, const Packing& packing, double lr_factor,
                           std::span<const PolicySample> samples) {
  PolicyMetrics metrics;
  Arena& arena = trained.arena();
  const ModelWeights& weights = trained.bound_weights();
  const ModelGradients& grads = trained.bound_grads();
  trained.ZeroGradients();
  double entropy_sum = 0;
  for (const PolicyBatch& part : PackSamples(samples, packing)) {
    ArenaScope scope(arena);
    const size_t rows = part.target.size();
    TransformerSaved saved;
    const ConstMatrix hidden = trained.model().Forward(weights, part.batch, nullptr, arena, &saved);
    std::vector<float> logp(rows), entropy(rows), dlogp(rows), dentropy(rows);
    HeadForward(hidden, weights.lm_head, part.target.data(), arena, logp.data(), entropy.data());
    for (const auto& [first, i] : part.first_row) {
      const PolicySample& s = samples[i];
      const size_t row = static_cast<size_t>(first), n = s.sample->completion.size();
      const std::span<const float> own(logp.data() + row, n);
      const GrpoSample sample{s.advantage,
                              s.masked,
                              own,
                              s.logp_old.empty() ? own : std::span<const float>(s.logp_old),
                              s.sample->logp,
                              s.logp_ref,
                              s.logp_teacher,
                              s.teacher_weight};
      metrics.grpo.Add(GrpoSampleLoss(options, scale, sample, {dlogp.data() + row, n},
                                      {dentropy.data() + row, n}));
      if (!s.masked) {
        for (size_t t = row; t < row + n; ++t) entropy_sum += entropy[t];
      }
    }
    const Matrix dhidden = arena.NewMatrix(static_cast<int64_t>(rows), hidden.cols);
    HeadBackward(hidden, weights.lm_head, part.target.data(), dlogp.data(),
                 options.entropy_bonus != 0 ? dentropy.data() : nullptr, arena, dhidden,
                 grads.lm_head, nullptr);
    trained.model().Backward(weights, part.batch, saved, dhidden, /*balance_alpha=*/0, arena,
                             grads);
    size_t layer = 0;
    for (size_t l = 0; l < weights.layers.size(); ++l) {
      if (!weights.layers[l].is_moe) continue;
      if (metrics.load.size() <= layer) metrics.load.emplace_back();
      CountLoad(trained.config(), saved.layers[l].moe.routing, static_cast<int64_t>(rows),
                metrics.load[layer++]);
    }
  }
  metrics.entropy = entropy_sum / static_cast<double>(std::max<int64_t>(1, metrics.grpo.tokens));
  metrics.grad_norm = trained.Update(lr_factor);
  return metrics;
}

}  // namespace darkhorse
