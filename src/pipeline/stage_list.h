// A run: a list of stages (pipeline/stage_recipe.h). Each leaves a folder, or a file of scores, in
// the run's and is skipped where that is there; one that was interrupted goes on.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/prepare.h"
#include "pipeline/distil.h"
#include "pipeline/stage_recipe.h"
#include "rl/reinforce.h"
#include "train/pretrain.h"

namespace darkhorse {

// What a run tells as it goes on. Any of them may be empty.
struct StageListCallbacks {
  // Before a stage's work: what the stage is to tell is asked for then (the members below are read
  // anew); and behind it, with its folder.
  std::function<void(const StageRecipe&)> on_begin;
  std::function<void(const StageRecipe&, const std::string& folder)> on_end;
  std::function<void(const std::string&)> on_note;
  PrepareProgressCallback on_corpus;
  PretrainCallbacks pretraining;
  FinetuneCallbacks finetuning;
  ReinforceCallbacks reinforcement;
  SampleCallbacks sampling;
  std::function<void(const std::string& name, const TaskEvaluation&)> on_scores;
  // How many samples of an evaluation the reward program failed to score, where it did.
  std::function<void(const ScoringFaults&)> on_faults;
  // The first sample of each of an evaluation's first problems, for people to read.
  std::function<void(const std::string& name, const Problem&, const Sample&)> on_thought;
  StopRequest stop;  // asked often: true saves and returns
};

struct StageListResult {
  bool finished = false;  // false: stopped early
  // Of the evaluations that are there, by name, in order: what rl/log.h has of each task.
  std::vector<std::pair<std::string, nlohmann::ordered_json>> scores;
  std::string model;  // of the last stage done that makes one
};

// Goes through the stages, or on with them, in the folder `run`. A stage's model is the last
// checkpoint of its training, and of fine-tuning the best where there is one. Stages may be added
// behind those that are there, and a stage may be given more steps while nothing has begun from its
// model. Error: what a stage throws, a folder of another recipe, one that goes on from a model that
// is no longer there.
StageListResult RunStageList(const StagesRecipe& recipe, const std::string& run,
                             StageListCallbacks& callbacks);

}  // namespace darkhorse
