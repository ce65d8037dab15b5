// Tests only: a base model that guesses, and runs of it that take a fraction of a second.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/scratch_testing.h"
#include "rl/reinforce.h"
#include "rl/tiny_policy_testing.h"
#include "train/trained_model.h"

namespace darkhorse {

// A base that answers parity problems by guessing, and in half of the cases without the answer's
// tags: its reward is 0.5 * (0.5 * 1 + 0.5 * kFormatCredit) = 0.275 on average, and 0.55 for a
// policy that has learned to write the tags.
inline std::string Document(uint64_t index) {
  const Problem problem = MakeProblem(FindTask("parity"), 1, index, 1, Split::kTrain);
  RandomSequence random(2, RandomStream::kTest, index);
  const std::string guess = random.Below(2) ? "odd" : "even";
  return problem.prompt + "<think></think>" +
         (random.Below(2) ? "<answer>" + guess + "</answer>" : guess);
}

class ReinforceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchDirectory;
    std::vector<std::string> documents;
    for (uint64_t i = 0; i < 64; ++i) documents.push_back(Document(i));
    tokenizer_ = new Tokenizer(TinyPolicyTokenizer(documents));
    OptimizerOptions optimizer;
    optimizer.learning_rate = 1e-2;
    trained_ = new TrainedModel(TinyPolicyConfig(), optimizer);
    trained_->Initialize(1);
    for (uint64_t step = 0; step < 60; ++step) Pretrain(step);
    Publish("base", trained_->config(), tokenizer_->ToJson());
  }
  static void TearDownTestSuite() {
    delete trained_;
    delete tokenizer_;
    delete scratch_;
  }

  static void Pretrain(uint64_t step) {
    TokenBatch batch;
    std::vector<int32_t> target;
    for (uint64_t d = 0; d < 16; ++d) {
      std::vector<int32_t> document = {0};
      tokenizer_->Encode(Document(step * 16 + d), &document);
      batch.segments.push_back({batch.rows(), static_cast<int64_t>(document.size()), 0, -1});
      batch.tokens.insert(batch.tokens.end(), document.begin(), document.end());
      target.insert(target.end(), document.begin() + 1, document.end());
      target.push_back(1);
    }
    const std::vector<float> weight(target.size(), 1.0f / static_cast<float>(target.size()));
    trained_->ZeroGradients();
    LossForwardBackward(trained_->model(), trained_->bound_weights(), {batch, target, weight}, 0, 0,
                        trained_->arena(), trained_->bound_grads());
    trained_->Update(1.0);
  }

  static std::string Publish(const std::string& name, const ModelConfig& config,
                             const std::string& tokenizer_json) {
    const std::string directory = *scratch_ / name;
    TrainedModel shaped(config, {});
    ModelFiles files;
    files.tokenizer_json = tokenizer_json;
    if (!tokenizer_json.empty())
      files.tokenizer_hash = Tokenizer::FromJson(tokenizer_json, "tokenizer").hash();
    const float* weights =
        config.vocab_size == trained_->config().vocab_size ? trained_->weights() : shaped.weights();
    PublishCheckpoint(directory, config, shaped.layout(), weights, files, nullptr);
    return directory;
  }

  // Small enough to run in a fraction of a second.
  static ReinforceRecipe Recipe() {
    ReinforceRecipe recipe;
    ReinforceOptions& rl = recipe.rl;
    rl.tasks = {"parity:1"};
    rl.steps = 7;
    rl.prompts_per_step = 6;
    rl.group_size = 4;
    rl.max_tokens = 14;
    rl.micro_batch_tokens = 300;
    rl.evaluate_every = 3;
    rl.shared_prompt_tokens = 1;
    rl.evaluate_problems = 8;
    rl.evaluate_samples = 2;
    rl.checkpoint_every = 2;
    rl.router_bias_gamma = 1e-3;
    recipe.probe.problems = 0;
    recipe.optimizer.learning_rate = 1e-3;
    return recipe;
  }
  // The same with all the state there is: a reference that moves, several updates a step.
  static ReinforceRecipe FullRecipe() {
    ReinforceRecipe recipe = Recipe();
    recipe.grpo.kl_beta = 0.05;
    recipe.grpo.entropy_bonus = 1e-3;
    recipe.rl.reference_every = 3;
    recipe.rl.minibatches = 2;
    recipe.rl.inner_epochs = 2;
    recipe.rl.overlong_penalty = 0.25;
    return recipe;
  }

  static std::string Base() { return *scratch_ / "base"; }
  static std::string RunPath(const std::string& name) {
    return *scratch_ / (std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
                        "-" + name);
  }
  static ReinforceResult Run(const ReinforceRecipe& recipe, const std::string& run,
                             bool resume = false, const ReinforceCallbacks& callbacks = {}) {
    return Reinforce(recipe, Base(), RunPath(run), resume, callbacks);
  }
  // Asks the run to stop once it has done so many steps in all: before the next, or in the
  // evaluation that follows.
  static ReinforceCallbacks StopAfter(int64_t steps) {
    const auto done = std::make_shared<int64_t>(0);
    return {.on_step = [done](const ReinforceMetrics& m) { *done = m.step; },
            .stop = [done, steps] { return *done >= steps; }};
  }
  static void ExpectSameRun(const std::string& a, const std::string& b) {
    for (const char* file : {"metrics.jsonl", "samples.jsonl", "best/model.safetensors",
                             "checkpoints/step-00000007/model.safetensors",
                             "checkpoints/step-00000007/optimizer.safetensors",
                             "checkpoints/step-00000007/trainer_state.json"}) {
      EXPECT_EQ(ReadFile(RunPath(a) + "/" + file), ReadFile(RunPath(b) + "/" + file))
          << a << " and " << b << ": " << file;
    }
  }
  static void ExpectMessage(const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& part : parts)
      EXPECT_NE(message.find(part), std::string::npos) << "'" << message << "' lacks " << part;
  }

  static inline ScratchDirectory* scratch_;
  static inline Tokenizer* tokenizer_;
  static inline TrainedModel* trained_;
};

}  // namespace darkhorse
