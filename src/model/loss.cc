#include "model/loss.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/ops.h"
#include "model/head.h"

namespace darkhorse {
namespace {

// sum_i weight_i * -logp_i over the rows that have a target.
double WeightedLoss(const std::vector<int32_t>& target, const std::vector<float>& weight,
                    const std::vector<float>& logp) {
  double loss = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] >= 0) loss -= static_cast<double>(weight[i]) * logp[i];
  }
  return loss;
}

std::vector<float> ShiftWeights(const TokenBatch& batch, std::span<const float> weight,
                                int64_t shift) {
  std::vector<float> shifted(weight.size(), 0.0f);
  for (const Segment& segment : batch.segments) {
    for (int64_t i = segment.row; i + shift < segment.row + segment.rows; ++i) {
      shifted[static_cast<size_t>(i)] = weight[static_cast<size_t>(i + shift)];
    }
  }
  return shifted;
}

// Cross-entropy through the head: returns the loss; dhidden for factor * loss.
double CrossEntropy(ConstMatrix hidden, const ModelWeights& weights,
                    const std::vector<int32_t>& target, const std::vector<float>& weight,
                    float factor, Arena& arena, Matrix dhidden, Matrix dlm_head, PartClock* clock,
                    std::vector<float>& logp) {
  const PartTimer timer(clock, Part::kHead);
  std::vector<float> dlogp(weight.size());
  for (size_t i = 0; i < weight.size(); ++i) dlogp[i] = -factor * weight[i];
  logp.resize(weight.size());
  HeadBackward(hidden, weights.lm_head, target.data(), dlogp.data(), nullptr, arena, dhidden,
               dlm_head, logp.data());
  return WeightedLoss(target, weight, logp);
}

void AddRouting(const PassContext& pass, const LayerSaved& layer, LossResult& result) {
  result.balance += BalanceLoss(pass, layer.moe.routing);
  result.load.emplace_back();
  CountLoad(pass.config, layer.moe.routing, pass.rows(), result.load.back());
}

}  // namespace

LossResult LossForwardBackward(const Transformer& model, const ModelWeights& weights,
                               const LossInput& input, float mtp_lambda, float balance_alpha,
                               Arena& arena, const ModelGradients& grads, float* logp,
                               PartClock* clock) {
  const PartTimer timer(clock, Part::kRest);
  const TokenBatch& batch = input.batch;
  const int64_t rows = batch.rows();
  CHECK(static_cast<int64_t>(input.target.size()) == rows &&
        static_cast<int64_t>(input.weight.size()) == rows);
  ArenaScope scope(arena);
  LossResult result;
  const ModelConfig& config = model.config();
  const int64_t depths = static_cast<int64_t>(weights.mtp.size());

  TransformerSaved saved;
  model.Forward(weights, batch, nullptr, arena, &saved, clock);
  const PassContext pass{
      config, model.rope().table(), batch, RowPositions(batch, config, arena), nullptr, arena,
      clock};
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    if (weights.layers[layer].is_moe) AddRouting(pass, saved.layers[layer], result);
  }
  std::vector<MtpSaved> mtp(weights.mtp.size());
  ConstMatrix previous = saved.hidden;
  for (int64_t k = 0; k < depths; ++k) {
    MtpSaved& s = mtp[static_cast<size_t>(k)];
    s.next = ShiftWithinSegments(batch, input.target.data(), k);
    MtpForward(pass, weights, k, previous, &s);
    previous = s.out;
    if (weights.mtp[static_cast<size_t>(k)].layer.is_moe) AddRouting(pass, s.layer, result);
  }

  // Each depth's output feeds its own head and the next depth; gradients meet in `dhidden` on the
  // way back.
  const Matrix dhidden = arena.NewMatrix(rows, config.hidden_size);
  Matrix dnext = arena.NewMatrix(rows, config.hidden_size);
  std::vector<float> scratch_logp;
  for (int64_t k = depths - 1; k >= 0; --k) {
    ArenaScope depth_scope(arena);
    const MtpSaved& s = mtp[static_cast<size_t>(k)];
    const Matrix dout = arena.NewMatrix(rows, config.hidden_size);
    result.mtp_loss += CrossEntropy(
        s.out, weights, ShiftWithinSegments(batch, input.target.data(), k + 1),
        ShiftWeights(batch, input.weight, k + 1), mtp_lambda / static_cast<float>(depths), arena,
        dout, grads.lm_head, clock, scratch_logp);
    if (k + 1 < depths) AddInPlace(dnext, dout);
    for (int64_t row = 0; row < rows; ++row)
      std::fill(dnext.Row(row), dnext.Row(row) + dnext.cols, 0.0f);
    MtpBackward(pass, weights, k, k > 0 ? mtp[static_cast<size_t>(k - 1)].out : saved.hidden, s,
                balance_alpha, dout, dnext, grads);
  }
  result.loss = CrossEntropy(saved.hidden, weights, {input.target.begin(), input.target.end()},
                             {input.weight.begin(), input.weight.end()}, 1.0f, arena, dhidden,
                             grads.lm_head, clock, scratch_logp);
  if (logp) std::copy(scratch_logp.begin(), scratch_logp.end(), logp);
  if (depths > 0) AddInPlace(dnext, dhidden);
  model.Backward(weights, batch, saved, dhidden, balance_alpha, arena, grads, clock);
  return result;
}

std::vector<float*> RouterBiases(const ModelWeights& weights) {
  std::vector<float*> biases;
  for (const LayerWeights& layer : weights.layers) {
    if (layer.is_moe) biases.push_back(layer.moe.e_score_correction_bias);
  }
  for (const MtpWeights& mtp : weights.mtp) {
    if (mtp.layer.is_moe) biases.push_back(mtp.layer.moe.e_score_correction_bias);
  }
  return biases;
}

}  // namespace darkhorse
