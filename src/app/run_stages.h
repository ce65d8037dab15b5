// `darkhorse run` of a recipe that is a list of stages.
#pragma once

#include <string>

#include "pipeline/stage_recipe.h"

namespace darkhorse {

// Runs them into the folder `out`, prints the result. SavedInterruption.
void RunListOfStages(const StagesRecipe& recipe, const std::string& out, bool json);

}  // namespace darkhorse
