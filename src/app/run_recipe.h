// The recipe of `darkhorse run`: from nothing to a model that reasons; and how each command reads
// its own.
#pragma once

#include "app/recipes.h"
#include "base/fields.h"
#include "rl/recipe.h"
#include "task/corpus.h"
#include "train/recipe.h"

namespace darkhorse {

struct GeneratedCorpus {
  std::vector<std::string> tasks = {"countdown:1"};
  int64_t documents = 100000;
  double worked_share = 0.75;  // documents that work a problem
  double facts_share = 0.15;   // sheets of arithmetic
  std::vector<double> give_up = {0.03, 0.2, 0.5, 0.5, 0.5};
  int64_t max_attempts = 30;
  double check = 0.1;
  double ordered = 0.3;
  uint64_t seed = 1;
  CorpusMix Mix() const;
};
void ListFields(GeneratedCorpus& corpus, FieldList& list);

struct RunRecipe {
  GeneratedCorpus corpus;
  int64_t vocab_size = 512;
  int64_t digits_per_token = 1;  // numbers are cut into groups of up to so many digits
  PretrainRecipe pretrain;
  ReinforceRecipe reinforce;
  int64_t evaluate_problems = 256;  // before and after
  int64_t evaluate_samples = 16;
};
void ListFields(RunRecipe& recipe, FieldList& list);
void Validate(const RunRecipe& recipe);  // UsageError: before the first stage, not after an hour

// The recipe of a command that pretrains, or that reinforces: one written for it, or that section
// of a recipe of `darkhorse run`; overrides are of the section's own fields. UsageError: also where
// it is for another command. A reinforcement recipe is validated once its problems are known.
RunRecipe ReadRunRecipe(const RecipeArguments& arguments);
PretrainRecipe ReadPretrainRecipe(const RecipeArguments& arguments);
ReinforceRecipe ReadReinforceRecipe(const RecipeArguments& arguments);

}  // namespace darkhorse
