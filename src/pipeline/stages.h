// A reasoning model from nothing: corpus, tokenizer, shards, base model, evaluation, reinforcement
// learning, evaluation. Every stage leaves a file in the run directory and is skipped where that
// file is there; one that was interrupted goes on.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "data/prepare.h"
#include "pipeline/recipe.h"
#include "rl/evaluate.h"
#include "rl/reinforce.h"
#include "train/pretrain.h"

namespace darkhorse {

// What the stages leave in the run directory.
namespace run_files {
inline constexpr char kTokenizer[] = "tokenizer.json";
inline constexpr char kData[] = "data";              // folder of shards
inline constexpr char kBase[] = "base";              // run directory of pretraining
inline constexpr char kBaseScores[] = "base.json";   // held-out scores of the base model
inline constexpr char kReinforced[] = "reinforced";  // run directory of reinforcement learning
inline constexpr char kReinforcedScores[] = "reinforced.json";
}  // namespace run_files

enum class Stage {
  kTokenizer,
  kCorpus,
  kPretraining,
  kBaseScores,
  kReinforcement,
  kReinforcedScores
};

// What a run tells as it goes on. Any of them may be empty.
struct RunCallbacks {
  // Around a stage's work. Not told: a stage whose file is there already (pretraining and
  // reinforcement always begin, and see for themselves how far they are); the end of one that
  // throws or is stopped.
  std::function<void(Stage)> on_begin, on_end;
  std::function<void(const std::string&)> on_note;
  PrepareProgressCallback on_corpus;
  std::function<void(const StepMetrics&)> on_pretraining_step;
  std::function<void(const ReinforceMetrics&)> on_reinforcement_step;  // before its evaluation
  std::function<void(const ReinforceMetrics&)> on_reinforcement_evaluation;
  // `model`: "base" or "reinforced". Scores of one task on its held-out problems, just measured.
  std::function<void(const std::string& model, const TaskEvaluation&)> on_scores;
  // How many of those samples the reward program failed to score, where it did.
  std::function<void(const ScoringFaults&)> on_faults;
  // The first sample of each of the first problems, for people to read.
  std::function<void(const std::string& model, const Problem&, const Sample&)> on_thought;
  StopRequest stop;  // asked often: true saves and returns
};

struct RunResult {
  bool finished = false;  // false: stopped early
  // Held-out scores: arrays with an object per task (rl/log.h). Null: not measured yet.
  nlohmann::ordered_json base, reinforced;
  std::string model;  // the last checkpoint of a finished run
};

// Goes through the stages, or on with them, in the directory `run`; also where the recipe asks for
// more steps of the last stage that has begun, or of a later one. Error: what a stage throws, a run
// directory of another recipe, a measurement that is damaged.
RunResult RunStages(const RunRecipe& recipe, const std::string& run, const RunCallbacks& callbacks);

// Whether there is anything to report on: pretraining has begun.
bool HasReport(const std::string& run);

}  // namespace darkhorse
