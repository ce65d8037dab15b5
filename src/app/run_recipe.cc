#include "app/run_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

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

template <typename Recipe>
constexpr const char* kCommand = nullptr;
template <>
constexpr const char* kCommand<RunRecipe> = "run";
template <>
constexpr const char* kCommand<PretrainRecipe> = "pretrain";
template <>
constexpr const char* kCommand<ReinforceRecipe> = "reinforce";

// A recipe that fits neither, or both, is read as `Recipe`; its unknown names are told of then.
template <typename Recipe, typename Other>
void RefuseOther(const RecipeArguments& arguments, const std::vector<std::string>& keys) {
  if (Fits<Recipe>(keys) || !Fits<Other>(keys)) return;
  FailUsage("{} is a recipe of `darkhorse {}`; this takes one of `darkhorse {}`{}",
            arguments.recipe, kCommand<Other>, kCommand<Recipe>,
            std::is_same_v<Recipe, RunRecipe> ? "" : " or `darkhorse run`");
}

template <typename Recipe, typename Other>
Recipe ReadPart(const RecipeArguments& arguments, Recipe RunRecipe::*part) {
  const std::string text = ReadRecipe(arguments.recipe);
  const std::vector<std::string> keys = TomlKeys(text, arguments.recipe);
  RefuseOther<Recipe, Other>(arguments, keys);
  RunRecipe whole;
  if (Fits<RunRecipe>(keys) && !Fits<Recipe>(keys)) {
    ParseToml(text, arguments.recipe, FieldsOf(whole));
    whole.pretrain.model.vocab_size = whole.vocab_size;  // of the tokenizer that it trains
  } else {
    ParseToml(text, arguments.recipe, FieldsOf(whole.*part));
  }
  for (const std::string& override : arguments.overrides) SetField(FieldsOf(whole.*part), override);
  return whole.*part;
}

}  // namespace

CorpusMix GeneratedCorpus::Mix() const {
  CorpusMix mix;
  mix.tasks = ParseTaskShares(fmt::format("{}", fmt::join(tasks, ",")));
  mix.worked_share = worked_share;
  mix.facts_share = facts_share;
  mix.style.give_up = give_up;
  mix.style.max_attempts = static_cast<int>(max_attempts);
  mix.style.check = check;
  mix.style.ordered = ordered;
  CheckMix(mix);
  return mix;
}

void ListFields(GeneratedCorpus& c, FieldList& list) {
  list.Add("tasks", c.tasks, "problems in the corpus: \"name:level\" or \"name:level=weight\"");
  list.Add("documents", c.documents, "how many documents");
  list.Add("worked_share", c.worked_share,
           "share of documents that work a problem; 0: none thinks");
  list.Add("facts_share", c.facts_share, "share of documents that are sheets of arithmetic");
  list.Add("give_up", c.give_up,
           "probabilities of giving up after a failure; each trace has one of them");
  list.Add("max_attempts", c.max_attempts, "a trace gives up after so many");
  list.Add("check", c.check, "share of countdown's traces that check a found result");
  list.Add("ordered", c.ordered,
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
}

void Validate(const RunRecipe& r) {
  constexpr int64_t kMost = 1 << 20;
  for (const auto& [name, value, high] :
       {std::tuple{"corpus.documents", r.corpus.documents, INT64_MAX},
        {"corpus.max_attempts", r.corpus.max_attempts, kMost},
        {"vocab_size", r.vocab_size, kMost},
        {"digits_per_token", r.digits_per_token, int64_t{1000}},
        {"evaluate_problems", r.evaluate_problems, kMost},
        {"evaluate_samples", r.evaluate_samples, kMost}}) {
    if (value < 1 || value > high)
      FailUsage("{} is {}; it must be from 1 to {}", name, value, high);
  }
  r.corpus.Mix();
  Validate(r.pretrain);
  Validate(r.reinforce);
  if (!(r.corpus.ordered >= 0 && r.corpus.ordered <= 1)) {
    FailUsage("corpus.ordered is {}; it must be in [0, 1]", r.corpus.ordered);
  }
}

RunRecipe ReadRunRecipe(const RecipeArguments& arguments) {
  const std::string text = ReadRecipe(arguments.recipe);
  const std::vector<std::string> keys = TomlKeys(text, arguments.recipe);
  RefuseOther<RunRecipe, PretrainRecipe>(arguments, keys);
  RefuseOther<RunRecipe, ReinforceRecipe>(arguments, keys);
  RunRecipe recipe;
  ParseToml(text, arguments.recipe, FieldsOf(recipe));
  for (const std::string& override : arguments.overrides) SetField(FieldsOf(recipe), override);
  Validate(recipe);
  return recipe;
}

PretrainRecipe ReadPretrainRecipe(const RecipeArguments& arguments) {
  PretrainRecipe recipe =
      ReadPart<PretrainRecipe, ReinforceRecipe>(arguments, &RunRecipe::pretrain);
  Validate(recipe);
  return recipe;
}

ReinforceRecipe ReadReinforceRecipe(const RecipeArguments& arguments) {
  return ReadPart<ReinforceRecipe, PretrainRecipe>(arguments, &RunRecipe::reinforce);
}

}  // namespace darkhorse
