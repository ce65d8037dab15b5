// A reinforcement-learning recipe.
#pragma once

#include <cstdint>

#include "model/adapter.h"
#include "rl/options.h"
#include "train/options.h"

namespace darkhorse {

struct ReinforceRecipe {
  ReinforceOptions rl;
  ProblemsOptions problems;
  PromptOptions prompt;
  TeacherOptions teacher;
  ProbeOptions probe;
  CurriculumOptions curriculum;
  StopOptions stop;
  GrpoOptions grpo;
  AdapterOptions adapter;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  ReinforceRecipe();  // reinforcement learning's defaults of the last two
};
void ListFields(ReinforceRecipe& recipe, FieldList& list);
void Validate(const ReinforceRecipe& recipe);  // UsageError

// Sequences sampled at once in a step.
int64_t RolloutSlots(const ReinforceOptions& options);

// What a sample costs in training, in forward passes: scoring by the old policy and the reference
// where the recipe needs them, and three for each epoch's forward and backward.
double ForwardPasses(const ReinforceRecipe& recipe);

}  // namespace darkhorse
