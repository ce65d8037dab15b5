#include "pipeline/stage_changes.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {
namespace {

// What a stage may be given more of, as long as nothing has been built on it.
std::vector<std::pair<std::string, int64_t>> GrowingFieldsOf(const StageRecipe& stage) {
  if (const auto* r = std::get_if<PretrainRecipe>(&stage.recipe))
    return {{"train.steps", r->train.steps}};
  if (const auto* r = std::get_if<FinetuneRecipe>(&stage.recipe))
    return {{"finetune.steps", r->finetune.steps}};
  if (const auto* r = std::get_if<ReinforceRecipe>(&stage.recipe))
    return {{"rl.steps", r->rl.steps}};
  if (const auto* r = std::get_if<SampleRecipe>(&stage.recipe))
    return {{"sample.problems", r->sample.problems}};
  if (const auto* r = std::get_if<DistilRecipe>(&stage.recipe)) {
    return {{"sample.problems", r->sampling.sample.problems},
            {"finetune.steps", r->finetuning.finetune.steps}};
  }
  return {};
}

bool BuildsOn(const StageHead& head, const std::string& stage) {
  return head.from == stage || head.teacher == stage || std::ranges::count(head.data, stage) > 0;
}

// Whether the stage has written down what it begins with. An evaluation is gone through again.
bool HasBegun(const StageRecipe& stage, const std::string& run) {
  if (std::holds_alternative<MeasureRecipe>(stage.recipe)) return false;
  const std::string folder = run + "/" + stage.head.name;
  return FileExists(folder + "/recipe.toml") || FileExists(folder + "/samples/recipe.toml");
}

bool HasScores(const StageRecipe& stage, const std::string& run) {
  return std::holds_alternative<MeasureRecipe>(stage.recipe) &&
         FileExists(run + "/" + stage.head.name + ".json");
}

// A file of problems may lie elsewhere when a run goes on.
std::string FileNameOf(const std::string& path) { return std::filesystem::path(path).filename(); }

std::string Comparable(StageRecipe stage) {
  if (auto* own = std::get_if<MeasureRecipe>(&stage.recipe))
    own->problems.file = FileNameOf(own->problems.file);
  return ToToml(stage);
}

}  // namespace

bool CheckStages(const StagesRecipe& recipe, const std::string& run,
                 std::vector<std::string> written) {
  const std::string path = run + "/recipe.toml";
  for (const StageRecipe& stage : recipe.stages)
    written.push_back(stage.head.name + (stage.head.kind == "evaluate" ? ".json" : ""));
  if (!FileExists(path)) {
    CheckRecipe(run, "", /*goes_on=*/true, written);
    return false;
  }
  const StagesRecipe before = [&] {
    try {
      return ParseStagesRecipe({path, ReadFile(path, 1 << 20), {}});
    } catch (const UsageError& error) {
      Fail(
          "{}; the run was started with another recipe or another version of this program; choose "
          "another run directory",
          error.what());
    }
  }();
  const auto differs = [&](const std::string& what) {
    Fail(
        "{}: the run was started with another {}; go on with the same recipe, or choose another "
        "run directory",
        path, what);
  };
  StagesRecipe then = before, now = recipe;
  then.problems.file = FileNameOf(then.problems.file);
  now.problems.file = FileNameOf(now.problems.file);
  if (FieldsToToml(FieldsOf(then), false) != FieldsToToml(FieldsOf(now), false))
    differs("corpus, vocabulary, seed, precision, model, problems or prompt");
  for (size_t i = 0; i < before.stages.size(); ++i) {
    if (!HasBegun(before.stages[i], run) && !HasScores(before.stages[i], run)) continue;
    if (i >= recipe.stages.size()) differs(fmt::format("number of stages, {}", i));
    StageHead old = before.stages[i].head, own = recipe.stages[i].head;
    const auto old_fields = FieldsToJson(FieldsOf(old)), own_fields = FieldsToJson(FieldsOf(own));
    for (const auto& [field, value] : own_fields.items()) {
      if (value == old_fields[field]) continue;
      Fail(
          "{}: {} of stage {} was {} and is now {}; go on with the same recipe, or choose another "
          "run directory",
          path, field, i + 1, old_fields[field].dump(), value.dump());
    }
    // An evaluation has no folder to compare with.
    if (HasScores(before.stages[i], run) &&
        Comparable(before.stages[i]) != Comparable(recipe.stages[i])) {
      Fail("{}: the evaluation {} was another; remove {}/{}.json, and it is measured anew", path,
           own.name, run, own.name);
    }
    const auto was = GrowingFieldsOf(before.stages[i]), is = GrowingFieldsOf(recipe.stages[i]);
    for (size_t field = 0; field < is.size(); ++field) {
      if (is[field] == was[field]) continue;
      for (const StageRecipe& other : recipe.stages) {
        if (!BuildsOn(other.head, own.name) || !HasBegun(other, run)) continue;
        Fail(
            "{0}: {1}.{2} was {3} and is now {4}, but {5} has begun from what {1} made; set it "
            "back, or choose another run directory",
            path, own.name, is[field].first, was[field].second, is[field].second, other.head.name);
      }
    }
  }
  return ToToml(before) == ToToml(recipe);
}

}  // namespace darkhorse
