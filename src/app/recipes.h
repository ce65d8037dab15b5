// Recipes: TOML files, those of recipes/ built into the program by name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/command.h"
#include "checkpoint/model_source.h"
#include "pipeline/recipe.h"
#include "pipeline/stage_recipe.h"

namespace darkhorse {

// Text of the built-in recipe of that name, or of the file at that path. UsageError: names the
// nearest built-in one.
std::string ReadRecipe(const std::string& name_or_path);
std::vector<std::string> RecipeNames();
// Of those that hold what `takes` asks for.
std::vector<std::string> RecipeNames(bool (*takes)(const RecipeContents&));

// A subcommand's RECIPE argument and its --set path=value overrides.
struct RecipeArguments {
  std::string recipe;
  std::vector<std::string> overrides;

  // For a command that reads recipes with what `takes` asks for; `setting` is one of their fields
  // with a value, for the help.
  void Register(Command command, bool (*takes)(const RecipeContents&), const std::string& setting,
                bool required = true);
};

// What commands take.
inline bool TakesRun(const RecipeContents& contents) { return contents.run; }
inline bool TakesPretraining(const RecipeContents& contents) { return contents.pretraining; }
inline bool TakesReinforcement(const RecipeContents& contents) { return contents.reinforcement; }
inline bool TakesFinetuning(const RecipeContents& contents) { return contents.finetuning; }
inline bool TakesDistilling(const RecipeContents& contents) { return contents.distilling; }
inline bool TakesSampling(const RecipeContents& contents) { return contents.sampling; }

// The recipe that the arguments name, with their overrides, as the command needs it
// (pipeline/recipe.h).
StagesRecipe ReadRunRecipe(const RecipeArguments& arguments,
                           const std::function<void(ProblemsOptions*)>& set_problems = {});
// `model`, unless null, takes the place of the recipe's. UsageError, where an override is of that
// model.
PretrainRecipe ReadPretrainRecipe(const RecipeArguments& arguments,
                                  const ModelSource* model = nullptr);
ReinforceRecipe ReadReinforceRecipe(const RecipeArguments& arguments,
                                    const std::function<void(ProblemsOptions*)>& set_problems = {});
// No recipe: the defaults.
FinetuneRecipe ReadFinetuneRecipe(const RecipeArguments& arguments);
DistilRecipe ReadDistilRecipe(const RecipeArguments& arguments,
                              const std::function<void(DistilRecipe*)>& set);
SampleRecipe ReadSampleRecipe(const RecipeArguments& arguments,
                              const std::function<void(SampleRecipe*)>& set);

}  // namespace darkhorse
