// A pretraining recipe: everything that determines a run but its data.
#pragma once

#include <cstdint>
#include <string>

#include "base/fields.h"
#include "model/config.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace darkhorse {

struct PretrainOptions {
  int64_t steps = 200;
  int64_t tokens_per_step = 16384;
  int64_t sequence_length = 512;
  bool cross_documents = false;
  int64_t micro_batch_tokens =
      4096;  // computed at once; memory grows with it, results do not depend on it beyond rounding
  int64_t batch_ramp_steps =
      0;  // steps over which the batch grows linearly from an eighth; 0: none
  uint64_t seed = 1;
  double mtp_lambda = 0.3;
  double balance_alpha = 1e-4;
  double router_bias_gamma = 1e-3;
  double router_bias_stop =
      1.0;  // share of the steps after which the biases stay (0.97 in DeepSeek-V3)
  int64_t checkpoint_every = 100;
  int64_t keep_checkpoints = 2;
  int64_t evaluate_every = 50;
  int64_t evaluate_tokens = 65536;
};

struct PretrainRecipe {
  ModelConfig model;
  PretrainOptions train;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
};
void ListFields(PretrainOptions& options, FieldList& list);
void ListFields(PretrainRecipe& recipe, FieldList& list);

// UsageError naming the field, its value and the cure.
void Validate(const PretrainRecipe& recipe);

// Sequences in the batch of this step, at least 1.
int64_t SequencesAt(const PretrainOptions& options, int64_t step);

}  // namespace darkhorse
