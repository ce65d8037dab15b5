#include "train/step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/clock.h"
#include "base/error.h"
#include "model/cost.h"
#include "train/expert_load.h"

namespace darkhorse {
namespace {

// Operations of forward and backward passes, attention by each document's own length.
double TrainingFlops(const ModelCost& cost, const TokenBatch& batch) {
  double flops = 0;
  for (const Segment& segment : batch.segments) {
    flops += static_cast<double>(segment.rows) *
             cost.TrainingFlopsPerToken(static_cast<double>(segment.rows + 1) / 2);
  }
  return flops;
}

}  // namespace

StepMetrics TrainStep(const std::vector<MicroBatch>& parts, const StepObjective& objective,
                      const StopRequest& stop, TrainedModel& trained) {
  const double start = SteadySeconds();
  const int64_t step = trained.optimizer().step();
  double targets = 0;
  for (const MicroBatch& part : parts)
    targets = std::accumulate(part.weight.begin(), part.weight.end(), targets);
  const float unit = static_cast<float>(1 / std::max(1.0, targets));
  const auto sequences = static_cast<double>(objective.sequences);

  StepMetrics metrics;
  int64_t rows = 0;
  trained.ZeroGradients();
  for (const MicroBatch& part : parts) {
    LeaveIfAsked(stop);
    std::vector<float> weight = part.weight;
    for (float& w : weight) w *= unit;
    // The balance loss is a mean over the step's sequences, as the cross-entropy is over its
    // tokens.
    const float alpha = static_cast<float>(objective.balance_alpha / sequences);
    const LossResult result = LossForwardBackward(
        trained.model(), trained.bound_weights(), {part.batch, part.target, weight},
        static_cast<float>(objective.mtp_lambda), alpha, trained.arena(), trained.bound_grads());
    metrics.loss += result.loss;
    metrics.mtp_loss += result.mtp_loss;
    metrics.balance_loss += result.balance / sequences;
    AddLoad(result.load, metrics.load);
    metrics.flops += TrainingFlops(trained.model().cost(), part.batch);
    rows += part.batch.rows();
  }
  if (!std::isfinite(metrics.loss)) {
    Fail(
        "the loss is {} at step {}; start another run with a lower optimizer.learning_rate (the "
        "checkpoints so far are untouched)",
        metrics.loss, step + 1);
  }
  metrics.grad_norm = trained.Update(objective.lr_factor);
  if (objective.router_bias_gamma > 0)
    UpdateRouterBiases(metrics.load, objective.router_bias_gamma, trained.bound_weights());
  metrics.step = step + 1;
  metrics.max_violation = MaxViolation(metrics.load);
  if (!metrics.load.empty()) metrics.balance_loss /= static_cast<double>(metrics.load.size());
  metrics.seconds = SteadySeconds() - start;
  metrics.tokens_per_second = static_cast<double>(rows) / metrics.seconds;
  metrics.gflops = metrics.flops / metrics.seconds * 1e-9;
  return metrics;
}

}  // namespace darkhorse
