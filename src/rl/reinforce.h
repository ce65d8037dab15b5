// The reinforcement-learning loop: sample, score, compare within groups, update (DeepSeek-R1-Zero:
// GRPO on verifiable rewards, no supervised fine-tuning).
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "rl/metrics.h"
#include "rl/probe.h"
#include "rl/recipe.h"

namespace darkhorse {

struct ReinforceCallbacks {
  std::function<void(const ReinforceMetrics&)> on_step;  // before its evaluation
  // Of a step, or of step 0 before the first: `evaluation` is filled.
  std::function<void(const ReinforceMetrics&)> on_evaluation;
  std::function<void(const std::string&)> on_note;
  // Names in the run's folder that the caller writes: where one lies there without a recipe, the
  // folder is another's.
  std::vector<std::string> written;
  StopRequest stop;  // asked between steps and within them: true saves and returns
};

struct ReinforceResult {
  ReinforceMetrics last;
  // What metrics.jsonl has of the last step, also where a run that goes on had done them all; null:
  // none was done.
  nlohmann::ordered_json last_line;
  std::string checkpoint;
  // By held-out accuracy; "": no evaluation was better than the model that the run began with.
  std::string best_checkpoint;
  double best_accuracy = -1;  // of the evaluations, that before the first step included
  bool finished = false;
  std::string stop_reason;  // of a run that a stop rule finished before rl.steps
};

// Starts from the model at `model_directory`; `run` receives recipe.toml, metrics.jsonl,
// samples.jsonl, timings.jsonl, checkpoints/, best/. Resuming goes on from the newest sound
// checkpoint and ends in the same bytes. Only rl.steps may be another number than before, more than
// the steps done: the run goes on to it.
ReinforceResult Reinforce(const ReinforceRecipe& recipe, const std::string& model_directory,
                          const std::string& run, bool resume, const ReinforceCallbacks& callbacks);

// The probe alone (rl/probe.h): writes nothing. on_note receives what the user should know of the
// problems.
ProbeReport ProbeModel(const ReinforceRecipe& recipe, const std::string& model_directory,
                       const ReinforceCallbacks& callbacks);

}  // namespace darkhorse
