// A recipe of distillation: what a teacher is asked, and how a student learns from its answers.
#pragma once

#include "pipeline/sample_recipe.h"
#include "train/recipe.h"

namespace darkhorse {

struct DistilRecipe {
  SampleRecipe sampling;
  FinetuneRecipe finetuning;
};
void ListFields(DistilRecipe& recipe, FieldList& list);  // the sections of both
void Validate(const DistilRecipe& recipe);               // UsageError

}  // namespace darkhorse
