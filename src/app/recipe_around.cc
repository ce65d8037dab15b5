#include "app/recipe_around.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/recipe.h"

namespace darkhorse {

std::optional<RecipeAround> FindRecipeAround(const std::string& model) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path folder = fs::weakly_canonical(model, ignored);
  // RUN/reinforced/checkpoints/step-1
  for (int up = 0; up < 3 && folder.has_relative_path(); ++up) {
    folder = folder.parent_path();
    const std::string path = (folder / "recipe.toml").string();
    if (!FileExists(path)) continue;
    try {
      return RecipeAround{path, ParseReinforceRecipe({path, ReadFile(path, 1 << 20), {}})};
    } catch (const Error&) {  // of pretraining, or of another version
    }
  }
  return std::nullopt;
}

}  // namespace darkhorse
