#include "pipeline/recipe_around.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/recipe.h"

namespace darkhorse {

namespace {

// What read(path, text) gives for the nearest recipe around the checkpoint that it can read.
template <typename Read>
auto FindAround(const std::string& model, const Read& read) -> decltype(read("", "")) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path folder = fs::weakly_canonical(model, ignored);
  // RUN/reinforced/checkpoints/step-1
  for (int up = 0; up < 3 && folder.has_relative_path(); ++up) {
    folder = folder.parent_path();
    const std::string path = (folder / "recipe.toml").string();
    if (!FileExists(path)) continue;
    try {
      if (auto found = read(path, ReadFile(path, 1 << 20))) return found;
    } catch (const Error&) {  // of another kind, or of another version
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<RecipeAround> FindRecipeAround(const std::string& model) {
  return FindAround(model, [](const std::string& path, const std::string& text) {
    return std::optional(RecipeAround{path, ParseReinforceRecipe({path, text, {}})});
  });
}

std::optional<PrecisionAround> FindPrecisionAround(const std::string& model) {
  using Found = std::optional<PrecisionAround>;
  return FindAround(model, [](const std::string& path, const std::string& text) -> Found {
    const RecipeContents contents = ContentsOf(text, path);
    if (contents.run) return std::nullopt;
    const auto found = [&](const std::string& precision, const AdapterOptions& adapter) {
      return PrecisionAround{path, precision, FormatOf(precision), adapter.weights};
    };
    if (contents.finetuning) {
      const FinetuneRecipe recipe = ParseFinetuneRecipe({path, text, {}});
      return found(recipe.finetune.precision, recipe.adapter);
    }
    if (contents.pretraining)
      return found(ParsePretrainRecipe({path, text, {}}).train.precision, {});
    const ReinforceRecipe recipe = ParseReinforceRecipe({path, text, {}});
    return found(recipe.rl.precision, recipe.adapter);
  });
}

}  // namespace darkhorse
