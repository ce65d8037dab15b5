// Tests only: scripted rewards, and a learner whose steps move nothing.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/model_source.h"
#include "rl/learner.h"
#include "rl/tiny_run_testing.h"

namespace darkhorse {

// Every problem of every part is the same, and `score` says what its samples are worth.
class Scripted : public Environment {
 public:
  using Script = std::function<Score(size_t call, size_t sample)>;
  Scripted(std::vector<MixturePart> parts, Script score)
      : parts_(std::move(parts)), score_(std::move(score)) {}

  std::vector<MixturePart> Parts() const override { return parts_; }
  Problem TrainingProblemOf(size_t part, uint64_t seed, uint64_t index) override {
    drawn.push_back({part, index});
    seeds.insert(seed);
    return MakeProblem(FindTask("parity"), 1, 3, 1, Split::kTrain);
  }
  std::vector<std::vector<Problem>> HeldOut(int64_t count) const override {
    asked = count;
    return held_out;
  }
  std::vector<Score> ScoreAll(std::span<const Answer> answers, const StopRequest&) override {
    std::vector<Score> scores;
    for (size_t i = 0; i < answers.size(); ++i) scores.push_back(score_(said.size(), i));
    auto& texts = said.emplace_back();
    for (const Answer& answer : answers) texts.emplace_back(answer.completion);
    return scores;
  }

  std::vector<std::vector<Problem>> held_out;
  mutable int64_t asked = 0;                       // of each task's held-out problems
  std::vector<std::pair<size_t, uint64_t>> drawn;  // part and index of each problem
  std::set<uint64_t> seeds;                        // that they were drawn with
  std::vector<std::vector<std::string>> said;      // completions, in a list per call

 private:
  const std::vector<MixturePart> parts_;
  const Script score_;
};

inline Score Worth(double value) { return {.value = value, .correct = value == 1}; }
inline Score Unscored() { return {.failed = true}; }

class LearnerTest : public ReinforceTest {
 protected:
  // One optimizer step per step, so small that no weight moves: every ratio is exactly 1.
  static ReinforceRecipe Still() {
    ReinforceRecipe recipe = Recipe();
    recipe.rl.prompts_per_step = 8;
    recipe.rl.max_tokens = 5;  // of two kinds of completion one has room
    recipe.rl.max_refills = 0;
    recipe.rl.router_bias_gamma = 0;
    recipe.optimizer.learning_rate = 1e-30;
    recipe.optimizer.epsilon = 1;
    return recipe;
  }
  // The first round of the first step, drawn again: what the learner was scored on.
  static std::vector<Sample> FirstRound(const ReinforceRecipe& recipe, Scripted& environment) {
    return Round(recipe, environment, trained_->mutable_weights(), 0);
  }
  // A round of samples of this model from this stream of random numbers.
  static std::vector<Sample> Round(const ReinforceRecipe& recipe, Scripted& environment,
                                   float* weights, uint64_t stream) {
    const size_t count = static_cast<size_t>(recipe.rl.prompts_per_step);
    const std::vector<Problem> problems(count, environment.TrainingProblemOf(0, 0, 0));
    const PackedWeights packed(trained_->config(), trained_->layout(), weights);
    RolloutOptions options;
    options.samples = recipe.rl.group_size;
    options.max_tokens = recipe.rl.max_tokens;
    options.seed = recipe.rl.seed;
    options.stream = stream;
    Engine engine(trained_->model(), packed.model(), {.slots = 32, .capacity = 64});
    return Rollout(engine, Prompter({"", *tokenizer_, 0}), {1}, problems, environment, options, {});
  }
  static std::unique_ptr<Learner> Make(const ReinforceRecipe& recipe, Environment& environment) {
    return Of(recipe, Base(), environment);
  }
  static std::unique_ptr<Learner> Of(const ReinforceRecipe& recipe, const std::string& model,
                                     Environment& environment) {
    return Learner::From(recipe, {model, recipe.adapter, FormatOf(recipe.rl.precision)},
                         environment);
  }
  std::vector<float> WeightsOf(Learner& learner) {
    const std::string directory = RunPath("model") + std::to_string(published_++);
    learner.PublishModel(directory);
    std::vector<float> weights(static_cast<size_t>(trained_->layout().buffer_size()));
    ReadWeights(*OpenModel(directory), trained_->layout(), weights.data());
    return weights;
  }

 private:
  int published_ = 0;
};

// In each group of four the first is right, the second half right; the third, of every other group,
// could not be scored.
inline Score ByPlace(size_t, size_t sample) {
  if (sample % 4 == 0) return Worth(1);
  if (sample % 4 == 1) return Worth(0.5);
  return sample % 8 == 2 ? Unscored() : Worth(0);
}

}  // namespace darkhorse
