// Recipes: TOML files, those of recipes/ built into the program by name.
#pragma once

#include <string>
#include <vector>

#include "app/command.h"

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

}  // namespace darkhorse
