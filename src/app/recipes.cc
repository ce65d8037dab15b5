#include "app/recipes.h"

#include <filesystem>

#include "app/embedded_recipes.h"
#include "base/error.h"
#include "base/file.h"
#include "base/nearest_name.h"
#include "checkpoint/model_source.h"

namespace darkhorse {
namespace {

RecipeText TextOf(const RecipeArguments& arguments) {
  return {arguments.recipe,
          arguments.recipe.empty() ? "" : ReadRecipe(arguments.recipe),
          arguments.overrides,
          {.run = "`darkhorse run`",
           .pretraining = "`darkhorse pretrain`",
           .reinforcement = "`darkhorse reinforce`",
           .finetuning = "`darkhorse finetune`",
           .sampling = "`darkhorse sample`",
           .distilling = "`darkhorse distil`"}};
}

}  // namespace

std::vector<std::string> RecipeNames() {
  std::vector<std::string> names;
  for (const EmbeddedRecipe& recipe : EmbeddedRecipes()) names.emplace_back(recipe.name);
  return names;
}

std::vector<std::string> RecipeNames(bool (*takes)(const RecipeContents&)) {
  std::vector<std::string> names;
  for (const EmbeddedRecipe& recipe : EmbeddedRecipes()) {
    if (takes(ContentsOf(recipe.text, recipe.name))) names.emplace_back(recipe.name);
  }
  return names;
}

std::string ReadRecipe(const std::string& name_or_path) {
  for (const EmbeddedRecipe& recipe : EmbeddedRecipes()) {
    if (name_or_path == recipe.name) return recipe.text;
  }
  if (std::filesystem::is_directory(name_or_path))
    FailUsage("{} is a folder, not a recipe; a checkpoint is given with --model", name_or_path);
  if (FileExists(name_or_path)) return ReadFile(name_or_path, 1 << 20);
  if (name_or_path.ends_with(".toml") || name_or_path.find('/') != std::string::npos) {
    FailUsage("{}: no such recipe file{}; check the path, or name a built-in recipe: {}",
              name_or_path, name_or_path.ends_with(".toml") ? "" : ", and nothing is downloaded",
              fmt::join(RecipeNames(), ", "));
  }
  FailUsage("'{}' is neither a file nor a built-in recipe; built in are {}{}", name_or_path,
            fmt::join(RecipeNames(), ", "), DidYouMean(name_or_path, RecipeNames()));
}

void RecipeArguments::Register(Command command, bool (*takes)(const RecipeContents&),
                               const std::string& setting, bool required) {
  const std::vector<std::string> names = RecipeNames(takes);
  command
      .Add("recipe", recipe,
           names.empty()
               ? "a recipe file; none: the defaults"
               : fmt::format("a recipe file, or a built-in one: {}", fmt::join(names, ", ")))
      .Required(required);
  command
      .Add("--set", overrides,
           fmt::format("override a field of the recipe, as in --set {}; may be repeated", setting))
      .OneValueEachTime();
}

StagesRecipe ReadRunRecipe(const RecipeArguments& arguments,
                           const std::function<void(ProblemsOptions*)>& set_problems) {
  return ParseStagesRecipe(TextOf(arguments), set_problems);
}

PretrainRecipe ReadPretrainRecipe(const RecipeArguments& arguments, const ModelSource* model) {
  RecipeText text = TextOf(arguments);
  if (model) {
    for (const std::string& override : arguments.overrides) {
      if (override.starts_with("model."))
        FailUsage("--set {}: the model is that of --model {}; leave one of them out", override,
                  model->path());
    }
    text.model = model->config();
  }
  return ParsePretrainRecipe(text);
}

ReinforceRecipe ReadReinforceRecipe(const RecipeArguments& arguments,
                                    const std::function<void(ProblemsOptions*)>& set_problems) {
  return ParseReinforceRecipe(TextOf(arguments), set_problems);
}

FinetuneRecipe ReadFinetuneRecipe(const RecipeArguments& arguments) {
  return ParseFinetuneRecipe(TextOf(arguments));
}

DistilRecipe ReadDistilRecipe(const RecipeArguments& arguments,
                              const std::function<void(DistilRecipe*)>& set) {
  return ParseDistilRecipe(TextOf(arguments), set);
}

SampleRecipe ReadSampleRecipe(const RecipeArguments& arguments,
                              const std::function<void(SampleRecipe*)>& set) {
  return ParseSampleRecipe(TextOf(arguments), set);
}

}  // namespace darkhorse
