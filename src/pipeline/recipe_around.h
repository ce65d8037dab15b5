// The recipes of the run that a checkpoint lies in.
#pragma once

#include <optional>
#include <string>

#include "kernel/weight.h"
#include "rl/recipe.h"

namespace darkhorse {

struct RecipeAround {
  std::string path;
  ReinforceRecipe recipe;
};

// Of the nearest run around the checkpoint that has reinforcement in its recipe: its stage's, and
// for a base model the whole run's. None where there is no such run.
std::optional<RecipeAround> FindRecipeAround(const std::string& model);

struct PrecisionAround {
  std::string path;       // of the recipe
  std::string precision;  // its train.precision, finetune.precision or rl.precision
  Format format;
  std::string adapter_weights;  // its adapter.weights; "auto" of pretraining
};

// What the stage that the checkpoint lies in computed in. None where it lies in none.
std::optional<PrecisionAround> FindPrecisionAround(const std::string& model);

}  // namespace darkhorse
