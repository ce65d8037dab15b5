// The policy in training: draws problems, samples answers, compares them within groups, updates.
// Knows no run directory but for its own state in a checkpoint (rl/reinforce.h keeps the rest).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "model/packed_weights.h"
#include "rl/curriculum.h"
#include "rl/metrics.h"
#include "rl/policy_step.h"
#include "rl/probe.h"
#include "rl/recipe.h"
#include "rl/rollout.h"
#include "rl/teacher.h"
#include "train/start.h"
#include "train/trained_model.h"

namespace darkhorse {

// How far a run is: with the tensors of a checkpoint, all that its next step depends on.
struct RunProgress {
  int64_t completed = 0;     // steps done
  int64_t next_problem = 0;  // of the training problems: refills make it more than steps * prompts
  int64_t generated = 0;     // tokens
  int64_t updates = 0;       // optimizer steps
  PartSuccess success;       // of the curriculum
};

// The recipe with all that it leaves to the model said (rl/answers.h). UsageError: it asks for a
// chat template where there is none.
ReinforceRecipe Decided(ReinforceRecipe recipe, const TrainingStart& start);

class Learner {
 public:
  // UsageError: a recipe that cannot work. Error: a model that does not fit this machine, problems
  // whose prompts leave no room in its context. The recipe is decided; the environment, of that
  // recipe, must outlive the learner.
  static std::unique_ptr<Learner> From(const ReinforceRecipe& recipe, const TrainingStart& start,
                                       Environment& environment);
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  // Samples, scores, updates. Interruption, which leaves weights and progress as they were: before
  // the update only.
  ReinforceMetrics Step(const StopRequest& stop);
  // Neither changes anything. Interruption.
  ProbeReport Probe(const StopRequest& stop);
  std::vector<TaskEvaluation> Evaluate(const StopRequest& stop);

  // What to tell where rl.max_tokens is more than the model's context leaves; "": it is not.
  std::string ContextNote() const;

  const ModelConfig& config() const { return config_; }
  const ModelCost& cost() const { return trained_->model().cost(); }
  const RunProgress& progress() const { return progress_; }

  // The model alone, as a checkpoint of its own.
  void PublishModel(const std::string& directory);
  // The whole state as the newest of the run's checkpoints; `json` is what the run needs beside it,
  // progress() included. Returns the directory.
  std::string Save(const std::string& run, const std::string& json);
  // Goes on from a checkpoint that Save wrote, whose json holds `progress`. Error: it is damaged,
  // or of a run with another recipe or mixture.
  void Resume(const std::string& directory, const RunProgress& progress);

  StepCallback on_engine_step;  // hears of each forward pass of sampling in Step; may be null

 private:
  Learner(const ReinforceRecipe& recipe, Environment& environment, const TrainingStart& start,
          Activations activations, Prompter prompter);

  // What samples: the weights as they are now.
  const ModelWeights& SamplingWeights();
  void ReleaseEngine();
  Engine& EngineFor(const std::vector<Problem>& problems);
  std::vector<Sample> Sampled(const std::vector<Problem>& problems, int64_t round,
                              const StopRequest& stop, ReinforceMetrics& metrics);
  // Whether a group of samples teaches anything.
  bool Teaches(std::span<const Sample> group) const;
  // What a step trains on: groups, one after the other, that teach something.
  std::vector<Sample> Collect(const StopRequest& stop, ReinforceMetrics& metrics);
  std::vector<PolicySample> WithAdvantages(const std::vector<Sample>& samples) const;
  void AddLogps(std::vector<PolicySample>& samples);
  void Train(const std::vector<Sample>& collected, ReinforceMetrics& metrics);
  void MoveReference();

  const ReinforceRecipe recipe_;
  Environment& environment_;
  const std::vector<MixturePart> parts_;
  const ModelConfig config_;
  const Prompter prompter_;
  const ModelFiles files_;
  const std::unique_ptr<TrainedModel> trained_;
  std::optional<PackedWeights> packed_;  // of all weights, for sampling
  std::optional<Engine> engine_;
  int64_t capacity_ = 0;             // of engine_: tokens of a sequence
  std::vector<float> kl_reference_;  // of the KL term; empty without one
  std::optional<Teacher> teacher_;
  RunProgress progress_;
};

}  // namespace darkhorse
