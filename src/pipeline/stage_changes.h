// What may change of the recipe of a run that goes on.
#pragma once

#include <string>
#include <vector>

#include "pipeline/stage_recipe.h"

namespace darkhorse {

// Each stage compares its own recipe with that of its folder; here what lies between them is
// compared: the list's own fields and the heads. Stages that have not begun may change, and more
// may be asked of one that nothing has been built on. Whether the recipe is that of the run, to the
// letter. Error: what differs; or the folder is of no run and holds what a run would write, its
// stages' names or one of `written`.
bool CheckStages(const StagesRecipe& recipe, const std::string& run,
                 std::vector<std::string> written);

}  // namespace darkhorse
