#include "train/pretrain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
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
#include "train/pretrain_testing.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

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

TEST_F(PretrainTest, AWarmUpThatNeverEndsIsTold) {
  const auto told = [&](int64_t warmup) {
    PretrainRecipe recipe = Recipe();
    recipe.train.steps = 2;
    recipe.schedule.warmup_steps = warmup;
    std::string notes;
    Pretrain(recipe, Data(), Run(fmt::format("warm{}", warmup)), false,
             {.on_note = [&](const std::string& note) { notes += note; }});
    return notes.find("schedule.warmup_steps is 4 and the run has 2 steps") != std::string::npos;
  };
  EXPECT_TRUE(told(4));
  EXPECT_FALSE(told(1));
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

// A checkpoint that cannot be loaded must not take the place of one that can.
TEST_F(PretrainTest, WhatIsNotFiniteIsNotSaved) {
  TrainedModel trained(Recipe().model, {});
  trained.Initialize(1);
  const std::string good = trained.Save(Run("run"), 1, {}, "{}", 1);
  const auto message = [&](TrainedModel& model) {
    return MessageOf([&] { model.Save(Run("run"), 1, {}, "{}", 2); });
  };
  float* last = trained.mutable_weights() + trained.layout().buffer_size() - 1;
  const float before = std::exchange(*last, NAN);
  EXPECT_TRUE(message(trained).starts_with("the weights are not all finite after step 2"));
  *last = before;
  const auto with_infinity = [&](TrainedModel& model) {
    model.optimizer().VisitState([&]<typename T>(const char*, std::span<T> values) {
      T infinity{};
      if constexpr (std::is_same_v<T, Bf16>) {
        infinity = RoundToBf16(INFINITY);
      } else {
        infinity = INFINITY;
      }
      T& middle = values[values.size() / 2];
      const T moment = std::exchange(middle, infinity);
      EXPECT_TRUE(message(model).starts_with("the optimizer's moments are not all finite"))
          << message(model);
      middle = moment;
    });
  };
  with_infinity(trained);
  OptimizerOptions rounded;
  rounded.moments = "bf16";
  TrainedModel other(trained.config(), rounded);
  other.Initialize(1);
  with_infinity(other);
  EXPECT_TRUE(FileExists(good));
  EXPECT_FALSE(FileExists(Run("run") + "/checkpoints/step-00000002"));
  EXPECT_EQ(message(trained), "");
}

TEST_F(PretrainTest, ThreadsDoNotChangeABit) {
  const int threads = NumThreads();
  for (const std::string precision : {"f32", "bf16"}) {
    PretrainRecipe recipe = Recipe();
    recipe.train.precision = precision;
    SetNumThreads(1);
    Pretrain(recipe, Data(), Run("one-" + precision), false, {});
    SetNumThreads(3);
    Pretrain(recipe, Data(), Run("three-" + precision), false, {});
    SetNumThreads(threads);
    ExpectSameRun("one-" + precision, "three-" + precision);
  }
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
      {.tokenizer_hash = LettersTokenizer().hash(), .vocab_size = 32, .bos_id = 0, .eos_id = 1});
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
  for (const char* name : {kTrainShard, kValidationShard})
    rewrite(name, LettersTokenizer().ToJson().c_str(), -1);
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
    EXPECT_DOUBLE_EQ(result.last.tokens_per_second * result.last.seconds, 512);
    EXPECT_NEAR(result.last.gflops * 1e9 * result.last.seconds, expected, 1e-12 * expected);
    // Written with six digits: behind the point, and in all. The last step's evaluation counts.
    const auto timing = nlohmann::json::parse(Bytes(cross ? "cross" : "apart", "timings.jsonl"));
    EXPECT_EQ(timing["step"], 1);
    EXPECT_GE(timing["seconds"], result.last.seconds - 0.6e-6);
    EXPECT_NEAR(timing["flops"], expected, 1e-6 * expected);
    EXPECT_EQ(timing["threads"], NumThreads());
  }
}

}  // namespace
}  // namespace darkhorse
