// The policy in training: draws problems, samples answers, compares them within groups, updates.
// Knows no run directory (rl/reinforce.h keeps that).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "infer/packed.h"
#include "rl/metrics.h"
#include "rl/probe.h"
#include "rl/recipe.h"
#include "rl/rollout.h"
#include "train/trainer.h"

namespace darkhorse {

// How far a run is: with the trainer's own state, all that its next step depends on.
struct Position {
  int64_t completed = 0;     // steps done
  int64_t next_problem = 0;  // of the training problems: refills make it more than steps * prompts
  int64_t generated = 0;     // tokens
  PartSuccess success;       // of the curriculum
};

class Learner {
 public:
  // Starts from the checkpoint at `model_directory`. UsageError: a recipe that cannot work. Error:
  // a checkpoint that is damaged or does not fit this machine, problems whose prompts leave no room
  // in its context. The recipe and the environment must outlive the learner.
  Learner(const ReinforceRecipe& recipe, const std::string& model_directory,
          Environment& environment);

  // Samples, scores, updates. Interruption (base/interrupt.h), which leaves weights and position as
  // they were: before the update only.
  ReinforceMetrics Step();
  // Neither changes anything. Interruption.
  ProbeReport Probe();
  std::vector<TaskEvaluation> Evaluate();

  Trainer& trainer() { return trainer_; }
  const ModelFiles& files() const { return files_; }
  std::vector<float>& reference() { return reference_; }  // of the KL term; empty without one

  Position position;
  StepCallback on_engine_step;  // hears of each forward pass of sampling in Step; may be null

 private:
  // What a step trains on: groups of samples whose rewards differ.
  struct Groups {
    std::vector<Problem> problems;
    std::vector<Sample> samples;  // group_size for each problem
  };

  int32_t bos() const { return BosToken(config_); }
  void ReleaseEngine();
  Engine& EngineFor(const std::vector<Problem>& problems);
  std::vector<Sample> Sampled(const std::vector<Problem>& problems, int64_t round,
                              ReinforceMetrics& metrics);
  Groups Collect(ReinforceMetrics& metrics);
  void Train(const Groups& groups, ReinforceMetrics& metrics);

  const ReinforceRecipe& recipe_;
  Environment& environment_;
  std::vector<MixturePart> parts_;
  ModelConfig config_;
  Tokenizer tokenizer_;
  Trainer trainer_;
  PackedWeights packed_;
  std::optional<Engine> engine_;
  int64_t capacity_ = 0;  // of engine_: tokens of a sequence
  ModelFiles files_;
  std::vector<float> reference_;
};

}  // namespace darkhorse
