#include "app/example_question.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/recipe.h"
#include "rl/environment.h"

namespace darkhorse {
namespace {

std::string FirstHeldOut(const std::string& recipe_path) {
  const ReinforceRecipe recipe =
      ParseReinforceRecipe({recipe_path, ReadFile(recipe_path, 1 << 20), {}});
  if (!recipe.problems.file.empty()) return "";
  std::string prompt = MakeTaskEnvironment(recipe.rl.tasks)->HeldOut(1).front().front().prompt;
  if (prompt.ends_with('\n')) prompt.pop_back();
  return prompt.find('\n') == std::string::npos ? prompt : "";
}

}  // namespace

std::string ExampleQuestion(const std::string& model) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path folder = fs::weakly_canonical(model, ignored);
  // RUN/reinforced/checkpoints/step-1: the stage's recipe, and the run's for a base model.
  for (int up = 0; up < 3 && folder.has_relative_path(); ++up) {
    folder = folder.parent_path();
    const std::string recipe = (folder / "recipe.toml").string();
    if (!FileExists(recipe)) continue;
    try {
      return FirstHeldOut(recipe);
    } catch (const Error&) {  // of pretraining, or of another version: no reason not to chat
    }
  }
  return "";
}

}  // namespace darkhorse
