// The recipe of a run: a list of stages, [[stage]], each going on from the model of the one before.
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/corpus_recipe.h"
#include "pipeline/distil_recipe.h"
#include "pipeline/measure.h"
#include "pipeline/recipe.h"

namespace darkhorse {

// What every stage says beside its recipe.
struct StageHead {
  std::string kind;  // of kStageKinds
  std::string name;  // of its folder in the run's, or its file; by default the kind, for an
                     // evaluation that of the stage measured
  std::string from;  // the stage whose model it begins with, or a path; by default the stage
                     // before, that makes one
  // Of fine-tuning: stages that sampled, or paths. Of pretraining: a folder of token shards, with
  // their tokenizer, in place of the list's corpus.
  std::vector<std::string> data;
  std::string teacher;  // of distillation, or of reinforcement: a stage or a path
};
void ListFields(StageHead& head, FieldList& list);

struct StageRecipe {
  StageHead head;
  std::variant<PretrainRecipe, SampleRecipe, FinetuneRecipe, ReinforceRecipe, DistilRecipe,
               MeasureRecipe>
      recipe;
};
// What a stage asks a model: its tasks, problems and prompt; null of one that asks none.
struct Asking {
  std::vector<std::string>* tasks = nullptr;
  ProblemsOptions* problems = nullptr;
  PromptOptions* prompt = nullptr;
};
Asking AskingOf(StageRecipe& stage);

// UsageError where an override sets tasks that a file of problems would stand in the place of.
void RefuseTasksBesideFile(const std::string& setting, const std::vector<std::string>& tasks,
                           const ProblemsOptions& problems);

// The names of the kinds, in the order of the variant.
inline constexpr const char* kStageKinds[] = {"pretrain",  "sample", "finetune",
                                              "reinforce", "distil", "evaluate"};

struct StagesRecipe {
  // What pretraining learns, and the tokens of all stages.
  GeneratedCorpus corpus;
  int64_t vocab_size = 512;
  int64_t digits_per_token = 1;  // numbers are cut into groups of up to so many digits
  uint64_t seed = 1;             // of corpus and stages, where they are given none
  std::string precision = PretrainOptions().precision;  // of trainings, likewise
  // A model of the user's, by its path, which stages name "model": in place of the one that the
  // first pretraining would make, or what begins where nothing is pretrained.
  std::string model;
  // Of every stage that asks a model, where it says nothing of its own. A file of problems takes
  // the place of the tasks that stages name.
  ProblemsOptions problems;
  PromptOptions prompt;
  std::vector<StageRecipe> stages;  // their heads whole: names and models filled in
};
void ListFields(StagesRecipe& recipe, FieldList& list);  // but for its stages
void Validate(const StagesRecipe& recipe);               // likewise; UsageError

// The name of the model that a recipe is given.
inline constexpr char kGivenModel[] = "model";

// Overrides are of the list's own fields or, "NAME.field=value", of the stages of a name or a kind.
// An evaluation that says of no problems is of those that reinforcement works on: that of the model
// it measures, or else the next. UsageError.
// `set_problems` sets those of the list, before they are shared.
StagesRecipe ParseStagesRecipe(const RecipeText& text,
                               const std::function<void(ProblemsOptions*)>& set_problems = {});

// A text that ParseStagesRecipe reads back.
std::string ToToml(const StagesRecipe& recipe);
// The same of a stage, without the line [[stage]].
std::string ToToml(const StageRecipe& stage);

}  // namespace darkhorse
