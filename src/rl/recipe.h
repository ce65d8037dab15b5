// A reinforcement-learning recipe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"
#include "rl/curriculum.h"
#include "rl/grpo.h"
#include "rl/guards.h"
#include "rl/own_problems.h"
#include "rl/probe.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace darkhorse {

struct ReinforceOptions {
  std::vector<std::string> tasks = {"countdown:1"};
  int64_t steps = 60;
  int64_t prompts_per_step = 32;
  int64_t group_size = 16;
  int64_t max_tokens = 352;  // of a completion
  double temperature = 1.0;
  int64_t slots = 256;      // sequences generated at once
  int64_t max_refills = 2;  // rounds that replace groups of equal rewards (dynamic sampling)
  bool mask_truncated =
      false;  // a completion cut off at max_tokens teaches nothing (docs/LOG.md: or never to stop)
  double overlong_penalty = 0;  // or: taken off its reward
  bool random_rewards = false;  // a control: 0 or 1 by lot, whatever was said
  int64_t minibatches = 1;      // optimizer steps on a step's samples
  int64_t inner_epochs = 1;     // passes over them
  int64_t micro_batch_tokens = 4096;
  int64_t reference_every = 0;   // steps after which the reference becomes the policy; 0: never
  double router_bias_gamma = 0;  // balancing goes on during RL where positive
  int64_t evaluate_every = 20;
  int64_t evaluate_problems = 128;
  int64_t evaluate_samples = 4;
  int64_t checkpoint_every = 20;
  int64_t keep_checkpoints = 2;
  uint64_t seed = 1;
};

struct ReinforceRecipe {
  ReinforceOptions rl;
  ProblemsOptions problems;
  ProbeOptions probe;
  CurriculumOptions curriculum;
  StopOptions stop;
  GrpoOptions grpo;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  ReinforceRecipe();  // reinforcement learning's defaults of the last two
};
void ListFields(ReinforceOptions& options, FieldList& list);
void ListFields(ReinforceRecipe& recipe, FieldList& list);
void Validate(const ReinforceRecipe& recipe);  // UsageError

// Sequences sampled at once in a step.
int64_t RolloutSlots(const ReinforceOptions& options);

// What a sample costs in training, in forward passes: scoring by the old policy and the reference
// where the recipe needs them, and three for each epoch's forward and backward.
double ForwardPasses(const ReinforceRecipe& recipe);

}  // namespace darkhorse
