// Recipes: TOML files, those of recipes/ built into the program by name.
#pragma once

#include <string>
#include <vector>

#include "app/command.h"
#include "pipeline/recipe.h"

namespace darkhorse {

// Text of the built-in recipe of that name, or of the file at that path. UsageError: names the
// nearest built-in one.
std::string ReadRecipe(const std::string& name_or_path);
std::vector<std::string> RecipeNames();

// A subcommand's RECIPE argument and its --set path=value overrides.
struct RecipeArguments {
  std::string recipe;
  std::vector<std::string> overrides;

  void Register(Command command, bool required = true);
};

// The recipe that the arguments name, with their overrides, as the command needs it
// (pipeline/recipe.h).
RunRecipe ReadRunRecipe(const RecipeArguments& arguments);
// `model`: a checkpoint whose model takes the place of the recipe's; "": none. UsageError, where an
// override is of that model.
PretrainRecipe ReadPretrainRecipe(const RecipeArguments& arguments, const std::string& model = "");
ReinforceRecipe ReadReinforceRecipe(const RecipeArguments& arguments);

}  // namespace darkhorse
