#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "checkpoint/run_directory.h"
#include "rl/policy_step.h"
#include "rl/tiny_run_testing.h"
#include "train/metrics.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

TEST_F(ReinforceTest, SamplingIsTrainingToTheBit) {
  for (const ReinforceRecipe& recipe : {Recipe(), FullRecipe()}) {
    int steps = 0;
    const std::string name = recipe.grpo.kl_beta > 0 ? "full" : "plain";
    Run(recipe, name, false, {.on_step = [&](const ReinforceMetrics& m) {
          ++steps;
          EXPECT_EQ(m.sampling_gap, 0) << "step " << m.step;
          EXPECT_GT(m.grad_norm, 0);
          EXPECT_GT(m.entropy, 0);
        }});
    EXPECT_EQ(steps, 7);
  }
}

TEST_F(ReinforceTest, SlotsThreadsAndMicroBatchesOfSamplingDoNotChangeABit) {
  const int threads = NumThreads();
  ReinforceRecipe recipe = Recipe();
  recipe.rl.slots = 64;
  SetNumThreads(1);
  Run(recipe, "one");
  SetNumThreads(2);
  Run(recipe, "two");
  recipe.rl.slots = 4;
  Run(recipe, "few");
  SetNumThreads(threads);
  ExpectSameRun("one", "two");
  ExpectSameRun("one", "few");
}

TEST_F(ReinforceTest, StoppedAndResumedEndsInTheSameBytes) {
  const ReinforceRecipe recipe = FullRecipe();
  EXPECT_TRUE(Run(recipe, "whole").finished);
  EXPECT_FALSE(Run(recipe, "parts", false, StopAfter(3)).finished);
  EXPECT_FALSE(Run(recipe, "parts", true, StopAfter(5)).finished);
  EXPECT_TRUE(Run(recipe, "parts", true).finished);
  ExpectSameRun("whole", "parts");
  // Once more changes nothing.
  EXPECT_TRUE(Run(recipe, "parts", true).finished);
  ExpectSameRun("whole", "parts");
}

TEST_F(ReinforceTest, ARunExtendedIsARunOfThatManySteps) {
  ReinforceRecipe recipe = FullRecipe();
  recipe.stop.patience = 5;  // its count goes on, too
  EXPECT_TRUE(Run(recipe, "whole").finished);
  std::string notes;
  recipe.rl.steps = 3;
  EXPECT_TRUE(Run(recipe, "parts").finished);
  recipe.rl.steps = 6;
  EXPECT_TRUE(
      Run(recipe, "parts", true, {.on_note = [&](const std::string& n) { notes += n + "\n"; }})
          .finished);
  ExpectMessage(notes, {"recipe changed: rl.steps 3 -> 6; the learning rate of the steps to come "
                        "follows the new schedule\n",
                        "resuming from"});
  recipe.rl.steps = 7;
  EXPECT_TRUE(Run(recipe, "parts", true).finished);
  ExpectSameRun("whole", "parts");
  recipe.rl.steps = 6;
  ExpectMessage(MessageOf([&] { Run(recipe, "parts", true); }),
                {"rl.steps was 7 and is now 6, but 7 steps are done"});
}

TEST_F(ReinforceTest, ARunThatARuleEndedIsNotExtended) {
  ReinforceRecipe recipe = Recipe();
  recipe.stop.accuracy = 1e-9;
  recipe.rl.steps = 6;
  const ReinforceResult ended = Run(recipe, "run");
  ASSERT_EQ(ended.last.step, 3);
  const std::string before = ReadFile(RunPath("run") + "/recipe.toml");
  recipe.rl.steps = 7;
  ExpectMessage(MessageOf([&] { Run(recipe, "run", true); }),
                {"recipe.toml", "ended after step 3: held-out accuracy is", "start another run"});
  EXPECT_EQ(ReadFile(RunPath("run") + "/recipe.toml"), before);
}

// A run is asked between steps, at every token of a rollout and of an evaluation: wherever it says
// yes, nothing is lost but the step it was in.
TEST_F(ReinforceTest, StoppedAnywhereAndResumedEndsInTheSameBytes) {
  ReinforceRecipe recipe = FullRecipe();
  recipe.rl.evaluate_every = 2;
  recipe.probe.problems = 2;
  int64_t asked = 0;
  std::vector<int64_t> asked_by;  // before each step's end, and each evaluation's
  const auto note = [&](const ReinforceMetrics&) { asked_by.push_back(asked); };
  Run(recipe, "whole", false, {.on_step = note, .on_evaluation = note, .stop = [&] {
                                 ++asked;
                                 return false;
                               }});
  // In the probe, the evaluation before the first step, that step, its end, the second step, its
  // evaluation, the third step.
  const std::vector<int64_t> moments = {
      1,
      asked_by[0] - 20,
      asked_by[1] - 20,
      asked_by[1] + 1,
      asked_by[2] - 20,
      asked_by[2] + 20,
      asked_by[4] - 20,
  };
  ASSERT_LT(asked_by[2] + 20, asked_by[3]);
  for (const int64_t moment : moments) {
    const std::string parts = "parts" + std::to_string(moment);
    asked = 0;
    EXPECT_FALSE(Run(recipe, parts, false, {.stop = [&] { return ++asked >= moment; }}).finished);
    EXPECT_EQ(asked, moment) << "it went on";
    EXPECT_TRUE(Run(recipe, parts, true).finished);
    ExpectSameRun("whole", parts);
  }
}

TEST_F(ReinforceTest, ResumingFromAnotherModelIsRefused) {
  ReinforceRecipe recipe = Recipe();
  Run(recipe, "run", false, StopAfter(2));
  // The same model elsewhere is the same model.
  const std::string json = LoadTokenizerJson(Base());
  const std::string same = Publish("same", trained_->config(), json);
  Reinforce(recipe, same, RunPath("run"), true, {.stop = [] { return true; }});
  const std::string other = Publish("other", trained_->config(), json + " ");
  ExpectMessage(MessageOf([&] {
                  Reinforce(recipe, other, RunPath("run"), true, {.stop = [] { return true; }});
                }),
                {"inputs.json", "another model"});
}

TEST_F(ReinforceTest, CompletionsMayBeAsLongAsTheContextHolds) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 1;
  recipe.rl.max_tokens = INT64_MAX;
  EXPECT_TRUE(Run(recipe, "run").finished);
}

TEST_F(ReinforceTest, KilledAnywhereAndResumedEndsInTheSameBytes) {
  // What a kill leaves is the directory as it stands: copied after every step and every evaluation,
  // with half a line in the logs.
  for (const ReinforceRecipe& recipe : {Recipe(), FullRecipe()}) {
    const std::string whole = recipe.grpo.kl_beta > 0 ? "full" : "plain";
    std::vector<std::string> copies;
    const auto copy_run = [&](const ReinforceMetrics& m) {
      copies.push_back(fmt::format("{}{}-{}", whole, m.step, copies.size()));
      fs::copy(RunPath(whole), RunPath(copies.back()), fs::copy_options::recursive);
    };
    Run(recipe, whole, false, {.on_step = copy_run, .on_evaluation = copy_run});
    EXPECT_EQ(copies.size(), 7u + 4u);  // steps and evaluations
    for (const std::string& copy : copies) {
      for (const char* file : {"metrics.jsonl", "samples.jsonl"}) {
        const std::string path = RunPath(copy) + "/" + file;
        std::FILE* log = std::fopen(path.c_str(), "a");
        std::fputs("{\"step\": 8, \"rew", log);
        std::fclose(log);
      }
      EXPECT_TRUE(Run(recipe, copy, /*resume=*/true).finished);
      ExpectSameRun(whole, copy);
    }
  }
}

TEST_F(ReinforceTest, RewardRises) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 30;
  recipe.rl.prompts_per_step = 16;
  recipe.rl.group_size = 8;
  recipe.rl.evaluate_every = 0;
  recipe.optimizer.learning_rate = 3e-3;
  for (const std::string objective : {"clip", "cispo"}) {
    recipe.grpo.objective = objective;
    std::vector<double> reward;
    Run(recipe, objective, false,
        {.on_step = [&](const ReinforceMetrics& m) { reward.push_back(m.reward); }});
    const auto mean = [&](size_t from) {
      return std::accumulate(reward.begin() + static_cast<int64_t>(from),
                             reward.begin() + static_cast<int64_t>(from) + 5, 0.0) /
             5;
    };
    // 0.275 and 0.55 (above): 640 rewards of deviation < 0.5 each have a standard error below 0.02,
    // so the midpoint is six from either.
    EXPECT_LT(mean(0), 0.41);
    EXPECT_GT(mean(25), 0.41);
    EXPECT_GT(mean(25), mean(0) + 0.1);
  }
}

TEST_F(ReinforceTest, RandomRewardsAreByLotAndAccuracyIsNot) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 1;
  recipe.rl.prompts_per_step = 64;
  const ReinforceMetrics earned = Run(recipe, "earned").last;
  recipe.rl.random_rewards = true;
  const ReinforceMetrics by_lot = Run(recipe, "by-lot").last;
  EXPECT_EQ(by_lot.accuracy, earned.accuracy);  // the same samples
  // 256 draws of a fair coin: six standard errors are 0.19. What was earned is at most 0.28 on
  // average (tiny_run_testing.h).
  EXPECT_NEAR(by_lot.reward, 0.5, 0.19);
  EXPECT_NE(by_lot.reward, earned.reward);
}

TEST_F(ReinforceTest, NothingToLearnFromLeavesTheModelAsItIs) {
  // Two tokens hold no answer: every reward is minus the penalty, no group has a signal.
  ReinforceRecipe recipe = Recipe();
  recipe.rl.max_tokens = 2;
  recipe.rl.overlong_penalty = 0.5;
  const ReinforceResult result = Run(recipe, "run");
  // Means are sums of 24 rounded shares.
  EXPECT_NEAR(result.last.reward, -0.5, 24 * 0x1p-53);
  EXPECT_EQ(result.last.frac_reward_zero_std, 1);
  EXPECT_NEAR(result.last.clipped_ratio, 1, 24 * 0x1p-53);
  EXPECT_EQ(result.last.refills, recipe.rl.max_refills);
  EXPECT_EQ(ReadFile(result.checkpoint + "/model.safetensors"),
            ReadFile(Base() + "/model.safetensors"));
}

// As a run is left that is killed between the writing of best/ and its next checkpoint.
TEST_F(ReinforceTest, ABestModelOfADroppedFutureGoes) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.evaluate_every = 1;
  Run(recipe, "whole");
  Run(recipe, "run", false, StopAfter(4));
  const std::string best = RunPath("run") + "/best";
  ASSERT_TRUE(FileExists(best));
  const std::string before = ReadFile(best + "/model.safetensors");
  std::string notes;
  const ReinforceCallbacks look = {.on_note = [&](const std::string& note) { notes += note; },
                                   .stop = [] { return true; }};
  Run(recipe, "run", true, look);
  EXPECT_EQ(ReadFile(best + "/model.safetensors"), before);
  EXPECT_EQ(notes.find("best/"), notes.npos) << notes;
  fs::remove_all(best);
  fs::copy(Base(), best, fs::copy_options::recursive);
  const ReinforceResult result = Run(recipe, "run", true, look);
  EXPECT_FALSE(FileExists(best));
  EXPECT_EQ(result.best_checkpoint, "");
  EXPECT_TRUE(Says(notes, "best/ held the model of a step after 4, which is yet to be made"))
      << notes;
}

// Rises for some steps and then stays about there: the first of the best is not the last.
TEST_F(ReinforceTest, KeepsTheBestCheckpointByHeldOutAccuracy) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.evaluate_every = recipe.rl.checkpoint_every = 1;
  recipe.rl.evaluate_problems = 32;
  recipe.rl.steps = recipe.rl.keep_checkpoints = 12;
  recipe.optimizer.learning_rate = 3e-3;
  double best = -1;
  int64_t best_step = -1;
  const ReinforceResult result =
      Run(recipe, "run", false, {.on_evaluation = [&](const ReinforceMetrics& m) {
            ASSERT_EQ(m.evaluation.size(), 1u);
            if (m.evaluation[0].pass_at_1.value <= best) return;
            best = m.evaluation[0].pass_at_1.value;
            best_step = m.step;
          }});
  EXPECT_EQ(result.best_accuracy, best);
  ASSERT_GT(best_step, 0);
  ASSERT_LT(best_step, 12);
  EXPECT_EQ(result.best_checkpoint, RunPath("run") + "/best");
  EXPECT_TRUE(LoadModelConfig(result.best_checkpoint) == TinyPolicyConfig());
  EXPECT_EQ(ReadFile(result.best_checkpoint + "/model.safetensors"),
            ReadFile(StepDirectory(RunPath("run"), best_step) + "/model.safetensors"));
}

TEST_F(ReinforceTest, WhereNothingIsBetterThanTheModelItBeganWithNothingIsTheBest) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.tasks = {"gcd:1"};  // of which the base knows nothing
  recipe.rl.max_tokens = 20;
  recipe.rl.random_rewards = true;  // and yet it moves
  recipe.rl.steps = 3;
  recipe.rl.evaluate_every = recipe.rl.checkpoint_every = 1;
  std::vector<double> accuracy;
  std::string notes;
  const ReinforceCallbacks callbacks = {
      .on_evaluation = [&](const auto& m) { accuracy.push_back(m.evaluation[0].pass_at_1.value); },
      .on_note = [&](const std::string& note) { notes += note + "\n"; }};
  // What a run with another model left, killed before its first checkpoint.
  EXPECT_FALSE(Run(recipe, "run", false, {.stop = [] { return true; }}).finished);
  fs::copy(Base(), RunPath("run") + "/best", fs::copy_options::recursive);
  const ReinforceResult result = Run(recipe, "run", true, callbacks);
  ASSERT_EQ(accuracy, (std::vector<double>{0, 0, 0, 0}));
  EXPECT_EQ(result.best_accuracy, 0);
  EXPECT_EQ(result.best_checkpoint, "");
  EXPECT_FALSE(FileExists(RunPath("run") + "/best"));
  EXPECT_EQ(notes,
            RunPath("run") +
                " has no checkpoint: starting from the first step\n"
                "no evaluation was better than the model it began with, whose held-out accuracy is "
                "0.000: there is no best/\n");
}

TEST(ReinforceOptionsTest, WhatIsCountedIsAtLeastOne) {
  using Options = ReinforceOptions;
  for (const auto& [name, field] : {std::pair{"steps", &Options::steps},
                                    {"prompts_per_step", &Options::prompts_per_step},
                                    {"max_tokens", &Options::max_tokens},
                                    {"slots", &Options::slots},
                                    {"minibatches", &Options::minibatches},
                                    {"inner_epochs", &Options::inner_epochs},
                                    {"micro_batch_tokens", &Options::micro_batch_tokens},
                                    {"shared_prompt_tokens", &Options::shared_prompt_tokens},
                                    {"evaluate_problems", &Options::evaluate_problems},
                                    {"evaluate_samples", &Options::evaluate_samples},
                                    {"checkpoint_every", &Options::checkpoint_every},
                                    {"keep_checkpoints", &Options::keep_checkpoints}}) {
    Options options;
    options.*field = 1;
    EXPECT_EQ(MessageOf([&] { Validate(options); }), "") << name;
    options.*field = 0;
    EXPECT_EQ(MessageOf([&] { Validate(options); }),
              fmt::format("rl.{} is 0; it must be at least 1", name));
  }
}

TEST_F(ReinforceTest, RefusesRecipesThatCannotWork) {
  const auto message = [](auto change) {
    ReinforceRecipe recipe = Recipe();
    change(recipe);
    return MessageOf([&] { Run(recipe, "run"); });
  };
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.group_size = 1; }),
                {"rl.group_size is 1", "at least 2"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.tasks = {"parrity:1"}; }),
                {"'parrity'", "did you mean 'parity'"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.tasks = {"parity:9"}; }),
                {"parity", "level 9", "1 to 4"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.tasks = {}; }), {"no task"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.minibatches = 7; }),
                {"rl.minibatches is 7", "6 groups"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.temperature = 0; }), {"rl.temperature is 0"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.max_tokens = 0; }), {"rl.max_tokens is 0"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.rl.prompts_per_step = 1 << 20; }),
                {"rl.prompts_per_step"});
  EXPECT_FALSE(FileExists(RunPath("run")));
}

TEST_F(ReinforceTest, RefusesModelsThatCannotWork) {
  const auto message = [](const std::string& model) {
    return MessageOf([&] { Reinforce(Recipe(), model, RunPath("run"), false, {}); });
  };
  ExpectMessage(message(*scratch_ / "nowhere"), {"nowhere"});
  ExpectMessage(message(Publish("mute", TinyPolicyConfig(), "")), {"mute", "tokenizer"});
  ModelConfig config = TinyPolicyConfig();
  config.max_position_embeddings = 12;
  ExpectMessage(message(Publish("short", config, tokenizer_->ToJson())),
                {"parity", "tokens", "holds only 12"});
  config = TinyPolicyConfig();
  config.vocab_size = 100;
  ExpectMessage(message(Publish("narrow", config, tokenizer_->ToJson())),
                {"narrow", "its tokenizer has", "embeds 100"});
}

TEST_F(ReinforceTest, RefusesToMixRuns) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 2;
  Run(recipe, "run");
  ExpectMessage(MessageOf([&] { Run(recipe, "run"); }),
                {"holds a run already", "resume it", "another run directory"});
  recipe.grpo.kl_beta = 0.1;
  ExpectMessage(MessageOf([&] { Run(recipe, "run", true); }), {"recipe.toml", "kl_beta = 0.1"});
}

// A model that is not there shows what is asked first.
TEST_F(ReinforceTest, AFolderOfAnotherIsRefusedBeforeProblemsAreRead) {
  const ReinforceRecipe recipe = Recipe();
  const auto message = [&](bool resume) {
    ReinforceRecipe of_problems = recipe;
    of_problems.problems = {.file = "nowhere.jsonl", .rule = "numeric"};
    return MessageOf([&] { Reinforce(of_problems, Base(), RunPath("run"), resume, {}); });
  };
  ExpectMessage(message(false), {"nowhere.jsonl"});
  EXPECT_FALSE(FileExists(RunPath("run")));
  MakeDirectories(RunPath("run"));
  WriteFileAtomically(RunPath("run") + "/metrics.jsonl", "another's");
  ExpectMessage(message(false), {"run: holds other files (metrics.jsonl) and no recipe.toml"});
  fs::remove(RunPath("run") + "/metrics.jsonl");
  Run(recipe, "run", false, {.stop = [] { return true; }});  // begun, without a checkpoint
  for (const bool resume : {false, true})
    ExpectMessage(message(resume), {"recipe.toml: the run in this folder was started with"});
  Run(recipe, "run", true, StopAfter(2));
  ExpectMessage(message(true), {"recipe.toml: the run was started with"});
}

// What a process that was killed behind an interrupted evaluation left of it is written again.
TEST_F(ReinforceTest, AnEvaluationKilledWhereItWentOnIsWrittenOnce) {
  const ReinforceRecipe recipe = Recipe();
  Run(recipe, "whole");
  Run(recipe, "parts", false, StopAfter(3));  // within the evaluation of step 3
  for (const char* file : {"/metrics.jsonl", "/samples.jsonl"}) {
    JsonLinesFile lines(RunPath("parts") + file);
    lines.AppendLine(R"({"step": 3})");
  }
  Run(recipe, "parts", true);
  ExpectSameRun("whole", "parts");
}

// A report's cost is of these lines.
TEST_F(ReinforceTest, TimingsAreOfAllThatAStepTook) {
  std::map<int64_t, std::pair<double, double>> expected;  // seconds and operations
  std::map<int64_t, std::array<double, 3>> parts;
  const ReinforceCallbacks callbacks = {
      .on_step =
          [&](const ReinforceMetrics& m) {
            expected[m.step] = {m.sample_seconds + m.score_seconds + m.train_seconds, m.flops};
            parts[m.step] = {m.sample_seconds, m.tail_seconds, m.train_seconds};
            EXPECT_GT(m.flops, 0);
          },
      .on_evaluation =
          [&](const ReinforceMetrics& m) { expected[m.step].first += m.evaluate_seconds; }};
  Run(Recipe(), "run", false, callbacks);
  std::istringstream lines(ReadFile(RunPath("run") + "/timings.jsonl"));
  int64_t step = 0;
  for (std::string line; std::getline(lines, line); ++step) {
    const auto timing = nlohmann::json::parse(line);
    EXPECT_EQ(timing["step"], step);
    // Written with six digits: behind the point, and in all.
    EXPECT_NEAR(timing["seconds"], expected[step].first, 0.6e-6);
    EXPECT_NEAR(timing["flops"], expected[step].second, 1e-6 * expected[step].second);
    EXPECT_EQ(timing["threads"], NumThreads());
    if (step == 0) {
      EXPECT_FALSE(timing.contains("tail_seconds"));
      continue;
    }
    EXPECT_NEAR(timing["sample_seconds"], parts[step][0], 0.6e-6);
    EXPECT_NEAR(timing["tail_seconds"], parts[step][1], 0.6e-6);
    EXPECT_NEAR(timing["train_seconds"], parts[step][2], 0.6e-6);
  }
  EXPECT_EQ(step, 8);
}

}  // namespace
}  // namespace darkhorse
