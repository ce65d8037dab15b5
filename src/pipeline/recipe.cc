#include "pipeline/recipe.h"

#include <algorithm>
#include <type_traits>

#include "base/error.h"
#include "base/toml_tables.h"
#include "pipeline/stage_recipe.h"

namespace darkhorse {
namespace {

// Whether every name at the top of the recipe is one of `Recipe`'s.
template <typename Recipe>
bool Fits(const std::vector<std::string>& keys) {
  Recipe defaults;
  const FieldList fields = FieldsOf(defaults);
  return std::ranges::all_of(keys, [&](const std::string& key) {
    return fields.Find(key) != nullptr || fields.IsSection(key);
  });
}

bool IsRun(const std::vector<std::string>& keys) {
  return std::ranges::count(keys, kStageArray) > 0;
}

template <typename Recipe>
constexpr std::string RecipeKinds::*kKind = nullptr;
template <>
constexpr std::string RecipeKinds::*kKind<PretrainRecipe> = &RecipeKinds::pretraining;
template <>
constexpr std::string RecipeKinds::*kKind<ReinforceRecipe> = &RecipeKinds::reinforcement;
template <>
constexpr std::string RecipeKinds::*kKind<FinetuneRecipe> = &RecipeKinds::finetuning;
template <>
constexpr std::string RecipeKinds::*kKind<SampleRecipe> = &RecipeKinds::sampling;
template <>
constexpr std::string RecipeKinds::*kKind<DistilRecipe> = &RecipeKinds::distilling;

// The kinds that a recipe may be of, tried in this order.
template <typename... Recipes>
struct KindsList {};
using Kinds =
    KindsList<PretrainRecipe, ReinforceRecipe, FinetuneRecipe, SampleRecipe, DistilRecipe>;

// What the recipe is of: null where it fits none.
template <typename... Recipes>
std::string RecipeKinds::*KindOf(const std::vector<std::string>& keys, KindsList<Recipes...>) {
  std::string RecipeKinds::*kind = nullptr;
  ((!kind && Fits<Recipes>(keys) ? void(kind = kKind<Recipes>) : void()), ...);
  return kind;
}

// A recipe that fits none, or also `Recipe`, is read as `Recipe`; its unknown names are told of
// then.
template <typename Recipe>
void RefuseOthers(const RecipeText& text, const std::vector<std::string>& keys) {
  if (Fits<Recipe>(keys)) return;
  if (const auto other = KindOf(keys, Kinds())) {
    FailUsage("{} is a recipe of {}; this takes one of {}, or of {} with such a stage", text.name,
              text.kinds.*other, text.kinds.*kKind<Recipe>, text.kinds.run);
  }
}

template <typename Recipe>
Recipe FirstStage(const RecipeText& text) {
  // The model that a command works with is none of the recipe's; a list may want one.
  const StagesRecipe run = ParseStagesRecipe({text.name, text.toml, {"model=./given"}});
  for (const StageRecipe& stage : run.stages) {
    const auto* recipe = std::get_if<Recipe>(&stage.recipe);
    if (!recipe) continue;
    if (std::is_same_v<Recipe, ReinforceRecipe> && !stage.head.teacher.empty()) {
      FailUsage(
          "{}: the stage {} has a teacher, {}; take a copy of it as a recipe of {}, with "
          "distil.teacher",
          text.name, stage.head.name, stage.head.teacher, text.kinds.*kKind<Recipe>);
    }
    return *recipe;
  }
  FailUsage("{} is a recipe of {} without such a stage; this takes one of {}", text.name,
            text.kinds.run, text.kinds.*kKind<Recipe>);
}

// What `finish` finds wrong is told with its place.
template <typename Recipe, typename Finish>
Recipe Read(const RecipeText& text, const Finish& finish) {
  const std::vector<std::string> keys = TomlKeys(text.toml, text.name);
  Recipe recipe;
  FieldPlaces places(text.name);
  if (IsRun(keys)) {
    recipe = FirstStage<Recipe>(text);
  } else {
    RefuseOthers<Recipe>(text, keys);
    ParseToml(text.toml, text.name, FieldsOf(recipe), &places);
  }
  for (const std::string& override : text.overrides) SetField(FieldsOf(recipe), override, &places);
  try {
    finish(&recipe);
    Validate(recipe);
  } catch (const UsageError& error) {
    throw UsageError(places.Tell(FieldsOf(recipe), error.what()));
  }
  return recipe;
}

}  // namespace

RecipeContents ContentsOf(const std::string& toml, const std::string& name) {
  const std::vector<std::string> keys = TomlKeys(toml, name);
  if (!IsRun(keys)) {
    return {false,
            Fits<PretrainRecipe>(keys),
            Fits<ReinforceRecipe>(keys),
            Fits<FinetuneRecipe>(keys),
            Fits<SampleRecipe>(keys),
            Fits<DistilRecipe>(keys)};
  }
  std::vector<std::string> kinds;
  for (const std::string& stage : SplitTables(toml, name, kStageArray).tables)
    kinds.push_back(TomlText(stage, name, "kind"));
  const auto has = [&](const char* kind) { return std::ranges::count(kinds, kind) > 0; };
  return {true, has("pretrain"), has("reinforce"), has("finetune"), has("sample"), has("distil")};
}

void RefuseNoRun(const RecipeText& text) {
  const std::vector<std::string> keys = TomlKeys(text.toml, text.name);
  if (IsRun(keys)) return;
  if (const auto other = keys.empty() ? nullptr : KindOf(keys, Kinds())) {
    FailUsage("{} is a recipe of {}; this takes one of {}", text.name, text.kinds.*other,
              text.kinds.run);
  }
  if (std::ranges::count(keys, "pretrain") + std::ranges::count(keys, "reinforce") > 0) {
    FailUsage(
        "{}: [pretrain] and [reinforce] are of an older version; a run is a list of [[stage]] now, "
        "each with its kind (docs/recipes.md)",
        text.name);
  }
  FailUsage("{}: has no stage; a run is a list of [[stage]], each with its kind (docs/recipes.md)",
            text.name);
}

PretrainRecipe ParsePretrainRecipe(const RecipeText& text) {
  return Read<PretrainRecipe>(text, [&](PretrainRecipe* recipe) {
    if (text.model) recipe->model = *text.model;
  });
}

ReinforceRecipe ParseReinforceRecipe(const RecipeText& text,
                                     const std::function<void(ProblemsOptions*)>& set_problems) {
  return Read<ReinforceRecipe>(text, [&](ReinforceRecipe* recipe) {
    if (set_problems) set_problems(&recipe->problems);
    for (const std::string& override : text.overrides) {
      if (override.starts_with("rl.tasks"))
        RefuseTasksBesideFile(override, recipe->rl.tasks, recipe->problems);
    }
  });
}

FinetuneRecipe ParseFinetuneRecipe(const RecipeText& text) {
  return Read<FinetuneRecipe>(text, [](FinetuneRecipe*) {});
}

SampleRecipe ParseSampleRecipe(const RecipeText& text,
                               const std::function<void(SampleRecipe*)>& set) {
  return Read<SampleRecipe>(text, [&](SampleRecipe* recipe) {
    if (set) set(recipe);
  });
}

DistilRecipe ParseDistilRecipe(const RecipeText& text,
                               const std::function<void(DistilRecipe*)>& set) {
  return Read<DistilRecipe>(text, [&](DistilRecipe* recipe) {
    if (set) set(recipe);
  });
}

}  // namespace darkhorse
