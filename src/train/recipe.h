// Recipes: everything that determines a run but its data and the model it begins with.
#pragma once

#include <cstdint>

#include "model/adapter.h"
#include "model/config.h"
#include "train/options.h"

namespace darkhorse {

struct PretrainRecipe {
  ModelConfig model;
  PretrainOptions train;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
};
void ListFields(PretrainRecipe& recipe, FieldList& list);

// UsageError naming the field, its value and the cure.
void Validate(const PretrainRecipe& recipe);

// Sequences in the batch of this step, at least 1.
int64_t SequencesAt(const PretrainOptions& options, int64_t step);

struct FinetuneRecipe {
  FinetuneOptions finetune;
  AdapterOptions adapter;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  FinetuneRecipe();  // fine-tuning's defaults of the last two
};
void ListFields(FinetuneRecipe& recipe, FieldList& list);
void Validate(const FinetuneRecipe& recipe);  // UsageError

}  // namespace darkhorse
