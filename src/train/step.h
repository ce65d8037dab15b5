// One optimizer step of learning from text: the tokens that are to follow, whatever they come from.
#pragma once

#include <cstdint>
#include <vector>

#include "base/interrupt.h"
#include "train/metrics.h"
#include "train/micro_batch.h"
#include "train/trained_model.h"

namespace darkhorse {

struct StepObjective {
  int64_t sequences = 1;  // of the step, for the mean of the balance loss
  double mtp_lambda = 0;
  double balance_alpha = 0;
  double router_bias_gamma = 0;
  double lr_factor = 1;
};

// Gradients accumulated over the micro-batches, of the mean loss over all their targets, and an
// update. Fills what a step alone determines: loss, load, the gradient's norm, operations, seconds.
// Interruption between two micro-batches, which leaves the model as it was; Error: a loss that is
// not finite.
StepMetrics TrainStep(const std::vector<MicroBatch>& parts, const StepObjective& objective,
                      const StopRequest& stop, TrainedModel& trained);

}  // namespace darkhorse
