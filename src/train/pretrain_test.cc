#include "train/pretrain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <sstream>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/scratch_testing.h"
#include "checkpoint/run_directory.h"
#include "data/loader.h"
#include "data/prepare.h"
#include "data/shard.h"
#include "model/cost.h"
#include "model/head.h"
#include "model/loss.h"
#include "text/tokenizer.h"
#include "train/evaluate.h"
#include "train/metrics.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

class PretrainTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = scratch_ / "run";
    MakeDirectories(root_ + "/data");
    WriteFileAtomically(root_ + "/data/tokenizer.json", "{}");
    WriteShard(kTrainShard, 0, 400);
    WriteShard(kValidationShard, 1000, 40);
  }

  // Documents that count up or down by a fixed stride modulo 29: learnable from context, not from
  // frequency.
  void WriteShard(const std::string& name, uint64_t first, uint64_t count) {
    ShardWriter writer(
        root_ + "/data/" + name,
        {.tokenizer_hash = Checksum64("{}"), .vocab_size = 32, .bos_id = 0, .eos_id = 1});
    for (uint64_t d = first; d < first + count; ++d) {
      RandomSequence random(5, RandomStream::kTest, d);
      const uint64_t start = random.Below(29), stride = 1 + random.Below(3);
      std::vector<int32_t> document = {0};
      for (uint64_t i = 0; i < 10 + random.Below(30); ++i)
        document.push_back(static_cast<int32_t>(2 + (start + i * stride) % 29));
      document.push_back(1);
      writer.Append(document, static_cast<int64_t>(document.size()));
    }
    writer.Commit();
  }

  static PretrainRecipe Recipe() {
    PretrainRecipe recipe;
    ModelConfig& model = recipe.model;
    model.hidden_size = 32;
    model.num_hidden_layers = 2;
    model.num_attention_heads = 2;
    model.kv_lora_rank = 16;
    model.qk_nope_head_dim = 8;
    model.qk_rope_head_dim = 8;
    model.v_head_dim = 16;
    model.intermediate_size = 64;
    model.moe_intermediate_size = 16;
    model.n_routed_experts = 4;
    model.num_nextn_predict_layers = 1;
    model.max_position_embeddings = 64;
    recipe.train.steps = 60;
    recipe.train.tokens_per_step = 512;
    recipe.train.sequence_length = 64;
    recipe.train.micro_batch_tokens = 256;
    recipe.train.checkpoint_every = 20;
    recipe.train.evaluate_every = 0;
    recipe.train.evaluate_tokens = 1024;
    recipe.optimizer.learning_rate = 1e-2;
    recipe.schedule.warmup_steps = 5;
    return recipe;
  }

  std::string Data() const { return root_ + "/data"; }
  std::string Run(const std::string& name) const { return root_ + "/" + name; }
  std::string Bytes(const std::string& run, const std::string& file) const {
    return ReadFile(Run(run) + "/" + file);
  }
  void ExpectSameRun(const std::string& a, const std::string& b) const {
    for (const char* file : {"metrics.jsonl", "checkpoints/step-00000060/model.safetensors",
                             "checkpoints/step-00000060/optimizer.safetensors",
                             "checkpoints/step-00000060/trainer_state.json"}) {
      EXPECT_EQ(Bytes(a, file), Bytes(b, file)) << file;
    }
  }

  ScratchDirectory scratch_;
  std::string root_;
};

TEST_F(PretrainTest, LossFallsWithEitherOptimizer) {
  for (const std::string optimizer : {"muon", "adamw"}) {
    PretrainRecipe recipe = Recipe();
    recipe.optimizer.optimizer = optimizer;
    std::vector<double> losses;
    const auto result =
        Pretrain(recipe, Data(), Run(optimizer), false,
                 {.on_step = [&](const StepMetrics& m) { losses.push_back(m.loss); }});
    ASSERT_TRUE(result.finished);
    // Guessing costs ln 32 = 3.47 nats. Stride and start are known after two tokens, and a document
    // has 25 on average.
    EXPECT_LT(result.validation_loss, 0.5 * std::log(32.0)) << optimizer;
    // The first step's is the fresh model's mean over the first batch's targets.
    const TokenShard shard = TokenShard::Open(Data() + "/" + kTrainShard);
    const Loader loader(shard, "", {.seed = recipe.train.seed, .sequence_length = 64});
    ModelConfig config = recipe.model;
    config.vocab_size = 32;
    config.eos_token_id = 1;
    TrainedModel fresh(config, {});
    fresh.Initialize(recipe.train.seed);
    const TrainBatch batch = loader.Sequences(0, 8);
    const std::vector<int32_t> targets = Targets(batch);
    const ConstMatrix hidden = fresh.model().Forward(fresh.bound_weights(), ToTokenBatch(batch, 64),
                                                     nullptr, fresh.arena(), nullptr);
    std::vector<float> logp(targets.size());
    HeadForward(hidden, fresh.bound_weights().lm_head, targets.data(), fresh.arena(), logp.data(),
                nullptr);
    double sum = 0, count = 0;
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      sum -= logp[i];
      ++count;
    }
    // Each token's weight is 1 / count in float.
    EXPECT_NEAR(losses.front(), sum / count, 0x1p-23 * sum / count);
  }
}

TEST_F(PretrainTest, AStepIsItsMicroBatchesAddedUp) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 40;  // of which one is done
  recipe.train.mtp_lambda = 0.5;
  recipe.train.balance_alpha = 0.25;
  recipe.train.router_bias_gamma = 0;
  recipe.schedule = {.schedule = "constant", .warmup_steps = 5};
  StepMetrics first;
  bool done = false;
  const PretrainResult result = Pretrain(recipe, Data(), Run("run"), false,
                                         {.on_step =
                                              [&](const StepMetrics& m) {
                                                first = m;
                                                done = true;
                                              },
                                          .stop = [&] { return done; }});
  ASSERT_EQ(first.step, 1);

  // The same by hand: 8 sequences, four at a time.
  const TokenShard shard = TokenShard::Open(Data() + "/" + kTrainShard);
  const Loader loader(shard, "", {.seed = recipe.train.seed, .sequence_length = 64});
  TrainedModel trained(LoadModelConfig(result.checkpoint), recipe.optimizer);
  trained.Initialize(recipe.train.seed);
  const TrainBatch whole = loader.Sequences(0, 8);
  const auto targets = std::count(whole.weights.begin(), whole.weights.end(), 1.0f);
  trained.ZeroGradients();
  double loss = 0, mtp_loss = 0, balance = 0;
  for (const int64_t begin : {0, 4}) {
    const TrainBatch part = loader.Sequences(begin, 4);
    std::vector<float> weight = part.weights;
    for (float& w : weight) w *= 1.0f / static_cast<float>(targets);
    const LossResult of_part = LossForwardBackward(
        trained.model(), trained.bound_weights(), {ToTokenBatch(part, 64), Targets(part), weight},
        0.5f, 0.25f / 8, trained.arena(), trained.bound_grads());
    loss += of_part.loss;
    mtp_loss += of_part.mtp_loss;
    balance += of_part.balance / 8;
  }
  EXPECT_EQ(first.loss, loss);
  EXPECT_EQ(first.mtp_loss, mtp_loss);
  EXPECT_EQ(first.balance_loss, balance / 2);  // the second layer and the MTP module have experts
  EXPECT_EQ(first.learning_rate, recipe.optimizer.learning_rate * 0.2);
  EXPECT_EQ(first.grad_norm, trained.Update(0.2));
  TrainedModel saved(trained.config(), recipe.optimizer);
  saved.Load(result.checkpoint);
  EXPECT_TRUE(std::equal(trained.weights(), trained.weights() + trained.layout().buffer_size(),
                         saved.weights()));
}

TEST_F(PretrainTest, EpochsAreTokensSeenOverTokensThereAre) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 3;
  const double tokens = static_cast<double>(TokenShard::Open(Data() + "/" + kTrainShard).tokens());
  EXPECT_EQ(Pretrain(recipe, Data(), Run("run"), false, {}).last.epochs, 3 * 512 / tokens);
}

TEST_F(PretrainTest, MeasuresWhenItIsDueAndAtTheEnd) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 5;
  for (const int64_t every : {0, 2, 5}) {
    recipe.train.evaluate_every = every;
    std::vector<int64_t> measured;
    Pretrain(recipe, Data(), Run(std::to_string(every)), false,
             {.on_step = [&](const StepMetrics& m) {
               if (m.validation_loss >= 0) measured.push_back(m.step);
             }});
    EXPECT_EQ(measured, every == 2 ? (std::vector<int64_t>{2, 4, 5}) : (std::vector<int64_t>{5}))
        << every;
  }
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
  const PretrainResult result =
      Pretrain(further, Data(), Run("further"), false,
               {.on_note = [&](const std::string& n) { notes += n + "\n"; }}, base);
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
  const ModelConfig ends =
      LoadModelConfig(Pretrain(further, Data(), Run("ends"), false, {}, stops).checkpoint);
  EXPECT_EQ(ends.stop_token_ids, (std::vector<int64_t>{ends.eos_token_id, 7, 9}));
  // Going on takes the same start.
  further.train.steps = 3;
  const auto refusal = [&](const std::string& model) {
    return MessageOf([&] { Pretrain(further, Data(), Run("further"), true, {}, model); });
  };
  PretrainRecipe same = further;
  same.model = LoadModelConfig(base);
  EXPECT_NE(MessageOf([&] {
              Pretrain(same, Data(), Run("further"), true, {});
            }).find("was started with model, which is missing now"),
            std::string::npos);
  EXPECT_NE(refusal(Run("base") + "/checkpoints").find("config.json"), std::string::npos);
  EXPECT_EQ(refusal(base), "");
  // A model that reads the ids otherwise is refused.
  TrainedModel other(LoadModelConfig(base), {});
  ModelFiles files;
  files.tokenizer_json = TrainTokenizer(std::vector<std::string>{"a b"}, {}).ToJson();
  const std::string foreign = other.Save(Run("foreign"), 1, files, "{}", 1);
  EXPECT_EQ(MessageOf([&] { Pretrain(further, Data(), Run("new"), false, {}, foreign); }),
            foreign +
                ": its tokenizer is not the one that the training data were made with; "
                "prepare the text again with this model's tokenizer.json");
  EXPECT_FALSE(FileExists(Run("new")));
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

TEST_F(PretrainTest, AValidationShardIsOptional) {
  fs::remove(Data() + "/val.bin");
  std::string notes;
  const auto result = Pretrain(Recipe(), Data(), Run("run"), false,
                               {.on_note = [&](const std::string& note) { notes += note; }});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.validation_loss, -1);
  EXPECT_EQ(result.checkpoint, Run("run") + "/checkpoints/step-00000060");
  EXPECT_NE(notes.find("has no val.bin"), std::string::npos) << notes;
  EXPECT_EQ(Bytes("run", "metrics.jsonl").find("validation_loss"), std::string::npos);
  // What else is worth a look now and then is there.
  EXPECT_NE(Bytes("run", "metrics.jsonl").find("expert_load"), std::string::npos);
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

// A checkpoint that cannot be loaded must not take the place of one that can.
TEST_F(PretrainTest, WhatIsNotFiniteIsNotSaved) {
  TrainedModel trained(Recipe().model, {});
  trained.Initialize(1);
  const std::string good = trained.Save(Run("run"), 1, {}, "{}", 1);
  const auto message = [&] {
    try {
      trained.Save(Run("run"), 1, {}, "{}", 2);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  float* last = trained.mutable_weights() + trained.layout().buffer_size() - 1;
  const float before = std::exchange(*last, NAN);
  EXPECT_TRUE(message().starts_with("the weights are not all finite after step 2")) << message();
  *last = before;
  for (auto& [name, values] : trained.optimizer().State()) {
    const float moment = std::exchange(values[values.size() / 2], INFINITY);
    EXPECT_TRUE(message().starts_with("the optimizer's moments are not all finite")) << message();
    values[values.size() / 2] = moment;
  }
  EXPECT_TRUE(FileExists(good));
  EXPECT_FALSE(FileExists(Run("run") + "/checkpoints/step-00000002"));
  EXPECT_EQ(message(), "");
}

TEST_F(PretrainTest, ThreadsDoNotChangeABit) {
  const int threads = NumThreads();
  SetNumThreads(1);
  Pretrain(Recipe(), Data(), Run("one"), false, {});
  SetNumThreads(3);
  Pretrain(Recipe(), Data(), Run("three"), false, {});
  SetNumThreads(threads);
  ExpectSameRun("one", "three");
}

TEST_F(PretrainTest, DenseModelIsTheSameCode) {
  PretrainRecipe recipe = Recipe();
  recipe.model.first_k_dense_replace = recipe.model.num_hidden_layers + 1;
  const auto result = Pretrain(recipe, Data(), Run("dense"), false, {});
  EXPECT_LT(result.validation_loss, 0.5 * std::log(32.0));
  EXPECT_EQ(result.last.max_violation, 0);
}

TEST_F(PretrainTest, BiasesPushExpertsTowardsTheirMeanLoad) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 1;
  recipe.train.router_bias_gamma = 0.25;
  const PretrainResult result = Pretrain(recipe, Data(), Run("run"), false, {});
  TrainedModel trained(LoadModelConfig(result.checkpoint), recipe.optimizer);
  trained.Load(result.checkpoint);
  const std::vector<float*> biases = RouterBiases(trained.bound_weights());
  const ExpertLoad& load = result.last.load;
  ASSERT_EQ(load.size(), 2u);  // the second layer and the multi-token-prediction module
  for (size_t layer = 0; layer < load.size(); ++layer) {
    // 512 tokens visit two of four experts each; a module lacks each sequence's last.
    const int64_t visits = std::accumulate(load[layer].begin(), load[layer].end(), int64_t{0});
    EXPECT_LE(visits, 512 * recipe.model.num_experts_per_tok);
    EXPECT_GE(visits, (512 - 8) * recipe.model.num_experts_per_tok);
    for (size_t e = 0; e < 4; ++e) {
      const int64_t above = 4 * load[layer][e] - visits;
      EXPECT_EQ(biases[layer][e], above > 0 ? -0.25f : above < 0 ? 0.25f : 0.0f) << layer << e;
    }
  }
  EXPECT_EQ(result.last.max_violation, MaxViolation(load));
}

TEST_F(PretrainTest, TheBatchRampConsumesEachSequenceOnce) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 8;
  recipe.train.batch_ramp_steps = 4;
  recipe.train.checkpoint_every = 2;
  std::vector<int64_t> sequences, tokens;
  Pretrain(recipe, Data(), Run("whole"), false, {.on_step = [&](const StepMetrics& m) {
             // Every token visits so many experts of the first layer that has some.
             const int64_t visits = std::accumulate(m.load[0].begin(), m.load[0].end(), int64_t{0});
             sequences.push_back(visits / recipe.model.num_experts_per_tok /
                                 recipe.train.sequence_length);
             tokens.push_back(m.tokens);
           }});
  // From an eighth of the 8 sequences, linearly, rounded down.
  EXPECT_EQ(sequences, (std::vector<int64_t>{1, 2, 4, 6, 8, 8, 8, 8}));
  int64_t sum = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    sum += sequences[i] * recipe.train.sequence_length;
    EXPECT_EQ(tokens[i], sum) << i;
  }
  // And it goes on where it stopped.
  int steps = 0;
  Pretrain(recipe, Data(), Run("parts"), false, {.stop = [&] { return steps++ == 4; }});
  EXPECT_TRUE(Pretrain(recipe, Data(), Run("parts"), true, {}).finished);
  EXPECT_EQ(Bytes("whole", "metrics.jsonl"), Bytes("parts", "metrics.jsonl"));
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

TEST_F(PretrainTest, RouterBiasesStayAfterTheirLastStep) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 20;
  recipe.train.checkpoint_every = 5;
  recipe.train.keep_checkpoints = 4;
  recipe.train.router_bias_gamma = 0.25;  // sums are exact
  const auto biases = [&](const std::string& run, int64_t step) {
    const std::string directory = StepDirectory(Run(run), step);
    TrainedModel trained(LoadModelConfig(directory), recipe.optimizer);
    trained.Load(directory);
    std::vector<float> all;
    for (const float* bias : RouterBiases(trained.bound_weights()))
      if (bias) all.insert(all.end(), bias, bias + recipe.model.n_routed_experts);
    return all;
  };
  recipe.train.router_bias_stop = 0.5;
  Pretrain(recipe, Data(), Run("stopped"), false, {});
  recipe.train.router_bias_stop = 1;
  Pretrain(recipe, Data(), Run("whole"), false, {});
  const std::vector<float> at_the_end = biases("stopped", 10);
  EXPECT_EQ(biases("whole", 10), at_the_end);
  EXPECT_NE(biases("stopped", 5), at_the_end);
  EXPECT_EQ(biases("stopped", 15), at_the_end);
  EXPECT_EQ(biases("stopped", 20), at_the_end);
  EXPECT_NE(biases("whole", 15), at_the_end);  // an odd number of quarters later
}

TEST_F(PretrainTest, TheBalanceLossIsAMeanOverTheStepsSequences) {
  // Every sequence is the same document.
  ShardWriter writer(
      Data() + "/" + kTrainShard,
      {.tokenizer_hash = Checksum64("{}"), .vocab_size = 32, .bos_id = 0, .eos_id = 1});
  std::vector<int32_t> document = {0};
  for (int32_t i = 0; i < 62; ++i) document.push_back(2 + i * i % 29);
  document.push_back(1);
  for (int i = 0; i < 40; ++i) writer.Append(document, 64);
  writer.Commit();
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 1;
  const auto norm = [&](double alpha, int64_t sequences, int64_t at_once) {
    recipe.train.balance_alpha = alpha;
    recipe.train.tokens_per_step = sequences * recipe.train.sequence_length;
    recipe.train.micro_batch_tokens = at_once * recipe.train.sequence_length;
    static int run = 0;
    return Pretrain(recipe, Data(), Run(std::to_string(run++)), false, {}).last.grad_norm;
  };
  // So large that its gradient is nearly all there is.
  constexpr double kAlpha = 1e6;
  const double one = norm(kAlpha, 1, 1);
  EXPECT_GT(one, 10 * norm(0, 1, 1));
  // The mean over equal sequences is that of one of them, but for rounding. A sum, or a mean over
  // the sequences computed at once, is two to eight times as long.
  for (const int64_t at_once : {8, 4, 1}) {
    const double eight = norm(kAlpha, 8, at_once);
    EXPECT_LT(eight, std::sqrt(2.0) * one) << at_once;
    EXPECT_GT(eight, one / std::sqrt(2.0)) << at_once;
  }
}

TEST_F(PretrainTest, RefusesWhatCannotWork) {
  PretrainRecipe recipe = Recipe();
  recipe.train.sequence_length = 128;
  EXPECT_THROW(Pretrain(recipe, Data(), Run("x"), false, {}), UsageError);
  for (int64_t PretrainOptions::*field :
       {&PretrainOptions::steps, &PretrainOptions::tokens_per_step,
        &PretrainOptions::micro_batch_tokens, &PretrainOptions::sequence_length}) {
    for (const int64_t value : {int64_t{0}, int64_t{-1}, INT64_MAX, (INT64_MAX >> 6) << 6}) {
      recipe = Recipe();
      recipe.train.*field = value;
      EXPECT_THROW(Pretrain(recipe, Data(), Run("x"), false, {}), UsageError) << value;
    }
  }
  recipe = Recipe();
  recipe.model.hidden_size = int64_t{1} << 32;
  EXPECT_THROW(Pretrain(recipe, Data(), Run("x"), false, {}), UsageError);
  recipe = Recipe();
  recipe.model.intermediate_size = 1 << 24;
  recipe.model.hidden_size = 1 << 13;  // 12 TiB with gradients and moments
  EXPECT_THROW(Pretrain(recipe, Data(), Run("x"), false, {}), Error);
  recipe = Recipe();
  recipe.train.tokens_per_step = 100;
  EXPECT_THROW(Pretrain(recipe, Data(), Run("x"), false, {}), UsageError);
  recipe = Recipe();
  recipe.optimizer.learning_rate = 1e30;  // diverges
  recipe.optimizer.optimizer = "adamw";
  recipe.train.checkpoint_every = 1;
  try {
    Pretrain(recipe, Data(), Run("diverges"), false, {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("lower"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("step "), std::string::npos) << error.what();
  }
  EXPECT_TRUE(FindLatestCheckpoint(Run("diverges")).has_value());  // verified, and finite
  WriteFileAtomically(Data() + "/tokenizer.json", "{ }");  // not the one the shards were made with
  EXPECT_THROW(Pretrain(Recipe(), Data(), Run("x"), false, {}), Error);
  EXPECT_THROW(Pretrain(Recipe(), root_ + "/none", Run("x"), false, {}), Error);
}

// In sequences like training's, of the tokens asked for.
TEST_F(PretrainTest, TheHeldOutLossIsMeasuredAsTheModelIsTrained) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 2;
  recipe.train.evaluate_tokens = 300;  // four whole sequences
  std::vector<double> first;
  for (const bool cross : {false, true}) {
    recipe.train.cross_documents = cross;
    const PretrainResult result = Pretrain(recipe, Data(), Run(cross ? "cross" : "apart"), false,
                                           {.on_step = [&](const StepMetrics& m) {
                                             if (m.step == 1) first.push_back(m.loss);
                                           }});
    TrainedModel trained(LoadModelConfig(result.checkpoint), recipe.optimizer);
    trained.Load(result.checkpoint);
    const TokenShard shard = TokenShard::Open(Data() + "/" + kValidationShard);
    const auto measured = [&](int64_t length, bool across, int64_t tokens) {
      return EvaluateLoss(trained.model(), trained.bound_weights(), shard, length, across, tokens)
          .loss;
    };
    EXPECT_EQ(result.validation_loss, measured(64, cross, 300));
    for (const double other : {measured(64, !cross, 300), measured(64, cross, 1024)})
      EXPECT_NE(result.validation_loss, other) << cross;
    EXPECT_EQ(first.size(), cross ? 2u : 1u);
  }
  EXPECT_NE(first[0], first[1]);
}

TEST_F(PretrainTest, BothShardsAreOfTheFoldersTokenizer) {
  const auto rewrite = [&](const char* name, const char* tokenizer, int32_t bos) {
    ShardWriter writer(
        Data() + "/" + name,
        {.tokenizer_hash = Checksum64(tokenizer), .vocab_size = 32, .bos_id = bos, .eos_id = 1});
    for (int i = 0; i < 100; ++i) writer.Append(std::vector<int32_t>{2, 3, 4, 5, 6, 7, 8, 1}, 8);
    writer.Commit();
  };
  const auto refused = [&] {
    return MessageOf([&] { Pretrain(Recipe(), Data(), Run("x"), false, {}); });
  };
  rewrite(kValidationShard, "other", 0);
  EXPECT_NE(refused().find(kValidationShard), std::string::npos) << refused();
  rewrite(kTrainShard, "other", 0);
  EXPECT_NE(refused().find("not the tokenizer that train.bin was made with"), std::string::npos)
      << refused();
  // Documents that no token begins follow the end of the one before.
  for (const char* name : {kTrainShard, kValidationShard}) rewrite(name, "{}", -1);
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 1;
  const ModelConfig config =
      LoadModelConfig(Pretrain(recipe, Data(), Run("run"), false, {}).checkpoint);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, 1);
  EXPECT_EQ(config.vocab_size, 32);
}

// Attention of each document by its own length.
TEST_F(PretrainTest, OperationsAreCountedDocumentByDocument) {
  for (const bool cross : {false, true}) {
    PretrainRecipe recipe = Recipe();
    recipe.train.steps = 1;
    recipe.train.cross_documents = cross;
    const PretrainResult result =
        Pretrain(recipe, Data(), Run(cross ? "cross" : "apart"), false, {});
    const ModelCost cost(LoadModelConfig(result.checkpoint));
    const TokenShard shard = TokenShard::Open(Data() + "/" + kTrainShard);
    const Loader loader(
        shard, "", {.seed = recipe.train.seed, .sequence_length = 64, .cross_documents = cross});
    double expected = 0;
    for (const BatchSegment& segment : loader.Sequences(0, 8).segments) {
      const auto rows = static_cast<double>(segment.rows);
      expected += rows * cost.TrainingFlopsPerToken((rows + 1) / 2);
    }
    EXPECT_NEAR(result.last.flops, expected, 1e-12 * expected);
  }
}

TEST_F(PretrainTest, SaysWhereItStopsAndGoesOn) {
  PretrainRecipe recipe = Recipe();
  recipe.train.steps = 3;
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
            Run("run") + " has no checkpoint yet: starting from the first step\n" + nothing);
  const std::string stopped = "stopped after step 1; its state is saved, so the run can be resumed";
  EXPECT_TRUE(run(true, 2).ends_with(stopped + "\n"));  // two micro-batches
  const std::string first = "resuming from " + StepDirectory(Run("run"), 1) + "\n";
  EXPECT_EQ(run(true, 0), first + stopped + "\n");
  EXPECT_EQ(run(true, -1), first);
  EXPECT_EQ(run(true, -1), "finished already: " + StepDirectory(Run("run"), 3) + "\n");
}

}  // namespace
}  // namespace darkhorse
