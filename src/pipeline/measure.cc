#include "pipeline/measure.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "pipeline/loaded_model.h"
#include "rl/answers.h"
#include "rl/log.h"
#include "rl/own_problems.h"

namespace darkhorse {

using Json = nlohmann::ordered_json;

void ListFields(MeasureRecipe& r, FieldList& list) {
  list.Add("tasks", r.tasks, "built-in tasks: \"name:level\"; problems.file in their place");
  list.Section("evaluation", r.evaluation, "how much is measured");
  list.Section("problems", r.problems, "problems of your own, and how answers are scored");
  list.Section("prompt", r.prompt, "how the model is asked");
}

void Validate(const MeasureRecipe& r) {
  if (r.tasks.empty() == r.problems.file.empty())
    FailUsage("an evaluation takes built-in tasks (tasks) or a file (problems.file): one of them");
  if (!r.tasks.empty()) CheckTasks(r.tasks, "tasks");
  Validate(r.evaluation);
  Validate(r.problems);
  Validate(r.prompt);
}

Json MeasureModel(const std::string& model, const RunFormat& format, const MeasureRecipe& recipe,
                  const MeasureCallbacks& tell) {
  constexpr size_t kThoughts = 3;
  const LoadedModel loaded(model, format);
  const ProblemsOptions decided =
      DecidedFor(recipe.problems, recipe.tasks,
                 GoesThroughTemplate(recipe.prompt, loaded.chat_format(), loaded.path()));
  const auto note = [&](const std::string& text) {
    if (tell.on_note) tell.on_note(text);
  };
  const std::unique_ptr<Environment> environment =
      MakeEnvironment(recipe.tasks, decided, note, tell.stop);
  const Prompter prompter(loaded.Asked(), recipe.prompt, InstructionOf(decided));
  std::vector<Sample> samples;
  std::vector<Problem> problems;
  Json scores = Json::array();
  for (const TaskEvaluation& evaluation :
       Evaluate(loaded.model(), loaded.weights(), prompter, *environment, recipe.evaluation,
                tell.stop, &samples, &problems)) {
    if (tell.on_scores) tell.on_scores(evaluation);
    scores.push_back(ToJson(evaluation));
  }
  if (const ScoringFaults faults = environment->TakeFaults(); faults.samples > 0) {
    if (tell.on_faults) tell.on_faults(faults);
    scores.front()["reward_program_failures"] = faults.samples;
  }
  for (size_t i = 0; tell.on_thought && i < std::min(kThoughts, problems.size()); ++i)
    tell.on_thought(problems[i], samples[i * static_cast<size_t>(recipe.evaluation.samples)]);
  return scores;
}

Json ReadScores(const std::string& path) {
  std::optional<Json> scores = TryParseJson<Json>(ReadFile(path));
  const auto is_score = [](const Json& task) {
    if (!task.is_object()) return false;
    const auto name = task.find("task"), right = task.find("pass@1");
    return name != task.end() && name->is_string() && right != task.end() && right->is_number();
  };
  if (!scores || !scores->is_array() || scores->empty() ||
      !std::ranges::all_of(*scores, is_score)) {
    Fail("{}: is damaged; remove it, and it is measured again", path);
  }
  return *std::move(scores);
}

}  // namespace darkhorse
