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
                    float factor, Arena& arena, Matrix dhidden, const WeightGradient& dlm_head,
                    PartClock* clock, std::vector<float>& logp) {
  const PartTimer timer(clock, Part::kHead);
  std::vector<float> dlogp(weight.size());
  for (size_t i = 0; i < weight.size(); ++i) dlogp[i] = -factor * weight[i];
  logp.resize(weight.size());
  HeadBackward(hidden, weights.lm_head, target.data(), dlogp.data(), nullptr, arena, dhidden,
               dlm_head, logp.data());
  return WeightedLoss(target, weight, logp);
}

// Balance and load of every MoE layer, modules last.
void AddRouting(const PassContext& pass, const ModelWeights& weights, const TransformerSaved& saved,
                const std::vector<MtpSaved>& modules, LossResult& result) {
  const auto add = [&](const LayerWeights& layer, const LayerSaved& s) {
    if (!layer.is_moe) return;
    result.balance += BalanceLoss(pass, s.moe.routing);
    result.load.emplace_back();
    CountLoad(pass.config, s.moe.routing, pass.rows(), result.load.back());
  };
  for (size_t i = 0; i < weights.layers.size(); ++i) add(weights.layers[i], saved.layers[i]);
  for (size_t k = 0; k < modules.size(); ++k) add(weights.mtp[k].layer, modules[k].layer);
}

// The multi-token-prediction modules, each on the output of the one before; the first on `hidden`.
std::vector<MtpSaved> ForwardModules(const PassContext& pass, const ModelWeights& weights,
                                     const LossInput& input, ConstMatrix hidden) {
  std::vector<MtpSaved> modules(weights.mtp.size());
  ConstMatrix previous = hidden;
  for (size_t k = 0; k < modules.size(); ++k) {
    const auto depth = static_cast<int64_t>(k);
    modules[k].next = ShiftWithinSegments(input.batch, input.target.data(), depth);
    MtpForward(pass, weights, depth, previous, &modules[k]);
    previous = modules[k].out;
  }
  return modules;
}

// Heads and backward passes of the modules, the last first: each one's output feeds its own head
// and the next module, and the two gradients meet in it. Returns that of `hidden` [T, hidden]; adds
// to grads and to result.mtp_loss.
Matrix BackwardModules(const PassContext& pass, const ModelWeights& weights, const LossInput& input,
                       float mtp_lambda, float balance_alpha, const std::vector<MtpSaved>& modules,
                       ConstMatrix hidden, const ModelGradients& grads, LossResult& result) {
  const float lambda = mtp_lambda / static_cast<float>(modules.size());
  const Matrix dprevious = pass.arena.NewMatrix(hidden.rows, hidden.cols);
  std::vector<float> logp;
  for (size_t k = modules.size(); k-- > 0;) {
    ArenaScope scope(pass.arena);
    const auto depth = static_cast<int64_t>(k);
    const Matrix dout = pass.arena.NewMatrix(hidden.rows, hidden.cols);
    result.mtp_loss += CrossEntropy(
        modules[k].out, weights, ShiftWithinSegments(input.batch, input.target.data(), depth + 1),
        ShiftWeights(input.batch, input.weight, depth + 1), lambda, pass.arena, dout, grads.lm_head,
        pass.clock, logp);
    if (k + 1 < modules.size()) AddInPlace(dprevious, dout);  // the next module's share
    std::fill(dprevious.data, dprevious.data + dprevious.size(), 0.0f);
    MtpBackward(pass, weights, depth, k > 0 ? modules[k - 1].out : hidden, modules[k],
                balance_alpha, dout, dprevious, grads);
  }
  return dprevious;
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
  // Both take a segment for a document.
  CHECK(std::ranges::none_of(batch.segments, [](const Segment& s) { return s.prefix >= 0; }) ||
        (model.config().num_nextn_predict_layers == 0 && balance_alpha == 0));
  ArenaScope scope(arena);
  LossResult result;
  const ModelConfig& config = model.config();

  TransformerSaved saved;
  model.Forward(weights, batch, nullptr, arena, &saved, clock);
  const PassContext pass{config,  model.rope().table(batch.positions()),
                         batch,   RowPositions(batch, config, arena),
                         nullptr, arena,
                         clock};
  const std::vector<MtpSaved> modules = ForwardModules(pass, weights, input, saved.hidden);
  AddRouting(pass, weights, saved, modules, result);

  const Matrix dhidden = arena.NewMatrix(rows, config.hidden_size);
  Matrix of_modules;
  if (!modules.empty()) {
    of_modules = BackwardModules(pass, weights, input, mtp_lambda, balance_alpha, modules,
                                 saved.hidden, grads, result);
  }
  std::vector<float> main_logp;
  result.loss = CrossEntropy(saved.hidden, weights, {input.target.begin(), input.target.end()},
                             {input.weight.begin(), input.weight.end()}, 1.0f, arena, dhidden,
                             grads.lm_head, clock, main_logp);
  if (logp) std::copy(main_logp.begin(), main_logp.end(), logp);
  if (!modules.empty()) AddInPlace(of_modules, dhidden);
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
