// How good a model is at problems, measured as a stage of a run: scores in a file.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/interrupt.h"
#include "pipeline/run_format.h"
#include "rl/evaluate.h"
#include "rl/options.h"

namespace darkhorse {

// What an evaluation is told.
struct MeasureRecipe {
  std::vector<std::string> tasks;
  EvaluationOptions evaluation;
  ProblemsOptions problems;
  PromptOptions prompt;
};
void ListFields(MeasureRecipe& recipe, FieldList& list);
void Validate(const MeasureRecipe& recipe);  // UsageError

// Any of them may be empty.
struct MeasureCallbacks {
  std::function<void(const TaskEvaluation&)> on_scores;  // of one task
  std::function<void(const ScoringFaults&)> on_faults;   // of the reward program, where it had some
  // The first sample of each of the first problems, for people to read.
  std::function<void(const Problem&, const Sample&)> on_thought;
  std::function<void(const std::string&)> on_note;
  StopRequest stop;
};

// An object per task (rl/log.h). `format`: of the weights; none: as the files hold them. Error:
// what loading the model throws. Interruption.
nlohmann::ordered_json MeasureModel(const std::string& model, const RunFormat& format,
                                    const MeasureRecipe& recipe, const MeasureCallbacks& tell);

// What MeasureModel gave, from a file. Error: it is damaged.
nlohmann::ordered_json ReadScores(const std::string& path);

}  // namespace darkhorse
