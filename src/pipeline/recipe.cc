#include "pipeline/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <type_traits>

#include "base/error.h"

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

// Whether it is a list of stages (pipeline/stage_recipe.h).
bool HasStages(const std::vector<std::string>& keys) {
  return std::ranges::count(keys, kStageArray) > 0;
}

template <typename Recipe>
constexpr std::string RecipeKinds::*kKind = nullptr;
template <>
constexpr std::string RecipeKinds::*kKind<RunRecipe> = &RecipeKinds::run;
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

// Whether a whole run has such a stage, so that its recipe holds one.
template <typename Recipe>
constexpr bool kIsStage =
    std::is_same_v<Recipe, PretrainRecipe> || std::is_same_v<Recipe, ReinforceRecipe>;

// A recipe that fits none, or also this one, is read as `Recipe`; its unknown names are told of
// then.
template <typename Recipe, typename... Others>
void RefuseOthers(const RecipeText& text, const std::vector<std::string>& keys) {
  if (Fits<Recipe>(keys)) return;
  if (HasStages(keys)) {
    FailUsage("{} is a recipe of {}, a list of stages; this takes one of {}", text.name,
              text.kinds.run, text.kinds.*kKind<Recipe>);
  }
  const std::string* other = nullptr;
  ((!other && Fits<Others>(keys) ? void(other = &(text.kinds.*kKind<Others>)) : void()), ...);
  if (!other) return;
  FailUsage("{} is a recipe of {}; this takes one of {}{}", text.name, *other,
            text.kinds.*kKind<Recipe>, kIsStage<Recipe> ? " or " + text.kinds.run : "");
}

// Calls `check`; what it finds wrong with the fields of `part` is told with its place.
template <typename Part, typename Check>
void AtPlaces(const FieldPlaces& places, Part& part, Check check) {
  try {
    check();
  } catch (const UsageError& error) {
    throw UsageError(places.Tell(FieldsOf(part), error.what()));
  }
}

void SetSeeds(RunRecipe* recipe, uint64_t seed) {
  recipe->corpus.seed = recipe->pretrain.train.seed = recipe->reinforce.rl.seed = seed;
}
void SetPrecisions(RunRecipe* recipe, const std::string& precision) {
  recipe->pretrain.train.precision = recipe->reinforce.rl.precision = precision;
}

// The recipe of a whole run, with the places. Its seed, and its precision, is that of every stage
// for which the text has none; an override of it, of every stage without an override.
void ReadWhole(const RecipeText& text, const std::vector<std::string>& overrides,
               FieldPlaces* places, RunRecipe* recipe) {
  RunRecipe shared;
  ParseToml(text.toml, text.name, FieldsOf(shared));
  SetSeeds(recipe, shared.seed);
  SetPrecisions(recipe, shared.precision);
  ParseToml(text.toml, text.name, FieldsOf(*recipe), places);
  const auto override_all = [&] {
    for (const std::string& override : overrides) SetField(FieldsOf(*recipe), override, places);
  };
  override_all();
  const auto overridden = [&](std::string_view field) {
    return std::ranges::any_of(overrides, [&](const std::string& override) {
      return override.substr(0, override.find_first_of(" =")) == field;
    });
  };
  if (overridden("seed")) SetSeeds(recipe, recipe->seed);
  if (overridden("precision")) SetPrecisions(recipe, recipe->precision);
  override_all();
}

template <typename Recipe, typename... Others, typename Check>
Recipe ReadPart(const RecipeText& text, Recipe RunRecipe::*part, Check check) {
  const std::vector<std::string> keys = TomlKeys(text.toml, text.name);
  RefuseOthers<Recipe, Others...>(text, keys);
  RunRecipe whole;
  FieldPlaces places(text.name);
  if (Fits<RunRecipe>(keys) && !Fits<Recipe>(keys)) {
    ReadWhole(text, {}, &places, &whole);
    whole.pretrain.model.vocab_size = whole.vocab_size;  // of the tokenizer that it trains
  } else {
    ParseToml(text.toml, text.name, FieldsOf(whole.*part), &places);
  }
  for (const std::string& override : text.overrides)
    SetField(FieldsOf(whole.*part), override, &places);
  AtPlaces(places, whole.*part, [&] { check(whole.*part); });
  return whole.*part;
}

}  // namespace

RecipeContents ContentsOf(const std::string& toml, const std::string& name) {
  const std::vector<std::string> keys = TomlKeys(toml, name);
  const bool run = Fits<RunRecipe>(keys);
  return {run,
          run || Fits<PretrainRecipe>(keys),
          run || Fits<ReinforceRecipe>(keys),
          Fits<FinetuneRecipe>(keys),
          Fits<SampleRecipe>(keys),
          Fits<DistilRecipe>(keys),
          HasStages(keys)};
}

CorpusMix GeneratedCorpus::Mix() const {
  CorpusMix mix = shares;
  mix.tasks = ParseTaskShares(fmt::format("{}", fmt::join(tasks, ",")));
  CheckMix(mix);
  return mix;
}

void ListFields(GeneratedCorpus& c, FieldList& list) {
  CorpusMix& mix = c.shares;
  list.Add("tasks", c.tasks, "problems in the corpus: \"name:level\" or \"name:level=weight\"");
  list.Add("documents", c.documents, "how many documents");
  list.Add("worked_share", mix.worked_share,
           "share of documents that work a problem; 0: none thinks");
  list.Add("facts_share", mix.facts_share, "share of documents that are sheets of arithmetic");
  list.Add("give_up", mix.style.give_up,
           "probabilities of giving up after a failure; each trace has one of them");
  list.Add("max_attempts", mix.style.max_attempts, "a trace gives up after so many");
  list.Add("check", mix.style.check, "share of countdown's traces that check a found result");
  list.Add("ordered", mix.style.ordered,
           "share of countdown traces that go through the attempts in a fixed order");
  list.Add("seed", c.seed, "of the corpus");
}

void ListFields(RunRecipe& r, FieldList& list) {
  list.Section("corpus", r.corpus, "the generated pretraining corpus");
  list.Add("vocab_size", r.vocab_size, "of the tokenizer trained on it");
  list.Add("digits_per_token", r.digits_per_token,
           "numbers are cut into tokens of up to so many digits (DeepSeek: 3)");
  list.Section("pretrain", r.pretrain, "the base model");
  list.Section("reinforce", r.reinforce, "reinforcement learning");
  list.Add("evaluate_problems", r.evaluate_problems,
           "held-out problems of each task, before and after");
  list.Add("evaluate_samples", r.evaluate_samples, "samples of each");
  list.Add("seed", r.seed,
           "of corpus, pretrain.train and reinforce.rl, unless a seed of their own is set");
  list.Add("precision", r.precision,
           "number format of products (f32 or bf16) of pretrain.train and reinforce.rl, unless one "
           "of their own is set");
}

void Validate(const RunRecipe& r) {
  constexpr int64_t kMost = 1 << 20;
  for (const auto& [name, value, high] :
       {std::tuple{"corpus.documents", r.corpus.documents, INT64_MAX},
        {"corpus.max_attempts", r.corpus.shares.style.max_attempts, kMost},
        {"vocab_size", r.vocab_size, kMost},
        {"digits_per_token", r.digits_per_token, int64_t{1000}},
        {"evaluate_problems", r.evaluate_problems, kMost},
        {"evaluate_samples", r.evaluate_samples, kMost}}) {
    if (value < 1 || value > high)
      FailUsage("{} is {}; it must be from 1 to {}", name, value, high);
  }
  try {
    ParseTaskShares(fmt::format("{}", fmt::join(r.corpus.tasks, ",")));
  } catch (const UsageError& error) {
    FailUsage("corpus.tasks is not understood: {}", error.what());
  }
  r.corpus.Mix();
  const double ordered = r.corpus.shares.style.ordered;
  if (!(ordered >= 0 && ordered <= 1))
    FailUsage("corpus.ordered is {}; it must be in [0, 1]", ordered);
  Validate(r.pretrain);
  Validate(r.reinforce);
}

RunRecipe ParseRunRecipe(const RecipeText& text) {
  const std::vector<std::string> keys = TomlKeys(text.toml, text.name);
  RefuseOthers<RunRecipe, PretrainRecipe, ReinforceRecipe, FinetuneRecipe, SampleRecipe,
               DistilRecipe>(text, keys);
  FieldPlaces places(text.name);
  RunRecipe recipe;
  ReadWhole(text, text.overrides, &places, &recipe);
  // The stages' before the whole: a message about a learning rate does not say whose it is.
  AtPlaces(places, recipe.pretrain, [&] { Validate(recipe.pretrain); });
  AtPlaces(places, recipe.reinforce, [&] { Validate(recipe.reinforce); });
  AtPlaces(places, recipe, [&] { Validate(recipe); });
  return recipe;
}

PretrainRecipe ParsePretrainRecipe(const RecipeText& text) {
  return ReadPart<PretrainRecipe, ReinforceRecipe, FinetuneRecipe, SampleRecipe, DistilRecipe>(
      text, &RunRecipe::pretrain, [&](PretrainRecipe& recipe) {
        if (text.model) recipe.model = *text.model;
        Validate(recipe);
      });
}

ReinforceRecipe ParseReinforceRecipe(const RecipeText& text,
                                     const std::function<void(ProblemsOptions*)>& set_problems) {
  return ReadPart<ReinforceRecipe, PretrainRecipe, FinetuneRecipe, SampleRecipe, DistilRecipe>(
      text, &RunRecipe::reinforce, [&](ReinforceRecipe& recipe) {
        if (set_problems) set_problems(&recipe.problems);
        Validate(recipe);
      });
}

namespace {

// A recipe that is no stage of a whole run's.
template <typename Recipe, typename... Others>
Recipe ReadAlone(const RecipeText& text, const std::function<void(Recipe*)>& set = {}) {
  RefuseOthers<Recipe, Others...>(text, TomlKeys(text.toml, text.name));
  Recipe recipe;
  FieldPlaces places(text.name);
  ParseToml(text.toml, text.name, FieldsOf(recipe), &places);
  for (const std::string& override : text.overrides) SetField(FieldsOf(recipe), override, &places);
  AtPlaces(places, recipe, [&] {
    if (set) set(&recipe);
    Validate(recipe);
  });
  return recipe;
}

}  // namespace

FinetuneRecipe ParseFinetuneRecipe(const RecipeText& text) {
  return ReadAlone<FinetuneRecipe, RunRecipe, PretrainRecipe, ReinforceRecipe, SampleRecipe,
                   DistilRecipe>(text);
}

SampleRecipe ParseSampleRecipe(const RecipeText& text,
                               const std::function<void(SampleRecipe*)>& set) {
  return ReadAlone<SampleRecipe, RunRecipe, PretrainRecipe, ReinforceRecipe, FinetuneRecipe,
                   DistilRecipe>(text, set);
}

DistilRecipe ParseDistilRecipe(const RecipeText& text,
                               const std::function<void(DistilRecipe*)>& set) {
  return ReadAlone<DistilRecipe, RunRecipe, PretrainRecipe, ReinforceRecipe>(text, set);
}

}  // namespace darkhorse
