// The recipe of a run of several stages, and how each kind of recipe is found in a text.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "pipeline/distil_recipe.h"
#include "rl/recipe.h"
#include "task/corpus.h"
#include "train/recipe.h"

namespace darkhorse {

struct GeneratedCorpus {
  std::vector<std::string> tasks = ReinforceOptions().tasks;
  int64_t documents = 100000;
  CorpusMix shares;  // its tasks are those of `tasks`, read by Mix()
  uint64_t seed = 1;
  CorpusMix Mix() const;  // UsageError: unknown tasks, impossible shares
};
void ListFields(GeneratedCorpus& corpus, FieldList& list);

struct RunRecipe {
  GeneratedCorpus corpus;
  int64_t vocab_size = 512;
  int64_t digits_per_token = 1;  // numbers are cut into groups of up to so many digits
  PretrainRecipe pretrain;
  ReinforceRecipe reinforce;
  int64_t evaluate_problems = 256;  // before and after
  int64_t evaluate_samples = 16;
  uint64_t seed = 1;  // of the corpus, pretraining and reinforcement, where they are given none
  std::string precision = PretrainOptions().precision;  // of both, where they are given none
};
void ListFields(RunRecipe& recipe, FieldList& list);
void Validate(const RunRecipe& recipe);  // UsageError: before the first stage, not after an hour

// What messages call a recipe of each kind; a caller may name its commands instead.
struct RecipeKinds {
  std::string run = "a whole run";
  std::string pretraining = "pretraining";
  std::string reinforcement = "reinforcement learning";
  std::string finetuning = "fine-tuning";
  std::string sampling = "sampling";
  std::string distilling = "distillation";
};

// A recipe as a user gives it.
struct RecipeText {
  std::string name;  // of the file, for messages
  std::string toml;
  std::vector<std::string> overrides;  // "train.steps=100", of the kind's own fields
  RecipeKinds kinds = {};
  std::optional<ModelConfig> model = {};  // of pretraining: in place of what the text says of it
};

// The tables that make a recipe a list of stages (pipeline/stage_recipe.h).
inline constexpr char kStageArray[] = "stage";

// What a recipe can be read as.
struct RecipeContents {
  bool run = false, pretraining = false, reinforcement = false, finetuning = false,
       sampling = false, distilling = false, stages = false;
};
RecipeContents ContentsOf(const std::string& toml, const std::string& name);  // UsageError: no TOML

// The recipe of pretraining, or of reinforcement: one written for it, or that section of a recipe
// of a whole run; overrides are of the section's own fields. UsageError: also where it is of
// another kind. `set_problems` sets what the recipe left open, before it is validated.
RunRecipe ParseRunRecipe(const RecipeText& text);
PretrainRecipe ParsePretrainRecipe(const RecipeText& text);
ReinforceRecipe ParseReinforceRecipe(
    const RecipeText& text, const std::function<void(ProblemsOptions*)>& set_problems = {});
FinetuneRecipe ParseFinetuneRecipe(const RecipeText& text);
// `set` sets what the recipe left open.
SampleRecipe ParseSampleRecipe(const RecipeText& text,
                               const std::function<void(SampleRecipe*)>& set = {});
DistilRecipe ParseDistilRecipe(const RecipeText& text,
                               const std::function<void(DistilRecipe*)>& set = {});

}  // namespace darkhorse
