// Runs that stop and go on, and runs that start from another's weights.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/scratch_testing.h"
#include "checkpoint/run_directory.h"
#include "data/prepare.h"
#include "text/tokenizer.h"
#include "train/metrics.h"
#include "train/pretrain_testing.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

// In bf16 what is packed is packed anew.
TEST_F(PretrainTest, ResumedRunEndsInTheSameBytesInBf16) {
  PretrainRecipe recipe = Recipe();
  recipe.train.precision = "bf16";
  Pretrain(recipe, Data(), Run("whole"), false, {});
  int steps = 0;
  EXPECT_FALSE(
      Pretrain(recipe, Data(), Run("parts"), false, {.stop = [&] { return steps++ == 33; }})
          .finished);
  PretrainRecipe other = recipe;
  other.train.precision = "f32";
  EXPECT_THROW(Pretrain(other, Data(), Run("parts"), true, {}), Error);
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), true, {}).finished);
  ExpectSameRun("whole", "parts");
  PretrainRecipe exact = recipe;
  exact.train.precision = "f32";
  EXPECT_NE(Pretrain(exact, Data(), Run("f32"), false, {}).last.loss,
            Pretrain(recipe, Data(), Run("bf16"), false, {}).last.loss);
}

TEST_F(PretrainTest, ResumedRunEndsInTheSameBytes) {
  PretrainRecipe recipe = Recipe();
  Pretrain(recipe, Data(), Run("whole"), false, {});
  int steps = 0;
  const auto stopped =
      Pretrain(recipe, Data(), Run("parts"), false, {.stop = [&] { return steps++ == 33; }});
  EXPECT_FALSE(stopped.finished);
  EXPECT_THROW(Pretrain(recipe, Data(), Run("parts"), false, {}), Error);
  PretrainRecipe other = recipe;
  other.optimizer.learning_rate *= 2;
  EXPECT_THROW(Pretrain(other, Data(), Run("parts"), true, {}), Error);
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), true, {}).finished);
  ExpectSameRun("whole", "parts");
}

// A model of another published kind learns, stops, is read back and goes on.
TEST_F(PretrainTest, AModelOfGroupedQueryAttentionIsTheSameCode) {
  PretrainRecipe recipe = Recipe();
  ModelConfig& m = recipe.model;
  m.model_type = "qwen3";
  m.kv_lora_rank = m.qk_nope_head_dim = m.qk_rope_head_dim = m.v_head_dim = 0;
  m.num_attention_heads = 4;
  m.num_key_value_heads = 2;
  m.head_dim = 8;
  m.qk_norm = true;
  m.rope_interleave = false;
  m.n_routed_experts = m.n_shared_experts = m.num_experts_per_tok = m.moe_intermediate_size = 0;
  m.num_nextn_predict_layers = 0;
  m.first_k_dense_replace = m.num_hidden_layers;
  m.scoring_func = "softmax";
  m.topk_method = "greedy";
  m.norm_topk_prob = false;
  const PretrainResult whole = Pretrain(recipe, Data(), Run("whole"), false, {});
  EXPECT_LT(whole.validation_loss, 0.5 * std::log(32.0));
  int steps = 0;
  Pretrain(recipe, Data(), Run("parts"), false, {.stop = [&] { return steps++ == 33; }});
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), true, {}).finished);
  ExpectSameRun("whole", "parts");
  m.qk_norm = false;  // which no file of a qwen3 could tell
  EXPECT_TRUE(Says(MessageOf([&] { Pretrain(recipe, Data(), Run("other"), false, {}); }),
                   "qk_norm = false but a model of type qwen3 has true"));
  EXPECT_FALSE(FileExists(Run("other") + "/metrics.jsonl"));  // before a step is made
}

TEST_F(PretrainTest, WhatIsKnownOfARunGoneOnWithIsItsLastStep) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 5;
  const PretrainResult whole = Pretrain(recipe, Data(), Run("run"), false, {});
  const PretrainResult again = Pretrain(recipe, Data(), Run("run"), true, {});
  for (const PretrainResult* result : {&whole, &again}) {
    EXPECT_EQ(result->last.step, 5);
    EXPECT_EQ(result->last.loss, whole.last.loss);
    EXPECT_EQ(result->last.tokens, 5 * 512);
    EXPECT_EQ(result->validation_loss, whole.validation_loss);
  }
  // Without its lines the loss can be measured again, but the step's is lost.
  fs::remove(Run("run") + "/metrics.jsonl");
  const PretrainResult bare = Pretrain(recipe, Data(), Run("run"), true, {});
  EXPECT_EQ(bare.last.step, 0);
  EXPECT_EQ(bare.validation_loss, whole.validation_loss);
  // Stopped before another step, it is the one before.
  recipe.train.steps = 9;
  int asked = 0;
  Pretrain(recipe, Data(), Run("run"), true, {.stop = [&] { return asked++ == 2; }});
  const PretrainResult stopped =
      Pretrain(recipe, Data(), Run("run"), true, {.stop = [] { return true; }});
  EXPECT_FALSE(stopped.finished);
  EXPECT_EQ(stopped.last.step, 6);
  EXPECT_EQ(stopped.last.validation_loss, -1);
}

TEST_F(PretrainTest, ARunExtendedIsARunOfThatManySteps) {
  PretrainRecipe recipe = Recipe();
  recipe.schedule.schedule = "constant";
  recipe.train.evaluate_every = 20;
  Pretrain(recipe, Data(), Run("whole"), false, {});
  std::string notes;
  const PretrainCallbacks noting{.on_note = [&](const std::string& n) { notes += n + "\n"; }};
  // From a finished run, and again from one that was stopped.
  recipe.train.steps = 20;
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), false, {}).finished);
  recipe.train.steps = 40;
  int asked = 0;
  PretrainCallbacks stopped = noting;
  stopped.stop = [&] { return asked++ == 5; };
  EXPECT_FALSE(Pretrain(recipe, Data(), Run("parts"), true, stopped).finished);
  EXPECT_NE(notes.find("recipe changed: train.steps 20 -> 40; the learning rate of the steps to "
                       "come follows the new schedule\n"),
            std::string::npos)
      << notes;
  EXPECT_NE(notes.find("resuming from"), std::string::npos) << notes;
  recipe.train.steps = 60;
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), true, {}).finished);
  ExpectSameRun("whole", "parts");
  EXPECT_EQ(Bytes("whole", "recipe.toml"), Bytes("parts", "recipe.toml"));
}

TEST_F(PretrainTest, OnlyMoreStepsThanAreDoneExtendARun) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 20;
  Pretrain(recipe, Data(), Run("run"), false, {});
  const std::string before = Bytes("run", "recipe.toml");
  const auto refusal = [&](int64_t steps, double rate, bool resume) {
    PretrainRecipe other = recipe;
    other.train.steps = steps;
    other.optimizer.learning_rate = rate;
    return MessageOf([&] { Pretrain(other, Data(), Run("run"), resume, {}); });
  };
  const double rate = recipe.optimizer.learning_rate;
  EXPECT_EQ(refusal(19, rate, true),
            Run("run") +
                "/recipe.toml: train.steps was 20 and is now 19, but 20 steps are done; "
                "set it to more than that, or choose another run directory");
  EXPECT_NE(refusal(30, 0.5, true).find("now it is 'learning_rate = 0.5'"), std::string::npos);
  EXPECT_NE(refusal(30, rate, false).find("holds a run already"), std::string::npos);
  // Nothing of a refused change is kept.
  WriteShard(kTrainShard, 1, 400);
  EXPECT_NE(refusal(30, rate, true).find("another train.bin"), std::string::npos);
  EXPECT_EQ(Bytes("run", "recipe.toml"), before);
}

// The tail of the schedule is that of the new number of steps.
TEST_F(PretrainTest, TheRateOfAnExtendedRunFollowsItsNewSchedule) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 10;
  Pretrain(recipe, Data(), Run("run"), false, {});
  recipe.train.steps = 20;
  std::vector<double> rates;
  Pretrain(recipe, Data(), Run("run"), true,
           {.on_step = [&](const StepMetrics& m) { rates.push_back(m.learning_rate); }});
  ASSERT_EQ(rates.size(), 10u);
  EXPECT_EQ(rates.front(), recipe.optimizer.learning_rate);  // the decay begins at step 15 now
  EXPECT_EQ(rates.back(), recipe.optimizer.learning_rate * recipe.schedule.final_lr_fraction);
}

TEST_F(PretrainTest, StartsFromACheckpointsWeights) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 20;
  const std::string base = Pretrain(recipe, Data(), Run("base"), false, {}).checkpoint;
  // Another text of the same tokenizer; steps too small to move a weight.
  WriteShard(kTrainShard, 2000, 400);
  PretrainRecipe further = Recipe();
  further.model = {};
  further.train.steps = 2;
  further.train.router_bias_gamma = 0;
  further.optimizer = {.optimizer = "adamw", .learning_rate = 1e-30};
  std::string notes;
  const PretrainResult result = Pretrain(
      further, Data(), Run("further"), false,
      {.on_note = [&](const std::string& n) { notes += n + "\n"; }}, OpenModel(base).get());
  EXPECT_EQ(ReadFile(result.checkpoint + "/model.safetensors"),
            ReadFile(base + "/model.safetensors"));
  EXPECT_TRUE(LoadModelConfig(result.checkpoint) == LoadModelConfig(base));
  EXPECT_NE(Bytes("further", "recipe.toml").find("\nhidden_size = 32\n"), std::string::npos);
  EXPECT_NE(notes.find("starting from the weights of " + base), std::string::npos) << notes;
  // Texts end where those of the data do, too.
  ModelConfig several = LoadModelConfig(base);
  several.stop_token_ids = {7, 9};
  const std::string stops =
      TrainedModel(several, {})
          .Save(Run("several"), 1, {.tokenizer_json = ReadFile(base + "/tokenizer.json")}, "{}", 1);
  const ModelConfig ends = LoadModelConfig(
      Pretrain(further, Data(), Run("ends"), false, {}, OpenModel(stops).get()).checkpoint);
  EXPECT_EQ(ends.stop_token_ids, (std::vector<int64_t>{ends.eos_token_id, 7, 9}));
  // Going on takes the same start.
  further.train.steps = 3;
  const auto refusal = [&](const std::string& model) {
    return MessageOf(
        [&] { Pretrain(further, Data(), Run("further"), true, {}, OpenModel(model).get()); });
  };
  PretrainRecipe same = further;
  same.model = LoadModelConfig(base);
  EXPECT_NE(MessageOf([&] {
              Pretrain(same, Data(), Run("further"), true, {});
            }).find("was started with model, which is missing now"),
            std::string::npos);
  EXPECT_NE(refusal(Run("base") + "/checkpoints").find("holds checkpoints; the newest is"),
            std::string::npos);
  EXPECT_EQ(refusal(base), "");
  // A model that reads the ids otherwise is refused.
  ModelConfig wide = LoadModelConfig(base);
  wide.vocab_size = 300;
  TrainedModel other(wide, {});
  ModelFiles files;
  files.tokenizer_json = TrainTokenizer(std::vector<std::string>{"a b"}, {}).ToJson();
  const std::string foreign = other.Save(Run("foreign"), 1, files, "{}", 1);
  EXPECT_EQ(MessageOf([&] {
              Pretrain(further, Data(), Run("new"), false, {}, OpenModel(foreign).get());
            }),
            foreign +
                ": its tokenizer is not the one that the training data were made with; "
                "prepare the text again with this model's tokenizer");
  EXPECT_FALSE(FileExists(Run("new")));
}

TEST_F(PretrainTest, ResumingOnOtherDataIsRefused) {
  const auto stop_after = [&](int steps) {
    return PretrainCallbacks{.stop = [steps]() mutable { return steps-- == 0; }};
  };
  Pretrain(Recipe(), Data(), Run("run"), false, stop_after(25));
  const auto error = [&] {
    try {
      Pretrain(Recipe(), Data(), Run("run"), true, stop_after(0));
    } catch (const Error& caught) {
      return std::string(caught.what());
    }
    return std::string();
  };
  EXPECT_EQ(error(), "");
  WriteShard(kValidationShard, 2000, 40);
  EXPECT_NE(error().find("was started with another val.bin"), std::string::npos) << error();
  fs::remove(Data() + "/val.bin");
  EXPECT_NE(error().find("was started with val.bin, which is missing now"), std::string::npos)
      << error();
  WriteShard(kValidationShard, 1000, 40);
  EXPECT_EQ(error(), "");
  WriteShard(kTrainShard, 1, 400);
  EXPECT_NE(error().find("was started with another train.bin"), std::string::npos) << error();
  // The same data elsewhere are the same data.
  WriteShard(kTrainShard, 0, 400);
  fs::rename(Data(), root_ + "/moved");
  Pretrain(Recipe(), root_ + "/moved", Run("run"), true, stop_after(0));
}

TEST_F(PretrainTest, StateAddedIsSavedAndLoadedWithTheRest) {
  std::vector<float> reference = {1, 2, 3};
  TrainedModel saver(Recipe().model, {});
  saver.AddState("reference", reference);
  const std::string directory = saver.Save(Run("run"), 1, {}, R"({"n": 7})", 5);
  std::vector<float> loaded(3);
  TrainedModel loader(Recipe().model, {});
  loader.AddState("reference", loaded);
  EXPECT_EQ(loader.Load(directory), R"({"n":7})");
  EXPECT_EQ(loaded, reference);
  EXPECT_EQ(loader.optimizer().step(), 5);
}

TEST_F(PretrainTest, TimingsBehindTheCheckpointAreTakenAgain) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 6;
  int asked = 0;
  const PretrainResult stopped =
      Pretrain(recipe, Data(), Run("parts"), false, {.stop = [&] { return asked++ == 3; }});
  ASSERT_FALSE(stopped.checkpoint.empty());
  {  // as a process leaves them that is killed steps later
    JsonLinesFile timings(Run("parts") + "/timings.jsonl");
    for (int64_t step = stopped.last.step + 1; step <= 5; ++step)
      timings.AppendLine(fmt::format(R"({{"step": {}}})", step));
  }
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), true, {}).finished);
  std::istringstream lines(Bytes("parts", "timings.jsonl"));
  std::string line;
  for (int64_t step = 1; step <= 6; ++step) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_TRUE(line.starts_with(fmt::format(R"({{"step": {}, "seconds": )", step))) << line;
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(PretrainTest, SaysWhereItStopsAndGoesOn) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 3;
  recipe.train.checkpoint_every = 2;
  recipe.schedule.warmup_steps = 1;
  const auto run = [&](bool resume, int steps) {
    std::string notes;
    const PretrainResult result =
        Pretrain(recipe, Data(), Run("run"), resume,
                 {.on_note = [&](const std::string& note) { notes += note + "\n"; },
                  .stop = [steps]() mutable { return steps-- == 0; }});
    EXPECT_EQ(result.checkpoint.empty(), !FindLatestCheckpoint(Run("run")).has_value());
    return notes;
  };
  const std::string nothing = "stopped before the first step; there is nothing to save\n";
  EXPECT_EQ(run(false, 0), nothing);
  EXPECT_EQ(run(true, 0),
            Run("run") + " has no checkpoint: starting from the first step\n" + nothing);
  const std::string stopped = "stopped after step 1; its state is saved, so the run can be resumed";
  EXPECT_TRUE(run(true, 2).ends_with(stopped + "\n"));  // two micro-batches
  const std::string first = "resuming from " + StepDirectory(Run("run"), 1) + "\n";
  EXPECT_EQ(run(true, 0), first + stopped + "\n");
  EXPECT_EQ(run(true, -1), first);
  EXPECT_EQ(run(true, -1), "finished already: " + StepDirectory(Run("run"), 3) + "\n");
  fs::remove_all(Run("run") + "/checkpoints");
  const std::string metrics = ReadFile(Run("run") + "/metrics.jsonl");
  for (const bool resume : {false, true})
    EXPECT_TRUE(Says(MessageOf([&] { run(resume, -1); }), "its checkpoints are gone"));
  EXPECT_EQ(ReadFile(Run("run") + "/metrics.jsonl"), metrics);
}

}  // namespace
}  // namespace darkhorse
