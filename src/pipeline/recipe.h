// How a recipe of each kind is found in a text.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "pipeline/distil_recipe.h"
#include "rl/recipe.h"
#include "train/recipe.h"

namespace darkhorse {

// What messages call a recipe of each kind; a caller may name its commands instead.
struct RecipeKinds {
  std::string run = "a run";
  std::string pretraining = "pretraining";
  std::string reinforcement = "reinforcement learning";
  std::string finetuning = "fine-tuning";
  std::string sampling = "sampling";
  std::string distilling = "distillation";
};

// A recipe as a user gives it.
struct RecipeText {
  std::string name;  // of the file, for messages
  std::string toml;
  std::vector<std::string> overrides;  // "train.steps=100", of the kind's own fields
  RecipeKinds kinds = {};
  std::optional<ModelConfig> model = {};  // of pretraining: in place of what the text says of it
};

// The tables that make a recipe one of a run, a list of stages (pipeline/stage_recipe.h).
inline constexpr char kStageArray[] = "stage";

// What a recipe can be read as. A run's, as each kind of its stages too.
struct RecipeContents {
  bool run = false, pretraining = false, reinforcement = false, finetuning = false,
       sampling = false, distilling = false;
};
RecipeContents ContentsOf(const std::string& toml, const std::string& name);  // UsageError: no TOML

// The recipe of one kind: a text written for it, or the first stage of that kind of a run's recipe;
// overrides are of the kind's own fields. UsageError: also where it is of another kind. `set` sets
// what the recipe left open, before it is validated.
PretrainRecipe ParsePretrainRecipe(const RecipeText& text);
ReinforceRecipe ParseReinforceRecipe(
    const RecipeText& text, const std::function<void(ProblemsOptions*)>& set_problems = {});
FinetuneRecipe ParseFinetuneRecipe(const RecipeText& text);
SampleRecipe ParseSampleRecipe(const RecipeText& text,
                               const std::function<void(SampleRecipe*)>& set = {});
DistilRecipe ParseDistilRecipe(const RecipeText& text,
                               const std::function<void(DistilRecipe*)>& set = {});

// UsageError: the text is of another kind than a run.
void RefuseNoRun(const RecipeText& text);

}  // namespace darkhorse
